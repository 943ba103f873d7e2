/* Owns the process handles. A relay ends by itself when either of its sockets does, so nobody has to end it.
 */
#include "hub/relays.h"
#include "base/fs.h"
#include "base/log.h"
#include "hub/fronts.h"
#include "hub/hub.h"
#include "hub/hub_keys.h"
#include "hub/program.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct relay {
    uv_process_t process;
    struct relays *owner;
    struct relay *next, **at;
};

struct relays {
    struct hub *hub;
    struct relay *list;
    struct log_limit limit;
};

int relays_new(struct hub *hub, struct relays **ret_r)
{
    struct relays *r = calloc(1, sizeof *r);

    if (r == NULL)
        return -ENOMEM;
    r->hub = hub;
    r->limit = (struct log_limit){.burst = 10, .interval_ms = 10000};
    *ret_r = r;
    return 0;
}

static void closed_cb(uv_handle_t *h)
{
    free(h->data);
}

static void forget(struct relay *p)
{
    *p->at = p->next;
    if (p->next != NULL)
        p->next->at = p->at;
    uv_close((uv_handle_t *)&p->process, closed_cb);
}

static void exited_cb(uv_process_t *h, int64_t status, int signal)
{
    struct relay *p = h->data;

    if (status != 0 || signal != 0)
        log_limited(&p->owner->limit, LOG_LEVEL_INFO, "a relay ended with status %d, signal %d", (int)status,
                    signal);
    forget(p);
}

void relays_free(struct relays *r)
{
    if (r == NULL)
        return;
    while (r->list != NULL)
        forget(r->list);
    free(r);
}

static int start(struct relays *r, int fd, int other)
{
    char key[FS_PATH_MAX], cert[FS_PATH_MAX], ca[FS_PATH_MAX];
    char *args[] = {"multissh-relay", "--key", key, "--cert", cert, "--ca", ca, NULL};
    const char *dir = r->hub->state_dir;
    const int fds[] = {fd, other};
    struct relay *p = NULL;
    int rc = 0;

    if (fs_join(key, sizeof key, dir, HUB_KEYS_TLS_KEY) < 0 ||
        fs_join(cert, sizeof cert, dir, HUB_KEYS_TLS_CERT) < 0 ||
        fs_join(ca, sizeof ca, dir, HUB_KEYS_CA_CERT) < 0)
        return -ENAMETOOLONG;
    p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    rc = program_start(r->hub->loop, &p->process, args, fds, 2, exited_cb);
    if (rc < 0) {
        p->process.data = p;
        uv_close((uv_handle_t *)&p->process, closed_cb);
        return rc;
    }
    p->process.data = p;
    p->owner = r;
    p->next = r->list;
    p->at = &r->list;
    if (p->next != NULL)
        p->next->at = &p->next;
    r->list = p;
    return 0;
}

void relays_accept(struct relays *r, int fd, const char *source, uint16_t port, struct door_slot *slot)
{
    int pair[2] = {-1, -1};
    const char *why = fronts_may_start(r->hub->fronts, source);
    int rc = 0;

    if (why != NULL) {
        log_limited(&r->limit, LOG_LEVEL_WARN, "TLS stream from %s closed: %s", source, why);
        goto out;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        log_limited(&r->limit, LOG_LEVEL_ERROR, "TLS stream from %s closed: %s", source, strerror(errno));
        goto out;
    }
    rc = start(r, fd, pair[1]);
    if (rc < 0) {
        log_limited(&r->limit, LOG_LEVEL_ERROR, "cannot start multissh-relay: %s", uv_strerror(rc));
        goto out;
    }
    door_enter_relayed(r->hub->door, pair[0], source, port, slot);
    pair[0] = -1;
out:
    door_slot_release(r->hub->door, slot);
    close(fd);
    if (pair[0] >= 0)
        close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
}
