/* Who listens on this host, and which addresses are its own. */
#include "cmocka_all.h"

#include "agent/listen.h"
#include "base/io.h"
#include <string.h>
#include <uv.h>

/* A listener comes and goes. */
static void comes_and_goes(const struct sockaddr *at, socklen_t size)
{
    struct sockaddr_storage bound;
    int fd = (int)socket(at->sa_family, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind((uv_os_sock_t)fd, at, size), 0);
    assert_int_equal(getsockname((uv_os_sock_t)fd, (struct sockaddr *)&bound, &size), 0);
    assert_int_equal(listen_check((const struct sockaddr *)&bound), 0); /* bound is not listening */
    assert_int_equal(listen((uv_os_sock_t)fd, 1), 0);
    assert_int_equal(listen_check((const struct sockaddr *)&bound), 1);
    io_close(fd);
    assert_int_equal(listen_check((const struct sockaddr *)&bound), 0);
}

static void ipv4(void **state)
{
    struct sockaddr_in in;
    (void)state;
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &in), 0);
    comes_and_goes((const struct sockaddr *)&in, sizeof in);
}

static void ipv6(void **state)
{
    struct sockaddr_in6 in6;
    (void)state;
    int fd = (int)socket(AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(uv_ip6_addr("::1", 0, &in6), 0);
    bool there = fd >= 0 && bind((uv_os_sock_t)fd, (const struct sockaddr *)&in6, sizeof in6) == 0;
    io_close(fd);
    if (!there)
        skip();
    comes_and_goes((const struct sockaddr *)&in6, sizeof in6);
}

/* One on every address is one on each of them. */
static void every_address(void **state)
{
    struct sockaddr_in in, other;
    socklen_t size = sizeof in;
    (void)state;
    assert_int_equal(uv_ip4_addr("0.0.0.0", 0, &in), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.9", 0, &other), 0);
    int fd = (int)socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind((uv_os_sock_t)fd, (const struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen((uv_os_sock_t)fd, 1), 0);
    assert_int_equal(getsockname((uv_os_sock_t)fd, (struct sockaddr *)&in, &size), 0);
    other.sin_port = in.sin_port;
    assert_int_equal(listen_check((const struct sockaddr *)&other), 1);
    io_close(fd);
}

static void whose_address(void **state)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    (void)state;
    assert_int_equal(uv_ip4_addr("127.3.4.5", 22, &in), 0);
    assert_true(listen_is_local((const struct sockaddr *)&in));
    assert_int_equal(uv_ip4_addr("192.0.2.77", 22, &in), 0);
    assert_false(listen_is_local((const struct sockaddr *)&in));
    assert_int_equal(uv_ip6_addr("2001:db8::77", 22, &in6), 0);
    assert_false(listen_is_local((const struct sockaddr *)&in6));
}

static int start(void **state)
{
    (void)state;
    return io_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ipv4), cmocka_unit_test(ipv6),
                                       cmocka_unit_test(every_address), cmocka_unit_test(whose_address)};
    return cmocka_run_group_tests(tests, start, NULL);
}
