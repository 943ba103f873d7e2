/* Descriptors: pairs, doors, waiting for them, and what is told of their end. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "base/io.h"
#include "portable.h"
#include <errno.h>
#include <signal.h>

#define SOON_MS 20000 /* what comes for sure */

static int start(void **state)
{
    (void)state;
    return io_start() == 0 && io_start() == 0 ? 0 : -1;
}

/* A pair that is waited for is as good as one that blocks. */
static long read_soon(int fd, void *data, size_t n)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    assert_int_equal(io_poll(&one, 1, SOON_MS), 1);
    assert_int_equal(one.revents & POLLIN, POLLIN);
    return io_read(fd, data, n);
}

static void a_pair(void **state)
{
    char text[100];
    int fds[2];
    (void)state;
    assert_int_equal(io_pair(false, fds), 0);
    assert_int_equal(io_read(fds[0], text, sizeof text), -EAGAIN);
    assert_int_equal(io_read(fds[1], text, sizeof text), -EAGAIN);
    assert_int_equal(io_write(fds[0], "there", 5), 5);
    assert_int_equal(io_write(fds[1], "and back", 8), 8);
    assert_int_equal(read_soon(fds[1], text, sizeof text), 5);
    assert_memory_equal(text, "there", 5);
    assert_int_equal(read_soon(fds[0], text, sizeof text), 8);
    assert_memory_equal(text, "and back", 8);
    /* One direction ends, the other does not. */
    assert_int_equal(io_shut(fds[0]), 0);
    assert_int_equal(read_soon(fds[1], text, sizeof text), 0);
    assert_int_equal(io_write(fds[1], "more", 4), 4);
    assert_int_equal(read_soon(fds[0], text, sizeof text), 4);
    io_close(fds[1]);
    assert_int_equal(read_soon(fds[0], text, sizeof text), 0);
    io_close(fds[0]);
    io_close(-1);
}

static void the_second_may_block(void **state)
{
    char text[100];
    int fds[2];
    (void)state;
    assert_int_equal(io_pair(true, fds), 0);
    assert_int_equal(io_read(fds[0], text, sizeof text), -EAGAIN);
    assert_int_equal(io_write(fds[0], "x", 1), 1);
    assert_int_equal(io_read(fds[1], text, sizeof text), 1); /* without waiting first */
    io_close(fds[0]);
    assert_int_equal(io_read(fds[1], text, sizeof text), 0);
    io_close(fds[1]);
}

/* Fills it until nothing fits for a while. */
static uint64_t fill(int fd)
{
    static const char zeros[65536];
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    uint64_t all = 0;
    long n;
    do {
        n = io_write(fd, zeros, sizeof zeros);
        assert_true(n > 0 || n == -EAGAIN);
        all += n > 0 ? (uint64_t)n : 0;
    } while (n > 0 || io_poll(&one, 1, 100) > 0);
    return all;
}

static void a_full_one(void **state)
{
    static char scratch[65536];
    int fds[2];
    (void)state;
    assert_int_equal(io_pair(false, fds), 0);
    uint64_t left = fill(fds[0]);
    assert_true(left > 1000);
    while (left > 0) {
        long n = read_soon(fds[1], scratch, sizeof scratch);
        assert_true(n > 0);
        left -= (uint64_t)n;
    }
    struct pollfd one = {.fd = fds[0], .events = POLLOUT};
    assert_int_equal(io_poll(&one, 1, SOON_MS), 1);
    assert_int_equal(one.revents, POLLOUT);
    io_close(fds[0]);
    io_close(fds[1]);
}

static void waiting(void **state)
{
    struct pollfd fds[3] = {
        {.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    int a[2], b[2];
    (void)state;
    assert_int_equal(io_pair(false, a), 0);
    assert_int_equal(io_pair(false, b), 0);
    fds[0].fd = a[0];
    fds[2].fd = b[0];
    assert_int_equal(io_poll(fds, 3, 0), 0);
    uint64_t before = clock_now_ms();
    assert_int_equal(io_poll(fds, 3, 100), 0);
    assert_in_range(clock_now_ms() - before, 80, 10000);
    /* Without anything to wait for it waits all the same. */
    before = clock_now_ms();
    assert_int_equal(io_poll(fds + 1, 1, 100), 0);
    assert_int_equal(io_poll(NULL, 0, 0), 0);
    assert_in_range(clock_now_ms() - before, 80, 10000);
    assert_int_equal(io_write(b[1], "x", 1), 1);
    fds[1].revents = POLLIN;
    assert_int_equal(io_poll(fds, 3, -1), 1);
    assert_int_equal(fds[0].revents, 0);
    assert_int_equal(fds[1].revents, 0);
    assert_int_equal(fds[2].revents, POLLIN);
    /* Who does not ask is not told, be it of bytes or of an end, and does not keep the others awake. */
    fds[2].events = 0;
    io_shut(b[1]);
    before = clock_now_ms();
    assert_int_equal(io_poll(fds, 3, 100), 0);
    assert_in_range(clock_now_ms() - before, 80, 10000);
    fds[2].events = POLLIN | POLLOUT;
    assert_int_equal(io_poll(fds, 3, SOON_MS), 1);
    assert_int_equal(fds[2].revents, POLLIN | POLLOUT);
    for (int i = 0; i < 2; i++) {
        io_close(a[i]);
        io_close(b[i]);
    }
}

static void many(void **state)
{
    enum { PAIRS = 100 };
    static int pairs[PAIRS][2];
    struct pollfd fds[PAIRS];
    (void)state;
    for (int i = 0; i < PAIRS; i++) {
        assert_int_equal(io_pair(false, pairs[i]), 0);
        fds[i] = (struct pollfd){.fd = pairs[i][0], .events = POLLIN};
    }
    assert_int_equal(io_write(pairs[3][1], "x", 1), 1);
    assert_int_equal(read_soon(pairs[3][0], &(char){0}, 1), 1);
    assert_int_equal(io_write(pairs[PAIRS - 1][1], "x", 1), 1);
    assert_int_equal(io_poll(fds, PAIRS, SOON_MS), 1);
    assert_int_equal(fds[PAIRS - 1].revents, POLLIN);
    for (int i = 0; i < PAIRS; i++) {
        io_close(pairs[i][0]);
        io_close(pairs[i][1]);
    }
}

/* A listening door on the loopback, and where it is. */
static int door(struct sockaddr_in *ret_at)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = (int)socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *ret_at = at;
    return fd;
}

static void accepting(void **state)
{
    struct sockaddr_in at;
    struct sockaddr_storage from = {0};
    char text[10];
    int there = door(&at), client = (int)socket(AF_INET, SOCK_STREAM, 0), got = -1;
    struct pollfd one = {.fd = there, .events = POLLIN};
    (void)state;
    assert_int_equal(io_poll(&one, 1, 0), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(io_poll(&one, 1, SOON_MS), 1);
    assert_int_equal(io_accept(there, &from, &got), 0);
    assert_int_equal(from.ss_family, AF_INET);
    assert_int_equal(io_read(got, text, sizeof text), -EAGAIN);
    assert_int_equal(io_write(client, "hello", 5), 5);
    assert_int_equal(read_soon(got, text, sizeof text), 5);
    /* A reset is told to whoever waits, and to whoever does not. */
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, (const void *)&now, sizeof now), 0);
    io_close(client);
    one = (struct pollfd){.fd = got};
    assert_int_equal(io_poll(&one, 1, SOON_MS), 1);
    assert_int_equal(one.revents & POLLERR, POLLERR);
    assert_true(io_read(got, text, sizeof text) <= 0);
    io_close(got);
    io_close(there);
    assert_true(io_accept(there, &from, &got) < 0);
}

static void writing_to_nobody(void **state)
{
    int fds[2];
    long r = 0;
    (void)state;
    assert_int_equal(io_pair(false, fds), 0);
    io_close(fds[1]);
    for (uint64_t until = clock_now_ms() + SOON_MS; r >= 0 && clock_now_ms() < until;) {
        struct pollfd one = {.fd = fds[0], .events = POLLOUT};
        assert_int_equal(io_poll(&one, 1, SOON_MS), 1);
        r = io_write(fds[0], "x", 1);
    }
    assert_true(r == -EPIPE || r == -ECONNRESET);
    io_close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair),
        cmocka_unit_test(the_second_may_block),
        cmocka_unit_test(a_full_one),
        cmocka_unit_test(waiting),
        cmocka_unit_test(many),
        cmocka_unit_test(accepting),
        cmocka_unit_test(writing_to_nobody),
    };
#ifdef SIGPIPE
    signal(SIGPIPE, SIG_IGN);
#endif
    return cmocka_run_group_tests(tests, start, NULL);
}
