/* Owns the front processes: how many may begin, and that each ends. Must not wait for one. */
#include "base/addr.h"
#include "base/clock.h"
#include "hub/fronts_private.h"
#include "hub/hub_keys.h"
#include "hub/joins.h"
#include "hub/jumps.h"
#include "hub/program.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 1000
#define END_MS 5000          /* how long a front may take to end by itself, and then after SIGTERM */
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
    if (rc < 0) {
        free(f);
        return rc;
    }
    (void)uv_timer_init(hub->loop, &f->timer);
    f->timer.data = f;
    (void)uv_timer_start(&f->timer, tick_cb, TICK_MS, TICK_MS);
    *ret_f = f;
    return 0;
}

size_t fronts_count(const struct fronts *f)
{
    return f->n;
}

size_t fronts_ending(const struct fronts *f)
{
    size_t n = 0;

    for (const struct front *p = f->list; p != NULL; p = p->next)
        n += p->told_end && !p->gone ? 1 : 0;
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
    if (f->hub->stopping)
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
    who_release(&f->who);
    free(f);
}

static void process_closed_cb(uv_handle_t *h)
{
    free(h);
}

static void let_go_of_process(struct front *f)
{
    if (f->process == NULL)
        return;
    f->process->data = NULL;
    uv_close((uv_handle_t *)f->process, process_closed_cb);
    f->process = NULL;
}

void fronts_gone(struct front *f, const char *why)
{
    struct hub *hub = f->owner->hub;

    if (f->gone)
        return;
    f->gone = true;
    f->end_by = clock_now_ms() + END_MS;
    execs_release(&f->execs);
    seqpacket_free(f->channel);
    jumps_caller_gone(hub->jumps, &f->caller, "the user's connection ended");
    publications_gone(f, why);
    door_slot_release(hub->door, &f->slot);
    if (f->known)
        log_info("%s from %s left: %s", f->who.name, f->source, why);
    else
        log_limited(&f->owner->limit, LOG_LEVEL_INFO, "connection from %s ended before a login: %s",
                    f->source, why);
}

static void exited_cb(uv_process_t *h, int64_t status, int signal)
{
    struct front *f = h->data;

    if (f == NULL) {
        uv_close((uv_handle_t *)h, process_closed_cb);
        return;
    }
    if (signal != 0 && !f->terminated)
        log_warn("the front of %s was ended by signal %d", f->source, signal);
    else if (status != 0)
        log_debug("the front of %s ended with status %d", f->source, (int)status);
    /* What it said last may still be unread: the end of its channel comes by itself. */
    let_go_of_process(f);
}

void fronts_free(struct fronts *f)
{
    if (f == NULL)
        return;
    for (struct front *p = f->list, *next = NULL; p != NULL; p = next) {
        next = p->next;
        /* One with jumps lives on with them, the others end by themselves; nobody here reaps them any more.
         */
        jumps_caller_gone(f->hub->jumps, &p->caller, "the hub ended; the session goes on without it");
        fronts_gone(p, "the hub ended");
        let_go_of_process(p);
        front_free(p);
    }
    f->list = NULL;
    tally_free(f->rates);
    uv_close((uv_handle_t *)&f->timer, timer_closed_cb);
}

static void tick_one(struct front *f, uint64_t now)
{
    const struct hub_options *opt = &f->owner->hub->opt;

    if (!f->known && !f->gone && now >= f->started + opt->login_grace_ms + GRACE_SLACK_MS)
        fronts_gone(f, "its front did not keep the login grace");
    if (f->end_by == 0 || now < f->end_by || f->process == NULL)
        return;
    (void)uv_process_kill(f->process, f->terminated ? SIGKILL : SIGTERM);
    f->terminated = true;
    f->end_by = now + END_MS;
}

/* Frees those of which nothing is left: only here, so that nobody holds one that is freed. */
static void reap(struct fronts *f)
{
    struct front **at = &f->list;

    while (*at != NULL) {
        struct front *p = *at;

        if (p->gone && p->process == NULL) {
            *at = p->next;
            f->n--;
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

    for (struct front *p = f->list; p != NULL; p = p->next)
        tick_one(p, now);
    reap(f);
    tally_sweep(f->rates, now);
    if (now / 1000 >= f->looked_s + LOOK_AGAIN_S) {
        f->looked_s = now / 1000;
        fronts_policy_changed(f);
    }
}

static void ask_to_end(struct front *f, const char *text)
{
    if (f->gone)
        return;
    front_end(f, text);
    f->end_by = clock_now_ms() + END_MS;
}

void fronts_end_all(struct fronts *f, const char *text)
{
    for (struct front *p = f->list; p != NULL; p = p->next)
        ask_to_end(p, text);
}

void fronts_end_idle(struct fronts *f, const char *text)
{
    for (struct front *p = f->list; p != NULL; p = p->next) {
        if (jumps_of_caller(f->hub->jumps, &p->caller) == 0)
            ask_to_end(p, text);
    }
}

/* --- the beginning of one --- */

int fronts_adopt(struct fronts *o, int fd, const char *source, uint16_t port, struct door_slot *slot,
                 struct front **ret_f)
{
    struct front *f = calloc(1, sizeof *f);
    int rc = -ENOMEM;

    if (f == NULL)
        goto out;
    f->caller.ops = &front_caller;
    f->owner = o;
    f->port = port;
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
    door_slot_move(slot, &f->slot);
    front_start(f);
    *ret_f = f;
    return 0;
out:
    close(fd);
    free(f);
    return rc;
}

/* Starts the program with the user's socket; its end of the channel is other. */
static int start(struct fronts *o, int fd, int other, uv_process_t **ret_process)
{
    char *args[] = {"multissh-front",
                    "--host-key",
                    (char *)hub_keys_host_key_path(o->hub->keys),
                    "--connection-fd",
                    "3",
                    "--hub-fd",
                    "4",
                    NULL};
    const int fds[] = {fd, other};
    uv_process_t *process = calloc(1, sizeof *process);
    int rc = 0;

    if (process == NULL)
        return -ENOMEM;
    rc = program_start(o->hub->loop, process, args, fds, 2, exited_cb);
    if (rc < 0) {
        uv_close((uv_handle_t *)process, process_closed_cb);
        return rc;
    }
    *ret_process = process;
    return 0;
}

void fronts_accept(struct fronts *o, int fd, const char *source, uint16_t port, struct door_slot *slot)
{
    int pair[2] = {-1, -1};
    const char *why = o->n >= o->hub->opt.fronts_max ? "too many users are connected (fronts-max)"
                                                     : fronts_may_start(o, source);
    uv_process_t *process = NULL;
    struct front *f = NULL;
    int rc = 0;

    if (why != NULL) {
        log_limited(&o->limit, LOG_LEVEL_WARN, "user connection from %s closed: %s", source, why);
        goto out;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        log_limited(&o->limit, LOG_LEVEL_ERROR, "user connection from %s closed: %s", source,
                    strerror(errno));
        goto out;
    }
    rc = start(o, fd, pair[1], &process);
    if (rc < 0) {
        log_limited(&o->limit, LOG_LEVEL_ERROR,
                    "cannot start multissh-front: %s; is it installed beside multissh-hub?", uv_strerror(rc));
        goto out;
    }
    rc = fronts_adopt(o, pair[0], source, port, slot, &f);
    pair[0] = -1;
    process->data = f;
    if (rc < 0) {
        log_limited(&o->limit, LOG_LEVEL_ERROR, "user connection from %s closed: %s", source,
                    uv_strerror(rc));
        uv_unref((uv_handle_t *)process); /* it sees the end of its channel, and is reaped */
        goto out;
    }
    f->process = process;
out:
    door_slot_release(o->hub->door, slot);
    close(fd);
    if (pair[0] >= 0)
        close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
}

/* --- rights that change --- */

static void look_again(struct front *f)
{
    struct hub *hub = f->owner->hub;
    const struct policy_user *u = NULL;
    const char *why = NULL;
    struct who w;

    if (!f->known || f->gone || f->who.key == NULL)
        return;
    u = policy_find(hub->policy, f->who.key, f->source, clock_wall_s(), &why);
    if (u == NULL || strcmp(u->name, f->who.name) != 0) {
        log_info("%s from %s is logged out: %s", f->who.name, f->source,
                 why != NULL ? why : "the key is another user's now");
        ask_to_end(f, "your key is no longer accepted by this hub");
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
