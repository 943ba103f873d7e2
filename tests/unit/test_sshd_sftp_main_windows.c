/* SFTP on standard input and output of a process, whatever kind of handle they are: this program runs itself as the
 * server. */
#include "cmocka_all.h"

#include "base/io.h"
#include "base/log.h"
#include "base/win.h"
#include "sshd/sftp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 30000
#define ASKED 20000 /* far more than pipes hold */

static const uint8_t hello[] = {0, 0, 0, 5, 1, 0, 0, 0, 3};
static const uint8_t realpath[] = {0, 0, 0, 10, 16, 0, 0, 0, 7, 0, 0, 0, 1, '/'};

struct server {
    HANDLE process, log;
};

static HANDLE inherited(HANDLE handle)
{
    assert_true(SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT));
    return handle;
}

/* Starts the server with these handles, which it alone has then; they may be the same one. */
static struct server start(HANDLE in, HANDLE out)
{
    wchar_t path[MAX_PATH + 1], line[MAX_PATH + 20];
    struct server s = {0};
    HANDLE log = NULL;
    PROCESS_INFORMATION made;
    STARTUPINFOW how = {
        .cb = sizeof how, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = in, .hStdOutput = out};

    assert_true(CreatePipe(&s.log, &log, NULL, 1 << 16));
    how.hStdError = inherited(log);
    assert_true(GetModuleFileNameW(NULL, path, MAX_PATH) > 0);
    (void)_snwprintf(line, MAX_PATH + 20, L"\"%ls\" --sftp", path);
    inherited(in);
    inherited(out);
    assert_true(CreateProcessW(path, line, NULL, NULL, TRUE, 0, NULL, NULL, &how, &made));
    CloseHandle(made.hThread);
    CloseHandle(log);
    CloseHandle(in);
    if (out != in)
        CloseHandle(out);
    s.process = made.hProcess;
    return s;
}

/* Its exit code; what it logged goes to words. */
static DWORD end_of(struct server *s, char *words, size_t size)
{
    DWORD code = 99, n = 0, all = 0;
    assert_int_equal(WaitForSingleObject(s->process, WAIT_MS), WAIT_OBJECT_0);
    assert_true(GetExitCodeProcess(s->process, &code));
    while (all + 1 < size && ReadFile(s->log, words + all, (DWORD)(size - 1 - all), &n, NULL) && n > 0)
        all += n;
    words[all] = '\0';
    CloseHandle(s->process);
    CloseHandle(s->log);
    return code;
}

static void send_all(HANDLE to, const void *data, DWORD n)
{
    DWORD done = 0;
    assert_true(WriteFile(to, data, n, &done, NULL));
    assert_int_equal(done, n);
}

static size_t take_all(HANDLE from, uint8_t *data, size_t size)
{
    size_t all = 0;
    DWORD n = 0;
    while (all < size && ReadFile(from, data + all, (DWORD)(size - all), &n, NULL) && n > 0)
        all += n;
    return all;
}

/* A version, and the name of "/". */
static void answered(const uint8_t *data, size_t n)
{
    static const uint8_t name[] = {104, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, '/', 0, 0, 0, 1, '/', 0, 0, 0, 0};
    assert_true(n > 9 + 4 + sizeof name);
    assert_int_equal(data[4], 2);
    assert_memory_equal(data + n - sizeof name, name, sizeof name);
}

static void plain_pipes(void **state)
{
    HANDLE in = NULL, to = NULL, from = NULL, out = NULL;
    uint8_t data[4096];
    char words[2000];
    (void)state;
    assert_true(CreatePipe(&in, &to, NULL, 0));
    assert_true(CreatePipe(&from, &out, NULL, 0));
    struct server s = start(in, out);
    send_all(to, hello, sizeof hello);
    /* Byte by byte. */
    for (size_t i = 0; i < sizeof realpath; i++)
        send_all(to, realpath + i, 1);
    CloseHandle(to);
    answered(data, take_all(from, data, sizeof data));
    CloseHandle(from);
    assert_int_equal(end_of(&s, words, sizeof words), 0);
    assert_non_null(strstr(words, "ended: 0 file(s) read, 0 bytes; 0 file(s) written, 0 bytes; 0 handle(s)"));
}

/* As a server of SSH may make them, so that it need not wait itself. */
static void overlapped_pipes(void **state)
{
    wchar_t names[2][80];
    HANDLE theirs[2], ours[2];
    uint8_t data[4096];
    char words[2000];
    (void)state;
    for (int i = 0; i < 2; i++) {
        (void)_snwprintf(names[i], 80, L"\\\\.\\pipe\\multissh-test-%lu-%d", GetCurrentProcessId(), i);
        theirs[i] = CreateNamedPipeW(names[i], PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
                                     PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS, 1, 4096, 4096, 0, NULL);
        assert_true(theirs[i] != INVALID_HANDLE_VALUE);
        ours[i] = CreateFileW(names[i], GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
        assert_true(ours[i] != INVALID_HANDLE_VALUE);
    }
    struct server s = start(theirs[0], theirs[1]);
    send_all(ours[0], hello, sizeof hello);
    send_all(ours[0], realpath, sizeof realpath);
    CloseHandle(ours[0]);
    answered(data, take_all(ours[1], data, sizeof data));
    CloseHandle(ours[1]);
    assert_int_equal(end_of(&s, words, sizeof words), 0);
}

static void a_socket(void **state)
{
    uint8_t data[4096];
    char words[2000];
    int pair[2];
    size_t all = 0;
    (void)state;
    assert_int_equal(io_pair(true, pair), 0);
    struct server s = start((HANDLE)(uintptr_t)pair[1], (HANDLE)(uintptr_t)pair[1]);
    assert_int_equal(io_write(pair[0], hello, sizeof hello), sizeof hello);
    assert_int_equal(io_write(pair[0], realpath, sizeof realpath), sizeof realpath);
    assert_int_equal(io_shut(pair[0]), 0);
    for (long n = 1; n > 0; all += (size_t)n) {
        struct pollfd fd = {.fd = (uintptr_t)pair[0], .events = POLLIN};
        assert_int_equal(io_poll(&fd, 1, WAIT_MS), 1);
        n = io_read(pair[0], data + all, sizeof data - all);
        assert_true(n >= 0);
    }
    answered(data, all);
    io_close(pair[0]);
    assert_int_equal(end_of(&s, words, sizeof words), 0);
}

static void a_file(void **state)
{
    HANDLE from = NULL, out = NULL;
    wchar_t folder[MAX_PATH + 1], path[MAX_PATH + 1];
    uint8_t data[4096];
    char words[2000];
    (void)state;
    assert_true(GetTempPathW(MAX_PATH, folder) > 0 && GetTempFileNameW(folder, L"ms", 0, path) != 0);
    HANDLE file = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                              FILE_FLAG_DELETE_ON_CLOSE, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    send_all(file, hello, sizeof hello);
    send_all(file, realpath, sizeof realpath);
    send_all(file, realpath, 5);
    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    assert_true(CreatePipe(&from, &out, NULL, 0));
    struct server s = start(file, out);
    answered(data, take_all(from, data, sizeof data));
    CloseHandle(from);
    assert_int_equal(end_of(&s, words, sizeof words), 0);
    assert_non_null(strstr(words, "the client's bytes ended within a packet"));
}

static void what_is_no_sftp(void **state)
{
    HANDLE in = NULL, to = NULL, from = NULL, out = NULL;
    uint8_t data[4096];
    char words[2000];
    (void)state;
    assert_true(CreatePipe(&in, &to, NULL, 0));
    assert_true(CreatePipe(&from, &out, NULL, 0));
    struct server s = start(in, out);
    send_all(to, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_int_equal(take_all(from, data, sizeof data), 0);
    assert_int_equal(end_of(&s, words, sizeof words), 1);
    assert_non_null(strstr(words, "its session ends"));
    CloseHandle(to);
    CloseHandle(from);
}

/* Asks, and says at the end that it has no more to ask. */
static DWORD WINAPI ask_much(void *arg)
{
    DWORD done = 0;
    BOOL well = TRUE;
    for (int i = 0; i < ASKED && well; i++)
        well = WriteFile(arg, realpath, sizeof realpath, &done, NULL);
    CloseHandle(arg);
    return well ? 0 : 1;
}

/* Every answer comes, though nobody listens for long: requests wait while answers do. */
static void a_client_that_asks_and_does_not_listen(void **state)
{
    HANDLE in = NULL, to = NULL, from = NULL, out = NULL;
    const size_t size = (size_t)ASKED * 64;
    uint8_t *data = malloc(size);
    char words[2000];
    (void)state;
    assert_non_null(data);
    assert_true(CreatePipe(&in, &to, NULL, 4096));
    assert_true(CreatePipe(&from, &out, NULL, 4096));
    struct server s = start(in, out);
    send_all(to, hello, sizeof hello);
    HANDLE thread = CreateThread(NULL, 0, ask_much, to, 0, NULL);
    assert_non_null(thread);
    /* More is asked than both pipes hold: the asker waits. */
    assert_int_equal(WaitForSingleObject(thread, 500), WAIT_TIMEOUT);
    size_t all = take_all(from, data, size);
    answered(data, all);
    size_t answers = 0;
    for (size_t at = 0; at + 4 <= all; answers++)
        at += 4 + ((size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 |
                   data[at + 3]);
    assert_int_equal(answers, ASKED + 1);
    CloseHandle(thread);
    CloseHandle(from);
    free(data);
    assert_int_equal(end_of(&s, words, sizeof words), 0);
}

static void a_client_that_vanishes(void **state)
{
    HANDLE in = NULL, to = NULL, from = NULL, out = NULL;
    char words[2000];
    (void)state;
    assert_true(CreatePipe(&in, &to, NULL, 0));
    assert_true(CreatePipe(&from, &out, NULL, 0));
    struct server s = start(in, out);
    send_all(to, hello, sizeof hello);
    CloseHandle(from);
    send_all(to, realpath, sizeof realpath);
    assert_int_equal(end_of(&s, words, sizeof words), 0);
    assert_null(strstr(words, "ERROR"));
    CloseHandle(to);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_pipes),
        cmocka_unit_test(overlapped_pipes),
        cmocka_unit_test(a_socket),
        cmocka_unit_test(a_file),
        cmocka_unit_test(what_is_no_sftp),
        cmocka_unit_test(a_client_that_asks_and_does_not_listen),
        cmocka_unit_test(a_client_that_vanishes),
    };
    log_init("multissh-sshd");
    if (argc == 2 && strcmp(argv[1], "--sftp") == 0)
        return sftp_main(false);
    return io_start() != 0 ? 1 : cmocka_run_group_tests_name("sshd_sftp_main_windows", tests, NULL, NULL);
}
