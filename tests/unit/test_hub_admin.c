/* The hub's own socket in a running hub, and what comes when descriptors run out. */
#include "cmocka_all.h"

#include "hub/admin.h"
#include "hub_running.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static int make(void **state)
{
    struct running *r = calloc(1, sizeof *r);

    assert_non_null(r);
    running_start(r, "", NULL);
    *state = r;
    return 0;
}

static int clean(void **state)
{
    running_end(*state);
    free(*state);
    return 0;
}

static int admin_connect(const struct running *r)
{
    struct sockaddr_un sa;
    int dir = -1, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(admin_address(r->scratch.folder, &sa, &dir), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    close(dir);
    return fd;
}

/* No descriptor more from now on; returns what was allowed before. */
static struct rlimit no_more(void)
{
    struct rlimit was, now;
    int next = dup(0);

    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    now = was;
    now.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return was;
}

/* How many turns the hub's loop makes in half a second. */
static unsigned turns_of(struct running *r)
{
    uint64_t until = clock_now_ms() + 500;
    unsigned before = r->turns;

    while (clock_now_ms() < until)
        running_turn(r, until);
    return r->turns - before;
}

static bool received(int fd, char *data, size_t size, const char *want)
{
    ssize_t k = recv(fd, data, size - 1, MSG_DONTWAIT);

    data[k < 0 ? 0 : k] = '\0';
    return k > 0 && strstr(data, want) != NULL;
}

static void test_a_command(void **state)
{
    static const char whoami[] = "{\"type\":\"exec\",\"id\":1,\"command\":\"whoami\"}";
    struct running *r = *state;
    int fd = admin_connect(r);
    char data[4096];

    assert_true(send(fd, whoami, sizeof whoami - 1, MSG_NOSIGNAL) > 0);
    RUNNING_UNTIL(r, 3000, received(fd, data, sizeof data, "local:"));
    close(fd);
}

/* The visitor waits; it is served when there are descriptors again. */
static void test_no_descriptor_for_a_visitor(void **state)
{
    static const char whoami[] = "{\"type\":\"exec\",\"id\":1,\"command\":\"whoami\"}";
    struct running *r = *state;
    int fd = admin_connect(r);
    struct rlimit was = no_more();
    char data[4096];
    unsigned turns = turns_of(r);

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_in_range(turns, 1, 60);
    assert_true(send(fd, whoami, sizeof whoami - 1, MSG_NOSIGNAL) > 0);
    RUNNING_UNTIL(r, 3000, received(fd, data, sizeof data, "local:"));
    close(fd);
}

/* On the port, whoever comes is closed and not left waiting. */
static void test_no_descriptor_for_a_connection(void **state)
{
    struct running *r = *state;
    int fd = running_connect(r), next = -1;
    struct rlimit was = no_more();
    unsigned turns = turns_of(r);

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_in_range(turns, 1, 60);
    assert_true(running_closed(fd));
    close(fd);
    next = running_connect(r);
    assert_true(send(next, "GET /", 5, MSG_NOSIGNAL) > 0);
    RUNNING_UNTIL(r, 3000, running_closed(next));
    close(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_command, make, clean),
        cmocka_unit_test_setup_teardown(test_no_descriptor_for_a_visitor, make, clean),
        cmocka_unit_test_setup_teardown(test_no_descriptor_for_a_connection, make, clean),
    };
    log_init("test_hub_admin");
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
