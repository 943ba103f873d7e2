/* Owns which fronts there are: how many may begin, what their users may, and that each ends. Must not wait for one. */
#include "hub/fronts.h"
#include "base/addr.h"
#include "base/clock.h"
#include "hub/fronts_private.h"
#include "hub/joins.h"
#include "hub/jumps.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 1000
#define FOLDER "fronts"
#define QUEUE_MAX (4u << 20) /* of messages that a front does not read */
#define LOOK_AGAIN_S 60      /* expiry-time takes effect within this */
#define GRACE_SLACK_MS 5000  /* the front's own login grace comes first */

static void tick_cb(uv_timer_t *h);

static void timer_closed_cb(uv_handle_t *h)
{
    free(h->data);
}

int fronts_new(struct hub *hub, struct fronts **ret_f)
{
    struct fronts *f = calloc(1, sizeof *f);
    int rc = 0;

    if (f == NULL)
        return -ENOMEM;
    f->hub = hub;
    f->limit = (struct log_limit){.burst = 20, .interval_ms = 5000};
    rc = tally_new(&f->rates);
    if (rc == 0)
        rc = berths_new(hub->state_dir, FOLDER, &f->berths);
    if (rc == 0)
        rc = fronts_process_new(f);
    if (rc < 0) {
        berths_free(f->berths);
        tally_free(f->rates);
        free(f);
        return rc;
    }
    (void)uv_timer_init(hub->loop, &f->timer);
    f->timer.data = f;
    (void)uv_timer_start(&f->timer, tick_cb, TICK_MS, TICK_MS);
    *ret_f = f;
    return 0;
}

void fronts_ready(struct fronts *f)
{
    fronts_process_ready(f);
}

size_t fronts_count(const struct fronts *f)
{
    return f->n;
}

size_t fronts_ending(const struct fronts *f)
{
    size_t n = 0;

    for (struct front *p = f->list; p != NULL; p = p->next)
        n += p->told_end && (!p->gone || fronts_process_runs(p)) ? 1 : 0;
    return n;
}

size_t fronts_of_user(const struct fronts *f, const char *name)
{
    size_t n = 0;

    for (const struct front *p = f->list; p != NULL; p = p->next)
        n += p->known && !p->gone && strcmp(p->who.name, name) == 0 ? 1 : 0;
    return n;
}

const char *fronts_may_start(struct fronts *f, const char *source)
{
    const struct hub_options *opt = &f->hub->opt;
    uint64_t now = clock_now_ms();
    char key[64];

    addr_source_key(source, key, sizeof key);
    if (f->left)
        return "the hub is shutting down";
    if (!tally_take(f->rates, key, opt->fronts_per_second_per_source, now))
        return "too many connections a second from this source (fronts-per-second-per-source)";
    if (!tally_take(f->rates, "*", opt->fronts_per_second, now))
        return "too many connections a second (fronts-per-second)";
    return NULL;
}

/* --- the end of one --- */

static void front_free(struct front *f)
{
    fronts_process_let_go(f);
    who_release(&f->who);
    free(f);
}

/* Closes the channel, and whatever goes by it. */
static void cut(struct front *f)
{
    f->gone = true;
    execs_release(&f->execs);
    seqpacket_free(f->channel);
    door_slot_release(f->owner->hub->door, &f->slot);
}

void fronts_gone(struct front *f, const char *why)
{
    if (f->gone)
        return;
    cut(f);
    f->end_by = clock_now_ms() + FRONTS_END_MS;
    jumps_caller_gone(f->owner->hub->jumps, &f->caller, "the user's connection ended");
    publications_gone(f, why);
    fronts_adopt_settled(f);
    if (f->known)
        log_info("%s from %s left: %s", f->who.name, f->source, why);
    else
        log_limited(&f->owner->limit, LOG_LEVEL_INFO, "connection from %s ended before a login: %s",
                    f->source, why);
}

void fronts_expel(struct front *f, const char *why)
{
    if (f->gone)
        return;
    /* A channel that only closes means to a front that the hub has ended. */
    front_end(f, "the hub has ended this connection; its log says why");
    fronts_gone(f, why);
}

void fronts_part(struct front *f)
{
    if (f->gone)
        return;
    cut(f);
    f->state = FRONT_UNFIT;
}

void fronts_ask_to_end(struct front *f, const char *text)
{
    if (f->gone)
        return;
    front_end(f, text);
    f->end_by = clock_now_ms() + (f->owner->hub->stopping ? FRONTS_END_STOPPING_MS : FRONTS_END_MS);
}

void fronts_leave(struct fronts *o)
{
    if (o->left)
        return;
    o->left = true;
    for (struct front *f = o->list; f != NULL; f = f->next) {
        if (f->gone || f->told_end)
            continue;
        publications_gone(f, REGISTRY_HUB_STOPPED);
        cut(f);
    }
}

void fronts_free(struct fronts *f)
{
    if (f == NULL)
        return;
    fronts_leave(f);
    fronts_adopt_free(f);
    for (struct front *p = f->list, *next = NULL; p != NULL; p = next) {
        next = p->next;
        if (!p->gone) {
            publications_gone(p, REGISTRY_HUB_STOPPED);
            cut(p);
        }
        front_free(p); /* nobody here reaps it any more */
    }
    f->list = NULL;
    fronts_process_free(f);
    berths_free(f->berths);
    tally_free(f->rates);
    uv_close((uv_handle_t *)&f->timer, timer_closed_cb);
}

static void tick_one(struct front *f, uint64_t now)
{
    const struct hub_options *opt = &f->owner->hub->opt;

    if (f->state == FRONT_RUNS && !f->known && !f->gone &&
        now >= f->started + opt->login_grace_ms + GRACE_SLACK_MS)
        fronts_expel(f, "its front did not keep the login grace");
    if (f->state < FRONT_RUNS && !f->gone && now >= f->started + opt->orphan_ms)
        fronts_expel(f, "its front never answered");
    fronts_process_tick(f, now);
}

/* Frees those of which nothing is left: only here, so that nobody holds one that is freed. */
static void reap(struct fronts *f)
{
    struct front **at = &f->list;

    while (*at != NULL) {
        struct front *p = *at;

        if (p->gone && !fronts_process_runs(p)) {
            *at = p->next;
            f->n--;
            if (p->state != FRONT_UNFIT) /* which may run, and is for another hub */
                berths_remove(f->berths, p->berth);
            front_free(p);
        } else {
            at = &p->next;
        }
    }
}

static void tick_cb(uv_timer_t *h)
{
    struct fronts *f = h->data;
    uint64_t now = clock_now_ms();

    if (!f->left) {
        fronts_process_look(f);
        fronts_tick(f);
    }
    tally_sweep(f->rates, now);
    if (!f->left && now / 1000 >= f->looked_s + LOOK_AGAIN_S) {
        f->looked_s = now / 1000;
        fronts_policy_changed(f);
    }
}

void fronts_tick(struct fronts *f)
{
    uint64_t now = clock_now_ms();

    for (struct front *p = f->list; p != NULL; p = p->next)
        tick_one(p, now);
    if (!f->left)
        reap(f);
}

void fronts_end_all(struct fronts *f, const char *text)
{
    for (struct front *p = f->list; p != NULL; p = p->next) {
        fronts_ask_to_end(p, text);
        p->told_end = true; /* also one that cannot be asked: see fronts_ending */
        if (p->end_by == 0)
            p->end_by = clock_now_ms();
    }
}

/* --- the beginning of one --- */

int fronts_add(struct fronts *o, int fd, const char *source, uint16_t port, struct front **ret_f)
{
    struct front *f = calloc(1, sizeof *f);
    int rc = -ENOMEM;

    if (f == NULL)
        goto out;
    f->caller.ops = &front_caller;
    f->owner = o;
    f->port = port;
    f->state = FRONT_RUNS;
    f->started = clock_now_ms();
    f->limit = (struct log_limit){.burst = 10, .interval_ms = 5000};
    (void)snprintf(f->source, sizeof f->source, "%s", source);
    rc = seqpacket_new(o->hub->loop, fd, QUEUE_MAX, &front_calls, f, &f->channel);
    if (rc < 0)
        goto out;
    execs_init(&f->execs, o->hub, f->channel);
    f->next = o->list;
    o->list = f;
    o->n++;
    *ret_f = f;
    return 0;
out:
    close(fd);
    free(f);
    return rc;
}

int fronts_speak(struct fronts *o, int fd, const char *source, uint16_t port, struct door_slot *slot,
                 struct front **ret_f)
{
    int rc = fronts_add(o, fd, source, port, ret_f);

    if (rc < 0)
        return rc;
    door_slot_move(slot, &(*ret_f)->slot);
    front_start(*ret_f);
    return 0;
}

/* The user's socket is fds[0]. Makes the others and the front, and has its process made. Returns 0, or a negative code after a
 * line in the log. */
static int start(struct fronts *o, int fds[3], const char *source, uint16_t port, struct door_slot *slot)
{
    char berth[BERTHS_NAME_MAX + 1] = "";
    int pair[2] = {-1, -1};
    struct front *f = NULL;
    int rc = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ? -errno : 0;

    if (rc == 0) {
        fds[1] = pair[1];
        rc = fronts_speak(o, pair[0], source, port, slot, &f);
    }
    if (rc < 0) {
        log_limited(&o->limit, LOG_LEVEL_ERROR, "user connection from %s closed: %s", source, strerror(-rc));
        return rc;
    }
    rc = berths_make(o->berths, berth, &fds[2]);
    if (rc < 0) { /* a full disk, say: whoever comes to make room is let in all the same */
        berth[0] = '\0';
        log_limited(&o->limit, LOG_LEVEL_ERROR,
                    "the connection from %s will end with this hub: no socket in %s/" FOLDER ": %s", source,
                    o->hub->state_dir, strerror(-rc));
    }
    (void)snprintf(f->berth, sizeof f->berth, "%s", berth);
    rc = fronts_process_start(f, fds);
    if (rc < 0) /* the end of its channel is seen in a later turn */
        log_limited(&o->limit, LOG_LEVEL_ERROR, "cannot start multissh-front: %s%s", uv_strerror(rc),
                    rc == -ENOENT || rc == -EACCES ? "; is it installed beside multissh-hub?" : "");
    return rc;
}

void fronts_accept(struct fronts *o, int fd, const char *source, uint16_t port, struct door_slot *slot)
{
    const char *why = o->n >= o->hub->opt.fronts_max ? "too many users are connected (fronts-max)"
                                                     : fronts_may_start(o, source);
    int fds[3] = {fd, -1, -1};

    if (why != NULL)
        log_limited(&o->limit, LOG_LEVEL_WARN, "user connection from %s closed: %s", source, why);
    else
        (void)start(o, fds, source, port, slot);
    door_slot_release(o->hub->door, slot);
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* --- rights that change --- */

const struct policy_user *fronts_rights(const struct front *f, const char *user, const char *key,
                                        const char **ret_why)
{
    const struct policy_user *u = policy_find(f->owner->hub->policy, key, f->source, clock_wall_s(), ret_why);

    if (u == NULL || strcmp(u->name, user) == 0)
        return u;
    *ret_why = "the key is another user's now";
    return NULL;
}

static void look_again(struct front *f)
{
    struct hub *hub = f->owner->hub;
    const struct policy_user *u = NULL;
    const char *why = NULL;
    struct who w;

    if (!f->known || f->gone || f->who.key == NULL)
        return;
    u = fronts_rights(f, f->who.name, f->who.key, &why);
    if (u == NULL) {
        log_info("%s from %s is logged out: %s", f->who.name, f->source, why);
        fronts_ask_to_end(f, "your key is no longer accepted by this hub");
        who_strip(&f->who); /* it may take its time to end */
        publications_check(f);
        return;
    }
    if (who_from_user(&w, u, f->source, hub->opt.admin_over_ssh) < 0)
        return;
    who_release(&f->who);
    f->who = w;
    publications_check(f);
}

static bool may_still(const struct who *w, const char *machine, void *arg)
{
    (void)arg;
    return who_may_reach(w, machine);
}

void fronts_policy_changed(struct fronts *f)
{
    for (struct front *p = f->list; p != NULL; p = p->next)
        look_again(p);
    joins_policy_changed(f->hub->joins);
    (void)jumps_kill_unless(f->hub->jumps, may_still, NULL, "you may no longer use this machine");
}
