/* The bulk path of a session or a forwarded connection.
 *
 * libssh opens a channel's window again with every read, however much it still holds; a child slower than its
 * user would make it hold ever more. So the data hook writes straight to the descriptor what that takes, and
 * once the rest is read from libssh, all of it is: what the descriptor has no room for goes to the spill, and
 * nothing is read while there is a spill. */
#include "sshd/pump.h"

#include "base/buf.h"
#include "base/io.h"
#include <errno.h>
#include <stdlib.h>

#define READ_SIZE (128u << 10)
#define TURN_BUDGET (512u << 10) /* bytes moved in one direction in one turn */
#define SPILL_MAX (4u << 20)     /* more than libssh holds at once */
#define AFTER_MAX (1u << 20)     /* more than a pipe or terminal holds: what a child left, and not others' */

struct flow { /* out or err */
    int fd;   /* -1: over */
    struct ssh_loop_watch *watch;
    bool error, ready; /* ready: a read may give something */
    struct buf rest;   /* read, and not taken by the channel yet */
    size_t after;      /* bytes read since the child ended, up to AFTER_MAX */
};

struct pump {
    struct ssh_loop *loop;
    struct ssh_chan *chan;
    enum pump_kind kind;
    int fd;                          /* the one of a terminal or socket */
    int in;                          /* -1: over */
    struct ssh_loop_watch *in_watch; /* NULL when in is flows[0]'s descriptor */
    bool writable;
    bool in_over; /* the end was passed on, or nobody reads: what comes is thrown away */
    bool ended, output_ends;
    struct flow flows[2];
    struct buf spill; /* read from the channel, and not in `in` yet */
};

static unsigned char scratch[READ_SIZE];

/* --- the channel's input --- */

/* Returns how much of it is done with; 0: no room now. */
static size_t deliver(struct pump *p, const unsigned char *data, size_t n)
{
    long wrote;
    if (p->in_over) {
        return n;
    }
    if (!p->writable) {
        return 0;
    }
    wrote = io_write(p->in, data, n);
    if (wrote < 0 && wrote != -EAGAIN) {
        p->in_over = true; /* it was closed by its reader: no error of the session */
        return n;
    }
    if (wrote < (long)n) {
        p->writable = false;
    }
    return wrote > 0 ? (size_t)wrote : 0;
}

/* Called by the SSH session as data is unpacked. */
static size_t on_data(void *arg, const void *data, size_t n)
{
    struct pump *p = arg;
    return buf_len(&p->spill) > 0 ? 0 : deliver(p, data, n);
}

static void from_spill(struct pump *p)
{
    while (buf_len(&p->spill) > 0) {
        size_t n = deliver(p, buf_data(&p->spill), buf_len(&p->spill));
        if (n == 0) {
            return;
        }
        buf_consume(&p->spill, n);
    }
}

/* What the data hook left behind. */
static void from_channel(struct pump *p)
{
    bool begun = buf_len(&p->spill) == 0 && (p->writable || p->in_over);
    while (begun && ssh_chan_unread(p->chan)) {
        uint8_t *at;
        size_t n;
        size_t done = 0;
        if (buf_reserve(&p->spill, READ_SIZE, &at) < 0) {
            break;
        }
        n = ssh_chan_read(p->chan, at, READ_SIZE);
        if (buf_len(&p->spill) == 0) {
            done = deliver(p, at, n);
        }
        buf_commit(&p->spill, n);
        buf_consume(&p->spill, done);
        if (n == 0) {
            break;
        }
    }
}

static void in_close(struct pump *p)
{
    if (p->in < 0) {
        return;
    }
    if (p->kind == PUMP_SOCKET) {
        (void)io_shut(p->in);
    } else if (p->kind == PUMP_PIPES) {
        ssh_loop_unwatch(p->in_watch);
        p->in_watch = NULL;
        io_close(p->in);
    }
    p->in = -1;
}

static void input_turn(struct pump *p)
{
    from_spill(p);
    from_channel(p);
    if (!p->in_over && p->kind != PUMP_TERMINAL && buf_len(&p->spill) == 0 && ssh_chan_eof(p->chan)) {
        p->in_over = true;
    }
    if (p->in_over) {
        buf_wipe(&p->spill);
        in_close(p);
    }
}

/* --- the channel's output --- */

static void flow_close(struct pump *p, struct flow *flow)
{
    if (p->kind == PUMP_PIPES) {
        ssh_loop_unwatch(flow->watch);
        flow->watch = NULL;
        io_close(flow->fd);
    }
    flow->fd = -1;
    flow->ready = false;
}

/* Hands n bytes of scratch to the channel; what it does not take is kept. */
static void hand_over(struct pump *p, struct flow *flow, size_t n)
{
    long wrote = ssh_chan_write(p->chan, scratch, n, flow->error);
    if (wrote < 0) {
        return; /* the channel is closed: its owner sees that */
    }
    if ((size_t)wrote < n && buf_append(&flow->rest, scratch + wrote, n - (size_t)wrote) < 0) {
        flow_close(p, flow); /* out of memory: the reader must not miss a part without a sign */
    }
}

/* Returns false when there is no more for now. */
static bool flow_read(struct pump *p, struct flow *flow, size_t room)
{
    long n = io_read(flow->fd, scratch, room < sizeof scratch ? room : sizeof scratch);
    if (n > 0) {
        if (p->ended && flow->after < AFTER_MAX) {
            flow->after += (size_t)n;
        }
        hand_over(p, flow, (size_t)n);
        return true;
    }
    if (n == -EAGAIN) {
        flow->ready = false;
        return false;
    }
    /* The end; a terminal that nobody has open any more says EIO, a connection that was reset ECONNRESET. */
    if (n < 0 && p->kind == PUMP_SOCKET) {
        p->in_over = true;
    }
    flow_close(p, flow);
    return false;
}

static void flow_turn(struct pump *p, struct flow *flow)
{
    size_t budget = TURN_BUDGET;
    size_t room;
    if (buf_len(&flow->rest) > 0) {
        long wrote = ssh_chan_write(p->chan, buf_data(&flow->rest), buf_len(&flow->rest), flow->error);
        buf_consume(&flow->rest, wrote > 0 ? (size_t)wrote : 0);
    }
    while (flow->fd >= 0 && flow->ready && buf_len(&flow->rest) == 0 && (room = ssh_chan_room(p->chan)) > 0) {
        if (!flow_read(p, flow, room)) {
            break;
        }
        if (budget <= room) {
            ssh_loop_again(p->loop);
            break;
        }
        budget -= room;
    }
}

/* --- what to wait for --- */

static void on_out(void *arg, short ready)
{
    struct pump *p = arg;
    if ((ready & ~POLLOUT) != 0) {
        p->flows[0].ready = true;
    }
    if ((ready & ~POLLIN) != 0) {
        p->writable = true;
    }
}

static void on_err(void *arg, short ready)
{
    (void)ready;
    ((struct pump *)arg)->flows[1].ready = true;
}

static void on_in(void *arg, short ready)
{
    (void)ready;
    ((struct pump *)arg)->writable = true;
}

/* Nothing that would come at once and could not be dealt with: it would come again and again. */
static void listen_again(struct pump *p)
{
    bool room_wanted = !p->in_over && !p->writable;
    short in = room_wanted ? POLLOUT : 0;
    short out = p->flows[0].fd >= 0 && !p->flows[0].ready ? POLLIN : 0;
    if (p->in_watch != NULL) {
        ssh_loop_interest(p->in_watch, in != 0 ? in : SSH_LOOP_DEAF);
        in = 0;
    }
    if (p->flows[0].watch != NULL) {
        ssh_loop_interest(p->flows[0].watch, (in | out) != 0 ? (short)(in | out) : SSH_LOOP_DEAF);
    }
    if (p->flows[1].watch != NULL) {
        ssh_loop_interest(p->flows[1].watch, p->flows[1].ready ? SSH_LOOP_DEAF : POLLIN);
    }
}

/* --- the whole --- */

void pump_turn(struct pump *pump)
{
    input_turn(pump);
    flow_turn(pump, &pump->flows[0]);
    flow_turn(pump, &pump->flows[1]);
    if (pump->ended && !pump->output_ends && pump->kind == PUMP_TERMINAL && pump_quiet(pump) &&
        pump->flows[0].fd >= 0) {
        flow_close(pump, &pump->flows[0]); /* others may keep the terminal open: the session is over */
    }
    listen_again(pump);
}

static int watch_all(struct pump *p, int err)
{
    int rc = ssh_loop_watch(p->loop, p->flows[0].fd, POLLIN, on_out, p, &p->flows[0].watch);
    if (rc == 0 && p->kind == PUMP_PIPES) {
        rc = ssh_loop_watch(p->loop, p->in, SSH_LOOP_DEAF, on_in, p, &p->in_watch);
    }
    if (rc == 0 && err >= 0) {
        rc = ssh_loop_watch(p->loop, err, POLLIN, on_err, p, &p->flows[1].watch);
    }
    return rc;
}

int pump_new(struct ssh_loop *loop, struct ssh_chan *chan, enum pump_kind kind, int in, int out, int err,
             struct pump **ret_pump)
{
    struct pump *p = calloc(1, sizeof *p);
    int rc = -ENOMEM;
    err = kind == PUMP_PIPES ? err : -1;
    if (p != NULL) {
        p->loop = loop;
        p->chan = chan;
        p->kind = kind;
        p->fd = in;
        p->in = in;
        p->writable = true;
        p->flows[0] = (struct flow){.fd = out, .ready = true};
        p->flows[1] = (struct flow){.fd = err, .ready = err >= 0, .error = true};
        buf_init(&p->flows[0].rest, READ_SIZE);
        buf_init(&p->flows[1].rest, READ_SIZE);
        buf_init(&p->spill, SPILL_MAX);
        rc = watch_all(p, err);
    }
    if (rc < 0) {
        if (p != NULL) {
            pump_free(p);
        } else {
            io_close(in);
            if (kind == PUMP_PIPES) {
                io_close(out);
                io_close(err);
            }
        }
        return rc;
    }
    ssh_chan_own(chan, p, on_data);
    ssh_loop_again(loop);
    *ret_pump = p;
    return 0;
}

void pump_free(struct pump *pump)
{
    if (pump == NULL) {
        return;
    }
    ssh_loop_unwatch(pump->in_watch);
    ssh_loop_unwatch(pump->flows[0].watch);
    ssh_loop_unwatch(pump->flows[1].watch);
    /* One descriptor is closed once, though each direction has ended by itself. */
    if (pump->kind != PUMP_PIPES) {
        io_close(pump->fd);
    } else {
        io_close(pump->in);
        for (int i = 0; i < 2; i++) {
            io_close(pump->flows[i].fd);
        }
    }
    for (int i = 0; i < 2; i++) {
        buf_wipe(&pump->flows[i].rest);
    }
    buf_wipe(&pump->spill);
    free(pump);
}

void pump_child_ended(struct pump *pump, bool output_ends)
{
    pump->ended = true;
    pump->output_ends = output_ends;
    pump->in_over = true;
    for (int i = 0; i < 2; i++) {
        pump->flows[i].ready = pump->flows[i].fd >= 0;
    }
    ssh_loop_again(pump->loop);
}

bool pump_quiet(const struct pump *pump)
{
    for (int i = 0; i < 2; i++) {
        const struct flow *flow = &pump->flows[i];
        if ((flow->ready && flow->after < AFTER_MAX) || buf_len(&flow->rest) > 0) {
            return false;
        }
    }
    return true;
}

bool pump_output_over(const struct pump *pump)
{
    return pump->flows[0].fd < 0 && pump->flows[1].fd < 0 && pump_quiet(pump);
}

bool pump_input_over(const struct pump *pump)
{
    return pump->in_over;
}

bool pump_input_waits(const struct pump *pump)
{
    return !pump->in_over && (buf_len(&pump->spill) > 0 || ssh_chan_unread(pump->chan));
}

int pump_terminal(const struct pump *pump)
{
    return pump->kind == PUMP_TERMINAL ? pump->fd : -1;
}
