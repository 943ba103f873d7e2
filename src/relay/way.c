/* Owns the pipe. Must not wait, nor hold more than the pipe does. */
#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 65536
#define MOVES 32 /* a turn: the other direction, and the hub, want theirs */

int way_init(struct way *w, int from, int to)
{
    int ends[2];

    *w = (struct way){.from = from, .to = to, .in = -1, .out = -1};
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
    w->out = ends[0];
    w->in = ends[1];
    return 0;
}

void way_release(struct way *w)
{
    if (w->in >= 0)
        close(w->in);
    if (w->out >= 0)
        close(w->out);
    w->in = w->out = -1;
}

void way_deafen(struct way *w)
{
    w->deaf = true;
    w->full = false;
    w->held = 0;
}

/* Reads what nobody wants. */
static ssize_t throw_away(int fd)
{
    char chunk[16384];

    return recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
}

static bool take(struct way *w)
{
    ssize_t n;

    if (!way_wants_in(w))
        return false;
    do
        n = w->deaf ? throw_away(w->from)
                    : splice(w->from, NULL, w->in, NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        w->held += w->deaf ? 0 : (size_t)n;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        w->full = w->held > 0; /* it is not told which of the two it was */
        return false;
    }
    w->ended = true;
    w->from_code = n < 0 ? -errno : 0;
    return true;
}

static bool give(struct way *w)
{
    ssize_t n;

    if (w->held == 0)
        return false;
    do
        n = splice(w->out, NULL, w->to, NULL, w->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        w->held -= (size_t)n;
        w->total += (uint64_t)n;
        w->full = false;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    w->to_code = n < 0 ? -errno : -EPIPE;
    way_deafen(w);
    return true;
}

bool way_move(struct way *w)
{
    bool any = false, more = true;

    for (int i = 0; i < MOVES && more; i++) {
        more = take(w);
        more = give(w) || more;
        any = any || more;
    }
    if (w->ended && w->held == 0 && !w->shut) {
        (void)shutdown(w->to, SHUT_WR);
        w->shut = true;
    }
    return any;
}

bool way_wants_in(const struct way *w)
{
    return !w->ended && !w->full;
}

bool way_wants_out(const struct way *w)
{
    return w->held > 0;
}

bool way_over(const struct way *w)
{
    return w->ended && w->shut;
}
