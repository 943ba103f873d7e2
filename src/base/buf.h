/* A growable byte buffer with a mandatory maximum: bytes are appended at the end and consumed from the front.
 *
 * Owns its memory and nothing else. It never grows past its maximum: what would not fit is refused whole, so
 * a peer cannot make the process hold more than the caller chose. Not thread-safe. */
#ifndef MULTISSH_BASE_BUF_H
#define MULTISSH_BASE_BUF_H

#include "base/printf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* private: use the calls */
    size_t start, end, cap, max;
};

/* Makes an empty buffer that will hold at most max bytes (max > 0). Allocates nothing. */
void buf_init(struct buf *b, size_t max);

/* Frees the memory; the buffer is then as after buf_init. Safe on a zeroed struct. */
void buf_release(struct buf *b);

/* As buf_release, but overwrites the contents first: for keys, tokens and what carried them. */
void buf_wipe(struct buf *b);

/* The unread bytes, valid until the next call that changes the buffer. Never NULL when buf_len is not 0. */
const uint8_t *buf_data(const struct buf *b);
size_t buf_len(const struct buf *b);
/* How many more bytes may be appended before the maximum. */
size_t buf_room(const struct buf *b);

/* Appends n bytes. Returns 0, -ENOBUFS (it would pass the maximum) or -ENOMEM; on error nothing was appended.
 */
int buf_append(struct buf *b, const void *data, size_t n);
int buf_append_str(struct buf *b, const char *s);
int buf_appendf(struct buf *b, const char *fmt, ...) LIKE_PRINTF(2, 3);

/* Makes room for at least n bytes behind the contents and points *ret_at at it; n ≤ buf_room. After writing k
 * ≤ n bytes there, call buf_commit(k). Returns 0, -ENOBUFS or -ENOMEM. */
int buf_reserve(struct buf *b, size_t n, uint8_t **ret_at);
void buf_commit(struct buf *b, size_t n);

/* Drops n ≤ buf_len bytes from the front. An emptied buffer gives back memory above 64 KiB. */
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b);
/* Drops bytes from the end until n ≤ buf_len are left. */
void buf_truncate(struct buf *b, size_t n);

/* The contents as a NUL-terminated string (the NUL is not counted); NULL when out of memory. Valid as
 * buf_data. */
const char *buf_str(struct buf *b);

#endif
