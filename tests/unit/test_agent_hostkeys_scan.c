/* A scan of host keys that is given up, with the real ssh-keyscan. */
#include "cmocka_all.h"

#include "agent/hostkeys.h"
#include "base/io.h"
#include "portable.h"
#include <errno.h>
#include <string.h>

static void on_keys(void *arg, struct hostkeys *keys)
{
    (void)arg;
    (void)keys;
    fail_msg("a scan that was given up tells nothing");
}

/* Nothing is left of it: no handle that keeps the loop, and no process, be it a dead one. */
static void cancelled(void **state)
{
    struct addr_hostport target = {.host = "127.0.0.1"};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    struct hostkeys_scan *scan = NULL;
    uv_loop_t loop;
    (void)state;
    int silent = (int)socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(silent, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(silent, 16), 0);
    assert_int_equal(getsockname(silent, (struct sockaddr *)&at, &size), 0);
    target.port = ntohs(at.sin_port);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(hostkeys_scan(&loop, &target, true, on_keys, NULL, &scan), 0);
    struct pollfd called = {.fd = silent, .events = POLLIN};
    bool met = io_poll(&called, 1, 10000) == 1; /* not where it is not installed */
    hostkeys_cancel(scan);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_true(portable_childless());
    io_close(silent);
    if (!met)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cancelled)};
    if (io_start() != 0)
        return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
