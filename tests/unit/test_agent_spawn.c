/* A program that gets a connection as its standard input: it hears, it is heard, and its end is the connection's. The
 * program is this one. */
#include "cmocka_all.h"

#include "agent/spawn.h"
#include "base/io.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHILD_STATUS 5

/* --- the program --- */

static int standard_input(void)
{
#ifdef _WIN32
    /* Wine writes only to sockets that a process has made itself. */
    WSAPROTOCOL_INFOW info;
    SOCKET given = (SOCKET)GetStdHandle(STD_INPUT_HANDLE);
    if (WSADuplicateSocketW(given, GetCurrentProcessId(), &info) != 0)
        return -1;
    SOCKET own =
        WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0, WSA_FLAG_OVERLAPPED);
    CloseHandle((HANDLE)given);
    return (int)own;
#else
    return 0;
#endif
}

/* Answers what it hears, in capitals, until a full stop. */
static int child(void)
{
    if (io_start() != 0)
        return 1;
    int fd = standard_input();
    for (;;) {
        char c;
        struct pollfd wait = {.fd = (uv_os_sock_t)fd, .events = POLLIN};
        if (io_poll(&wait, 1, 10000) != 1 || io_read(fd, &c, 1) != 1)
            return 2;
        if (c == '.')
            return CHILD_STATUS;
        c = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
        if (io_write(fd, &c, 1) != 1)
            return 3;
    }
}

/* --- its parent --- */

struct talk {
    uv_stream_t *stream;
    uv_write_t write;
    char heard[32], room[32];
    size_t n;
    int64_t status;
    bool ended, exited, answered;
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct talk *t = handle->data;
    (void)suggested;
    *buf = uv_buf_init(t->room, sizeof t->room);
}

static void say(struct talk *t, char *text)
{
    uv_buf_t out = uv_buf_init(text, (unsigned)strlen(text));
    assert_int_equal(uv_write(&t->write, t->stream, &out, 1, NULL), 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    static char stop[] = ".";
    struct talk *t = stream->data;
    if (n < 0) {
        t->ended = true;
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
        return;
    }
    assert_true(t->n + (size_t)n < sizeof t->heard);
    memcpy(t->heard + t->n, buf->base, (size_t)n);
    t->n += (size_t)n;
    if (t->n == 5 && !t->answered) {
        t->answered = true;
        say(t, stop);
    }
}

static void on_process_end(uv_process_t *process, int64_t status, int signal_number)
{
    struct talk *t = process->data;
    assert_int_equal(signal_number, 0);
    t->exited = true;
    t->status = status;
    uv_close((uv_handle_t *)process, NULL);
}

static void hears_and_is_heard(void **state)
{
    static char hello[] = "hello", word[] = "child";
    char path[1024];
    size_t size = sizeof path;
    char *args[] = {path, word, NULL};
    struct talk t = {.n = 0};
    uv_process_t process = {.data = &t};
    uv_loop_t loop;
    (void)state;
    assert_int_equal(uv_exepath(path, &size), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(spawn_connected(&loop, &process, on_process_end, args[0], args, &t.stream), 0);
    t.stream->data = &t;
    assert_int_equal(uv_read_start(t.stream, on_alloc, on_read), 0);
    say(&t, hello);
    uv_run(&loop,
           UV_RUN_DEFAULT); /* ends when the connection has ended: nobody here holds the program's end */
    assert_true(t.ended && t.exited);
    assert_int_equal(t.status, CHILD_STATUS);
    assert_int_equal(t.n, 5);
    assert_memory_equal(t.heard, "HELLO", 5);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void is_not_there(void **state)
{
    static char path[] = "/nowhere/at/all";
    char *args[] = {path, NULL}, words[200];
    uv_process_t process = {.data = NULL};
    uv_stream_t *stream = NULL;
    uv_loop_t loop;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    int r = spawn_connected(&loop, &process, on_process_end, args[0], args, &stream);
    spawn_words(r, words, sizeof words);
    assert_int_equal(r, UV_ENOENT);
    assert_true(strlen(words) > 0);
    assert_null(stream);
    if (uv_handle_get_type((uv_handle_t *)&process) == UV_PROCESS)
        uv_close((uv_handle_t *)&process, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0); /* nothing is left */
}

static int start(void **state)
{
    (void)state;
    return io_start();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hears_and_is_heard), cmocka_unit_test(is_not_there)};
    if (argc == 2 && strcmp(argv[1], "child") == 0)
        return child();
    return cmocka_run_group_tests(tests, start, NULL);
}
