/* Owns what links and stream connections answer to the jumps that are being opened, and the time they are
 * given. */
#include "base/clock.h"
#include "base/log.h"
#include "hub/hub_keys.h"
#include "hub/jumps_private.h"
#include "hub/refusals.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK_MS 250
#define CONNECTIONS_PER_S 5 /* later connections of one stream */

static void check_cb(uv_timer_t *h)
{
    struct jumps *j = h->data;
    uint64_t now = clock_now_ms();

    for (struct jump *p = j->dialling, *next = NULL; p != NULL; p = next) {
        char text[REFUSALS_TEXT_MAX];

        next = p->next;
        if (now < p->deadline)
            continue;
        refusals_timeout(j->hub, p->machine, p->dialled, now - p->started, text);
        jumps_refuse(j, p, text);
    }
}

void jumps_watch(struct jumps *j)
{
    if (j->dialling == NULL)
        (void)uv_timer_stop(&j->timer);
    else if (!uv_is_active((uv_handle_t *)&j->timer))
        (void)uv_timer_start(&j->timer, check_cb, CHECK_MS, CHECK_MS);
}

/* --- answers --- */

/* Was l asked this? Then *ret_p is the jump that still waits for it, or NULL when it is past. */
static int asked(struct jumps *j, struct link *l, uint64_t id, struct jump **ret_p)
{
    struct jump *p = jumps_table_id(j, id & UINT32_MAX);

    if (id != jumps_dial_id(l, id & UINT32_MAX))
        return -ENOENT;
    *ret_p = p != NULL && p->link == l ? p : NULL;
    return 0;
}

int jumps_dialled(struct jumps *j, struct link *l, uint64_t id)
{
    struct jump *p = NULL;
    int rc = asked(j, l, id, &p);

    if (rc == 0 && p != NULL) {
        p->dialled = true;
        if (p->n_waiting > 0) {
            struct jump_waiting w = p->waiting[0];

            memmove(p->waiting, p->waiting + 1, --p->n_waiting * sizeof w);
            jumps_join(j, p, w.epoch, w.fd);
        }
    }
    return rc;
}

int jumps_failed(struct jumps *j, struct link *l, uint64_t id, const char *code, const char *reason)
{
    struct jump *p = NULL;
    char text[REFUSALS_TEXT_MAX];
    int rc = asked(j, l, id, &p);

    if (rc == 0 && p != NULL) {
        refusals_failed(p->machine, code, reason, text);
        p->link = NULL; /* it gave up by itself */
        jumps_refuse(j, p, text);
    }
    return rc;
}

int jumps_reached(struct jumps *j, struct link *l, uint64_t id, int fd)
{
    struct jump *p = NULL;
    int rc = asked(j, l, id, &p);

    if (rc == 0 && p != NULL)
        jumps_join(j, p, 0, fd);
    else
        close(fd);
    return rc;
}

/* The agent may be back on another connection: it is asked there, once. */
static bool ask_again(struct jumps *j, struct jump *p, const struct link *gone)
{
    struct machine *m = registry_find(j->hub->registry, p->machine);

    if (m == NULL || m->link == NULL || m->link == gone || p->redialled)
        return false;
    p->redialled = true;
    p->dialled = false;
    jumps_close_waiting(p);
    return jumps_dial(j, p, m->link) == 0;
}

void jumps_link_gone(struct jumps *j, struct link *l)
{
    for (struct jump *p = j->dialling, *next = NULL; p != NULL; p = next) {
        char text[REFUSALS_TEXT_MAX];

        next = p->next;
        if (p->link != l)
            continue;
        p->link = NULL;
        if (ask_again(j, p, l))
            continue;
        (void)snprintf(text, sizeof text,
                       "%s lost its connection to the hub while the jump was being opened; try again",
                       p->machine);
        jumps_refuse(j, p, text);
    }
}

/* --- connections --- */

static void refuse_connection(struct jumps *j, int fd, const char *source, const char *why)
{
    log_limited(&j->limit, LOG_LEVEL_INFO, "stream connection from %s closed: %s", source, why);
    close(fd);
}

static bool too_many(struct jump *p)
{
    uint64_t second = clock_now_ms() / 1000;

    if (p->connections_second != second)
        p->connections = 0;
    p->connections_second = second;
    return ++p->connections > CONNECTIONS_PER_S;
}

/* A further connection of an open stream: the ticket's expiry is past, the policy of the moment counts. */
static void later(struct jumps *j, struct jump *p, int fd, uint32_t epoch, const char *source)
{
    const struct who *w = p->caller->ops->who(p->caller);

    if (epoch == 0)
        refuse_connection(j, fd, source, "its ticket was used already");
    else if (too_many(p))
        refuse_connection(j, fd, source, "too many connections of one stream");
    else if (store_kill_has(j->hub->store, p->stream))
        refuse_connection(j, fd, source, "its stream was killed");
    else if (w == NULL || !who_may_reach(w, p->machine))
        refuse_connection(j, fd, source, "its user may not reach that machine any more");
    else
        (void)p->caller->ops->connection(p->caller, p->channel, p->stream, epoch, fd);
}

/* The first connection. The agent makes it while it still asks the machine's SSH server: it waits here for
 * that answer. */
static void first(struct jumps *j, struct jump *p, int fd, uint32_t epoch, const char *source)
{
    if (p->dialled) {
        jumps_join(j, p, epoch, fd);
        return;
    }
    for (unsigned i = 0; i < p->n_waiting; i++) {
        if (p->waiting[i].epoch == epoch) {
            refuse_connection(j, fd, source, "its ticket was used already");
            return;
        }
    }
    if (p->n_waiting == JUMP_WAITING_MAX) {
        refuse_connection(j, fd, source, "too many connections of one stream");
        return;
    }
    p->waiting[p->n_waiting++] = (struct jump_waiting){fd, epoch};
}

void jumps_connection(struct jumps *j, int fd, const struct preamble *c, const char *source)
{
    uint8_t key[TICKET_KEY_SIZE];
    struct ticket t;
    struct jump *p = NULL;
    int rc = ticket_open(hub_keys_secret(j->hub->keys), c->ticket, &t, key);

    crypto_wipe(key, sizeof key);
    if (rc < 0) {
        refuse_connection(j, fd, source, rc == -EPERM ? "a forged ticket" : "a malformed ticket");
        return;
    }
    p = jumps_table_stream(j, t.id);
    if ((p == NULL || !p->open) && t.expiry_s < clock_wall_s())
        refuse_connection(j, fd, source, "its ticket has expired");
    else if (p == NULL)
        refuse_connection(j, fd, source, "its ticket is for a stream that has ended, or is not of this hub");
    else if (c->edge != 'b')
        refuse_connection(j, fd, source, "the user's side of this stream is a front");
    else if (p->open)
        later(j, p, fd, c->epoch, source);
    else
        first(j, p, fd, c->epoch, source);
}
