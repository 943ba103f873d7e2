/* The control pipe of a console: its messages, the end that writes them, and who is refused at the other one. This
 * program is that other one, too: started with --console. */
#include "cmocka_all.h"

#include "base/win.h"
#include "sshd/console_windows.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 60000u
#define LENGTH_BYTES 4u

static wchar_t path[] = L"C:\\\x4e2d\\shell.exe";
static wchar_t line[] = L"\"C:\\\x4e2d\\shell.exe\" -c \"a\\\\\\\"b\"";

/* --- messages --- */

static uint8_t *packed(const struct console_start *start, size_t *ret_n)
{
    uint8_t *data = NULL;
    uint32_t length;
    assert_int_equal(console_start_pack(start, &data, ret_n), 0);
    memcpy(&length, data, sizeof length);
    assert_int_equal(length, *ret_n - LENGTH_BYTES);
    assert_true(length <= CONSOLE_START_MAX);
    return data;
}

static void test_what_is_packed_is_parsed(void **state)
{
    const struct console_start start = {
        .columns = 132, .rows = 0xffff, .ended = 0x123456789abcdef0u, .path = path, .line = line};
    struct console_start parsed;
    size_t n;
    uint8_t *data = packed(&start, &n);
    (void)state;
    assert_int_equal(console_start_parse(data + LENGTH_BYTES, n - LENGTH_BYTES, &parsed), 0);
    assert_int_equal(parsed.columns, 132);
    assert_int_equal(parsed.rows, 0xffff);
    assert_true(parsed.ended == start.ended);
    assert_int_equal(wcscmp(parsed.path, path), 0);
    assert_int_equal(wcscmp(parsed.line, line), 0);
    console_start_release(&parsed);
    assert_null(parsed.path);
    free(data);
}

static wchar_t *long_text(size_t units)
{
    wchar_t *text = calloc(units + 1, sizeof *text);
    assert_non_null(text);
    for (size_t i = 0; i < units; i++) {
        text[i] = L'x';
    }
    return text;
}

static void test_bounds(void **state)
{
    static const struct {
        size_t path, line;
        int rc;
    } sizes[] = {{CONSOLE_PATH_MAX, CMDLINE_MAX, 0},
                 {CONSOLE_PATH_MAX + 1, 5, -EMSGSIZE},
                 {5, CMDLINE_MAX + 1, -EMSGSIZE},
                 {0, 5, -EMSGSIZE},
                 {5, 0, -EMSGSIZE}};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct console_start start = {.path = long_text(sizes[i].path), .line = long_text(sizes[i].line)};
        struct console_start parsed;
        uint8_t *data = NULL;
        size_t n = 0;
        assert_int_equal(console_start_pack(&start, &data, &n), sizes[i].rc);
        if (sizes[i].rc == 0) {
            assert_int_equal(n, LENGTH_BYTES + CONSOLE_START_MAX);
            assert_int_equal(console_start_parse(data + LENGTH_BYTES, n - LENGTH_BYTES, &parsed), 0);
            assert_int_equal(wcslen(parsed.line), CMDLINE_MAX);
            console_start_release(&parsed);
        }
        free(data);
        console_start_release(&start);
    }
}

static void test_what_is_no_message(void **state)
{
    const struct console_start start = {.path = path, .line = line};
    const uint32_t path_units = (uint32_t)wcslen(path);
    const uint32_t units = path_units + (uint32_t)wcslen(line);
    const uint32_t bad_units[] = {0, units, units + 1, 0xffffffffu, CONSOLE_PATH_MAX + 1};
    struct console_start parsed = {0};
    size_t n;
    uint8_t *data = packed(&start, &n);
    uint8_t *body = data + LENGTH_BYTES;
    (void)state;
    n -= LENGTH_BYTES;
    for (size_t less = 0; less <= CONSOLE_HEAD_BYTES + 2 * path_units;
         less++) { /* no line, or not even that */
        assert_int_equal(console_start_parse(body, less, &parsed), -EPROTO);
    }
    assert_int_equal(console_start_parse(body, n - 1, &parsed), -EPROTO);
    for (size_t i = 0; i < COUNT(bad_units); i++) {
        memcpy(body + 12, &bad_units[i], sizeof bad_units[i]);
        assert_int_equal(console_start_parse(body, n, &parsed), -EPROTO);
    }
    memcpy(body + 12, &path_units, sizeof path_units);
    assert_int_equal(console_start_parse(body, n, &parsed), 0);
    console_start_release(&parsed);
    memset(body + CONSOLE_HEAD_BYTES + 4, 0, 2); /* the text ends within */
    assert_int_equal(console_start_parse(body, n, &parsed), -EPROTO);
    assert_null(parsed.path);
    free(data);
}

static void test_sizes(void **state)
{
    static const struct {
        unsigned columns, rows, x, y;
    } sizes[] = {{80, 24, 80, 24}, {0, 0, 0, 0}, {65535, 65536, 65535, 65535}, {0xffffffffu, 1, 65535, 1}};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uint8_t data[CONSOLE_SIZE_BYTES];
        unsigned columns, rows;
        console_size_pack(sizes[i].columns, sizes[i].rows, data);
        console_size_parse(data, &columns, &rows);
        assert_int_equal(columns, sizes[i].x);
        assert_int_equal(rows, sizes[i].y);
    }
}

/* --- the end that writes --- */

struct server {
    struct console_link *link;
    HANDLE process, ended, thread;
    HANDLE control; /* what the process would have */
};

static DWORD WINAPI serve(void *arg)
{
    struct server *server = arg;
    console_link_serve(server->link, server->process, server->ended);
    console_link_shut(server->link);
    return 0;
}

static void server_start(struct server *server, const wchar_t *what)
{
    struct errmsg err;
    server->process = CreateEventW(NULL, TRUE, FALSE, NULL); /* set when it ends, as a process is */
    server->ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    assert_int_equal(console_link_new(100, 70000, path, what, server->ended, &server->link, &err), 0);
    assert_true(DuplicateHandle(GetCurrentProcess(), console_link_control(server->link), GetCurrentProcess(),
                                &server->control, 0, FALSE, DUPLICATE_SAME_ACCESS));
    console_link_resize(server->link, 1, 2); /* comes behind the start */
    server->thread = CreateThread(NULL, 0, serve, server, 0, NULL);
    assert_non_null(server->thread);
}

static void server_finish(struct server *server)
{
    assert_int_equal(WaitForSingleObject(server->thread, DEADLINE_MS), WAIT_OBJECT_0);
    console_link_free(server->link);
    CloseHandle(server->thread);
    CloseHandle(server->process);
    CloseHandle(server->ended);
    CloseHandle(server->control);
}

static bool take(const struct server *server, void *data, size_t n)
{
    uint8_t *at = data;
    DWORD got;
    for (; n > 0; at += got, n -= got) {
        if (!ReadFile(server->control, at, (DWORD)n, &got, NULL) || got == 0) {
            return false;
        }
    }
    return true;
}

static void take_start(const struct server *server, const wchar_t *what)
{
    static uint8_t data[CONSOLE_START_MAX];
    struct console_start start;
    uint32_t length;
    assert_true(take(server, &length, sizeof length));
    assert_true(length <= sizeof data);
    assert_true(take(server, data, length));
    assert_int_equal(console_start_parse(data, length, &start), 0);
    assert_int_equal(start.columns, 100);
    assert_int_equal(start.rows, 65535);
    assert_int_equal(wcscmp(start.line, what), 0);
    assert_true(start.ended == (uintptr_t)console_link_event(server->link));
    console_start_release(&start);
}

/* Nobody reads for long: the sizes of that time do not pile up, who tells them never waits, and the last one comes. */
static void test_sizes_while_nobody_reads(void **state)
{
    wchar_t *what = long_text(CMDLINE_MAX); /* more than the pipe holds */
    struct server server;
    uint8_t message[CONSOLE_SIZE_BYTES];
    unsigned columns = 0, rows = 0, n = 0;
    (void)state;
    server_start(&server, what);
    for (unsigned i = 0; i < 100000; i++) {
        console_link_resize(server.link, i, 50);
    }
    console_link_resize(server.link, 77, 33);
    take_start(&server, what);
    while (columns != 77 || rows != 33) {
        assert_true(take(&server, message, sizeof message));
        console_size_parse(message, &columns, &rows);
        n++;
    }
    assert_true(n < 5);
    /* The process has no more right to the event than to set it. */
    assert_true(SetEvent(console_link_event(server.link)));
    assert_int_equal(WaitForSingleObject(console_link_event(server.link), 0), WAIT_FAILED);
    assert_false(take(&server, message, sizeof message)); /* the end */
    console_link_resize(server.link, 5, 5);               /* nothing */
    server_finish(&server);
    free(what);
}

static void test_a_process_that_goes(void **state)
{
    struct server server;
    wchar_t *what = long_text(CMDLINE_MAX);
    (void)state;
    server_start(&server, what); /* whose start is not read */
    SetEvent(server.process);
    server_finish(&server);
    server_start(&server, line); /* or its end of the pipe is closed, and then it ends */
    take_start(&server, line);
    console_link_started(server.link);
    CloseHandle(server.control);
    server.control = NULL;
    console_link_resize(server.link, 3, 3);
    assert_int_equal(WaitForSingleObject(server.thread, 100), WAIT_TIMEOUT);
    SetEvent(server.process);
    server_finish(&server);
    free(what);
}

/* --- who is refused --- */

/* Returns its exit code, with what it said. */
static DWORD refuse(HANDLE in, HANDLE out, HANDLE err, HANDLE said, char *text, size_t size)
{
    STARTUPINFOW startup = {.cb = sizeof startup,
                            .dwFlags = STARTF_USESTDHANDLES,
                            .hStdInput = in,
                            .hStdOutput = out,
                            .hStdError = err};
    PROCESS_INFORMATION made;
    wchar_t self[1024], words[1100];
    DWORD code = 0, n = 0;
    assert_true(GetModuleFileNameW(NULL, self, 1024) < 1024);
    (void)swprintf(words, 1100, L"\"%ls\" --console", self);
    assert_true(CreateProcessW(self, words, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &made));
    CloseHandle(err);
    assert_int_equal(WaitForSingleObject(made.hProcess, DEADLINE_MS), WAIT_OBJECT_0);
    assert_true(GetExitCodeProcess(made.hProcess, &code));
    if (said == NULL || !ReadFile(said, text, (DWORD)size - 1, &n, NULL)) {
        n = 0;
    }
    text[n] = '\0';
    CloseHandle(made.hThread);
    CloseHandle(made.hProcess);
    return code;
}

static void test_whoever_else_runs_it(void **state)
{
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    HANDLE nul = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE,
                             &inherited, OPEN_EXISTING, 0, NULL);
    HANDLE in, said, said_in, control;
    static const uint32_t lengths[] = {0, CONSOLE_HEAD_BYTES, CONSOLE_START_MAX + 1, 0xffffffffu};
    char text[512];
    DWORD n;
    (void)state;
    assert_true(CreatePipe(&said, &said_in, &inherited, 0));
    assert_int_equal(refuse(nul, nul, said_in, said, text, sizeof text), 2);
    assert_non_null(strstr(text, "--console is for the server alone"));
    CloseHandle(said);
    /* Three pipes, of which the last can only be written. */
    assert_true(CreatePipe(&said, &said_in, &inherited, 0));
    assert_true(CreatePipe(&in, &control, &inherited, 0));
    assert_int_equal(refuse(in, control, said_in, said, text, sizeof text), 2);
    assert_non_null(strstr(text, "--console is for the server alone"));
    CloseHandle(said);
    /* A control pipe with what is no start, or none. */
    for (size_t i = 0; i <= COUNT(lengths); i++) {
        HANDLE read_end, write_end;
        assert_true(CreatePipe(&read_end, &write_end, &inherited, 0));
        (void)SetHandleInformation(write_end, HANDLE_FLAG_INHERIT, 0);
        assert_true(i == COUNT(lengths) || WriteFile(write_end, &lengths[i], sizeof lengths[i], &n, NULL));
        CloseHandle(write_end);
        assert_int_equal(refuse(in, control, read_end, NULL, text, sizeof text), 2);
    }
    CloseHandle(in);
    CloseHandle(control);
    CloseHandle(nul);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_packed_is_parsed), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_what_is_no_message),       cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_sizes_while_nobody_reads), cmocka_unit_test(test_a_process_that_goes),
        cmocka_unit_test(test_whoever_else_runs_it),
    };
    if (argc == 2 && strcmp(argv[1], CONSOLE_FLAG) == 0) {
        return console_main();
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
