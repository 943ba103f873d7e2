/* Two pipes: in `out` is what was not sent yet, in `kept` all that has not arrived, the former included. What is in both is one
 * and the same memory, the kernel's, of which a pipe holds references. */
#include "net/stash.h"

#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_SIZE (1 << 20) /* what everybody may have: /proc/sys/fs/pipe-max-size */
#define PIPE_SIZE_MIN (1 << 18)
#define FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK)

struct stash {
    int out[2], kept[2], null;
    uint64_t first, sent, end;
    size_t loose; /* the last ones are in `out` alone */
};

static int open_pipe(int fds[2])
{
    int size;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return -errno;
    (void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE); /* a user with many pipes has small ones */
    size = fcntl(fds[1], F_GETPIPE_SZ);
    return size >= PIPE_SIZE_MIN ? 0 : -ENOTSUP;
}

int stash_new(bool keep, struct stash **ret_s)
{
    struct stash *s = malloc(sizeof *s);
    int r;
    if (s == NULL)
        return -ENOMEM;
    *s = (struct stash){.out = {-1, -1}, .kept = {-1, -1}, .null = -1};
    r = open_pipe(s->out);
    if (r == 0 && keep)
        r = open_pipe(s->kept);
    if (r == 0 && keep && (s->null = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0)
        r = -errno;
    if (r != 0) {
        stash_free(s);
        return r;
    }
    *ret_s = s;
    return 0;
}

void stash_free(struct stash *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        io_close(s->out[i]);
        io_close(s->kept[i]);
    }
    io_close(s->null);
    free(s);
}

static bool keeps(const struct stash *s)
{
    return s->kept[0] >= 0;
}

uint64_t stash_first(const struct stash *s)
{
    return s->first;
}

uint64_t stash_sent(const struct stash *s)
{
    return s->sent;
}

uint64_t stash_end(const struct stash *s)
{
    return s->end;
}

static long splice_between(int from, int to, size_t n, unsigned flags)
{
    ssize_t r;
    do {
        r = splice(from, NULL, to, NULL, n, flags);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : (long)r;
}

long stash_take(struct stash *s, int fd, uint64_t at, size_t n, bool *ret_split)
{
    ssize_t kept;
    long r;
    *ret_split = false;
    if ((keeps(s) && s->sent != s->end) || (s->first != s->end && at != s->end))
        return -EINVAL;
    r = splice_between(fd, s->out[1], n, FLAGS);
    if (r <= 0)
        return r;
    if (s->first == s->end)
        s->first = s->sent = s->end = at;
    s->end += (uint64_t)r;
    if (!keeps(s))
        return r;
    do {
        kept = tee(s->out[0], s->kept[1], (size_t)r, SPLICE_F_NONBLOCK);
    } while (kept < 0 && errno == EINTR);
    s->loose = (size_t)(r - (kept > 0 ? kept : 0));
    *ret_split = s->loose > 0;
    return r;
}

static void count_sent(struct stash *s, size_t n)
{
    s->sent += n;
    if (!keeps(s))
        s->first = s->sent;
}

long stash_send(struct stash *s, int fd, size_t n, bool more)
{
    long r = splice_between(s->out[0], fd, n, FLAGS | (more ? SPLICE_F_MORE : 0));
    if (r > 0)
        count_sent(s, (size_t)r);
    return r;
}

static size_t read_pipe(int fd, void *out, size_t n)
{
    long r = io_read(fd, out, n);
    return r > 0 ? (size_t)r : 0;
}

size_t stash_copy(struct stash *s, void *out, size_t n)
{
    size_t r = read_pipe(s->out[0], out, n);
    count_sent(s, r);
    return r;
}

/* What is released is forgotten without a look. */
static void forget(struct stash *s, int fd, uint64_t n)
{
    while (n > 0) {
        long r = splice_between(fd, s->null, n, FLAGS);
        if (r <= 0)
            return;
        n -= (uint64_t)r;
    }
}

void stash_release(struct stash *s, uint64_t to)
{
    if (to > s->end)
        to = s->end;
    if (to <= s->first)
        return;
    if (to > s->sent) { /* it arrived by another way */
        forget(s, s->out[0], to - s->sent);
        s->sent = to;
    }
    forget(s, s->kept[0], to - s->first);
    s->first = to;
}

size_t stash_recall(struct stash *s, void *out, size_t n)
{
    uint64_t loose_at = s->end - s->loose;
    size_t r;
    if (!keeps(s))
        return stash_copy(s, out, n < s->end - s->first ? n : (size_t)(s->end - s->first));
    if (s->first < loose_at) {
        r = read_pipe(s->kept[0], out, n < loose_at - s->first ? n : (size_t)(loose_at - s->first));
    } else {
        if (s->sent < s->first) {
            forget(s, s->out[0], s->first - s->sent);
            s->sent = s->first;
        }
        r = read_pipe(s->out[0], out, n < s->end - s->first ? n : (size_t)(s->end - s->first));
        s->sent += r;
    }
    s->first += r;
    if (s->first == s->end) {
        forget(s, s->out[0], s->end - s->sent);
        s->sent = s->end;
        s->loose = 0;
    }
    return r;
}

long stash_send_memory(int fd, const void *data, size_t n, bool more)
{
    ssize_t r;
    do {
        r = send(fd, data, n, (more ? MSG_MORE : 0) | MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : (long)r;
}
