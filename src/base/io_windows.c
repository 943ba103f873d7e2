/* Descriptors, on Windows: sockets. */
#include "base/io.h"

#include "base/win.h"
#include <errno.h>
#include <limits.h>

#define PAIR_BACKLOG 16 /* connections of others to the door of a pair that are turned away */

static BOOL CALLBACK start(INIT_ONCE *once, void *arg, void **ret)
{
    WSADATA data;
    int *error = arg;
    (void)once;
    (void)ret;
    *error = WSAStartup(MAKEWORD(2, 2), &data);
    return *error == 0;
}

int io_start(void)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    int error = 0;
    return InitOnceExecuteOnce(&once, start, &error, NULL) ? 0 : win_errno((DWORD)error);
}

static int last_error(void)
{
    return win_errno((DWORD)WSAGetLastError());
}

static int part(size_t n)
{
    return n > INT_MAX ? INT_MAX : (int)n;
}

long io_read(int fd, void *data, size_t n)
{
    int got = recv((SOCKET)fd, data, part(n), 0);
    return got == SOCKET_ERROR ? last_error() : got;
}

/* A connection that is over is said in one way, as on POSIX. */
long io_write(int fd, const void *data, size_t n)
{
    int took = send((SOCKET)fd, data, part(n), 0);
    if (took != SOCKET_ERROR)
        return took;
    int r = last_error();
    return r == -ECONNABORTED || r == -ENOTCONN ? -EPIPE : r;
}

void io_close(int fd)
{
    if (fd >= 0)
        closesocket((SOCKET)fd);
}

int io_shut(int fd)
{
    return shutdown((SOCKET)fd, SD_SEND) == 0 ? 0 : last_error();
}

int io_wake_at(int fd, size_t n)
{
    (void)fd;
    (void)n;
    return -ENOTSUP;
}

static int set_blocking(SOCKET s, bool blocking)
{
    u_long non_blocking = blocking ? 0 : 1;
    return ioctlsocket(s, (long)FIONBIO, &non_blocking) == 0 ? 0 : last_error();
}

static int not_inherited(SOCKET s)
{
    return SetHandleInformation((HANDLE)s, HANDLE_FLAG_INHERIT, 0) ? 0 : win_errno(GetLastError());
}

int io_accept(int fd, struct sockaddr_storage *ret_from, int *ret_fd)
{
    int size = sizeof *ret_from;
    SOCKET got = accept((SOCKET)fd, (struct sockaddr *)ret_from, &size);
    if (got == INVALID_SOCKET)
        return last_error();
    int r = not_inherited(got);
    if (r == 0)
        r = set_blocking(got, false);
    if (r != 0) {
        closesocket(got);
        return r;
    }
    *ret_fd = (int)got;
    return 0;
}

static SOCKET new_socket(void)
{
    /* Overlapped: else what one thread reads waits for what another one writes. */
    return WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}

/* A door on the loopback that this process alone can have opened there. */
static int open_door(SOCKET door, struct sockaddr_in *ret_at)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int size = sizeof at, on = 1;
    if (setsockopt(door, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&on, sizeof on) != 0 ||
        bind(door, (struct sockaddr *)&at, sizeof at) != 0 || listen(door, PAIR_BACKLOG) != 0 ||
        getsockname(door, (struct sockaddr *)&at, &size) != 0)
        return last_error();
    *ret_at = at;
    return 0;
}

/* Whoever else is on this machine may have come through the door too: only the one who calls from our own other end
 * is let in. */
static int let_in(SOCKET door, SOCKET first, SOCKET *ret_second)
{
    struct sockaddr_in own, from;
    int size = sizeof own;
    if (getsockname(first, (struct sockaddr *)&own, &size) != 0)
        return last_error();
    for (int i = 0; i <= PAIR_BACKLOG; i++) {
        size = sizeof from;
        SOCKET got = accept(door, (struct sockaddr *)&from, &size);
        if (got == INVALID_SOCKET)
            return last_error();
        if (from.sin_port == own.sin_port && from.sin_addr.s_addr == own.sin_addr.s_addr) {
            *ret_second = got;
            return not_inherited(got);
        }
        closesocket(got);
    }
    return -ECONNABORTED;
}

static int at_once(SOCKET s)
{
    int on = 1;
    return setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof on) == 0 ? 0 : last_error();
}

int io_pair(bool blocking, int ret_fds[2])
{
    struct sockaddr_in at;
    SOCKET door = INVALID_SOCKET, first = INVALID_SOCKET, second = INVALID_SOCKET;
    int r = io_start();
    if (r != 0)
        return r;
    door = new_socket();
    first = new_socket();
    if (door == INVALID_SOCKET || first == INVALID_SOCKET)
        r = last_error();
    if (r == 0)
        r = open_door(door, &at);
    if (r == 0 && connect(first, (struct sockaddr *)&at, sizeof at) != 0)
        r = last_error();
    if (r == 0)
        r = let_in(door, first, &second);
    if (r == 0 && (r = at_once(first)) == 0 && (r = at_once(second)) == 0 &&
        (r = set_blocking(first, false)) == 0)
        r = set_blocking(second, blocking);
    if (door != INVALID_SOCKET)
        closesocket(door);
    if (r == 0) {
        ret_fds[0] = (int)first;
        ret_fds[1] = (int)second;
        return 0;
    }
    if (first != INVALID_SOCKET)
        closesocket(first);
    if (second != INVALID_SOCKET)
        closesocket(second);
    return r;
}

int io_take_socket(void *handle, int *ret_fd)
{
    WSAPROTOCOL_INFOW info;
    SOCKET own;
    int r = io_start();
    if (r != 0)
        return r;
    if (WSADuplicateSocketW((SOCKET)handle, GetCurrentProcessId(), &info) != 0)
        return -ENOTSOCK;
    if (info.iSocketType != SOCK_STREAM)
        return -ENOTSOCK;
    own = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0,
                     WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (own == INVALID_SOCKET)
        return last_error();
    if (closesocket((SOCKET)handle) != 0)
        CloseHandle(handle);
    *ret_fd = (int)own;
    return 0;
}
