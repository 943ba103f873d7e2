/* Pipes behind sockets: bytes, ends, and who goes first. */
#include "cmocka_all.h"

#include "base/io.h"
#include "sshd/pipes_windows.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 60000
#define MUCH (3u << 20)

static void wait_for(HANDLE event)
{
    assert_int_equal(WaitForSingleObject(event, DEADLINE_MS), WAIT_OBJECT_0);
}

static void wait_readable(int fd)
{
    struct pollfd poll = {.fd = fd, .events = POLLIN};
    assert_int_equal(io_poll(&poll, 1, DEADLINE_MS), 1);
}

static void write_all(int fd, const void *data, size_t n)
{
    const char *at = data;
    while (n > 0) {
        long took = io_write(fd, at, n);
        if (took == -EAGAIN) {
            struct pollfd poll = {.fd = fd, .events = POLLOUT};
            assert_int_equal(io_poll(&poll, 1, DEADLINE_MS), 1);
            continue;
        }
        assert_true(took > 0);
        at += took;
        n -= (size_t)took;
    }
}

/* A flow from a pipe or into one; the test has the other ends. */
struct joint {
    struct pipes_flow *flow;
    HANDLE pipe; /* theirs */
    int fd;      /* the caller's */
};

static void join(struct joint *joint, bool out, HANDLE ended, unsigned settle_ms)
{
    struct pipes_socket *socket;
    HANDLE ours;
    int pair[2];
    assert_int_equal(io_pair(true, pair), 0);
    assert_int_equal(pipes_socket_new(pair[1], &socket), 0);
    assert_int_equal(pipes_make(out, false, &ours, &joint->pipe), 0);
    assert_int_equal(out ? pipes_flow_out(ours, socket, ended, settle_ms, &joint->flow)
                         : pipes_flow_in(socket, ours, &joint->flow),
                     0);
    pipes_socket_release(socket);
    joint->fd = pair[0];
}

static void part(struct joint *joint)
{
    if (joint->pipe != NULL) {
        CloseHandle(joint->pipe);
    }
    io_close(joint->fd);
    wait_for(pipes_flow_over(joint->flow));
    pipes_flow_release(joint->flow);
}

static DWORD pipe_read(HANDLE pipe, char *data, DWORD n)
{
    DWORD got = 0;
    return ReadFile(pipe, data, n, &got, NULL) ? got : 0;
}

static void test_not_inherited_but_when_asked(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        HANDLE ours, theirs;
        DWORD flags;
        assert_int_equal(pipes_make(i % 2 == 0, i / 2 == 0, &ours, &theirs), 0);
        assert_true(GetHandleInformation(ours, &flags));
        assert_int_equal(flags & HANDLE_FLAG_INHERIT, 0);
        assert_true(GetHandleInformation(theirs, &flags));
        assert_int_equal(flags & HANDLE_FLAG_INHERIT, i / 2 == 0 ? HANDLE_FLAG_INHERIT : 0);
        CloseHandle(ours);
        CloseHandle(theirs);
    }
}

static void test_out(void **state)
{
    struct joint joint;
    char data[8];
    DWORD n;
    (void)state;
    join(&joint, true, NULL, 0);
    assert_true(WriteFile(joint.pipe, "abc", 3, &n, NULL));
    wait_readable(joint.fd);
    assert_int_equal(io_read(joint.fd, data, sizeof data), 3);
    assert_memory_equal(data, "abc", 3);
    assert_true(WriteFile(joint.pipe, "tail", 4, &n, NULL));
    CloseHandle(joint.pipe);
    joint.pipe = NULL;
    wait_for(pipes_flow_over(joint.flow));
    wait_readable(joint.fd);
    assert_int_equal(io_read(joint.fd, data, sizeof data), 4);
    wait_readable(joint.fd);
    assert_int_equal(io_read(joint.fd, data, sizeof data), 0);
    part(&joint);
}

/* As a program sees it whose output nobody wants any more. */
/* Who has inherited the pipe does not keep its flow alive. */
static void test_the_last_of_it(void **state)
{
    HANDLE ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    struct joint joint;
    char data[8];
    DWORD n;
    (void)state;
    join(&joint, true, ended, 1);
    SetEvent(ended);
    wait_for(pipes_flow_drained(joint.flow));
    assert_int_equal(WaitForSingleObject(pipes_flow_over(joint.flow), PIPES_LAST_MS + 500), WAIT_TIMEOUT);
    pipes_flow_last(joint.flow);
    assert_true(WriteFile(joint.pipe, "tail", 4, &n, NULL));
    wait_for(pipes_flow_over(joint.flow));
    wait_readable(joint.fd);
    assert_int_equal(io_read(joint.fd, data, sizeof data), 4);
    assert_memory_equal(data, "tail", 4);
    wait_readable(joint.fd);
    assert_int_equal(io_read(joint.fd, data, sizeof data), 0);
    part(&joint);
    CloseHandle(ended);
}

static void test_out_without_a_reader(void **state)
{
    static const char data[PIPES_SIZE];
    struct joint joint;
    DWORD n;
    (void)state;
    join(&joint, true, NULL, 0);
    io_close(joint.fd);
    joint.fd = -1;
    while (WriteFile(joint.pipe, data, sizeof data, &n, NULL)) {
    }
    part(&joint);
}

static void test_drained(void **state)
{
    HANDLE ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    (void)state;
    for (unsigned settle_ms = 0; settle_ms < 40; settle_ms += 20) {
        struct joint joint;
        char data[8];
        DWORD n;
        ResetEvent(ended);
        join(&joint, true, ended, settle_ms);
        assert_true(WriteFile(joint.pipe, "abc", 3, &n, NULL));
        wait_readable(joint.fd);
        assert_int_equal(WaitForSingleObject(pipes_flow_drained(joint.flow), 0), WAIT_TIMEOUT);
        assert_true(WriteFile(joint.pipe, "def", 3, &n, NULL));
        SetEvent(ended);
        wait_for(pipes_flow_drained(joint.flow));
        wait_readable(joint.fd);
        assert_int_equal(io_read(joint.fd, data, sizeof data), 6);
        assert_int_equal(WaitForSingleObject(pipes_flow_over(joint.flow), 0), WAIT_TIMEOUT);
        assert_true(WriteFile(joint.pipe, "on", 2, &n, NULL)); /* and goes on */
        wait_readable(joint.fd);
        assert_int_equal(io_read(joint.fd, data, sizeof data), 2);
        part(&joint);
    }
    CloseHandle(ended);
}

/* Another one writes and writes: what had been there when the event was set has come. */
static DWORD WINAPI write_on(void *arg)
{
    static const char data[PIPES_SIZE];
    DWORD n;
    while (WriteFile(*(HANDLE *)arg, data, sizeof data, &n, NULL)) {
    }
    return 0;
}

static void test_drained_while_another_writes(void **state)
{
    static char data[PIPES_SIZE];
    HANDLE ended = CreateEventW(NULL, TRUE, TRUE, NULL);
    HANDLE thread;
    struct joint joint;
    (void)state;
    join(&joint, true, ended, 1000);
    thread = CreateThread(NULL, 0, write_on, &joint.pipe, 0, NULL);
    while (WaitForSingleObject(pipes_flow_drained(joint.flow), 0) == WAIT_TIMEOUT) {
        wait_readable(joint.fd);
        assert_true(io_read(joint.fd, data, sizeof data) > 0);
    }
    io_close(joint.fd);
    joint.fd = -1;
    wait_for(thread);
    CloseHandle(thread);
    part(&joint);
    CloseHandle(ended);
}

static void test_in_with_one_typed(void **state)
{
    struct joint joint;
    char data[8];
    (void)state;
    join(&joint, false, NULL, 0);
    write_all(joint.fd, "ab", 2);
    assert_int_equal(pipe_read(joint.pipe, data, sizeof data), 2);
    pipes_flow_type(joint.flow, '\x03');
    assert_int_equal(pipe_read(joint.pipe, data, sizeof data), 1);
    assert_int_equal(data[0], 3);
    pipes_flow_type(joint.flow, '\x03');
    assert_int_equal(pipe_read(joint.pipe, data, sizeof data), 1);
    io_close(joint.fd);
    joint.fd = -1;
    assert_int_equal(pipe_read(joint.pipe, data, sizeof data), 0);
    wait_for(pipes_flow_over(joint.flow));
    pipes_flow_type(joint.flow, '\x03'); /* nobody is there */
    part(&joint);
}

/* What nobody takes does not keep who types, nor the end. */
static void test_typed_and_not_taken(void **state)
{
    static const char data[PIPES_SIZE];
    struct joint joint;
    (void)state;
    join(&joint, false, NULL, 0);
    for (int i = 0; i < 100 && io_write(joint.fd, data, sizeof data) > 0; i++) {
    }
    for (int i = 0; i < 1000; i++) {
        pipes_flow_type(joint.flow, '\x03');
    }
    pipes_flow_stop(joint.flow);
    part(&joint);
}

static void test_in_without_a_reader(void **state)
{
    static const char data[PIPES_SIZE];
    struct joint joint;
    (void)state;
    join(&joint, false, NULL, 0);
    CloseHandle(joint.pipe);
    joint.pipe = NULL;
    for (size_t n = 0; n < MUCH; n += sizeof data) {
        write_all(joint.fd, data, sizeof data);
    }
    part(&joint);
}

static void test_stop(void **state)
{
    struct joint joint;
    (void)state;
    join(&joint, true, NULL, 0);
    pipes_flow_stop(joint.flow);
    wait_for(pipes_flow_over(joint.flow));
    part(&joint);
}

/* --- the bridge --- */

struct reader {
    HANDLE pipe;
    size_t n;
};

static DWORD WINAPI read_all(void *arg)
{
    static char data[PIPES_SIZE];
    struct reader *reader = arg;
    DWORD n;
    while ((n = pipe_read(reader->pipe, data, sizeof data)) > 0) {
        reader->n += n;
    }
    return 0;
}

/* What is written arrives though the socket is closed over input that nobody has read. */
static void test_bridge(void **state)
{
    static const char data[PIPES_SIZE];
    struct pipes_bridge *bridge;
    struct reader reader = {0};
    HANDLE in, to_in, out, thread;
    char some[8];
    DWORD n;
    int fd;
    (void)state;
    assert_true(CreatePipe(&in, &to_in, NULL, 0));
    assert_true(CreatePipe(&reader.pipe, &out, NULL, 0));
    assert_int_equal(pipes_bridge_new(in, out, &fd, &bridge), 0);
    assert_true(WriteFile(to_in, "hello", 5, &n, NULL));
    wait_readable(fd);
    assert_int_equal(io_read(fd, some, sizeof some), 5);
    thread = CreateThread(NULL, 0, read_all, &reader, 0, NULL);
    for (size_t sent = 0; sent < MUCH; sent += sizeof data) {
        write_all(fd, data, sizeof data);
    }
    assert_true(WriteFile(to_in, "unread", 6, &n, NULL));
    wait_readable(fd);
    io_close(fd);
    assert_true(pipes_bridge_finish(bridge, DEADLINE_MS));
    wait_for(thread);
    assert_int_equal(reader.n, MUCH);
    CloseHandle(thread);
    CloseHandle(reader.pipe);
    CloseHandle(to_in);
}

static void test_bridge_whose_reader_sleeps(void **state)
{
    static const char data[PIPES_SIZE];
    struct pipes_bridge *bridge;
    HANDLE in, to_in, out, from_out;
    int fd;
    (void)state;
    assert_true(CreatePipe(&in, &to_in, NULL, 0));
    assert_true(CreatePipe(&from_out, &out, NULL, 0));
    assert_int_equal(pipes_bridge_new(in, out, &fd, &bridge), 0);
    for (int i = 0; i < 100 && io_write(fd, data, sizeof data) > 0; i++) {
    }
    assert_false(pipes_bridge_finish(bridge, 100));
    io_close(fd);
    CloseHandle(from_out);
    CloseHandle(to_in);
    assert_true(pipes_bridge_finish(NULL, 0));
}

static void test_bridge_wants_pipes(void **state)
{
    struct pipes_bridge *bridge;
    HANDLE nul = CreateFileW(L"NUL", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    HANDLE in, out;
    int fd;
    (void)state;
    assert_true(nul != INVALID_HANDLE_VALUE);
    assert_true(CreatePipe(&in, &out, NULL, 0));
    assert_int_equal(pipes_bridge_new(nul, out, &fd, &bridge), -EINVAL);
    CloseHandle(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_inherited_but_when_asked),
        cmocka_unit_test(test_out),
        cmocka_unit_test(test_the_last_of_it),
        cmocka_unit_test(test_out_without_a_reader),
        cmocka_unit_test(test_drained),
        cmocka_unit_test(test_drained_while_another_writes),
        cmocka_unit_test(test_in_with_one_typed),
        cmocka_unit_test(test_typed_and_not_taken),
        cmocka_unit_test(test_in_without_a_reader),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_bridge),
        cmocka_unit_test(test_bridge_whose_reader_sleeps),
        cmocka_unit_test(test_bridge_wants_pipes),
    };
    return io_start() != 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
