/* A ring of bytes that grows on demand up to a maximum: what a stream keeps for its peer, and from it. */
#ifndef MULTISSH_STREAM_RING_H
#define MULTISSH_STREAM_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring {
    uint8_t *data; /* private: use the calls */
    size_t cap, max, start, len;
};

/* An empty ring for at most max bytes (max > 0). Allocates nothing. */
void ring_init(struct ring *r, size_t max);
/* Wipes and frees. Safe on a zeroed struct. */
void ring_release(struct ring *r);

size_t ring_len(const struct ring *r);
size_t ring_room(const struct ring *r); /* how many more bytes it may take */
size_t ring_held(const struct ring *r); /* bytes of memory it has */

/* Points at free space behind the contents: 1..want contiguous bytes, want > 0. Returns 0, -ENOBUFS (no room)
 * or -ENOMEM. After writing k bytes there, call ring_commit(k). There is memory for all of min(want, room): who knows how to
 * find the places of the others may commit those, too. */
int ring_reserve(struct ring *r, size_t want, uint8_t **ret_at, size_t *ret_n);
void ring_commit(struct ring *r, size_t n);
/* Copies all n bytes in. Returns 0, -ENOBUFS (n > room) or -ENOMEM; on error nothing was copied. */
int ring_write(struct ring *r, const void *data, size_t n);

/* The contiguous bytes that begin offset bytes behind the front; 0 when there are none. Valid until the ring
 * changes. */
size_t ring_peek(const struct ring *r, size_t offset, const uint8_t **ret_at);
/* Drops n ≤ ring_len bytes from the front. Keeps the memory: bulk data would else pay for its pages again and
 * again. */
void ring_consume(struct ring *r, size_t n);
/* Gives the memory back when the ring is empty. */
void ring_trim(struct ring *r);

#endif
