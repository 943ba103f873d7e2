/* Owns a join's connections: those that wait, the pair that stands, and how long one waits for the other. Must not let a
 * connection that was only seen first, and is not newer, replace another: joins.c has looked at the epochs. */
#include "base/clock.h"
#include "hub/describe.h"
#include "hub/joins_private.h"
#include "hub/jumps.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A newer connection that was on its way already when a pair was made must not destroy it, or two edges that dial every two
 * seconds might never meet: it waits beside the pair. What comes later means that the pair is of no use. */
#define YOUNG_MS 2000
#define PARKED_MS 1000   /* without a pair: it counts as parked */
#define CLOSED_MS 10000  /* both sides were closed in order, and none has come again: that was the end */
#define OPENING_MS 20000 /* neither has ever been paired */
#define SLACK_MS 5000    /* the edges' own patience is to end first */
#define ASK_MS 2000
#define ASK_AGAIN_MS 5000
#define DRAIN_MS 12000 /* for a pair to end once the machine's side has */

static void leg_gone(void *arg, struct leg *l)
{
    struct join *p = arg;

    for (int i = 0; i < 2; i++)
        if (p->legs[i] == l)
            p->legs[i] = NULL;
    leg_free(l);
}

static void tell_parked(struct join *p, bool parked)
{
    if (p->parked == parked || !p->open || p->over)
        return;
    p->parked = parked;
    jumps_parked(p->all->hub->jumps, &p->caller, JOIN_CHANNEL, parked); /* may end it */
}

static void facts_of(const struct join *p, struct pair_facts *f)
{
    *f = (struct pair_facts){.epoch_a = p->epochs[JOIN_A],
                             .epoch_b = p->epochs[JOIN_B],
                             .started_s = p->started_s,
                             .port = p->port,
                             .to_machine = p->to_machine,
                             .from_machine = p->from_machine};
    memcpy(f->ticket, p->text, sizeof f->ticket);
    (void)snprintf(f->source, sizeof f->source, "%s", p->who.source);
}

/* A machine whose side does not dial is given a connection for the one of the user's that waits. */
static void give_machine(struct join *p)
{
    const struct machine *m = registry_find(p->all->hub->registry, p->ticket.machine);
    int pair[2];

    if (m == NULL || m->link == NULL || m->link->ops->connect == NULL ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return;
    if (m->link->ops->connect(m->link, p->ticket.id, leg_epoch(p->legs[JOIN_A]), pair[1]) < 0 ||
        leg_new(p->all->hub->loop, pair[0], leg_epoch(p->legs[JOIN_A]), leg_gone, p, &p->legs[JOIN_B]) < 0)
        close(pair[0]);
    else
        p->machine_seen = true;
}

/* Both are there and nothing stands: joins them. */
static void pair_up(struct join *p)
{
    struct pair_facts f;
    int fds[2], rc;

    if (!p->over && p->open && p->pair == NULL && p->legs[JOIN_A] != NULL && p->legs[JOIN_B] == NULL)
        give_machine(p);
    if (p->over || !p->open || p->pair != NULL || p->reason[0] != '\0' || p->legs[JOIN_A] == NULL ||
        p->legs[JOIN_B] == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        p->epochs[i] = leg_epoch(p->legs[i]);
        fds[i] = leg_take(p->legs[i]);
        p->legs[i] = NULL;
    }
    facts_of(p, &f);
    rc = pairs_start(p->all->pairs, &f, fds[JOIN_A], fds[JOIN_B], p, &p->pair);
    close(fds[JOIN_A]);
    close(fds[JOIN_B]);
    crypto_wipe(f.ticket, sizeof f.ticket);
    if (rc < 0) { /* the edges come again */
        log_limited(&p->all->limit, LOG_LEVEL_ERROR,
                    "cannot start multissh-relay: %s; is it installed beside multissh-hub?", uv_strerror(rc));
        return;
    }
    p->paired = true;
    p->paired_at = clock_now_ms();
    tell_parked(p, false);
}

static void pair_gone(struct join *p)
{
    p->pair = NULL;
    p->alone_since = clock_now_ms();
    pair_up(p);
}

void joins_leg(struct join *p, int edge, int fd, uint32_t epoch)
{
    struct leg *l = NULL;

    if (p->over || leg_new(p->all->hub->loop, fd, epoch, leg_gone, p, &l) < 0) {
        close(fd);
        return;
    }
    leg_free(p->legs[edge]);
    p->legs[edge] = l;
    p->machine_seen = p->machine_seen || edge == JOIN_B;
    if (p->pair == NULL) {
        pair_up(p);
    } else if (clock_now_ms() >= p->paired_at + YOUNG_MS) {
        pairs_end(p->pair);
        pair_gone(p);
    }
}

/* --- what the pair says --- */

static void pair_ending(void *owner, struct pair *pair, const char *reason)
{
    struct join *p = owner;

    (void)reason;
    if (p->pair != pair)
        return;
    p->draining++;
    pair_gone(p);
}

static void pair_ended(void *owner, struct pair *pair, const char *reason, bool orderly, uint64_t to_machine,
                       uint64_t from_machine)
{
    struct join *p = owner;

    log_debug("a pair of %s's session on %s ended: %s", p->ticket.user, p->ticket.machine, reason);
    if (p->to_machine < to_machine)
        p->to_machine = to_machine;
    if (p->from_machine < from_machine)
        p->from_machine = from_machine;
    p->orderly = orderly;
    if (p->pair == pair)
        pair_gone(p);
    else if (p->draining > 0)
        p->draining--;
}

const struct pairs_calls joins_pairs_calls = {
    .ending = pair_ending, .ended = pair_ended, .found = joins_found};

/* --- the end --- */

static void legs_end(struct join *p, const char *text)
{
    struct preamble line = {.edge = 'a'};
    struct comer c = {.p = &line, .key = p->key, .source = p->who.source};

    memcpy(line.ticket, p->text, sizeof line.ticket);
    for (int i = 0; i < 2; i++) {
        if (p->legs[i] == NULL)
            continue;
        line.edge = i == JOIN_A ? 'a' : 'b';
        line.epoch = leg_epoch(p->legs[i]);
        c.fd = leg_take(p->legs[i]);
        p->legs[i] = NULL;
        comer_end(&c, p->all->farewells, true, text);
    }
    crypto_wipe(&line, sizeof line);
}

void joins_over(struct join *p, const char *text, uint64_t ms)
{
    struct joins *js = p->all;

    if (p->over)
        return;
    p->over = true;
    p->open = false;
    memcpy(js->gone[js->n_gone++ % JOINS_GONE_MAX], p->ticket.id, TICKET_ID_SIZE);
    legs_end(p, text);
    p->end_by = clock_now_ms() + (p->pair != NULL || p->draining > 0 ? ms : 0);
}

/* The machine's side need not wait any more. */
static void hang_up(const struct join *p, const char *why)
{
    struct machine *m = registry_find(p->all->hub->registry, p->ticket.machine);

    if (m != NULL && m->link != NULL)
        m->link->ops->hangup(m->link, p->ticket.id, why);
}

void joins_end(struct join *p, const char *reason, uint64_t ms)
{
    bool counted = p->reason[0] != '\0';
    char text[PREAMBLE_TEXT_MAX + 1];

    (void)snprintf(text, sizeof text, "%s", reason);
    if (!counted)
        hang_up(p, text);
    joins_over(p, text, ms);
    jumps_closed(p->all->hub->jumps, &p->caller, JOIN_CHANNEL, text, counted ? p->sent : p->to_machine,
                 counted ? p->received : p->from_machine);
}

/* A young stream of which only the user's side has come back to this hub: the one before it may have ended before it asked the
 * machine. A machine that has the stream already is not disturbed. */
static void ask_machine(struct join *p, uint64_t now)
{
    if (p->machine_seen || p->legs[JOIN_A] == NULL || p->ticket.expiry_s < clock_wall_s() ||
        now < p->alone_since + ASK_MS || now < p->asked_at + ASK_AGAIN_MS)
        return;
    p->asked_at = now;
    jumps_ask(p->all->hub->jumps, &p->caller, JOIN_CHANNEL);
}

static void tick_open(struct join *p, uint64_t now)
{
    uint64_t alone = p->pair != NULL ? 0 : now - p->alone_since;
    bool nobody = p->legs[JOIN_A] == NULL && p->legs[JOIN_B] == NULL;
    char text[96], patience[32];

    if (p->reason[0] != '\0') {
        /* The machine's side has ended it; the user's takes its last bytes yet. */
        if ((p->pair == NULL && p->draining == 0) || now >= p->reason_at + DRAIN_MS)
            joins_end(p, p->reason, 0);
        return;
    }
    if (p->pair != NULL)
        return;
    if (p->orderly && nobody && alone >= CLOSED_MS) {
        joins_end(p, "closed", 0);
    } else if (!p->paired && p->legs[JOIN_A] == NULL && alone >= OPENING_MS) {
        joins_end(p, "the user gave up", 0);
    } else if (alone >= p->patience_ms + SLACK_MS) {
        (void)snprintf(patience, sizeof patience, "%u s", (unsigned)(p->patience_ms / 1000));
        (void)snprintf(text, sizeof text, "the %s side did not come back within %s",
                       p->legs[JOIN_B] == NULL ? "machine's" : "user's", patience);
        joins_end(p, text, 0);
    } else if (alone >= PARKED_MS) {
        tell_parked(p, true); /* may end it */
        if (!p->over)
            ask_machine(p, now);
    }
}

void joins_tick(struct join *p, uint64_t now)
{
    if (!p->over) {
        if (p->open)
            tick_open(p, now);
        return;
    }
    if (now < p->end_by && (p->pair != NULL || p->draining > 0))
        return;
    joins_remove(p);
}
