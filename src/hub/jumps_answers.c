/* Owns what links and stream connections answer to the jumps that are being opened, and the time they are
 * given. */
#include "base/clock.h"
#include "base/log.h"
#include "hub/comer.h"
#include "hub/hub_keys.h"
#include "hub/joins.h"
#include "hub/jumps_private.h"
#include "hub/refusals.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK_MS 250
#define CONNECTIONS_PER_S 5 /* later connections of one stream */
#define YOUNG_MS 30000      /* after its start the hub does not know all yet that goes on */

static void check_cb(uv_timer_t *h)
{
    struct jumps *j = h->data;
    uint64_t now = clock_now_ms();

    for (struct jump *p = j->dialling, *next = NULL; p != NULL; p = next) {
        char text[REFUSALS_TEXT_MAX];

        next = p->next;
        if (now < p->deadline)
            continue;
        if (p->waits)
            refusals_away(j->hub, p->machine, text);
        else
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

/* The agent may be back on another connection, or soon: it is asked there, once. */
static bool ask_again(struct jumps *j, struct jump *p, const struct link *gone)
{
    struct machine *m = registry_find(j->hub->registry, p->machine);

    if (m == NULL || m->link == gone || p->redialled)
        return false;
    if (m->link == NULL && !jumps_may_wait(j, m))
        return false;
    p->redialled = true;
    p->dialled = p->epoch_seen = false; /* it begins anew, with epoch 0 */
    jumps_close_waiting(p);
    if (m->link == NULL) {
        jumps_wait(j, p);
        return true;
    }
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

static void refuse_stranger(struct jumps *j, int fd, const char *source, const char *why)
{
    log_limited(&j->limit, LOG_LEVEL_INFO, "stream connection from %s closed: %s", source, why);
    close(fd);
}

static void refuse_connection(struct jumps *j, const struct comer *c, bool final, const char *why)
{
    comer_refuse(c, j->farewells, final, why);
}

static bool too_many(struct jump *p)
{
    uint64_t second = clock_now_ms() / 1000;

    if (p->connections_second != second)
        p->connections = 0;
    p->connections_second = second;
    return ++p->connections > CONNECTIONS_PER_S;
}

/* Each epoch once, and none that is not above all before: so a line that somebody saw and sends again has no
 * effect. */
static bool epoch_taken(struct jump *p, uint32_t epoch)
{
    if (p->epoch_seen && epoch <= p->epoch)
        return false;
    p->epoch_seen = true;
    p->epoch = epoch;
    return true;
}

/* A further connection of an open stream: the ticket's expiry is past, the policy of the moment counts. */
static void later(struct jumps *j, struct jump *p, const struct comer *c)
{
    const struct who *w = p->caller->ops->who(p->caller);

    if (store_kill_has(j->hub->store, p->stream))
        refuse_connection(j, c, true, "its stream was killed");
    else if (w == NULL || !who_may_reach(w, p->machine))
        refuse_connection(j, c, true, "its user may not reach that machine any more");
    else if (too_many(p))
        refuse_connection(j, c, false, "too many connections of one stream");
    else
        (void)p->caller->ops->connection(p->caller, p->channel, p->stream, c->p->epoch, c->fd);
}

/* The first connection. The agent makes it while it still asks the machine's SSH server: it waits here for
 * that answer. */
static void first(struct jumps *j, struct jump *p, const struct comer *c)
{
    if (p->dialled)
        jumps_join(j, p, c->p->epoch, c->fd);
    else if (p->n_waiting == JUMP_WAITING_MAX)
        refuse_connection(j, c, false, "too many connections of one stream");
    else
        p->waiting[p->n_waiting++] = (struct jump_waiting){c->fd, c->p->epoch};
}

/* A connection of a stream that is not known, with a good ticket: shortly after the hub's start it may become
 * known yet. */
static void unknown(struct jumps *j, const struct comer *c)
{
    bool young = clock_now_ms() - j->began < YOUNG_MS;

    if (store_kill_has(j->hub->store, c->ticket->id))
        refuse_connection(j, c, true, "its stream was killed");
    else if (j->hub->stopping)
        refuse_connection(j, c, false, "the hub is shutting down");
    else
        refuse_connection(j, c, !young, "its stream has ended, or is not of this hub");
}

static void known(struct jumps *j, struct jump *p, const struct comer *c)
{
    if (!p->open && c->ticket->expiry_s < clock_wall_s())
        refuse_connection(j, c, true, "its ticket has expired");
    else if (c->p->edge != 'b')
        refuse_connection(j, c, true, "the user's side of this stream is a front");
    else if (!epoch_taken(p, c->p->epoch))
        refuse_connection(j, c, false, "its ticket was used already by this or a later connection");
    else if (p->open)
        later(j, p, c);
    else
        first(j, p, c);
}

void jumps_connection(struct jumps *j, int fd, const struct preamble *preamble, const char *source,
                      uint16_t port)
{
    uint8_t key[TICKET_KEY_SIZE];
    struct ticket t;
    struct comer c = {.fd = fd, .source = source, .port = port, .p = preamble, .ticket = &t, .key = key};
    struct jump *p = NULL;
    int rc = ticket_open(hub_keys_secret(j->hub->keys), preamble->ticket, &t, key);

    if (rc < 0) {
        refuse_stranger(j, fd, source, rc == -EPERM ? "a forged ticket" : "a malformed ticket");
        return;
    }
    p = jumps_table_stream(j, t.id);
    if (!preamble_verify(preamble, key))
        refuse_stranger(j, fd, source, "a ticket without its key");
    else if (ticket_id_joined(t.id) && (preamble->edge == 'a' || p == NULL))
        joins_connection(j->hub->joins, &c);
    else if (p == NULL)
        unknown(j, &c);
    else
        known(j, p, &c);
    crypto_wipe(key, sizeof key);
}

void jumps_stream_ended(struct jumps *j, const struct link *l, const uint8_t stream[TICKET_ID_SIZE],
                        const char *reason, uint64_t sent, uint64_t received)
{
    struct jump *p = jumps_table_stream(j, stream);
    const struct machine *m = p != NULL ? registry_find(j->hub->registry, p->machine) : NULL;

    if (m != NULL && m->link == l && p->open && p->caller->ops->ended != NULL)
        p->caller->ops->ended(p->caller, p->channel, reason, sent, received);
}
