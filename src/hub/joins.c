/* Owns the table of joins: who may have a connection in one, by the policy of the moment; what the switchboard asks and says. Must
 * not act on anything but a preamble whose mac held. */
#include "hub/joins.h"
#include "base/clock.h"
#include "hub/hub_keys.h"
#include "hub/joins_private.h"
#include "hub/jumps.h"
#include "hub/store.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 250
#define CONNECTIONS_PER_S 5 /* of edge a of one stream */
#define KILL_MS 1500        /* for the reason of a kill to reach the user by way of the machine */

/* --- the table --- */

static uint64_t hash_stream(const uint8_t *stream)
{
    uint64_t h = 0;

    memcpy(&h, stream + 1, sizeof h); /* random bytes are their own hash */
    return h;
}

static bool same_stream(const void *value, const void *arg)
{
    return memcmp(((const struct join *)value)->ticket.id, arg, TICKET_ID_SIZE) == 0;
}

struct join *joins_find(const struct joins *js, const uint8_t stream[TICKET_ID_SIZE])
{
    return hashmap_find(&js->by_stream, hash_stream(stream), same_stream, stream);
}

bool joins_is_gone(const struct joins *js, const uint8_t stream[TICKET_ID_SIZE])
{
    unsigned n = js->n_gone < JOINS_GONE_MAX ? js->n_gone : JOINS_GONE_MAX;

    for (unsigned i = 0; i < n; i++)
        if (memcmp(js->gone[i], stream, TICKET_ID_SIZE) == 0)
            return true;
    return false;
}

static void tick_cb(uv_timer_t *h)
{
    struct joins *js = h->data;
    uint64_t now = clock_now_ms();

    for (struct join *p = js->list, *next = NULL; p != NULL; p = next) {
        next = p->next;
        joins_tick(p, now);
    }
    if (js->list == NULL)
        (void)uv_timer_stop(&js->timer);
}

int joins_add(struct joins *js, const struct ticket *t, const char *text, const uint8_t *key,
              struct join **ret_p)
{
    struct join *p = calloc(1, sizeof *p);

    if (p == NULL)
        return -ENOMEM;
    if (hashmap_add(&js->by_stream, hash_stream(t->id), p) < 0) {
        free(p);
        return -ENOMEM;
    }
    p->caller.ops = &joins_caller;
    p->all = js;
    p->ticket = *t;
    (void)snprintf(p->text, sizeof p->text, "%s", text);
    memcpy(p->key, key, sizeof p->key);
    p->started_s = clock_wall_s();
    p->alone_since = clock_now_ms();
    p->window = (uint32_t)js->hub->opt.window;
    p->patience_ms = (uint32_t)js->hub->opt.patience_ms;
    p->next = js->list;
    p->at = &js->list;
    if (p->next != NULL)
        p->next->at = &p->next;
    js->list = p;
    js->n++;
    if (!uv_is_active((uv_handle_t *)&js->timer))
        (void)uv_timer_start(&js->timer, tick_cb, TICK_MS, TICK_MS);
    *ret_p = p;
    return 0;
}

void joins_remove(struct join *p)
{
    struct joins *js = p->all;

    hashmap_remove(&js->by_stream, hash_stream(p->ticket.id), p);
    *p->at = p->next;
    if (p->next != NULL)
        p->next->at = p->at;
    js->n--;
    for (int i = 0; i < 2; i++)
        leg_free(p->legs[i]);
    if (js->pairs != NULL)
        pairs_end_of(js->pairs, p);
    who_release(&p->who);
    crypto_wipe(p->key, sizeof p->key);
    crypto_wipe(p->text, sizeof p->text);
    free(p);
}

int joins_new(struct hub *hub, struct joins **ret_j)
{
    struct joins *js = calloc(1, sizeof *js);
    int rc = 0;

    if (js == NULL)
        return -ENOMEM;
    js->hub = hub;
    js->began_s = clock_wall_s();
    js->limit = (struct log_limit){.burst = 20, .interval_ms = 5000};
    hashmap_init(&js->by_stream);
    rc = farewells_new(hub->loop, 256, &js->farewells);
    if (rc == 0)
        rc = pairs_new(hub, &joins_pairs_calls, js, &js->pairs);
    if (rc < 0) {
        farewells_free(js->farewells);
        free(js);
        return rc;
    }
    (void)uv_timer_init(hub->loop, &js->timer);
    js->timer.data = js;
    *ret_j = js;
    return 0;
}

static void closed_cb(uv_handle_t *h)
{
    free(h->data);
}

void joins_free(struct joins *js)
{
    if (js == NULL)
        return;
    for (struct join *p = js->list; p != NULL; p = p->next)
        if (!p->open) /* else its jump has nothing more to ask of it, and the session has not ended */
            jumps_caller_gone(js->hub->jumps, &p->caller, "the hub ended");
    pairs_free(js->pairs); /* first: they go on */
    js->pairs = NULL;
    for (struct join *p = js->list, *next = NULL; p != NULL; p = next) {
        next = p->next;
        joins_remove(p);
    }
    farewells_free(js->farewells);
    hashmap_release(&js->by_stream);
    uv_close((uv_handle_t *)&js->timer, closed_cb);
}

/* --- who it is --- */

int joins_look_up(struct join *p, const char *source)
{
    struct hub *hub = p->all->hub;
    const struct policy_user *u = policy_may(hub->policy, p->ticket.user, source, p->ticket.machine,
                                             clock_wall_s(), p->ticket.user_key);
    struct who w;

    if (u == NULL)
        return -EACCES;
    if (who_from_user(&w, u, source != NULL ? source : "?", hub->opt.admin_over_ssh) < 0)
        return -ENOMEM;
    who_release(&p->who);
    p->who = w;
    p->known = true;
    p->placed = source != NULL;
    return 0;
}

void joins_policy_changed(struct joins *js)
{
    for (struct join *p = js->list; p != NULL; p = p->next) {
        char source[sizeof p->who.source];

        if (p->over || !p->known)
            continue;
        memcpy(source, p->who.source, sizeof source);
        /* Stripped of all rights: whoever asks what they are finds that out. */
        if (joins_look_up(p, p->placed ? source : NULL) == -EACCES)
            who_strip(&p->who);
    }
}

void joins_renamed(struct joins *js, const char *from, const char *to)
{
    for (struct join *p = js != NULL ? js->list : NULL; p != NULL; p = p->next)
        if (names_same(p->ticket.machine, from))
            (void)snprintf(p->ticket.machine, sizeof p->ticket.machine, "%s", to);
}

/* --- the switchboard's calls --- */

static int opened(struct caller *c, uint64_t channel, const struct caller_stream *s, int fd)
{
    struct join *p = (struct join *)c;

    (void)channel;
    p->open = true;
    p->alone_since = clock_now_ms();
    joins_leg(p, JOIN_B, fd, s->epoch);
    return 0;
}

static void refused(struct caller *c, uint64_t channel, const char *text)
{
    (void)channel;
    joins_over((struct join *)c, text, 0);
}

static int connection(struct caller *c, uint64_t channel, const uint8_t stream[TICKET_ID_SIZE],
                      uint32_t epoch, int fd)
{
    (void)channel;
    (void)stream;
    joins_leg((struct join *)c, JOIN_B, fd, epoch);
    return 0;
}

static void kill_join(struct caller *c, uint64_t channel, const char *text)
{
    (void)channel;
    joins_over((struct join *)c, text, KILL_MS);
}

static void ended(struct caller *c, uint64_t channel, const char *reason, uint64_t sent, uint64_t received)
{
    struct join *p = (struct join *)c;

    (void)channel;
    if (p->over || p->reason[0] != '\0')
        return;
    (void)snprintf(p->reason, sizeof p->reason, "%s", reason[0] != '\0' ? reason : "it ended");
    p->reason_at = clock_now_ms();
    p->sent = received; /* what the machine's side received went to it */
    p->received = sent;
}

static const struct who *who(const struct caller *c)
{
    const struct join *p = (const struct join *)c;

    return p->known ? &p->who : NULL;
}

static uint16_t port_of(const struct caller *c)
{
    return ((const struct join *)c)->port;
}

const struct caller_ops joins_caller = {.opened = opened,
                                        .refused = refused,
                                        .connection = connection,
                                        .kill = kill_join,
                                        .ended = ended,
                                        .who = who,
                                        .port = port_of};

/* --- the connections that come --- */

static bool too_many(struct join *p)
{
    uint64_t second = clock_now_ms() / 1000;

    if (p->connections_second != second)
        p->connections = 0;
    p->connections_second = second;
    return ++p->connections > CONNECTIONS_PER_S;
}

static void refuse(struct joins *js, const struct comer *c, bool final, const char *why)
{
    comer_refuse(c, js->farewells, final, why);
}

/* The first connection of all: the machine is asked. */
static void begin(struct joins *js, const struct comer *c)
{
    struct jumps_ticket given = {.ticket = c->ticket, .text = c->p->ticket, .key = c->key};
    struct join *p = NULL;
    int rc = 0;

    if (joins_add(js, c->ticket, c->p->ticket, c->key, &p) < 0) {
        refuse(js, c, false, "the hub is out of memory");
        return;
    }
    rc = joins_look_up(p, c->source);
    if (rc < 0) {
        refuse(js, c, rc == -EACCES,
               rc == -EACCES ? "its user may not reach that machine" : "the hub is out of memory");
        joins_remove(p);
        return;
    }
    p->port = c->port;
    p->epoch_seen = true;
    p->epoch = c->p->epoch;
    joins_leg(p, JOIN_A, c->fd, c->p->epoch);
    (void)jumps_open_ticket(js->hub->jumps, &p->caller, JOIN_CHANNEL, c->ticket->machine, 22, &given);
}

/* One more of edge a. */
static void again(struct joins *js, struct join *p, const struct comer *c)
{
    int rc = 0;

    if (p->epoch_seen && c->p->epoch <= p->epoch) {
        refuse(js, c, false, "its ticket was used already by this or a later connection");
        return;
    }
    if (too_many(p)) {
        refuse(js, c, false, "too many connections of one stream");
        return;
    }
    rc = joins_look_up(p, c->source);
    if (rc < 0) {
        refuse(js, c, rc == -EACCES,
               rc == -EACCES ? "its user may not reach that machine any more" : "the hub is out of memory");
        return;
    }
    p->port = c->port;
    p->epoch_seen = true;
    p->epoch = c->p->epoch;
    jumps_moved(js->hub->jumps, &p->caller, JOIN_CHANNEL);
    joins_leg(p, JOIN_A, c->fd, c->p->epoch);
}

/* Is it the user's side of a stream that no earlier hub can have begun? Then it begins here and within the limits, whatever
 * number its connection has: its first ones may have been lost on the way. slack_s: the two clocks have whole seconds. */
static bool new_here(const struct joins *js, const struct comer *c, int64_t slack_s)
{
    return c->p->edge == 'a' && c->ticket->expiry_s - JUMPS_TICKET_LIFE_S >= js->began_s + slack_s;
}

void joins_connection(struct joins *js, const struct comer *c)
{
    struct join *p = joins_find(js, c->ticket->id);

    if (store_kill_has(js->hub->store, c->ticket->id))
        refuse(js, c, true, "its stream was killed");
    else if (js->hub->stopping)
        refuse(js, c, false, "the hub is shutting down");
    else if (joins_is_gone(js, c->ticket->id) || (p != NULL && (p->over || p->reason[0] != '\0')))
        refuse(js, c, true, p != NULL && p->reason[0] != '\0' ? p->reason : "its stream has ended");
    else if (p != NULL && c->p->edge == 'a')
        again(js, p, c);
    else if (p != NULL)
        refuse(js, c, false, "its stream is being opened");
    else if ((c->p->epoch == 0 || new_here(js, c, 1)) && c->ticket->expiry_s < clock_wall_s())
        refuse(js, c, true, "its ticket has expired");
    else if (new_here(js, c, 0))
        begin(js, c);
    else
        joins_come_back(js, c);
}

/* --- the end of all --- */

void joins_end_all(struct joins *js, const char *text)
{
    for (struct join *p = js->list; p != NULL; p = p->next) {
        if (p->over)
            continue;
        (void)store_kill_add(js->hub->store, p->ticket.id,
                             clock_wall_s() + (int64_t)(p->patience_ms / 1000) + 86400);
        joins_end(p, text, KILL_MS);
    }
}

void joins_take_up(struct joins *js, joins_taken_fn *done)
{
    pairs_take_up(js->pairs, done);
}

size_t joins_ending(const struct joins *js)
{
    size_t n = 0;

    for (const struct join *p = js->list; p != NULL; p = p->next)
        n += p->over ? 1 : 0;
    return n;
}
