/* The ring's memory: one block, doubled when it is full, never above the maximum. Owns nothing else and knows
 * nobody. */
#include "stream/ring.h"
#include "base/crypto.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RING_FIRST 4096

void ring_init(struct ring *r, size_t max)
{
    *r = (struct ring){.max = max};
}

void ring_release(struct ring *r)
{
    if (r->data)
        crypto_wipe(r->data, r->cap);
    free(r->data);
    ring_init(r, r->max);
}

size_t ring_len(const struct ring *r)
{
    return r->len;
}

size_t ring_room(const struct ring *r)
{
    return r->max - r->len;
}

size_t ring_held(const struct ring *r)
{
    return r->cap;
}

/* Makes room for n more bytes (n ≤ ring_room) and lays the contents out from the start of the new block. */
static int ring_grow(struct ring *r, size_t n)
{
    size_t need = r->len + n, cap = r->cap ? r->cap : RING_FIRST, first;
    uint8_t *data;

    if (need <= r->cap)
        return 0;
    while (cap < need)
        cap *= 2;
    if (cap > r->max)
        cap = r->max;
    data = malloc(cap);
    if (!data)
        return -ENOMEM;
    if (r->len > 0) {
        first = r->cap - r->start < r->len ? r->cap - r->start : r->len;
        memcpy(data, r->data + r->start, first);
        memcpy(data + first, r->data, r->len - first);
    }
    free(r->data);
    r->data = data;
    r->cap = cap;
    r->start = 0;
    return 0;
}

/* Free space behind the contents, as far as it is contiguous. cap > 0. */
static size_t ring_tail(const struct ring *r, uint8_t **ret_at)
{
    size_t at = r->start + r->len;

    if (at >= r->cap) {
        at -= r->cap;
        *ret_at = r->data + at;
        return r->start - at;
    }
    *ret_at = r->data + at;
    return r->cap - at;
}

int ring_reserve(struct ring *r, size_t want, uint8_t **ret_at, size_t *ret_n)
{
    size_t room = ring_room(r), n;
    int rc;

    if (room == 0)
        return -ENOBUFS;
    if (want > room)
        want = room;
    rc = ring_grow(r, want);
    if (rc < 0)
        return rc;
    n = ring_tail(r, ret_at);
    *ret_n = n < want ? n : want;
    return 0;
}

void ring_commit(struct ring *r, size_t n)
{
    r->len += n;
}

int ring_write(struct ring *r, const void *data, size_t n)
{
    const uint8_t *from = data;
    uint8_t *at;
    size_t part;
    int rc;

    if (n > ring_room(r))
        return -ENOBUFS;
    rc = ring_grow(r, n);
    if (rc < 0)
        return rc;
    while (n > 0) {
        part = ring_tail(r, &at);
        if (part > n)
            part = n;
        memcpy(at, from, part);
        r->len += part;
        from += part;
        n -= part;
    }
    return 0;
}

size_t ring_peek(const struct ring *r, size_t offset, const uint8_t **ret_at)
{
    size_t at, n;

    if (offset >= r->len)
        return 0;
    n = r->len - offset;
    at = r->start + offset;
    if (at >= r->cap)
        at -= r->cap;
    *ret_at = r->data + at;
    return r->cap - at < n ? r->cap - at : n;
}

void ring_consume(struct ring *r, size_t n)
{
    r->len -= n;
    r->start += n;
    if (r->start >= r->cap)
        r->start -= r->cap;
    if (r->len == 0)
        r->start = 0; /* the part that is warm in the cache is used again */
}

void ring_trim(struct ring *r)
{
    if (r->len == 0)
        ring_release(r);
}
