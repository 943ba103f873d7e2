/* Windows keeps nothing in pipes: bytes are copied. */
#include "net/stash.h"

#include <errno.h>

int stash_new(bool keep, struct stash **ret_s)
{
    (void)keep;
    *ret_s = NULL;
    return -ENOTSUP;
}

void stash_free(struct stash *s)
{
    (void)s;
}

uint64_t stash_first(const struct stash *s)
{
    (void)s;
    return 0;
}

uint64_t stash_sent(const struct stash *s)
{
    (void)s;
    return 0;
}

uint64_t stash_end(const struct stash *s)
{
    (void)s;
    return 0;
}

long stash_take(struct stash *s, int fd, uint64_t at, size_t n, bool *ret_split)
{
    (void)s;
    (void)fd;
    (void)at;
    (void)n;
    *ret_split = false;
    return -ENOTSUP;
}

long stash_send(struct stash *s, int fd, size_t n, bool more)
{
    (void)s;
    (void)fd;
    (void)n;
    (void)more;
    return -ENOTSUP;
}

size_t stash_copy(struct stash *s, void *out, size_t n)
{
    (void)s;
    (void)out;
    (void)n;
    return 0;
}

void stash_release(struct stash *s, uint64_t to)
{
    (void)s;
    (void)to;
}

size_t stash_recall(struct stash *s, void *out, size_t n)
{
    (void)s;
    (void)out;
    (void)n;
    return 0;
}

long stash_send_memory(int fd, const void *data, size_t n, bool more)
{
    (void)fd;
    (void)data;
    (void)n;
    (void)more;
    return -ENOTSUP;
}
