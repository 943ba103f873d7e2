/* Bulk data of the source that stays in the kernel while nothing happens to it. In the stream's memory its places are kept free, so
 * that the stream need not know; they are filled in when the bytes are wanted again, on another connection or in TLS. */
#include "net/edge_private.h"

#include "net/stash.h"
#include <errno.h>
#include <string.h>

static bool is_empty(const struct stash *s)
{
    return stash_first(s) == stash_end(s);
}

static struct edge_conn *live_conn(const struct edge *e)
{
    int live = stream_live(e->stream);
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (live >= 0 && e->conns[i] != NULL && e->conns[i]->index == live)
            return e->conns[i];
    return NULL;
}

static void give_up(struct edge *e)
{
    stash_free(e->stash);
    e->stash = NULL;
    e->no_stash = true;
}

void edge_stash_look(struct edge *e)
{
    if (e->through != NULL && !edge_bulk(e)) { /* it is empty: the owner has had its turn */
        stash_free(e->through);
        e->through = NULL;
    }
    if (e->stash == NULL)
        return;
    stash_release(e->stash, stream_source_first(e->stream));
    if (!e->bulk && is_empty(e->stash)) {
        stash_free(e->stash);
        e->stash = NULL;
    }
}

bool edge_stash_fill(struct edge *e, struct stash *s,
                     size_t (*place)(struct stream *stream, uint64_t sequence, uint8_t **ret_at))
{
    uint8_t *to;
    while (!is_empty(s)) {
        size_t places = place(e->stream, stash_first(s), &to);
        if (places == 0 || stash_recall(s, to, places) == 0) {
            stream_reset(e->stream, STREAM_CODE_LOCAL, "bytes that were kept in a pipe cannot be read");
            return false;
        }
    }
    return true;
}

void edge_stash_recall(struct edge *e)
{
    if (e->stash == NULL)
        return;
    stash_release(e->stash, stream_source_first(e->stream));
    if (!edge_stash_fill(e, e->stash, stream_source_place))
        give_up(e);
}

size_t edge_room(const struct edge *e)
{
    size_t room = stream_source_room(e->stream), kept;
    if (e->stash == NULL || is_empty(e->stash))
        return room;
    kept = (size_t)(stash_end(e->stash) - stream_source_first(e->stream));
    if (kept > STASH_ROOM - STASH_ROOM / 4)
        return 0;
    return STASH_ROOM - kept < room ? STASH_ROOM - kept : room;
}

/* Whether it is the time for it: what came before is on its way, on a plain connection that takes everything, to a peer that is near. From
 * one further away more is under way than the pipes can keep, and the machine is not what limits it. */
static bool may_take(struct edge *e)
{
    const struct edge_conn *c = live_conn(e);
    if (e->no_stash || e->freed || c == NULL || c->tcp == NULL || c->writing ||
        !stream_source_sent(e->stream) || stream_round_trip(e->stream) > STREAM_NEAR_MS)
        return false;
    if (e->stash == NULL && stash_new(true, &e->stash) != 0)
        e->no_stash = true;
    if (e->stash == NULL)
        return false;
    stash_release(e->stash, stream_source_first(e->stream));
    return is_empty(e->stash) || stash_end(e->stash) == stream_source_end(e->stream);
}

long edge_take(struct edge *e, int fd, size_t n)
{
    uint8_t *at;
    size_t places, room;
    bool split;
    if (!may_take(e))
        return -ENOTSUP;
    room = edge_room(e);
    if (room == 0)
        return -EBUSY;
    if (stream_source_reserve(e->stream, stream_source_room(e->stream), &at, &places) != 0)
        return -ENOTSUP;
    long r = stash_take(e->stash, fd, stream_source_end(e->stream), n < room ? n : room, &split);
    if (r > 0)
        stream_source_commit(e->stream, (size_t)r);
    if (split)
        edge_stash_recall(e);
    if (split)
        give_up(e);
    return r;
}

/* How many bytes of the piece, from `from` on, are all in memory (*ret_kept false), or all in the stash. */
static size_t uniform(const struct edge *e, const struct stream_iov *piece, size_t from, bool *ret_kept)
{
    uint64_t sequence = piece->sequence + from;
    size_t left = piece->n - from;
    *ret_kept = false;
    if (e->stash == NULL || is_empty(e->stash) || piece->sequence == STREAM_NO_SEQUENCE ||
        sequence >= stash_end(e->stash))
        return left;
    *ret_kept = sequence >= stash_first(e->stash);
    uint64_t until = *ret_kept ? stash_end(e->stash) : stash_first(e->stash);
    return until - sequence < left ? (size_t)(until - sequence) : left;
}

/* The bytes of the stash are sent once, and in their order; all else makes them bytes in memory. */
static void put_in_order(struct edge *e, const struct stream_iov *iov, size_t n)
{
    uint64_t next = e->stash != NULL ? stash_sent(e->stash) : 0;
    bool kept;
    for (size_t i = 0; i < n; i++) {
        size_t from = 0, part;
        for (; from < iov[i].n; from += part) {
            part = uniform(e, &iov[i], from, &kept);
            if (kept && iov[i].sequence + from != next) {
                edge_stash_recall(e);
                return;
            }
            next += kept ? part : 0;
        }
    }
}

long edge_stash_send(struct edge_conn *c, int fd, const struct stream_iov *iov, size_t n)
{
    struct edge *e = c->edge;
    long total = 0;
    bool kept;
    put_in_order(e, iov, n);
    for (size_t i = 0; i < n; i++) {
        for (size_t from = 0; from < iov[i].n;) {
            size_t part = uniform(e, &iov[i], from, &kept);
            bool more = i + 1 < n || from + part < iov[i].n;
            long r = kept ? stash_send(e->stash, fd, part, more)
                          : stash_send_memory(fd, (const char *)iov[i].data + from, part, more);
            if (r <= 0)
                return total > 0 || r == 0 ? total : r;
            total += r;
            from += (size_t)r;
        }
    }
    return total;
}

size_t edge_stash_copy(struct edge_conn *c, const struct stream_iov *iov, size_t n, char *out, size_t size)
{
    struct edge *e = c->edge;
    size_t total = 0;
    bool kept;
    put_in_order(e, iov, n);
    for (size_t i = 0; i < n; i++) {
        for (size_t from = 0; from < iov[i].n && total < size;) {
            size_t part = uniform(e, &iov[i], from, &kept);
            part = part < size - total ? part : size - total;
            if (kept)
                part = stash_copy(e->stash, out + total, part);
            else
                memcpy(out + total, (const char *)iov[i].data + from, part);
            if (part == 0)
                return total;
            total += part;
            from += part;
        }
    }
    return total;
}
