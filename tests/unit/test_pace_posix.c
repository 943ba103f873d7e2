/* A real connection whose reader is paced: what wakes it, and when it is left alone. */
#include "base/clock.h"
#include "base/io.h"
#include "base/pace.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL 1000u

static int reader, writer;
static char chunk[4 * PACE_WAKE];

static int setup(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&at, n), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    writer = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(writer, (struct sockaddr *)&at, n), 0);
    reader = accept(listener, NULL, NULL);
    assert_true(reader >= 0);
    close(listener);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(reader);
    close(writer);
    return 0;
}

static void come(size_t n)
{
    for (size_t sent = 0; sent < n;) {
        ssize_t r = send(writer, chunk, n - sent < sizeof chunk ? n - sent : sizeof chunk, 0);
        assert_true(r > 0);
        sent += (size_t)r;
    }
}

static bool woken(int ms)
{
    struct pollfd f = {.fd = reader, .events = POLLIN};
    return poll(&f, 1, ms) == 1;
}

/* Reads n bytes, which have come or will, and tells p of one turn. */
static void take(struct pace *p, size_t n, uint64_t now)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = recv(reader, chunk, n - got < sizeof chunk ? n - got : sizeof chunk, 0);
        assert_true(r > 0);
        got += (size_t)r;
    }
    pace_read(p, reader, n, false, now);
}

/* Until it is bulk. */
static void become_bulk(struct pace *p, uint64_t now)
{
    for (size_t n = 0; n < PACE_BEGIN; n += PACE_WAKE / 4) {
        assert_false(p->bulk);
        come(PACE_WAKE / 4);
        take(p, PACE_WAKE / 4, now);
    }
    assert_true(p->bulk && p->set);
    assert_int_equal(pace_due(p), now + PACE_WAIT_MS);
}

static void small_is_never_paced(void **state)
{
    struct pace p = {0};
    (void)state;
    for (int i = 0; i < 100; i++) {
        come(SMALL);
        assert_true(woken(10000));
        take(&p, SMALL, 1);
        assert_int_equal(pace_due(&p), UINT64_MAX);
    }
}

static void bulk_wakes_when_much_is_there(void **state)
{
    struct pace p = {0};
    (void)state;
    become_bulk(&p, 1000);
    come(SMALL);
    assert_false(woken(50));
    come(PACE_WAKE - SMALL);
    assert_true(woken(10000));
    take(&p, PACE_WAKE, 1001);
    assert_true(p.bulk && p.set);
    assert_int_equal(pace_due(&p), 1001 + PACE_WAIT_MS);
}

/* Who asks poll(2) before each read of a piece sees all of them, and what is waited for afterwards is as much as before. */
static void lifted_for_a_reader_that_polls(void **state)
{
    struct pace p = {0};
    (void)state;
    become_bulk(&p, 1000);
    come(PACE_WAKE);
    assert_true(woken(10000));
    pace_lift(&p, reader);
    assert_int_equal(pace_due(&p), UINT64_MAX);
    for (size_t got = 0; got < PACE_WAKE;) {
        ssize_t r;
        assert_true(woken(10000));
        r = recv(reader, chunk, SMALL, 0);
        assert_true(r > 0);
        got += (size_t)r;
    }
    pace_read(&p, reader, PACE_WAKE, false, 1001);
    assert_true(p.bulk && p.set);
    come(SMALL);
    assert_false(woken(50));
    /* Read before its time for another reason: this does not tell against it. */
    pace_lift(&p, reader);
    take(&p, SMALL, 1002);
    assert_true(p.bulk && p.set);
    pace_lift(&p, reader);
    pace_lift(&p, reader);
    come(SMALL);
    assert_true(woken(10000));
    take(&p, SMALL, 1003);
}

static void the_end_wakes_at_once(void **state)
{
    struct pace p = {0};
    (void)state;
    become_bulk(&p, 1000);
    come(SMALL);
    assert_int_equal(io_shut(writer), 0);
    assert_true(woken(10000));
}

static void time_wakes_and_judges(void **state)
{
    struct pace p = {0};
    (void)state;
    become_bulk(&p, 1000);
    come(PACE_WAKE / 2);
    pace_tick(&p, reader, 1000 + PACE_WAIT_MS - 1);
    assert_false(woken(50));
    pace_tick(&p, reader, 1000 + PACE_WAIT_MS);
    assert_true(woken(10000));
    assert_int_equal(pace_due(&p), UINT64_MAX);
    take(&p, PACE_WAKE / 2, 1004); /* it paid */
    assert_true(p.bulk && p.set);
    come(SMALL);
    assert_false(woken(50));
    pace_tick(&p, reader, 1004 + PACE_WAIT_MS);
    assert_true(woken(10000));
    take(&p, SMALL, 1008); /* it did not */
    assert_false(p.bulk || p.set);
    come(SMALL);
    assert_true(woken(10000));
    take(&p, SMALL, 1009);
}

/* A talk of questions and answers, each too big to be small: it is held up once in a while, and less and less often. */
static void talk_is_held_up_less_and_less(void **state)
{
    struct pace p = {0};
    uint64_t now = 1000;
    size_t turns = 0, late = 0, late_then = 0;
    (void)state;
    while (turns < 4096) {
        come(PACE_WAKE / 8);
        if (p.set) {
            now += PACE_WAIT_MS;
            pace_tick(&p, reader, now);
            late++;
        }
        assert_true(woken(10000));
        take(&p, PACE_WAKE / 8, now);
        if (++turns == 2048)
            late_then = late;
    }
    assert_in_range(late_then, 2, 8);
    assert_in_range(late - late_then, 0, 2);
}

static void the_way_back_follows(void **state)
{
    struct pace p = {.follow = true};
    (void)state;
    come(SMALL);
    take(&p, SMALL, 1000);
    assert_true(p.set && !p.bulk);
    come(SMALL);
    assert_false(woken(50));
    pace_tick(&p, reader, 1000 + PACE_WAIT_MS);
    assert_true(woken(10000));
    take(&p, SMALL, 1003);
    assert_true(p.set);
    p.follow = false;
    come(SMALL);
    pace_tick(&p, reader, 1003 + PACE_WAIT_MS);
    take(&p, SMALL, 1006);
    assert_false(p.set);
    assert_int_equal(p.tries, 0);
}

/* What is no socket cannot be paced, and does no harm. */
static void without_a_socket(void **state)
{
    struct pace p = {0};
    (void)state;
    for (int i = 0; i < 100; i++)
        pace_read(&p, -1, PACE_WAKE, false, 1);
    assert_false(p.set);
    assert_int_equal(pace_due(&p), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_is_never_paced, setup, teardown),
        cmocka_unit_test_setup_teardown(bulk_wakes_when_much_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(lifted_for_a_reader_that_polls, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_wakes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(time_wakes_and_judges, setup, teardown),
        cmocka_unit_test_setup_teardown(talk_is_held_up_less_and_less, setup, teardown),
        cmocka_unit_test_setup_teardown(the_way_back_follows, setup, teardown),
        cmocka_unit_test(without_a_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
