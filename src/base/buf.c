/* A growable byte buffer with a mandatory maximum. Owns its memory; does no I/O. */
#include "base/buf.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 256
#define KEEP_WHEN_EMPTY (64 * 1024)

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2};
}

void buf_release(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_wipe(struct buf *b)
{
    if (b->data != NULL)
        OPENSSL_cleanse(b->data, b->cap);
    buf_release(b);
}

const uint8_t *buf_data(const struct buf *b)
{
    return b->data == NULL ? NULL : b->data + b->start;
}

size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

size_t buf_room(const struct buf *b)
{
    return b->max - buf_len(b);
}

static void move_to_front(struct buf *b)
{
    size_t len = buf_len(b);
    if (b->start > 0 && len > 0)
        memmove(b->data, b->data + b->start, len);
    b->start = 0;
    b->end = len;
}

/* Makes n bytes of space behind the contents; len + n may be max + 1, for the NUL of buf_str.
 *
 * The memory may exceed max by a quarter: a full buffer that is drained and filled in small steps would
 * otherwise move all its bytes at each step. With the quarter, at most four bytes are moved for one consumed.
 */
static int make_space(struct buf *b, size_t n)
{
    size_t len = buf_len(b);
    size_t most = b->max + b->max / 4 + 1;

    if (b->data != NULL && b->cap - b->end >= n)
        return 0;
    if (b->data != NULL && b->cap - len >= n && b->start >= len / 4) {
        move_to_front(b);
        return 0;
    }
    size_t cap = b->cap < SMALLEST ? SMALLEST : b->cap * 2;
    if (cap < len + n)
        cap = len + n;
    if (cap > most)
        cap = most;
    uint8_t *data = malloc(cap);
    if (data == NULL)
        return -ENOMEM;
    if (b->data != NULL) {
        memcpy(data, b->data + b->start, len);
        /* The buffer may hold secrets, and buf_wipe can only reach the block in use. */
        OPENSSL_cleanse(b->data, b->end);
        free(b->data);
    }
    b->data = data;
    b->cap = cap;
    b->start = 0;
    b->end = len;
    return 0;
}

int buf_reserve(struct buf *b, size_t n, uint8_t **ret_at)
{
    if (n > buf_room(b))
        return -ENOBUFS;
    int r = make_space(b, n);
    if (r == 0)
        *ret_at = b->data + b->end;
    return r;
}

void buf_commit(struct buf *b, size_t n)
{
    b->end += n;
}

int buf_append(struct buf *b, const void *data, size_t n)
{
    if (n == 0)
        return 0;
    uint8_t *at = NULL;
    int r = buf_reserve(b, n, &at);
    if (r != 0)
        return r;
    memcpy(at, data, n);
    buf_commit(b, n);
    return 0;
}

int buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_appendf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int r = 0;
    int n = vsnprintf(NULL, 0, fmt, args);
    if (n < 0) {
        r = -ENOMEM;
        goto out;
    }
    if ((size_t)n > buf_room(b)) {
        r = -ENOBUFS;
        goto out;
    }
    r = make_space(b, (size_t)n + 1);
    if (r != 0)
        goto out;
    vsnprintf((char *)b->data + b->end, (size_t)n + 1, fmt, again);
    buf_commit(b, (size_t)n);
out:
    va_end(again);
    va_end(args);
    return r;
}

void buf_consume(struct buf *b, size_t n)
{
    b->start += n;
    if (b->start < b->end)
        return;
    b->start = b->end = 0;
    if (b->cap > KEEP_WHEN_EMPTY)
        buf_release(b);
}

void buf_clear(struct buf *b)
{
    buf_consume(b, buf_len(b));
}

void buf_truncate(struct buf *b, size_t n)
{
    b->end = b->start + n;
    buf_consume(b, 0);
}

const char *buf_str(struct buf *b)
{
    if (make_space(b, 1) != 0)
        return NULL;
    b->data[b->end] = '\0';
    return (const char *)b->data + b->start;
}
