/* Owns the loop over the two ways and the hub's desk. A pair is used once: what ends one direction ends it all, as soon as
 * what is on its way has arrived, for the edges come again with new connections. */
#include "pair.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/sandbox.h"
#include "desk.h"
#include "way.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINGER_MS 10000 /* without progress, once one of the two has ended */
#define COUNT_MAX (INT64_C(1) << 53)

struct pair {
    struct desk desk;
    struct way up, down;       /* to the machine (a to b), from it */
    struct desk_counts before; /* of the pairs before this one */
    uint64_t deadline;         /* 0: nothing has ended */
    char reason[160];
};

static struct desk_counts counts(const struct pair *p)
{
    return (struct desk_counts){p->before.to_machine + p->up.total, p->before.from_machine + p->down.total};
}

/* One of the sockets, seen from the direction that reads it and the one that writes to it. */
static void look_at_socket(struct way *reads, struct way *writes)
{
    if (reads->ended && reads->from_code != 0)
        way_deafen(writes); /* it failed: nothing reaches its peer any more */
    if (writes->to_code != 0 && !reads->ended) {
        reads->ended = true; /* and nothing that counts comes from it */
        reads->from_code = writes->to_code;
    }
}

static void say_end(struct pair *p, const struct way *w, const char *whose)
{
    if (p->reason[0] != '\0' || !w->ended)
        return;
    if (w->from_code != 0)
        (void)snprintf(p->reason, sizeof p->reason, "the %s connection was lost: %s", whose,
                       strerror(-w->from_code));
    else
        (void)snprintf(p->reason, sizeof p->reason, "the %s connection was closed", whose);
    desk_ending(&p->desk, p->reason);
}

static void move(struct pair *p)
{
    bool any = way_move(&p->up);

    any = way_move(&p->down) || any;
    look_at_socket(&p->up, &p->down);
    look_at_socket(&p->down, &p->up);
    say_end(p, &p->up, "user's");
    say_end(p, &p->down, "machine's");
    /* What is deaf now still has its end to tell. */
    (void)way_move(&p->up);
    (void)way_move(&p->down);
    if (p->reason[0] != '\0' && (p->deadline == 0 || any))
        p->deadline = clock_now_ms() + LINGER_MS;
}

static bool over(const struct pair *p)
{
    return (way_over(&p->up) && way_over(&p->down)) || (p->deadline != 0 && clock_now_ms() >= p->deadline);
}

static int wait_ms(const struct pair *p)
{
    uint64_t now = clock_now_ms(), at = desk_due(&p->desk);

    if (p->deadline != 0 && p->deadline < at)
        at = p->deadline;
    if (at == UINT64_MAX)
        return -1;
    return at <= now ? 0 : at - now > 3600000 ? 3600000 : (int)(at - now);
}

static struct pollfd interest(const struct way *reads, const struct way *writes)
{
    struct pollfd f = {.fd = reads->from};

    f.events = (short)((way_wants_in(reads) ? POLLIN : 0) | (way_wants_out(writes) ? POLLOUT : 0));
    if (f.events == 0)
        f.fd = -1; /* else its hanging up would wake us for nothing */
    return f;
}

static int turn(struct pair *p, struct errmsg *err)
{
    struct pollfd fds[2 + DESK_FDS];
    struct desk_counts now = counts(p);

    fds[0] = interest(&p->up, &p->down);
    fds[1] = interest(&p->down, &p->up);
    desk_poll(&p->desk, fds + 2);
    if (poll(fds, 2 + DESK_FDS, wait_ms(p)) < 0)
        return errno == EINTR ? 0 : errmsg_set(err, -errno, "poll: %s", strerror(errno));
    desk_turn(&p->desk, fds + 2, &now);
    if (!p->desk.ordered)
        move(p);
    return 0;
}

static void run(struct pair *p)
{
    struct errmsg err = {""};
    struct desk_counts now;
    int rc = 0;

    while (rc == 0 && !over(p) && !p->desk.ordered && !desk_orphaned(&p->desk))
        rc = turn(p, &err);
    now = counts(p);
    if (p->desk.ordered)
        (void)snprintf(p->reason, sizeof p->reason, "the hub ended it");
    else if (rc < 0)
        (void)snprintf(p->reason, sizeof p->reason, "%s", err.text);
    else if (p->reason[0] == '\0')
        (void)snprintf(p->reason, sizeof p->reason, "there was no hub any more");
    desk_ended(&p->desk, p->reason,
               way_over(&p->up) && way_over(&p->down) && p->up.from_code == 0 && p->down.from_code == 0,
               &now);
}

int pair_run(int control, int listener, int a, int b, struct errmsg *err)
{
    struct pair p = {.reason = ""};
    int rc = desk_init(&p.desk, control, listener, err);

    p.up.in = p.up.out = p.down.in = p.down.out = -1;
    if (rc < 0)
        goto out;
    p.before.to_machine = (uint64_t)json_int_or(p.desk.facts, "to_machine", 0, COUNT_MAX, 0);
    p.before.from_machine = (uint64_t)json_int_or(p.desk.facts, "from_machine", 0, COUNT_MAX, 0);
    rc = way_init(&p.up, a, b);
    if (rc == 0)
        rc = way_init(&p.down, b, a);
    if (rc < 0) {
        errmsg_set(err, rc, "no pipe: %s", strerror(-rc));
        goto out;
    }
    rc = sandbox_enter_with(SANDBOX_SPLICE);
    if (rc < 0) {
        errmsg_set(err, rc, "the sandbox cannot be entered: %s; a kernel with seccomp is needed",
                   strerror(-rc));
        goto out;
    }
    run(&p);
out:
    way_release(&p.up);
    way_release(&p.down);
    desk_release(&p.desk);
    return rc;
}
