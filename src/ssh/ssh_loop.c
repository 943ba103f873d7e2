/* The poll loop: watches and timers in two short lists. Knows no SSH. */
#include "ssh/ssh_loop.h"

#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define HOOKS_MAX 4

struct ssh_loop_watch {
    struct ssh_loop_watch *next;
    ssh_loop_ready_fn fn; /* NULL: removed, to be freed at the end of the turn */
    void *arg;
    int fd;
    short events;
};

struct ssh_loop_timer {
    struct ssh_loop_timer *next;
    ssh_loop_fn fn; /* NULL: removed */
    void *arg;
    uint64_t at;
};

struct ssh_loop {
    struct ssh_loop_watch *watches;
    struct ssh_loop_timer *timers;
    struct {
        ssh_loop_fn fn;
        void *arg;
    } hooks[HOOKS_MAX];
    size_t hook_count;
    struct pollfd *fds;
    struct ssh_loop_watch **polled; /* which watch stands behind fds[i] */
    size_t watch_count, cap;
    uint64_t now;
    bool again, stop;
};

int ssh_loop_new(struct ssh_loop **ret_loop)
{
    struct ssh_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return -ENOMEM;
    }
    loop->now = clock_now_ms();
    *ret_loop = loop;
    return 0;
}

static void sweep(struct ssh_loop *loop, bool all)
{
    struct ssh_loop_watch **w = &loop->watches;
    struct ssh_loop_timer **t = &loop->timers;
    while (*w != NULL) {
        struct ssh_loop_watch *watch = *w;
        if (all || watch->fn == NULL) {
            *w = watch->next;
            free(watch);
            loop->watch_count--;
        } else {
            w = &watch->next;
        }
    }
    while (*t != NULL) {
        struct ssh_loop_timer *timer = *t;
        if (all || timer->fn == NULL) {
            *t = timer->next;
            free(timer);
        } else {
            t = &timer->next;
        }
    }
}

void ssh_loop_free(struct ssh_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    sweep(loop, true);
    free(loop->fds);
    free(loop->polled);
    free(loop);
}

int ssh_loop_watch(struct ssh_loop *loop, int fd, short events, ssh_loop_ready_fn fn, void *arg,
                   struct ssh_loop_watch **ret_watch)
{
    struct ssh_loop_watch *watch;
    if (loop->watch_count == loop->cap) {
        size_t cap = loop->cap == 0 ? 8 : loop->cap * 2;
        struct pollfd *fds = realloc(loop->fds, cap * sizeof *fds);
        if (fds == NULL) {
            return -ENOMEM;
        }
        loop->fds = fds;
        struct ssh_loop_watch **polled = realloc(loop->polled, cap * sizeof(struct ssh_loop_watch *));
        if (polled == NULL) {
            return -ENOMEM;
        }
        loop->polled = polled;
        loop->cap = cap;
    }
    watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        return -ENOMEM;
    }
    watch->fn = fn;
    watch->arg = arg;
    watch->fd = fd;
    watch->events = events;
    watch->next = loop->watches;
    loop->watches = watch;
    loop->watch_count++;
    *ret_watch = watch;
    return 0;
}

void ssh_loop_interest(struct ssh_loop_watch *watch, short events)
{
    watch->events = events;
}

void ssh_loop_unwatch(struct ssh_loop_watch *watch)
{
    if (watch != NULL) {
        watch->fn = NULL;
    }
}

int ssh_loop_timer(struct ssh_loop *loop, ssh_loop_fn fn, void *arg, struct ssh_loop_timer **ret_timer)
{
    struct ssh_loop_timer *timer = calloc(1, sizeof *timer);
    if (timer == NULL) {
        return -ENOMEM;
    }
    timer->fn = fn;
    timer->arg = arg;
    timer->at = SSH_LOOP_NEVER;
    timer->next = loop->timers;
    loop->timers = timer;
    *ret_timer = timer;
    return 0;
}

void ssh_loop_set(struct ssh_loop_timer *timer, uint64_t at)
{
    timer->at = at;
}

void ssh_loop_untimer(struct ssh_loop_timer *timer)
{
    if (timer != NULL) {
        timer->fn = NULL;
    }
}

int ssh_loop_hook(struct ssh_loop *loop, ssh_loop_fn fn, void *arg)
{
    if (loop->hook_count == HOOKS_MAX) {
        return -ENOSPC;
    }
    loop->hooks[loop->hook_count].fn = fn;
    loop->hooks[loop->hook_count].arg = arg;
    loop->hook_count++;
    return 0;
}

void ssh_loop_unhook(struct ssh_loop *loop, void *arg)
{
    for (size_t i = 0; i < loop->hook_count; i++) {
        if (loop->hooks[i].arg == arg) {
            loop->hooks[i].fn = NULL;
        }
    }
}

void ssh_loop_again(struct ssh_loop *loop)
{
    loop->again = true;
}

uint64_t ssh_loop_now(const struct ssh_loop *loop)
{
    return loop->now;
}

void ssh_loop_stop(struct ssh_loop *loop)
{
    loop->stop = true;
}

/* How long poll may wait: not past the next timer, not at all when there is work left. */
static int patience(struct ssh_loop *loop)
{
    uint64_t first = SSH_LOOP_NEVER;
    uint64_t now;
    if (loop->again) {
        return 0;
    }
    for (const struct ssh_loop_timer *t = loop->timers; t != NULL; t = t->next) {
        if (t->fn != NULL && t->at < first) {
            first = t->at;
        }
    }
    if (first == SSH_LOOP_NEVER) {
        return -1;
    }
    now = clock_now_ms();
    if (first <= now) {
        return 0;
    }
    return first - now > INT_MAX ? INT_MAX : (int)(first - now);
}

static void fire_timers(struct ssh_loop *loop)
{
    /* New timers are put in front, so that one set by a callback waits for the next turn. */
    for (struct ssh_loop_timer *t = loop->timers; t != NULL; t = t->next) {
        if (t->fn != NULL && t->at <= loop->now) {
            t->at = SSH_LOOP_NEVER;
            t->fn(t->arg);
        }
    }
}

static int turn(struct ssh_loop *loop)
{
    size_t n = 0;
    int ready;
    for (struct ssh_loop_watch *w = loop->watches; w != NULL; w = w->next) {
        loop->fds[n].fd = w->events == SSH_LOOP_DEAF ? -1 : w->fd;
        loop->fds[n].events = w->events;
        loop->fds[n].revents = 0;
        loop->polled[n++] = w;
    }
    ready = io_poll(loop->fds, n, patience(loop));
    if (ready < 0) {
        return ready;
    }
    loop->again = false;
    loop->now = clock_now_ms();
    for (size_t i = 0; i < n && ready > 0; i++) {
        short got = loop->fds[i].revents;
        if (got == 0) {
            continue;
        }
        ready--;
        if (loop->polled[i]->fn != NULL) {
            loop->polled[i]->fn(loop->polled[i]->arg, got);
        }
    }
    fire_timers(loop);
    for (size_t i = 0; i < loop->hook_count; i++) {
        if (loop->hooks[i].fn != NULL) {
            loop->hooks[i].fn(loop->hooks[i].arg);
        }
    }
    sweep(loop, false);
    return 0;
}

int ssh_loop_run(struct ssh_loop *loop)
{
    int rc = 0;
    loop->stop = false;
    while (!loop->stop && rc == 0) {
        rc = turn(loop);
    }
    return rc;
}
