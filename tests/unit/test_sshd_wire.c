/* Messages between speaker and monitor: their form, and their way over a real socket with descriptors. */
#include "cmocka_all.h"

#include "sshd/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- form --- */

static void test_round_trip(void **state)
{
    struct buf out;
    struct wire_in in;
    char *one, *empty;
    (void)state;
    wire_begin(&out, WIRE_START, 0xfedcba98u);
    wire_put_number(&out, 0xffffffffu);
    wire_put_text(&out, "a\n\xff");
    wire_put_text(&out, "");
    wire_put_number(&out, 0);
    wire_open(&in, buf_data(&out), buf_len(&out));
    assert_int_equal(in.type, WIRE_START);
    assert_int_equal(in.id, 0xfedcba98u);
    assert_int_equal(wire_number(&in), 0xffffffffu);
    one = wire_text(&in, 3);
    assert_string_equal(one, "a\n\xff");
    assert_false(wire_done(&in));
    empty = wire_text(&in, 0);
    assert_string_equal(empty, "");
    assert_int_equal(wire_number(&in), 0);
    assert_true(wire_done(&in));
    free(one);
    free(empty);
    buf_wipe(&out);
}

/* Cut anywhere, a message is bad, and says so whatever is read of it. */
static void test_truncated(void **state)
{
    struct buf out;
    (void)state;
    wire_begin(&out, WIRE_VERDICT, 7);
    wire_put_number(&out, 1);
    wire_put_text(&out, "text");
    for (size_t n = 0; n < buf_len(&out); n++) {
        struct wire_in in;
        char *text;
        wire_open(&in, buf_data(&out), n);
        (void)wire_number(&in);
        text = wire_text(&in, 100);
        assert_null(text);
        assert_true(in.bad);
        assert_false(wire_done(&in));
    }
    buf_wipe(&out);
}

static void test_too_much_is_left(void **state)
{
    struct buf out;
    struct wire_in in;
    (void)state;
    wire_begin(&out, WIRE_SIGNAL, 7);
    wire_put_number(&out, 1);
    wire_open(&in, buf_data(&out), buf_len(&out));
    assert_false(wire_done(&in));
    assert_false(in.bad);
    buf_wipe(&out);
}

static void test_text_too_long_for_the_reader(void **state)
{
    struct buf out;
    struct wire_in in;
    (void)state;
    wire_begin(&out, WIRE_SIGNAL, 7);
    wire_put_text(&out, "12345");
    wire_put_number(&out, 9);
    wire_open(&in, buf_data(&out), buf_len(&out));
    assert_null(wire_text(&in, 4));
    assert_true(in.bad);
    assert_int_equal(wire_number(&in), 0); /* nothing is read out of step */
    buf_wipe(&out);
}

static void test_nul_and_lengths_that_lie(void **state)
{
    static const uint8_t nul[] = {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 'a', 0, 'b'};
    static const uint8_t huge[] = {0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 'a'};
    struct wire_in in;
    (void)state;
    wire_open(&in, nul, sizeof nul);
    assert_null(wire_text(&in, 100));
    assert_true(in.bad);
    wire_open(&in, huge, sizeof huge);
    assert_null(wire_text(&in, SIZE_MAX));
    assert_true(in.bad);
}

/* --- over a socket --- */

struct side {
    struct ssh_loop *loop;
    struct wire *wire;
    unsigned messages, lost;
    char why[128];
    uint32_t last;   /* the number in the last message */
    size_t last_fds; /* that came with it */
    int kept;        /* the descriptor that was taken, or -1 */
    bool out_of_step, fds_lost, spoil, free_inside;
    unsigned stop_at; /* messages */
};

static void on_message(void *arg, struct wire_in *in, int *fds, size_t fd_n)
{
    struct side *s = arg;
    uint32_t number = wire_number(in);
    char *text = wire_text(in, WIRE_MAX);
    s->out_of_step = s->out_of_step || number != s->messages;
    s->messages++;
    s->last = number;
    s->last_fds = fd_n;
    s->fds_lost = in->fds_lost;
    if (fd_n > 0) {
        s->kept = fds[0];
        fds[0] = -1;
    }
    free(text);
    if (s->spoil) {
        in->bad = true;
    }
    if (s->free_inside) {
        wire_free(s->wire);
        s->wire = NULL;
    }
    if (s->messages == s->stop_at) {
        ssh_loop_stop(s->loop);
    }
}

static void on_lost(void *arg, const char *why)
{
    struct side *s = arg;
    s->lost++;
    (void)snprintf(s->why, sizeof s->why, "%s", why);
    ssh_loop_stop(s->loop);
}

struct world {
    struct ssh_loop *loop;
    struct ssh_loop_timer *timer;
    struct side a, b;
    int raw; /* b's end, when b is no wire */
    bool late;
};

static void on_late(void *arg)
{
    struct world *w = arg;
    w->late = true;
    ssh_loop_stop(w->loop);
}

static void begin(struct world *w, bool raw)
{
    int pair[2];
    *w = (struct world){.a = {.kept = -1}, .b = {.kept = -1}, .raw = -1};
    assert_int_equal(ssh_loop_new(&w->loop), 0);
    assert_int_equal(ssh_loop_timer(w->loop, on_late, w, &w->timer), 0);
    ssh_loop_set(w->timer, ssh_loop_now(w->loop) + 30000);
    w->a.loop = w->b.loop = w->loop;
    assert_int_equal(wire_pair(pair), 0);
    assert_int_equal(wire_new(w->loop, pair[0], on_message, on_lost, &w->a, &w->a.wire), 0);
    if (raw) {
        w->raw = pair[1];
    } else {
        assert_int_equal(wire_new(w->loop, pair[1], on_message, on_lost, &w->b, &w->b.wire), 0);
    }
}

static void end(struct world *w)
{
    assert_false(w->late);
    wire_free(w->a.wire);
    wire_free(w->b.wire);
    if (w->raw >= 0) {
        close(w->raw);
    }
    ssh_loop_free(w->loop);
}

static int send_one(struct wire *wire, uint32_t number, size_t text_n, const int *fds, size_t fd_n)
{
    struct buf out;
    char *text = malloc(text_n + 1);
    int rc;
    assert_non_null(text);
    memset(text, 'x', text_n);
    text[text_n] = '\0';
    wire_begin(&out, WIRE_SIGNAL, number);
    wire_put_number(&out, number);
    wire_put_text(&out, text);
    rc = wire_send(wire, &out, fds, fd_n);
    assert_int_equal(buf_len(&out), 0);
    free(text);
    return rc;
}

static bool same_file(int a, int b)
{
    char one[2] = "", other[2] = "";
    return pread(a, one, 1, 0) == 1 && pread(b, other, 1, 0) == 1 && one[0] == other[0] &&
           lseek(a, 5, SEEK_SET) == 5 && lseek(b, 0, SEEK_CUR) == 5;
}

/* More than the socket takes and the reader reads in a turn: what is kept comes in order, and descriptors with
 * the message that they belong to, though the sender has closed its own. */
static void test_queue_keeps_order(void **state)
{
    enum { COUNT_MAX = 200 };
    struct world w;
    int first;
    (void)state;
    begin(&w, false);
    first = open("/proc/self/exe", O_RDONLY);
    assert_true(first >= 0);
    for (uint32_t i = 0; i < COUNT_MAX; i++) {
        int copy = i == COUNT_MAX - 1 ? dup(first) : -1;
        assert_int_equal(send_one(w.a.wire, i, 18000, &copy, copy >= 0 ? 1 : 0), 0);
        if (copy >= 0) {
            close(copy);
        }
    }
    assert_false(wire_idle(w.a.wire));
    w.b.stop_at = COUNT_MAX;
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.b.messages, COUNT_MAX);
    assert_false(w.b.out_of_step);
    assert_int_equal(w.b.last_fds, 1);
    assert_true(same_file(w.b.kept, first));
    assert_true((fcntl(w.b.kept, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true(wire_idle(w.a.wire));
    close(w.b.kept);
    close(first);
    end(&w);
}

static void test_longest(void **state)
{
    struct world w;
    (void)state;
    begin(&w, false);
    w.b.stop_at = 1;
    assert_int_equal(send_one(w.a.wire, 0, WIRE_MAX - 16, NULL, 0), 0);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.b.messages, 1);
    assert_int_equal(send_one(w.a.wire, 1, WIRE_MAX - 15, NULL, 0), -EMSGSIZE);
    assert_int_equal(send_one(w.a.wire, 1, WIRE_MAX * 2, NULL, 0), -EMSGSIZE);
    /* A message that did not fit is none, and the socket is as good as before. */
    w.b.stop_at = 2;
    assert_int_equal(send_one(w.a.wire, 1, 1, NULL, 0), 0);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.b.messages, 2);
    end(&w);
}

static void test_reader_that_does_not_read(void **state)
{
    struct world w;
    int rc = 0;
    unsigned sent = 0;
    (void)state;
    begin(&w, true);
    while (rc == 0 && sent < 1000) {
        rc = send_one(w.a.wire, sent++, 100000, NULL, 0);
    }
    assert_int_equal(rc, -ENOBUFS);
    assert_int_equal(w.a.lost, 0); /* not inside the call */
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.a.lost, 1);
    assert_non_null(strstr(w.a.why, "does not read"));
    assert_int_equal(send_one(w.a.wire, 0, 1, NULL, 0), -EPIPE);
    end(&w);
}

static void test_other_side_goes(void **state)
{
    struct world w;
    (void)state;
    begin(&w, true);
    close(w.raw);
    w.raw = -1;
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.a.lost, 1);
    assert_non_null(strstr(w.a.why, "has ended"));
    end(&w);
}

static void expect_given_up(const void *data, size_t n, unsigned messages)
{
    struct world w;
    begin(&w, true);
    assert_int_equal(send(w.raw, data, n, MSG_NOSIGNAL), (ssize_t)n);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.a.messages, messages);
    assert_int_equal(w.a.lost, 1);
    end(&w);
}

static void test_what_is_no_message(void **state)
{
    static const uint8_t lying[] = {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 'a'};
    static uint8_t big[WIRE_MAX + 1] = {0, 0, 0, 1};
    (void)state;
    expect_given_up("1234567", 7, 0);        /* shorter than a head */
    expect_given_up(lying, sizeof lying, 1); /* the callee meets what is bad */
    expect_given_up(big, sizeof big, 0);     /* cut by the reader's room */
}

static void test_callee_spoils(void **state)
{
    struct world w;
    (void)state;
    begin(&w, false);
    w.b.spoil = true;
    assert_int_equal(send_one(w.a.wire, 0, 1, NULL, 0), 0);
    assert_int_equal(send_one(w.a.wire, 1, 1, NULL, 0), 0);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.b.messages, 1); /* what came behind it does not count any more */
    assert_int_equal(w.b.lost, 1);
    end(&w);
}

static void test_free_inside(void **state)
{
    struct world w;
    (void)state;
    begin(&w, false);
    w.b.free_inside = true;
    assert_int_equal(send_one(w.a.wire, 0, 1, NULL, 0), 0);
    assert_int_equal(send_one(w.a.wire, 1, 1, NULL, 0), 0);
    assert_int_equal(ssh_loop_run(w.loop), 0); /* until a sees the end */
    assert_int_equal(w.b.messages, 1);
    assert_int_equal(w.b.lost, 0);
    assert_int_equal(w.a.lost, 1);
    end(&w);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void send_raw(int to, const void *data, size_t n, const int *fds, size_t fd_n)
{
    union {
        struct cmsghdr align;
        char data[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.data,
                            .msg_controllen = CMSG_SPACE(fd_n * sizeof(int))};
    memset(&control, 0, sizeof control);
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fd_n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, fd_n * sizeof(int));
    assert_int_equal(sendmsg(to, &header, MSG_NOSIGNAL), (ssize_t)n);
}

/* More descriptors than a message may have: the callee is told that there were, and none of them stays open. */
static void test_too_many_descriptors(void **state)
{
    static const uint8_t message[] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    const int fds[8] = {0, 1, 2, 0, 1, 2, 0, 1};
    struct world w;
    unsigned before;
    (void)state;
    begin(&w, true);
    before = open_descriptors();
    send_raw(w.raw, message, sizeof message, fds, 8);
    w.a.stop_at = 1;
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_true(w.a.fds_lost);
    assert_int_equal(w.a.last_fds, WIRE_FDS);
    assert_int_equal(open_descriptors(), before + 1);
    close(w.a.kept);
    end(&w);
}

/* Those that the callee does not take are closed. */
static void test_descriptors_not_taken(void **state)
{
    struct world w;
    const int fds[3] = {0, 1, 2};
    unsigned before;
    (void)state;
    begin(&w, false);
    before = open_descriptors();
    w.b.stop_at = 1;
    assert_int_equal(send_one(w.a.wire, 0, 1, fds, 3), 0);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.b.last_fds, 3);
    assert_int_equal(open_descriptors(), before + 1);
    close(w.b.kept);
    end(&w);
}

/* Without room for the descriptors of a message it is not taken for one without, and the next one comes. */
static void test_out_of_descriptors(void **state)
{
    const int fds[3] = {0, 1, 2};
    struct rlimit old, low;
    struct world w;
    int probe;
    (void)state;
    begin(&w, false);
    w.b.stop_at = 1;
    assert_int_equal(send_one(w.a.wire, 0, 1, fds, 3), 0);
    probe = dup(0);
    assert_true(probe >= 0);
    close(probe);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){.rlim_cur = (rlim_t)probe + 1, .rlim_max = old.rlim_max}; /* for one */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(w.b.messages, 1);
    assert_true(w.b.fds_lost);
    assert_true(w.b.last_fds < 3);
    if (w.b.kept >= 0) {
        close(w.b.kept);
    }
    w.b.stop_at = 2;
    assert_int_equal(send_one(w.a.wire, 1, 1, NULL, 0), 0);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.b.messages, 2);
    assert_false(w.b.fds_lost);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_too_much_is_left),
        cmocka_unit_test(test_text_too_long_for_the_reader),
        cmocka_unit_test(test_nul_and_lengths_that_lie),
        cmocka_unit_test(test_queue_keeps_order),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_reader_that_does_not_read),
        cmocka_unit_test(test_other_side_goes),
        cmocka_unit_test(test_what_is_no_message),
        cmocka_unit_test(test_callee_spoils),
        cmocka_unit_test(test_free_inside),
        cmocka_unit_test(test_too_many_descriptors),
        cmocka_unit_test(test_descriptors_not_taken),
        cmocka_unit_test(test_out_of_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
