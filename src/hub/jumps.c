/* Owns the jumps from the request to the end. Must not decide from anything but memory whether a user may
 * reach a machine, so that the time of an answer tells nothing. */
#include "base/clock.h"
#include "base/log.h"
#include "hub/describe.h"
#include "hub/farewells.h"
#include "hub/hub_keys.h"
#include "hub/jumps_private.h"
#include "hub/refusals.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int jumps_new(struct hub *hub, struct jumps **ret_j)
{
    struct jumps *j = calloc(1, sizeof *j);
    int rc = 0;

    if (j == NULL)
        return -ENOMEM;
    j->hub = hub;
    j->limit = (struct log_limit){.burst = 30, .interval_ms = 2000};
    hashmap_init(&j->by_id);
    hashmap_init(&j->by_stream);
    hashmap_init(&j->by_channel);
    j->began = clock_now_ms();
    rc = tally_new(&j->tally);
    if (rc == 0)
        rc = farewells_new(hub->loop, 256, &j->farewells);
    if (rc < 0) {
        tally_free(j->tally);
        free(j);
        return rc;
    }
    (void)uv_timer_init(hub->loop, &j->timer);
    j->timer.data = j;
    *ret_j = j;
    return 0;
}

static void closed_cb(uv_handle_t *h)
{
    free(h->data);
}

/* --- the life of one --- */

void jumps_audit(struct jumps *j, const char *kind, const struct jump *p, const char *text)
{
    struct store_event e = {.at_s = clock_wall_s(),
                            .kind = kind,
                            .user = p->user,
                            .machine = p->machine,
                            .source = p->source,
                            .text = text};

    (void)store_event_add(j->hub->store, &e);
}

static void jump_free(struct jumps *j, struct jump *p)
{
    jumps_table_remove(j, p);
    crypto_wipe(p->key, sizeof p->key);
    jumps_close_waiting(p);
    free(p);
    jumps_watch(j);
}

void jumps_close_waiting(struct jump *p)
{
    while (p->n_waiting > 0)
        close(p->waiting[--p->n_waiting].fd);
}

void jumps_free(struct jumps *j)
{
    if (j == NULL)
        return;
    while (j->dialling != NULL)
        jump_free(j, j->dialling);
    while (j->open != NULL)
        jump_free(j, j->open);
    hashmap_release(&j->by_id);
    hashmap_release(&j->by_stream);
    hashmap_release(&j->by_channel);
    tally_free(j->tally);
    farewells_free(j->farewells);
    uv_close((uv_handle_t *)&j->timer, closed_cb);
}

/* A jump that is given up while dialling: the link need not go on. */
static void jump_drop(struct jumps *j, struct jump *p, const char *why)
{
    if (p->link != NULL)
        p->link->ops->hangup(p->link, p->stream, why);
    jump_free(j, p);
}

void jumps_refuse(struct jumps *j, struct jump *p, const char *text)
{
    log_limited(&j->limit, LOG_LEVEL_INFO, "%s's jump to %s refused: %s", p->user, p->machine, text);
    jumps_audit(j, "refuse", p, text);
    p->caller->ops->refused(p->caller, p->channel, text);
    jump_drop(j, p, text);
}

void jumps_end(struct jumps *j, struct jump *p, const char *reason, uint64_t sent, uint64_t received)
{
    char clean[160], text[320];

    describe_clean(reason, clean, sizeof clean);
    (void)snprintf(text, sizeof text, "%s; %llu bytes to the machine, %llu from it, %lld s", clean,
                   (unsigned long long)sent, (unsigned long long)received,
                   (long long)((clock_now_ms() - p->started) / 1000));
    log_info("%s's session on %s ended: %s", p->user, p->machine, text);
    jumps_audit(j, "end", p, text);
    jump_free(j, p);
}

uint64_t jumps_dial_id(const struct link *l, uint64_t id)
{
    uint64_t tag = (hashmap_hash_ptr(l) ^ id) * UINT64_C(0x9e3779b97f4a7c15);

    /* 20 bits of tag over 32 of number: whole in a JSON number. */
    return ((tag >> 44) << 32) | (id & UINT32_MAX);
}

int jumps_dial(struct jumps *j, struct jump *p, struct link *l)
{
    struct link_dial d = {.id = jumps_dial_id(l, p->id),
                          .source_port = p->source_port,
                          .window = p->window,
                          .patience_ms = p->patience_ms};
    int rc = 0;

    (void)j;
    memcpy(d.stream, p->stream, sizeof d.stream);
    memcpy(d.ticket, p->ticket, sizeof d.ticket);
    memcpy(d.key, p->key, sizeof d.key);
    (void)snprintf(d.user, sizeof d.user, "%s", p->user);
    (void)snprintf(d.source, sizeof d.source, "%s", p->source);
    rc = l->ops->dial(l, &d);
    p->link = rc == 0 ? l : NULL;
    crypto_wipe(&d, sizeof d);
    return rc;
}

/* Its ticket, which is the same however often a link is asked: both edges have one key. */
static int make_ticket(struct jumps *j, struct jump *p)
{
    struct ticket t = {.expiry_s = clock_wall_s() + JUMPS_TICKET_LIFE_S};
    int rc = ticket_id_new(false, t.id);

    if (rc < 0)
        return rc;
    memcpy(p->stream, t.id, sizeof p->stream);
    (void)snprintf(t.machine, sizeof t.machine, "%s", p->machine);
    (void)snprintf(t.user, sizeof t.user, "%s", p->user);
    return ticket_make(hub_keys_secret(j->hub->keys), &t, p->ticket, p->key);
}

int jumps_make(struct jumps *j, struct caller *c, uint64_t channel, const char *machine, struct jump **ret_p)
{
    const struct who *w = c->ops->who(c);
    struct jump *p = calloc(1, sizeof *p);

    if (p == NULL)
        return -ENOMEM;
    p->caller = c;
    p->channel = channel;
    p->id = ++j->last_id & UINT32_MAX;
    p->started_s = clock_wall_s();
    p->started = clock_now_ms();
    p->deadline = p->started + j->hub->opt.dial_timeout_ms;
    p->source_port = c->ops->port(c);
    p->window = (uint32_t)j->hub->opt.window;
    p->patience_ms = (uint32_t)j->hub->opt.patience_ms;
    (void)snprintf(p->machine, sizeof p->machine, "%s", machine);
    (void)snprintf(p->user, sizeof p->user, "%s", w->name);
    (void)snprintf(p->source, sizeof p->source, "%s", w->source);
    *ret_p = p;
    return 0;
}

/* given: the ticket that the caller has already; NULL: one is made. */
static int jump_new(struct jumps *j, struct caller *c, uint64_t channel, const char *machine,
                    const struct jumps_ticket *given, struct jump **ret_p)
{
    struct jump *p = NULL;
    int rc = jumps_make(j, c, channel, machine, &p);

    if (rc < 0)
        return rc;
    if (given != NULL) {
        memcpy(p->stream, given->ticket->id, sizeof p->stream);
        (void)snprintf(p->ticket, sizeof p->ticket, "%s", given->text);
        memcpy(p->key, given->key, sizeof p->key);
        rc = jumps_table_stream(j, p->stream) != NULL ? -EEXIST : 0;
    } else {
        rc = make_ticket(j, p);
    }
    if (rc == 0)
        rc = jumps_table_add(j, p);
    if (rc < 0) {
        crypto_wipe(p->key, sizeof p->key);
        free(p);
        return rc;
    }
    jumps_watch(j);
    *ret_p = p;
    return 0;
}

/* --- opening --- */

static bool within_limits(struct jumps *j, const struct who *w, const struct machine *m, char *text)
{
    const struct hub_options *opt = &j->hub->opt;
    unsigned mine = jumps_table_of_user(j, w->name), its = jumps_table_of_machine(j, m->name);

    if (mine >= opt->sessions_per_user) {
        (void)snprintf(text, REFUSALS_TEXT_MAX,
                       "you have %u sessions open, the most that this hub allows (sessions-per-user); end "
                       "one of them first",
                       mine);
        return false;
    }
    if (its >= opt->sessions_per_machine) {
        (void)snprintf(
            text, REFUSALS_TEXT_MAX,
            "%s has %u sessions open, the most that this hub allows (sessions-per-machine); try again later",
            m->name, its);
        return false;
    }
    return true;
}

/* Decides from memory alone. Returns the machine when the jump may be tried, else NULL with the text. */
static struct machine *may_open(struct jumps *j, const struct who *w, const char *host, uint16_t port,
                                char *text)
{
    const struct hub *hub = j->hub;
    char name[NAMES_MACHINE_MAX + 1];
    struct machine *m = NULL;

    if (hub->stopping) {
        (void)snprintf(text, REFUSALS_TEXT_MAX, "the hub is shutting down; try again in a moment");
        return NULL;
    }
    if (port != 22) {
        refusals_port(hub, host, port, text);
        return NULL;
    }
    if (describe_machine_name(host, hub->domain, name) == 0)
        m = registry_find(hub->registry, name);
    if (m == NULL || !who_may_reach(w, m->name)) {
        refusals_unknown(hub, host, text);
        return NULL;
    }
    if (m->link == NULL && !jumps_may_wait(j, m)) {
        describe_machine(m, clock_wall_s(), text, REFUSALS_TEXT_MAX);
        return NULL;
    }
    return within_limits(j, w, m, text) ? m : NULL;
}

bool jumps_may(struct jumps *j, const struct who *w, const char *host,
               char ret_machine[NAMES_MACHINE_MAX + 1], char *text)
{
    const struct machine *m = may_open(j, w, host, 22, text);

    if (m != NULL)
        (void)snprintf(ret_machine, NAMES_MACHINE_MAX + 1, "%s", m->name);
    return m != NULL;
}

static void refuse_unborn(struct jumps *j, struct caller *c, uint64_t channel, const char *host,
                          const char *text)
{
    const struct who *w = c->ops->who(c);
    struct store_event e = {
        .at_s = clock_wall_s(), .kind = "refuse", .user = w->name, .source = w->source, .text = text};
    char shown[80];

    describe_clean(host, shown, sizeof shown);
    e.machine = shown;
    log_limited(&j->limit, LOG_LEVEL_INFO, "%s's jump to %s refused: %s", w->name, shown, text);
    (void)store_event_add(j->hub->store, &e);
    c->ops->refused(c, channel, text);
}

int jumps_open_ticket(struct jumps *j, struct caller *c, uint64_t channel, const char *host, uint16_t port,
                      const struct jumps_ticket *given)
{
    char text[REFUSALS_TEXT_MAX];
    struct machine *m = NULL;
    struct jump *p = NULL;
    int rc = 0;

    if (jumps_table_channel(j, c, channel) != NULL)
        return -EEXIST;
    m = may_open(j, c->ops->who(c), host, port, text);
    if (m != NULL)
        rc = jump_new(j, c, channel, m->name, given, &p);
    if (rc < 0) {
        (void)snprintf(text, sizeof text, "%s",
                       rc == -EEXIST ? "this ticket was used already"
                                     : "the hub is out of memory; try again later");
        m = NULL;
    }
    if (m == NULL) {
        refuse_unborn(j, c, channel, host, text);
    } else if (m->link == NULL) {
        jumps_wait(j, p);
    } else if (jumps_dial(j, p, m->link) < 0) {
        (void)snprintf(text, sizeof text,
                       "%s is online, but the hub could not ask its %s for a connection; try again", m->name,
                       m->link->ops->kind);
        jumps_refuse(j, p, text);
    }
    return 0;
}

int jumps_open(struct jumps *j, struct caller *c, uint64_t channel, const char *host, uint16_t port)
{
    return jumps_open_ticket(j, c, channel, host, port, NULL);
}

void jumps_join(struct jumps *j, struct jump *p, uint32_t epoch, int fd)
{
    struct caller_stream s = {
        .ticket = p->ticket, .window = p->window, .patience_ms = p->patience_ms, .epoch = epoch};
    char text[64];
    int rc = 0;

    memcpy(s.stream, p->stream, sizeof s.stream);
    memcpy(s.key, p->key, sizeof s.key);
    rc = p->caller->ops->opened(p->caller, p->channel, &s, fd);
    crypto_wipe(&s, sizeof s);
    crypto_wipe(p->key, sizeof p->key); /* both edges have it now */
    jumps_table_opened(j, p);
    jumps_watch(j);
    if (rc < 0) {
        jumps_end(j, p, "the user has gone", 0, 0);
        return;
    }
    for (unsigned i = 0; i < p->n_waiting; i++)
        (void)p->caller->ops->connection(p->caller, p->channel, p->stream, p->waiting[i].epoch,
                                         p->waiting[i].fd);
    p->n_waiting = 0;
    (void)snprintf(text, sizeof text, "opened in %llu ms", (unsigned long long)(clock_now_ms() - p->started));
    log_info("%s's session on %s %s", p->user, p->machine, text);
    jumps_audit(j, "jump", p, text);
}

/* --- ends --- */

void jumps_closed(struct jumps *j, struct caller *c, uint64_t channel, const char *reason, uint64_t sent,
                  uint64_t received)
{
    struct jump *p = jumps_table_channel(j, c, channel);

    if (p == NULL)
        return;
    if (p->open) {
        jumps_end(j, p, reason, sent, received);
    } else {
        jumps_audit(j, "refuse", p, "the user gave up");
        jump_drop(j, p, "the user gave up");
    }
}

void jumps_caller_gone(struct jumps *j, struct caller *c, const char *why)
{
    for (struct jump *p = j->open, *next = NULL; p != NULL && jumps_of_caller(j, c) > 0; p = next) {
        next = p->next;
        if (p->caller == c)
            jumps_end(j, p, why, 0, 0);
    }
    for (struct jump *p = j->dialling, *next = NULL; p != NULL && jumps_of_caller(j, c) > 0; p = next) {
        next = p->next;
        if (p->caller != c)
            continue;
        jumps_audit(j, "refuse", p, why);
        jump_drop(j, p, why);
    }
}

int jumps_kill_note(struct jumps *j, const uint8_t stream[TICKET_ID_SIZE], uint32_t patience_ms)
{
    /* As long as either side may still come with it: a machine in its patience, a front without a hub. */
    uint64_t ms = patience_ms > j->hub->opt.orphan_ms ? patience_ms : j->hub->opt.orphan_ms;

    return store_kill_add(j->hub->store, stream, clock_wall_s() + (int64_t)(ms / 1000) + 86400);
}

int jumps_kill_one(struct jumps *j, struct jump *p, const char *why)
{
    struct machine *m = registry_find(j->hub->registry, p->machine);
    int rc = jumps_kill_note(j, p->stream, p->patience_ms);

    if (!p->open) {
        jumps_refuse(j, p, why);
        return rc;
    }
    if (m != NULL && m->link != NULL)
        m->link->ops->hangup(m->link, p->stream, why);
    p->caller->ops->kill(p->caller, p->channel, why);
    jumps_end(j, p, why, 0, 0);
    return rc;
}

int jumps_kill(struct jumps *j, uint64_t id, const char *why)
{
    struct jump *p = jumps_table_id(j, id);

    if (p == NULL)
        return -ENOENT;
    return jumps_kill_one(j, p, why);
}

unsigned jumps_kill_unless(struct jumps *j,
                           bool (*allowed)(const struct who *w, const char *machine, void *arg), void *arg,
                           const char *why)
{
    unsigned n = 0;

    for (int i = 0; i < 2; i++) {
        for (struct jump *p = i == 0 ? j->dialling : j->open, *next = NULL; p != NULL; p = next) {
            const struct who *w = p->caller->ops->who(p->caller);

            next = p->next;
            if (w != NULL && allowed(w, p->machine, arg))
                continue;
            (void)jumps_kill_one(j, p, why);
            n++;
        }
    }
    return n;
}

void jumps_stop(struct jumps *j)
{
    while (j->dialling != NULL)
        jump_drop(j, j->dialling, "the hub is shutting down");
}
