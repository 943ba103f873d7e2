/* Owns the way back of streams that ran under an earlier hub: by the process that still joins their connections, or by an edge
 * that has lost its own. Must not believe more of them than their tickets and the policy of now say. */
#include "base/clock.h"
#include "hub/hub_keys.h"
#include "hub/joins_private.h"
#include "hub/jumps.h"
#include "hub/store.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What is known of such a stream. */
struct past {
    const struct ticket *ticket;
    const char *text; /* the ticket's */
    const uint8_t *key;
    const char *source; /* of the user's connection; NULL: not known yet */
    uint16_t port;
    int64_t started_s;
    const uint32_t *epoch_b; /* NULL: not known */
    bool parked;
};

/* Takes it up as an open jump. Returns 0, or a negative code with the text; final in *ret_final. */
static int rebuild(struct joins *js, const struct past *from, struct join **ret_p, bool *ret_final,
                   char text[REFUSALS_TEXT_MAX])
{
    struct jumps_past past = {.channel = JOIN_CHANNEL,
                              .ticket = from->text,
                              .started_s = from->started_s,
                              .epoch_seen = from->epoch_b != NULL,
                              .epoch = from->epoch_b != NULL ? *from->epoch_b : 0,
                              .parked = from->parked};
    const struct machine *m = jumps_machine_of(js->hub->jumps, from->ticket);
    struct join *p = NULL;
    int rc = joins_add(js, from->ticket, from->text, from->key, &p);

    *ret_final = false;
    (void)snprintf(text, REFUSALS_TEXT_MAX, "the hub is out of memory");
    if (rc < 0)
        return rc;
    if (m != NULL)
        (void)snprintf(p->ticket.machine, sizeof p->ticket.machine, "%s", m->name);
    p->port = from->port;
    p->started_s = from->started_s;
    p->paired = true; /* by an earlier hub, as far as this one knows */
    p->parked = from->parked;
    past.window = p->window;
    past.patience_ms = p->patience_ms;
    rc = joins_look_up(p, from->source);
    if (rc == -EACCES)
        (void)snprintf(text, REFUSALS_TEXT_MAX, "its user may not reach that machine any more");
    if (rc == 0)
        rc = jumps_adopt(js->hub->jumps, &p->caller, &past, text);
    if (rc < 0) {
        *ret_final = rc != -ENOMEM;
        joins_remove(p);
        return rc;
    }
    p->open = true;
    *ret_p = p;
    return 0;
}

/* A pair of an earlier hub. Its word is worth what its ticket is. */
static struct join *take_up(struct joins *js, const struct pair_facts *f)
{
    char text[REFUSALS_TEXT_MAX];
    uint8_t key[TICKET_KEY_SIZE];
    struct ticket t;
    struct past past = {.ticket = &t,
                        .text = f->ticket,
                        .key = key,
                        .source = strcmp(f->source, "?") == 0 ? NULL : f->source,
                        .port = f->port,
                        .started_s = f->started_s,
                        .epoch_b = &f->epoch_b};
    struct join *p = NULL;
    bool final = false;

    if (ticket_open(hub_keys_secret(js->hub->keys), f->ticket, &t, key) < 0 || !ticket_id_joined(t.id)) {
        log_limited(&js->limit, LOG_LEVEL_WARN, "a pair of an earlier hub has a ticket that is none");
        return NULL;
    }
    /* Else its edges have come by themselves meanwhile, and it is of no use any more. */
    if (joins_find(js, t.id) == NULL && !joins_is_gone(js, t.id)) {
        if (rebuild(js, &past, &p, &final, text) < 0)
            log_info("%s's session on %s is not taken up: %s", t.user, t.machine, text);
    }
    crypto_wipe(key, sizeof key);
    return p;
}

void *joins_found(void *arg, struct pair *pair, const struct pair_facts *f)
{
    struct join *p = take_up(arg, f);

    if (p == NULL)
        return NULL;
    p->pair = pair;
    p->machine_seen = true;
    p->paired_at = clock_now_ms();
    p->epoch_seen = true;
    p->epoch = f->epoch_a;
    p->epochs[JOIN_A] = f->epoch_a;
    p->epochs[JOIN_B] = f->epoch_b;
    p->to_machine = f->to_machine;
    p->from_machine = f->from_machine;
    log_info("%s's session on %s goes on from before the hub's start", p->ticket.user, p->ticket.machine);
    return p;
}

void joins_come_back(struct joins *js, const struct comer *c)
{
    bool user = c->p->edge == 'a', final = false;
    struct past past = {.ticket = c->ticket,
                        .text = c->p->ticket,
                        .key = c->key,
                        .source = user ? c->source : NULL,
                        .port = user ? c->port : 0,
                        .started_s = c->ticket->expiry_s - JUMPS_TICKET_LIFE_S,
                        .epoch_b = user ? NULL : &c->p->epoch,
                        .parked = true};
    char text[REFUSALS_TEXT_MAX];
    struct join *p = NULL;

    if (rebuild(js, &past, &p, &final, text) < 0) {
        comer_refuse(c, js->farewells, final, text);
        return;
    }
    log_info("%s's session on %s goes on from before the hub's start: its %s side has come back",
             p->ticket.user, p->ticket.machine, user ? "user's" : "machine's");
    if (user) {
        p->epoch_seen = true;
        p->epoch = c->p->epoch;
    }
    joins_leg(p, user ? JOIN_A : JOIN_B, c->fd, c->p->epoch);
}
