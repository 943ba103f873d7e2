/* Sockets for forwards: where they listen, who else can, and what a connection that fails says. */
#include "cmocka_all.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/win.h"
#include "sshd/net_windows.h"
#include <errno.h>
#include <string.h>

static int start(void **state)
{
    (void)state;
    return io_start();
}

static void own_address(int fd, char *out, size_t size)
{
    struct sockaddr_storage at = {0};
    int n = sizeof at;
    assert_int_equal(getsockname((SOCKET)fd, (struct sockaddr *)&at, &n), 0);
    addr_ip((struct sockaddr *)&at, out, size);
}

static void expect_at(const char *host, bool anywhere, const char *first, const char *second)
{
    int fds[2] = {-1, -1};
    unsigned port = 0;
    struct errmsg err = {""};
    char ip[64];
    if (net_listen(host, 0, anywhere, fds, &port, &err) < 0)
        fail_msg("%s: %s", host, err.text);
    assert_true(port > 0);
    own_address(fds[0], ip, sizeof ip);
    assert_string_equal(ip, first);
    if (second == NULL) {
        assert_int_equal(fds[1], -1);
    } else if (fds[1] >= 0) { /* there may be no IPv6 */
        own_address(fds[1], ip, sizeof ip);
        assert_string_equal(ip, second);
    }
    io_close(fds[0]);
    io_close(fds[1]);
}

static void where_it_listens(void **state)
{
    (void)state;
    expect_at("", false, "127.0.0.1", "::1");
    expect_at("*", false, "127.0.0.1", "::1");
    expect_at("localhost", false, "127.0.0.1", "::1");
    expect_at("192.0.2.1", false, "127.0.0.1", "::1");
    expect_at("127.0.0.1", false, "127.0.0.1", NULL);
    expect_at("localhost", true, "127.0.0.1", "::1");
    expect_at("0.0.0.0", true, "0.0.0.0", NULL);
}

static void nobody_else_has_the_port(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[2] = {-1, -1}, others[2] = {-1, -1};
    unsigned port = 0, again;
    int one = 1;
    struct errmsg err = {""};
    (void)state;
    assert_int_equal(net_listen("127.0.0.1", 0, false, fds, &port, &err), 0);
    assert_int_equal(net_listen("127.0.0.1", port, false, others, &again, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "listen at 127.0.0.1 port"));
    SOCKET thief = socket(AF_INET, SOCK_STREAM, 0);
    (void)setsockopt(thief, SOL_SOCKET, SO_REUSEADDR, (const char *)&one, sizeof one);
    at.sin_port = htons((u_short)port);
    assert_true(bind(thief, (struct sockaddr *)&at, sizeof at) != 0 || listen(thief, 1) != 0);
    closesocket(thief);
    io_close(fds[0]);
}

static void to_a_listener(void **state)
{
    int fds[2] = {-1, -1};
    int ours = -1, theirs = -1;
    unsigned port = 0;
    char byte = 0;
    struct errmsg err = {""};
    struct sockaddr_storage from;
    struct pollfd door;
    (void)state;
    assert_int_equal(net_listen("127.0.0.1", 0, false, fds, &port, &err), 0);
    assert_int_equal(net_connect("localhost", port, &ours, &err), 0);
    door = (struct pollfd){.fd = (SOCKET)fds[0], .events = POLLIN};
    assert_int_equal(io_poll(&door, 1, 10000), 1);
    assert_int_equal(io_accept(fds[0], &from, &theirs), 0);
    assert_int_equal(io_read(ours, &byte, 1), -EAGAIN);
    assert_int_equal(io_write(theirs, "x", 1), 1);
    door = (struct pollfd){.fd = (SOCKET)ours, .events = POLLIN};
    assert_int_equal(io_poll(&door, 1, 10000), 1);
    assert_int_equal(io_read(ours, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    DWORD flags = HANDLE_FLAG_INHERIT;
    assert_true(GetHandleInformation((HANDLE)(SOCKET)ours, &flags));
    assert_int_equal(flags & HANDLE_FLAG_INHERIT, 0);
    io_close(ours);
    io_close(theirs);
    io_close(fds[0]);
}

static void why_not(void **state)
{
    int fds[2] = {-1, -1};
    int fd = -1;
    unsigned port = 0;
    struct errmsg err = {""};
    (void)state;
    assert_int_equal(net_listen("127.0.0.1", 0, false, fds, &port, &err), 0);
    io_close(fds[0]);
    assert_int_equal(net_connect("127.0.0.1", port, &fd, &err), -ECONNREFUSED);
    assert_non_null(strstr(err.text, "connect to 127.0.0.1 port"));
    assert_true(net_connect("no-such-host.invalid", 80, &fd, &err) < 0);
    assert_non_null(strstr(err.text, "cannot find no-such-host.invalid: "));
    assert_true(net_connect("\xff", 80, &fd, &err) < 0);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(where_it_listens),
                                       cmocka_unit_test(nobody_else_has_the_port),
                                       cmocka_unit_test(to_a_listener), cmocka_unit_test(why_not)};
    return cmocka_run_group_tests(tests, start, NULL);
}
