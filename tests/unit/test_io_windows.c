/* Sockets as descriptors: what is so on Windows alone. */
#include "cmocka_all.h"

#include "base/io.h"
#include "base/win.h"
#include <errno.h>

#define SOON_MS 20000

static int start(void **state)
{
    (void)state;
    return io_start();
}

static bool inherited(int fd)
{
    DWORD flags = 0;
    assert_true(GetHandleInformation((HANDLE)(SOCKET)fd, &flags));
    return (flags & HANDLE_FLAG_INHERIT) != 0;
}

static SOCKET door(struct sockaddr_in *ret_at)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int size = sizeof at;
    SOCKET s = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s != INVALID_SOCKET);
    assert_int_equal(bind(s, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(s, 5), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&at, &size), 0);
    *ret_at = at;
    return s;
}

static void no_child_gets_them(void **state)
{
    struct sockaddr_in at;
    struct sockaddr_storage from;
    SOCKET there = door(&at), client = socket(AF_INET, SOCK_STREAM, 0);
    int pair[2], got = -1;
    (void)state;
    assert_int_equal(io_pair(true, pair), 0);
    assert_false(inherited(pair[0]));
    assert_false(inherited(pair[1]));
    assert_true(inherited((int)client)); /* as Windows makes them */
    assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(io_accept((int)there, &from, &got), 0);
    assert_false(inherited(got));
    io_close(got);
    io_close(pair[0]);
    io_close(pair[1]);
    closesocket(client);
    closesocket(there);
}

/* The ends are each other's: what one is bound to, the other is connected to. */
static void nobody_is_between(void **state)
{
    struct sockaddr_in own, peer;
    int pair[2], size = sizeof own;
    (void)state;
    assert_int_equal(io_pair(false, pair), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(getsockname((SOCKET)pair[i], (struct sockaddr *)&own, &size), 0);
        assert_int_equal(getpeername((SOCKET)pair[1 - i], (struct sockaddr *)&peer, &size), 0);
        assert_int_equal(own.sin_port, peer.sin_port);
        assert_int_equal(own.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
        assert_int_equal(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    }
    io_close(pair[0]);
    io_close(pair[1]);
}

static DWORD WINAPI read_one(void *arg)
{
    char byte = 0;
    return io_read(*(int *)arg, &byte, 1) == 1 ? (DWORD)(unsigned char)byte : 1000;
}

/* One thread waits for bytes of an end, while another one writes to it. */
static void both_ways_at_once(void **state)
{
    struct pollfd one;
    DWORD code = 0;
    char byte = 0;
    int pair[2];
    (void)state;
    assert_int_equal(io_pair(true, pair), 0);
    HANDLE thread = CreateThread(NULL, 0, read_one, &pair[1], 0, NULL);
    assert_int_equal(WaitForSingleObject(thread, 200), WAIT_TIMEOUT);
    assert_int_equal(io_write(pair[1], "w", 1), 1);
    one = (struct pollfd){.fd = pair[0], .events = POLLIN};
    assert_int_equal(io_poll(&one, 1, SOON_MS), 1);
    assert_int_equal(io_read(pair[0], &byte, 1), 1);
    assert_int_equal(byte, 'w');
    assert_int_equal(io_write(pair[0], "r", 1), 1);
    assert_int_equal(WaitForSingleObject(thread, SOON_MS), WAIT_OBJECT_0);
    assert_true(GetExitCodeThread(thread, &code));
    assert_int_equal(code, 'r');
    CloseHandle(thread);
    io_close(pair[0]);
    io_close(pair[1]);
}

/* A connection that cannot be made is told to who waits to write, and why is left for them. */
static void nobody_there(void **state)
{
    struct sockaddr_in at;
    u_long non_blocking = 1;
    int error = 0, size = sizeof error;
    (void)state;
    closesocket(door(&at));
    SOCKET s = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(ioctlsocket(s, (long)FIONBIO, &non_blocking), 0);
    if (connect(s, (struct sockaddr *)&at, sizeof at) != 0 && WSAGetLastError() == WSAEWOULDBLOCK) {
        struct pollfd one = {.fd = s, .events = POLLOUT};
        assert_int_equal(io_poll(&one, 1, SOON_MS), 1);
        assert_int_equal(one.revents & (POLLOUT | POLLERR), POLLOUT | POLLERR);
        assert_int_equal(getsockopt(s, SOL_SOCKET, SO_ERROR, (char *)&error, &size), 0);
        assert_int_equal(error, WSAECONNREFUSED);
    } else {
        assert_int_equal(WSAGetLastError(), WSAECONNREFUSED);
    }
    closesocket(s);
}

/* One that connects is told when it can be written to. */
static void somebody_there(void **state)
{
    struct sockaddr_in at;
    u_long non_blocking = 1;
    SOCKET there = door(&at), s = socket(AF_INET, SOCK_STREAM, 0);
    struct pollfd one = {.fd = s, .events = POLLOUT};
    (void)state;
    assert_int_equal(ioctlsocket(s, (long)FIONBIO, &non_blocking), 0);
    (void)connect(s, (struct sockaddr *)&at, sizeof at);
    assert_int_equal(io_poll(&one, 1, SOON_MS), 1);
    assert_int_equal(one.revents, POLLOUT);
    closesocket(s);
    closesocket(there);
}

static void what_is_no_socket(void **state)
{
    char byte;
    (void)state;
    assert_int_equal(io_read(4, &byte, 1), -ENOTSOCK);
    assert_int_equal(io_write(4, "x", 1), -ENOTSOCK);
    assert_int_equal(io_shut(4), -ENOTSOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_child_gets_them), cmocka_unit_test(nobody_is_between),
        cmocka_unit_test(both_ways_at_once),  cmocka_unit_test(nobody_there),
        cmocka_unit_test(somebody_there),     cmocka_unit_test(what_is_no_socket),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
