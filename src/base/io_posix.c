/* Descriptors, on POSIX systems. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

int io_start(void)
{
    return 0;
}

long io_read(int fd, void *data, size_t n)
{
    ssize_t got;
    do {
        got = read(fd, data, n);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : (long)got;
}

long io_write(int fd, const void *data, size_t n)
{
    ssize_t took;
    do {
        took = write(fd, data, n);
    } while (took < 0 && errno == EINTR);
    return took < 0 ? -errno : (long)took;
}

void io_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

int io_shut(int fd)
{
    return shutdown(fd, SHUT_WR) == 0 ? 0 : -errno;
}

int io_wake_at(int fd, size_t n)
{
    int low = n < INT_MAX ? (int)n : INT_MAX;
    return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low) == 0 ? 0 : -errno;
}

int io_accept(int fd, struct sockaddr_storage *ret_from, int *ret_fd)
{
    socklen_t size = sizeof *ret_from;
    int got;
    do {
        got = accept4(fd, (struct sockaddr *)ret_from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    *ret_fd = got;
    return 0;
}

int io_poll(struct pollfd *fds, size_t n, int timeout_ms)
{
    int ready = poll(fds, n, timeout_ms);
    return ready < 0 ? (errno == EINTR ? 0 : -errno) : ready;
}

int io_pair(bool blocking, int ret_fds[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) != 0)
        return -errno;
    if (blocking && fcntl(ret_fds[1], F_SETFL, 0) != 0) {
        int r = -errno;
        close(ret_fds[0]);
        close(ret_fds[1]);
        return r;
    }
    return 0;
}
