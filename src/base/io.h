/* Descriptors that a loop can wait for, used without waiting: everything on POSIX, sockets alone on Windows, where
 * a descriptor is the number of a SOCKET. Siblings: io_posix.c, io_windows.c. */
#ifndef MULTISSH_BASE_IO_H
#define MULTISSH_BASE_IO_H

#include "base/sockaddr.h"
#include <stdbool.h>
#include <stddef.h>

/* Before anything is done with sockets; once more does no harm. Returns 0 or a negative errno value. */
int io_start(void);

/* Return the number of bytes (read: 0 is the end), or a negative errno value; -EAGAIN: it would have to wait. An
 * interrupted call is repeated inside. */
long io_read(int fd, void *data, size_t n);
long io_write(int fd, const void *data, size_t n);
/* NULL-safe in its way: does nothing when fd is negative. */
void io_close(int fd);
/* No more will be written to the socket. Returns 0 or a negative errno value. */
int io_shut(int fd);

/* Whoever waits for input on the TCP socket is woken when n bytes have come, or its end, and not before; 1 is as ever. A hint:
 * where the system's buffers are full it is woken earlier. Returns 0, or a negative errno value: -ENOTSUP on Windows. */
int io_wake_at(int fd, size_t n);

/* A connection that came to the listening socket; not inherited, non-blocking. Returns 0 or a negative errno value. */
int io_accept(int fd, struct sockaddr_storage *ret_from, int *ret_fd);

/* As poll(2); an entry whose fd is negative is left out. timeout_ms -1: for ever. Returns how many are ready, 0
 * after the time or when it was interrupted, or a negative errno value. On Windows an entry that waits for nothing, or
 * for POLLOUT alone, hears within a second that its connection was reset. */
int io_poll(struct pollfd *fds, size_t n, int timeout_ms);

/* Two stream sockets that are each other's ends, not inherited; the first is non-blocking, the second is when
 * blocking is false. On Windows they are TCP connections of this process with itself: an end that is closed before all
 * is read of what came to it resets the other, which may then lose what it has not read. Returns 0 or a negative errno
 * value. */
int io_pair(bool blocking, int ret_fds[2]);

/* Windows alone: the socket that handle (a HANDLE) is, made this process' own: Wine takes no other for a socket, and an
 * inherited one may be shared with who started this. The handle is closed. Returns 0, -ENOTSOCK (it is no connection,
 * and is as it was) or another negative errno value. */
int io_take_socket(void *handle, int *ret_fd);

#endif
