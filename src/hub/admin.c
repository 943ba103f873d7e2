/* Owns the listening socket and its few connections. Must not serve anybody but root and the user that runs
 * the hub, and must not spin when descriptors run out: it rests. */
#include "hub/admin.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "hub/execs.h"
#include "hub/hub.h"
#include "hub/seqpacket.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS_MAX 32
#define QUEUE_MAX (1u << 20)
#define ID_MAX (INT64_C(1) << 53)
#define REST_MS 200

struct visitor {
    struct admin *owner;
    struct visitor *next, **at;
    struct seqpacket *channel;
    struct execs execs;
    struct who who;
};

struct admin {
    struct hub *hub;
    uv_poll_t poll;
    uv_timer_t rest;
    int fd, dir;
    struct visitor *list;
    unsigned n, open_handles;
    struct log_limit limit;
};

int admin_address(const char *state_dir, struct sockaddr_un *ret_sa, int *ret_dir)
{
    int dir = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return -errno;
    memset(ret_sa, 0, sizeof *ret_sa);
    ret_sa->sun_family = AF_UNIX;
    /* A path in sun_path is at most 107 bytes long; through the descriptor it always is. */
    (void)snprintf(ret_sa->sun_path, sizeof ret_sa->sun_path, "/proc/self/fd/%d/%s", dir, ADMIN_SOCKET);
    *ret_dir = dir;
    return 0;
}

static void visitor_free(struct visitor *v)
{
    *v->at = v->next;
    if (v->next != NULL)
        v->next->at = v->at;
    v->owner->n--;
    execs_release(&v->execs);
    seqpacket_free(v->channel);
    who_release(&v->who);
    free(v);
}

static void message_cb(void *arg, const cJSON *m)
{
    struct visitor *v = arg;
    const char *type = json_str(m, "type", 32), *why = NULL;
    int64_t id = json_int_or(m, "id", 0, ID_MAX, -1);

    if (type == NULL || id < 0)
        why = "a message without a type or an id";
    else if (strcmp(type, "exec") == 0)
        why = execs_start(&v->execs, &v->who, m);
    else if (strcmp(type, "more") == 0)
        execs_more(&v->execs, (uint64_t)id);
    else if (strcmp(type, "exec-close") == 0)
        execs_close(&v->execs, (uint64_t)id);
    if (why != NULL) {
        log_warn("%s: connection closed: %s", ADMIN_SOCKET, why);
        visitor_free(v);
    }
}

static void ended_cb(void *arg, const char *reason)
{
    (void)reason;
    visitor_free(arg);
}

static const struct seqpacket_calls calls = {.message = message_cb, .ended = ended_cb};

static bool allowed(int fd)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t n = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void visit(struct admin *a, int fd)
{
    struct visitor *v = NULL;

    if (!allowed(fd) || a->n >= CONNECTIONS_MAX) {
        log_warn("%s: connection closed: %s", ADMIN_SOCKET,
                 allowed(fd) ? "too many at once" : "it is neither root's nor of the user that runs the hub");
        close(fd);
        return;
    }
    v = calloc(1, sizeof *v);
    if (v == NULL || seqpacket_new(a->hub->loop, fd, QUEUE_MAX, &calls, v, &v->channel) < 0) {
        log_error("%s: connection closed: out of memory", ADMIN_SOCKET);
        close(fd);
        free(v);
        return;
    }
    v->owner = a;
    who_local(&v->who);
    execs_init(&v->execs, a->hub, v->channel);
    v->next = a->list;
    v->at = &a->list;
    if (v->next != NULL)
        v->next->at = &v->next;
    a->list = v;
    a->n++;
}

static void poll_cb(uv_poll_t *h, int status, int events);

static void rest_over_cb(uv_timer_t *h)
{
    struct admin *a = h->data;

    (void)uv_poll_start(&a->poll, UV_READABLE, poll_cb);
}

static void poll_cb(uv_poll_t *h, int status, int events)
{
    struct admin *a = h->data;
    int fd = status < 0 ? -1 : accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (fd >= 0) {
        visit(a, fd);
    } else if (status < 0 || (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)) {
        log_limited(&a->limit, LOG_LEVEL_ERROR, "%s: cannot take a connection: %s", ADMIN_SOCKET,
                    status < 0 ? uv_strerror(status) : strerror(errno));
        (void)uv_poll_stop(&a->poll);
        (void)uv_timer_start(&a->rest, rest_over_cb, REST_MS, 0);
    }
}

static int open_socket(struct admin *a)
{
    struct sockaddr_un sa;
    mode_t old = 0;
    int rc = admin_address(a->hub->state_dir, &sa, &a->dir);

    if (rc < 0)
        return rc;
    a->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd < 0)
        return -errno;
    if (unlinkat(a->dir, ADMIN_SOCKET, 0) < 0 && errno != ENOENT)
        return -errno;
    old = umask(0177);
    rc = bind(a->fd, (struct sockaddr *)&sa, sizeof sa) < 0 ? -errno : 0;
    (void)umask(old);
    if (rc == 0 && listen(a->fd, 16) < 0)
        rc = -errno;
    return rc;
}

static void closed_cb(uv_handle_t *h)
{
    struct admin *a = h->data;

    if (--a->open_handles == 0)
        free(a);
}

int admin_new(struct hub *hub, struct admin **ret_a, struct errmsg *err)
{
    struct admin *a = calloc(1, sizeof *a);
    int rc = 0;

    if (a == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    a->hub = hub;
    a->fd = a->dir = -1;
    a->limit = (struct log_limit){.burst = 3, .interval_ms = 10000};
    rc = open_socket(a);
    if (rc == 0)
        rc = uv_poll_init(hub->loop, &a->poll, a->fd);
    if (rc < 0) {
        if (a->fd >= 0)
            close(a->fd);
        if (a->dir >= 0)
            close(a->dir);
        free(a);
        return errmsg_set(err, rc, "%s/%s: %s", hub->state_dir, ADMIN_SOCKET, uv_strerror(rc));
    }
    (void)uv_timer_init(hub->loop, &a->rest);
    a->poll.data = a->rest.data = a;
    a->open_handles = 2;
    *ret_a = a;
    return 0;
}

void admin_begin(struct admin *a)
{
    (void)uv_poll_start(&a->poll, UV_READABLE, poll_cb);
}

void admin_free(struct admin *a)
{
    if (a == NULL)
        return;
    for (struct visitor *v = a->list, *next = NULL; v != NULL; v = next) {
        next = v->next;
        visitor_free(v);
    }
    (void)unlinkat(a->dir, ADMIN_SOCKET, 0);
    uv_close((uv_handle_t *)&a->poll, closed_cb);
    uv_close((uv_handle_t *)&a->rest, closed_cb);
    close(a->fd);
    close(a->dir);
}
