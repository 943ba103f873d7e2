/* Bulk data of the sink that goes through this process in the kernel: the payload of DATA frames is moved from the hub's socket into a
 * pipe, and in the same turn from there to where the owner wants it. What cannot be delivered at once is read into the stream's
 * memory, where its places were kept free: between two turns of the loop nothing is in the pipe. */
#include "net/edge_private.h"

#include "base/io.h"
#include "net/stash.h"
#include "stream/frame.h"
#include <errno.h>

#define TURN_MAX (2u * PACE_WAKE) /* bytes in one turn */
#define HEADS_MAX 4               /* frames in a row that bring nothing for the sink */

void edge_pass(struct edge *e, bool pass)
{
    e->passes = pass;
}

void edge_through_rest(struct edge *e)
{
    if (e->through != NULL)
        (void)edge_stash_fill(e, e->through, stream_sink_place);
}

bool edge_through_wanted(struct edge_conn *c)
{
    struct edge *e = c->edge;
    const uint8_t *at;
    bool end = c->ended;
    c->ended = false; /* that is libuv's to find out */
    if (end || !e->passes || e->no_through || !c->pace.bulk || e->freed ||
        stream_live(e->stream) != c->index || stream_sink_peek(e->stream, &at) > 0)
        return false;
    if (e->through == NULL)
        e->no_through = stash_new(false, &e->through) != 0;
    return !e->no_through;
}

/* Returns how many bytes came, 0 at their end, or a negative code. */
static long read_some(struct edge_conn *c, int fd, size_t max, uint64_t now)
{
    struct stream *s = c->edge->stream;
    char head[FRAME_DATA_HEAD];
    size_t due = stream_input_due(s, c->index);
    bool split;
    long n;
    if (due > 0) {
        n = stash_take(c->edge->through, fd, stream_sink_end(s), due < max ? due : max, &split);
        if (n > 0)
            stream_input_passed(s, c->index, (size_t)n, now);
        return n;
    }
    uint64_t end = stream_sink_end(s);
    n = io_read(fd, head, sizeof head);
    if (n > 0 && stream_input(s, c->index, head, (size_t)n, now) != 0)
        return -EPROTO;
    if (stream_sink_end(s) !=
        end) /* a short frame: its bytes are in memory, and so are those before it to be */
        edge_through_rest(c->edge);
    return n;
}

size_t edge_through_read(struct edge_conn *c, int fd, uint64_t now)
{
    struct edge *e = c->edge;
    size_t total = 0;
    unsigned heads = 0;
    long n = 1;
    while (n > 0 && total < TURN_MAX && heads < HEADS_MAX && stream_state(e->stream) == STREAM_OPEN &&
           stream_live(e->stream) == c->index) {
        heads = stream_input_due(e->stream, c->index) > 0 ? 0 : heads + 1;
        n = read_some(c, fd, TURN_MAX - total, now);
        total += n > 0 ? (size_t)n : 0;
    }
    c->ended = n <= 0 && n != -EAGAIN;
    return total;
}

long edge_give(struct edge *e, int fd)
{
    struct stash *s = e->through;
    long total = 0, r = 0;
    while (s != NULL && stash_first(s) < stash_end(s)) {
        r = stash_send(s, fd, (size_t)(stash_end(s) - stash_sent(s)), false);
        if (r <= 0)
            break;
        stream_sink_consumed(e->stream, (size_t)r);
        total += r;
    }
    edge_through_rest(e);
    return r < 0 && r != -EAGAIN ? r : total;
}
