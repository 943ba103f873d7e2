/* Owns what keeps jumps over a gap: those of an earlier hub that are taken up, those that wait for a machine which is away
 * for a moment, and how many may wait for a lost connection. Must not believe more of a caller than its tickets say. */
#include "base/clock.h"
#include "base/log.h"
#include "hub/hub_keys.h"
#include "hub/jumps_private.h"
#include "hub/refusals.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- machines that are away --- */

bool jumps_may_wait(const struct jumps *j, const struct machine *m)
{
    return registry_soon_back(j->hub->registry, m, clock_wall_s(),
                              (int64_t)(j->hub->opt.restart_wait_ms / 1000));
}

void jumps_wait(struct jumps *j, struct jump *p)
{
    p->waits = true;
    p->deadline = p->started + j->hub->opt.restart_wait_ms;
    log_debug("%s's jump to %s waits for the machine to come back", p->user, p->machine);
}

void jumps_machine_back(struct jumps *j, struct machine *m)
{
    for (struct jump *p = j->dialling, *next = NULL; p != NULL; p = next) {
        next = p->next;
        if (!p->waits || !names_same(p->machine, m->name) || m->link == NULL)
            continue;
        p->waits = false;
        p->deadline = clock_now_ms() + j->hub->opt.dial_timeout_ms;
        if (jumps_dial(j, p, m->link) < 0)
            jumps_refuse(j, p,
                         "the machine came back, but the hub could not ask it for a connection; try again");
    }
}

void jumps_lost(struct jumps *j, const struct link *l, const uint8_t stream[TICKET_ID_SIZE],
                const char *reason)
{
    struct jump *p = jumps_table_stream(j, stream);
    const struct machine *m = p == NULL || !p->open ? NULL : registry_find(j->hub->registry, p->machine);

    if (m == NULL || m->link != l)
        return;
    p->caller->ops->kill(p->caller, p->channel, reason);
    jumps_end(j, p, reason, 0, 0);
}

/* --- lost connections --- */

/* May one more wait? Else text says why not. */
static bool may_park(const struct jumps *j, const char *machine, char *text)
{
    const struct hub_options *opt = &j->hub->opt;
    unsigned its = jumps_table_parked(j, machine);

    if (its >= opt->parked_per_machine)
        (void)snprintf(
            text, REFUSALS_TEXT_MAX,
            "its connection was lost, and %u sessions on %s wait for theirs already, the most that this hub "
            "allows (parked-per-machine)",
            its, machine);
    else if (j->n_parked >= opt->parked_max)
        (void)snprintf(text, REFUSALS_TEXT_MAX,
                       "its connection was lost, and %zu sessions wait for theirs already, the most that "
                       "this hub allows "
                       "(parked-max)",
                       j->n_parked);
    else
        return true;
    return false;
}

static void park(struct jumps *j, struct jump *p, uint64_t for_ms)
{
    uint64_t now = clock_now_ms();

    p->parked_at = now - (for_ms < now ? for_ms : now);
    jumps_table_park(j, p, true);
}

void jumps_parked(struct jumps *j, struct caller *c, uint64_t channel, bool parked)
{
    struct jump *p = jumps_table_channel(j, c, channel);
    char text[REFUSALS_TEXT_MAX];

    if (p == NULL || !p->open || p->parked == parked)
        return;
    if (!parked)
        jumps_table_park(j, p, false);
    else if (may_park(j, p->machine, text))
        park(j, p, 0);
    else
        (void)jumps_kill_one(j, p, text);
}

/* --- the sessions of an earlier hub --- */

struct machine *jumps_machine_of(struct jumps *j, const struct ticket *t)
{
    int64_t made_s = t->expiry_s - JUMPS_TICKET_LIFE_S;
    char name[NAMES_MACHINE_MAX + 1];
    struct machine *m = NULL;

    store_renamed(j->hub->store, t->machine, made_s, name);
    m = registry_find(j->hub->registry, name);
    return m == NULL || m->leased_s > made_s ? NULL : m;
}

/* Is the machine m there that the ticket was made for, and is it its user's? */
static bool still_allowed(struct jumps *j, const struct who *w, const struct machine *m,
                          const struct ticket *t, char *text)
{
    if (!who_may_reach(w, m != NULL ? m->name : t->machine))
        (void)snprintf(text, REFUSALS_TEXT_MAX, "you may no longer use this machine");
    else if (m == NULL)
        (void)snprintf(text, REFUSALS_TEXT_MAX, "the machine was revoked by the hub's admin");
    else if (store_kill_has(j->hub->store, t->id))
        (void)snprintf(text, REFUSALS_TEXT_MAX, "killed by the hub's admin");
    else
        return true;
    return false;
}

/* Checks the ticket. Returns 0, or a negative code with the text. */
static int check(struct jumps *j, const struct who *w, const struct jumps_past *past, struct ticket *ret_t,
                 struct machine **ret_m, char *text)
{
    uint8_t key[TICKET_KEY_SIZE];
    struct machine *m = NULL;
    int rc = ticket_open(hub_keys_secret(j->hub->keys), past->ticket, ret_t, key);

    crypto_wipe(key, sizeof key);
    if (rc < 0) {
        (void)snprintf(text, REFUSALS_TEXT_MAX, "its ticket is not of this hub");
        return rc;
    }
    if (strcmp(ret_t->user, w->name) != 0) {
        (void)snprintf(text, REFUSALS_TEXT_MAX, "its ticket is another user's");
        return -EPERM;
    }
    if (jumps_table_stream(j, ret_t->id) != NULL) {
        (void)snprintf(text, REFUSALS_TEXT_MAX, "its ticket is in use by another connection");
        return -EBUSY;
    }
    m = jumps_machine_of(j, ret_t);
    if (still_allowed(j, w, m, ret_t, text) && (!past->parked || may_park(j, m->name, text))) {
        *ret_m = m;
        return 0;
    }
    /* Nor later, nor for its machine, which is not here yet to be told. */
    (void)jumps_kill_note(j, ret_t->id, past->patience_ms);
    return -EACCES;
}

static int make_past(struct jumps *j, struct caller *c, const struct jumps_past *past,
                     const struct machine *m, const uint8_t stream[TICKET_ID_SIZE], struct jump **ret_p)
{
    int64_t age = clock_wall_s() - past->started_s;
    struct jump *p = NULL;
    int rc = jumps_make(j, c, past->channel, m->name, &p);

    if (rc < 0)
        return rc;
    if (age < 0)
        age = 0;
    p->started_s -= age;
    p->started -= (uint64_t)age * 1000 < p->started ? (uint64_t)age * 1000 : p->started;
    p->window = past->window;
    p->patience_ms = past->patience_ms;
    p->epoch_seen = past->epoch_seen;
    p->epoch = past->epoch;
    memcpy(p->stream, stream, sizeof p->stream);
    (void)snprintf(p->ticket, sizeof p->ticket, "%s", past->ticket);
    rc = jumps_table_add(j, p);
    if (rc < 0) {
        free(p);
        return rc;
    }
    *ret_p = p;
    return 0;
}

int jumps_adopt(struct jumps *j, struct caller *c, const struct jumps_past *past, char *text)
{
    const struct who *w = c->ops->who(c);
    struct machine *m = NULL;
    struct jump *p = NULL;
    struct ticket t;
    char since[32], event[64];
    int rc = 0;

    if (jumps_table_channel(j, c, past->channel) != NULL)
        return -EEXIST;
    rc = check(j, w, past, &t, &m, text);
    if (rc == 0) {
        rc = make_past(j, c, past, m, t.id, &p);
        if (rc < 0)
            (void)snprintf(text, REFUSALS_TEXT_MAX, "the hub is out of memory");
    }
    if (rc < 0)
        return rc;
    jumps_table_opened(j, p);
    jumps_watch(j);
    if (past->parked)
        park(j, p, past->parked_ms);
    clock_format_ago(clock_now_ms() - p->started, since, sizeof since);
    (void)snprintf(event, sizeof event, "taken up, runs since %s", since);
    log_debug("%s's session on %s is %s", p->user, p->machine, event);
    jumps_audit(j, "resume", p, event);
    return 0;
}

void jumps_ask(struct jumps *j, struct caller *c, uint64_t channel)
{
    struct jump *p = jumps_table_channel(j, c, channel);
    const struct machine *m = p != NULL && p->open ? registry_find(j->hub->registry, p->machine) : NULL;
    struct ticket t;

    if (m == NULL || m->link == NULL || ticket_open(hub_keys_secret(j->hub->keys), p->ticket, &t, p->key) < 0)
        return;
    (void)jumps_dial(j, p, m->link);
    crypto_wipe(p->key, sizeof p->key);
}

void jumps_moved(struct jumps *j, struct caller *c, uint64_t channel)
{
    struct jump *p = jumps_table_channel(j, c, channel);
    const struct who *w = c->ops->who(c);

    if (p == NULL || w == NULL)
        return;
    if (strcmp(p->source, w->source) != 0)
        log_info("%s's session on %s goes on from %s; it was %s", p->user, p->machine, w->source, p->source);
    (void)snprintf(p->source, sizeof p->source, "%s", w->source);
    p->source_port = c->ops->port(c);
}
