/* The channel of messages, against a real socket on the other end. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "base/json.h"
#include "hub/seqpacket.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct bench {
    uv_loop_t loop;
    struct seqpacket *s;
    int other;
    unsigned messages, ended;
    int64_t last_n;
    char reason[80];
    bool free_inside; /* free the channel inside its callback */
};

static void on_message(void *arg, const cJSON *m)
{
    struct bench *b = arg;

    b->messages++;
    b->last_n = json_int_or(m, "n", 0, INT32_MAX, -1);
    if (b->free_inside) {
        seqpacket_free(b->s);
        b->s = NULL;
    }
}

static void on_ended(void *arg, const char *reason)
{
    struct bench *b = arg;

    b->ended++;
    (void)snprintf(b->reason, sizeof b->reason, "%s", reason);
    seqpacket_free(b->s);
    b->s = NULL;
}

static const struct seqpacket_calls calls = {.message = on_message, .ended = on_ended};

static int make_with(void **state, size_t queue_max)
{
    struct bench *b = calloc(1, sizeof *b);
    int pair[2];

    assert_non_null(b);
    assert_int_equal(uv_loop_init(&b->loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(seqpacket_new(&b->loop, pair[0], queue_max, &calls, b, &b->s), 0);
    b->other = pair[1];
    *state = b;
    return 0;
}

static int make(void **state)
{
    return make_with(state, 1u << 20);
}

static int make_small(void **state)
{
    return make_with(state, 65536);
}

static int clean(void **state)
{
    struct bench *b = *state;

    seqpacket_free(b->s);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    if (b->other >= 0)
        close(b->other);
    free(b);
    return 0;
}

static cJSON *numbered(int n)
{
    cJSON *m = json_new("test");

    (void)json_add_int(m, "n", n);
    return m;
}

static void say(struct bench *b, const char *text)
{
    assert_int_equal(send(b->other, text, strlen(text), 0), (int)strlen(text));
}

static void turn(struct bench *b)
{
    uv_run(&b->loop, UV_RUN_NOWAIT);
}

/* Receives one packet on the other end, and the descriptor that came with it (or -1). */
static ssize_t receive(struct bench *b, char *data, size_t size, int *ret_fd)
{
    struct iovec iov = {data, size - 1};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t k = recvmsg(b->other, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *ret_fd = -1;
    if (k >= 0) {
        data[k] = '\0';
        if (CMSG_FIRSTHDR(&m) != NULL)
            memcpy(ret_fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof *ret_fd);
    }
    return k;
}

static void test_messages_in_order(void **state)
{
    struct bench *b = *state;

    say(b, "{\"type\":\"x\",\"n\":1}");
    say(b, "{\"type\":\"x\",\"n\":2}");
    turn(b);
    assert_int_equal(b->messages, 2);
    assert_int_equal(b->last_n, 2);
    assert_int_equal(b->ended, 0);
}

static void test_a_descriptor_goes_over(void **state)
{
    struct bench *b = *state;
    char data[256], byte = 0;
    int pair[2], fd = -1;

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    assert_int_equal(seqpacket_send(b->s, numbered(7), pair[0]), 0); /* takes it */
    assert_true(receive(b, data, sizeof data, &fd) > 0);
    assert_string_equal(data, "{\"type\":\"test\",\"n\":7}");
    assert_true(fd >= 0);
    assert_int_equal(write(pair[1], "!", 1), 1);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, '!');
    close(fd);
    assert_int_equal(write(pair[1], "!", 1), -1); /* the channel kept none */
    assert_int_equal(errno, EPIPE);
    close(pair[1]);
}

static void test_queue_keeps_order_and_descriptors(void **state)
{
    struct bench *b = *state;
    char data[256];
    int sent = 0, got = 0, fds = 0;

    /* Fill the socket, then some more: every third with a descriptor. */
    while (seqpacket_queued(b->s) < 4000) {
        int fd = sent % 3 == 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;

        assert_int_equal(seqpacket_send(b->s, numbered(sent++), fd), 0);
        assert_true(sent < 100000);
    }
    for (int i = 0; i < sent + 1000 && got < sent; i++) {
        int fd = -1;
        ssize_t k = receive(b, data, sizeof data, &fd);
        char want[64];

        if (k < 0) {
            assert_int_equal(errno, EAGAIN);
            turn(b);
            continue;
        }
        (void)snprintf(want, sizeof want, "{\"type\":\"test\",\"n\":%d}", got);
        assert_string_equal(data, want);
        assert_int_equal(fd >= 0, got % 3 == 0);
        if (fd >= 0) {
            fds++;
            close(fd);
        }
        got++;
    }
    assert_int_equal(got, sent);
    assert_int_equal(fds, (sent + 2) / 3);
    assert_int_equal(seqpacket_queued(b->s), 0);
    assert_int_equal(b->ended, 0);
}

static void test_a_peer_that_does_not_read(void **state)
{
    struct bench *b = *state;
    int rc = 0, n = 0;

    for (; rc == 0 && n < 100000; n++)
        rc = seqpacket_send(b->s, numbered(n), -1);
    assert_int_equal(rc, -ENOBUFS);
    assert_true(seqpacket_queued(b->s) <= 65536);
    assert_int_equal(b->ended, 0); /* never inside the call */
    assert_int_equal(seqpacket_send(b->s, numbered(0), -1), -EPIPE);
    turn(b);
    assert_int_equal(b->ended, 1);
    assert_string_equal(b->reason, "it does not read its messages");
    turn(b);
    assert_int_equal(b->ended, 1);
}

static void expect_end(struct bench *b, const char *reason)
{
    turn(b);
    assert_int_equal(b->ended, 1);
    assert_non_null(strstr(b->reason, reason));
}

static void test_garbage(void **state)
{
    struct bench *b = *state;

    say(b, "{\"type\":\"x\"}");
    say(b, "not a message");
    expect_end(b, "not a message");
    assert_int_equal(b->messages, 1);
}

static void test_too_long(void **state)
{
    struct bench *b = *state;
    char *text = malloc(SEQPACKET_MESSAGE_MAX + 1);

    assert_non_null(text);
    memset(text, ' ', SEQPACKET_MESSAGE_MAX + 1);
    text[0] = '{';
    text[SEQPACKET_MESSAGE_MAX] = '}';
    assert_int_equal(send(b->other, text, SEQPACKET_MESSAGE_MAX + 1, 0), SEQPACKET_MESSAGE_MAX + 1);
    free(text);
    expect_end(b, "too long");
    assert_int_equal(b->messages, 0);
}

static void test_the_longest(void **state)
{
    struct bench *b = *state;
    char *text = malloc(SEQPACKET_MESSAGE_MAX);

    assert_non_null(text);
    memset(text, ' ', SEQPACKET_MESSAGE_MAX);
    memcpy(text, "{\"n\":5", 6);
    text[SEQPACKET_MESSAGE_MAX - 1] = '}';
    assert_int_equal(send(b->other, text, SEQPACKET_MESSAGE_MAX, 0), SEQPACKET_MESSAGE_MAX);
    free(text);
    turn(b);
    assert_int_equal(b->messages, 1);
    assert_int_equal(b->last_n, 5);
}

static void test_descriptors_from_a_peer_are_closed(void **state)
{
    struct bench *b = *state;
    struct iovec iov = {"{}", 2};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    int pair[2];

    memset(&control, 0, sizeof control);
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
    CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
    CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &pair[0], sizeof(int));
    assert_int_equal(sendmsg(b->other, &m, 0), 2);
    close(pair[0]);
    turn(b);
    assert_int_equal(b->messages, 1);
    /* Nobody holds the reading end any more. */
    assert_int_equal(write(pair[1], "!", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(pair[1]);
}

static void test_end(void **state)
{
    struct bench *b = *state;

    say(b, "{\"n\":3}");
    close(b->other);
    b->other = -1;
    expect_end(b, "closed");
    assert_int_equal(b->messages, 1); /* its last words are heard */
}

/* A peer that goes tells first how things ended; that something of ours did not reach it does not matter. */
static void last_words(struct bench *b, bool unread, bool sent_afterwards)
{
    for (int i = 1; i <= 20; i++) {
        char text[64];

        (void)snprintf(text, sizeof text, "{\"type\":\"close\",\"n\":%d}", i);
        say(b, text);
    }
    if (unread)
        assert_int_equal(seqpacket_send(b->s, numbered(1), -1), 0);
    close(b->other);
    b->other = -1;
    if (sent_afterwards)
        assert_int_equal(seqpacket_send(b->s, numbered(2), -1), -EPIPE);
    for (int i = 0; i < 100 && b->ended == 0; i++)
        turn(b);
    assert_int_equal(b->messages, 20);
    assert_int_equal(b->last_n, 20);
    assert_int_equal(b->ended, 1);
}

static void test_last_words(void **state)
{
    last_words(*state, false, false);
}

static void test_last_words_of_one_who_left_something_unread(void **state)
{
    last_words(*state, true, false);
}

static void test_last_words_of_one_who_is_spoken_to(void **state)
{
    last_words(*state, false, true);
}

static void test_last_words_of_one_who_left_something_unread_and_is_spoken_to(void **state)
{
    last_words(*state, true, true);
}

static void test_freed_in_its_own_callback(void **state)
{
    struct bench *b = *state;

    b->free_inside = true;
    say(b, "{\"n\":1}");
    say(b, "{\"n\":2}");
    turn(b);
    turn(b);
    assert_int_equal(b->messages, 1);
    assert_int_equal(b->ended, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_messages_in_order, make, clean),
        cmocka_unit_test_setup_teardown(test_a_descriptor_goes_over, make, clean),
        cmocka_unit_test_setup_teardown(test_queue_keeps_order_and_descriptors, make, clean),
        cmocka_unit_test_setup_teardown(test_a_peer_that_does_not_read, make_small, clean),
        cmocka_unit_test_setup_teardown(test_garbage, make, clean),
        cmocka_unit_test_setup_teardown(test_too_long, make, clean),
        cmocka_unit_test_setup_teardown(test_the_longest, make, clean),
        cmocka_unit_test_setup_teardown(test_descriptors_from_a_peer_are_closed, make, clean),
        cmocka_unit_test_setup_teardown(test_end, make, clean),
        cmocka_unit_test_setup_teardown(test_last_words, make, clean),
        cmocka_unit_test_setup_teardown(test_last_words_of_one_who_left_something_unread, make, clean),
        cmocka_unit_test_setup_teardown(test_last_words_of_one_who_is_spoken_to, make, clean),
        cmocka_unit_test_setup_teardown(test_last_words_of_one_who_left_something_unread_and_is_spoken_to,
                                        make, clean),
        cmocka_unit_test_setup_teardown(test_freed_in_its_own_callback, make, clean),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
