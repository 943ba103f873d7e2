/* Programs of a session on Windows: pipes, exit codes, the end of a tree, and the pseudo console as far as Wine has
 * one. This program is its own shell: started with `-c WORDS` it does what they say (see be_child). */
#include "cmocka_all.h"

#include "base/clock.h"
#include "base/io.h"
#include "sshd/child_windows.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tlhelp32.h>

#define DEADLINE_MS 60000u
#define MANY (100u << 20)
#define PIECE (64u << 10)

static char self[1024];

/* --- the program that is started --- */

static void say(DWORD which, const void *data, size_t n)
{
    DWORD wrote;
    const char *at = data;
    HANDLE out = GetStdHandle(which);
    while (n > 0 && WriteFile(out, at, (DWORD)n, &wrote, NULL)) {
        at += wrote;
        n -= wrote;
    }
}

static void say_number(uint64_t number)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    say(STD_OUTPUT_HANDLE, text, (size_t)n);
}

/* A pattern in which a piece that is lost, doubled or moved is seen. */
static void fill(unsigned char *data, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i++) {
        data[i] = (unsigned char)(((at + i) * 2654435761u) >> 24);
    }
}

static bool same(const unsigned char *data, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i++) {
        if (data[i] != (unsigned char)(((at + i) * 2654435761u) >> 24)) {
            return false;
        }
    }
    return true;
}

static unsigned char piece[PIECE];

static int pour(uint64_t all)
{
    for (uint64_t at = 0; at < all; at += PIECE) {
        size_t n = all - at < PIECE ? (size_t)(all - at) : PIECE;
        fill(piece, n, at);
        say(STD_OUTPUT_HANDLE, piece, n);
    }
    return 0;
}

/* Reads to the end, and tells how much came and whether it was right. */
static int sink(void)
{
    uint64_t at = 0;
    bool right = true;
    DWORD n;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), piece, PIECE, &n, NULL) && n > 0) {
        right = right && same(piece, n, at);
        at += n;
    }
    say(STD_OUTPUT_HANDLE, right ? "right " : "wrong ", 6);
    say_number(at);
    return 0;
}

/* Another one of this program, with our standard handles. Returns its number. */
static DWORD start_another(const char *words)
{
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    char path[1024], line[1200];
    if (GetModuleFileNameA(NULL, path, sizeof path) == 0) {
        return 0;
    }
    (void)snprintf(line, sizeof line, "\"%s\" -c \"%s\"", path, words);
    if (!CreateProcessA(path, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &made)) {
        return 0;
    }
    CloseHandle(made.hThread);
    CloseHandle(made.hProcess);
    return made.dwProcessId;
}

static int be_deaf(void)
{
    WaitForSingleObject(GetCurrentProcess(), INFINITE);
    return 0;
}

static int be_child(const char *words)
{
    char what[32] = "";
    unsigned long long number = 0;
    (void)sscanf(words, "%31s %llu", what, &number);
    if (strcmp(what, "exit") == 0) {
        ExitProcess((UINT)number);
    } else if (strcmp(what, "both") == 0) {
        say(STD_OUTPUT_HANDLE, "out", 3);
        say(STD_ERROR_HANDLE, "err", 3);
    } else if (strcmp(what, "pour") == 0) {
        return pour(number);
    } else if (strcmp(what, "sink") == 0) {
        return sink();
    } else if (strcmp(what, "deaf") == 0) {
        return be_deaf();
    } else if (strcmp(what, "tree") == 0) {
        say_number(start_another("deaf"));
        say(STD_OUTPUT_HANDLE, "\n", 1);
        return be_deaf();
    } else if (strcmp(what, "leave") == 0) {
        say_number(start_another("deaf"));
        return 7;
    } else if (strcmp(what, "flood") == 0) {
        char end;
        DWORD n;
        (void)start_another("pour 1000000000");
        (void)ReadFile(GetStdHandle(STD_INPUT_HANDLE), &end, 1, &n, NULL);
        return 7;
    } else if (strcmp(what, "inherit") == 0) {
        SetEvent((HANDLE)(uintptr_t)number);
        say(STD_OUTPUT_HANDLE, "tried", 5);
    } else if (strcmp(what, "env") == 0) {
        const char *name = words + 4;
        char value[1024];
        DWORD n = GetEnvironmentVariableA(name, value, sizeof value);
        say(STD_OUTPUT_HANDLE, value, n < sizeof value ? n : 0);
    } else if (strcmp(what, "folder") == 0) {
        char path[1024];
        say(STD_OUTPUT_HANDLE, path, GetCurrentDirectoryA(sizeof path, path));
    }
    return 0;
}

/* --- what the tests do with it --- */

struct run {
    struct child *child;
    int fds[3], end;
    char out[4096], err[4096];
    size_t out_n, err_n;
    uint64_t poured; /* bytes of out when out_right is looked at */
    bool pattern, right;
    bool out_over, err_over, coded;
    uint32_t code;
};

static void begin_spec(struct run *run, const struct child_spec *spec)
{
    struct errmsg err = {""};
    memset(run, 0, sizeof *run);
    run->right = true;
    if (child_start(spec, &run->child, run->fds, &run->end, &err) != 0) {
        fail_msg("%s", err.text);
    }
    run->err_over = spec->pty;
}

static void begin(struct run *run, const char *words)
{
    const struct child_spec spec = {.kind = HOST_EXEC, .command = words, .shell = self};
    begin_spec(run, &spec);
}

static void finish(struct run *run)
{
    child_close(run->child);
    for (int i = 0; i < 3; i++) {
        if (i == 0 || run->fds[i] != run->fds[0]) {
            io_close(run->fds[i]);
        }
    }
    io_close(run->end);
}

static void close_in(struct run *run)
{
    io_close(run->fds[0]);
    run->fds[0] = -1;
}

/* Returns false at the end. */
static bool take(int fd, char *into, size_t size, size_t *n, struct run *pattern)
{
    static unsigned char data[PIECE];
    long got = io_read(fd, data, sizeof data);
    if (got <= 0) {
        return got == -EAGAIN;
    }
    if (pattern != NULL && pattern->pattern) {
        pattern->right = pattern->right && same(data, (size_t)got, pattern->poured);
        pattern->poured += (uint64_t)got;
        return true;
    }
    for (long i = 0; i < got && *n + 1 < size; i++) {
        into[(*n)++] = (char)data[i];
    }
    into[*n] = '\0';
    return true;
}

static void take_code(struct run *run)
{
    long got = io_read(run->end, &run->code, sizeof run->code);
    if (got == sizeof run->code) {
        run->coded = true;
    } else if (got != -EAGAIN) {
        fail_msg("%ld bytes of an exit code", got);
    }
}

/* What is there next of any of them. */
static void turn(struct run *run)
{
    struct pollfd fds[] = {{.fd = run->out_over ? -1 : run->fds[1], .events = POLLIN},
                           {.fd = run->err_over ? -1 : run->fds[2], .events = POLLIN},
                           {.fd = run->coded ? -1 : run->end, .events = POLLIN}};
    int ready = io_poll(fds, 3, (int)DEADLINE_MS);
    if (ready <= 0) {
        fail_msg("nothing more came; the output was: %s", run->out);
    }
    if (fds[0].revents != 0) {
        run->out_over = !take(run->fds[1], run->out, sizeof run->out, &run->out_n, run);
    }
    if (fds[1].revents != 0) {
        run->err_over = !take(run->fds[2], run->err, sizeof run->err, &run->err_n, NULL);
    }
    if (fds[2].revents != 0) {
        take_code(run);
    }
}

static void to_the_end(struct run *run)
{
    while (!run->out_over || !run->err_over || !run->coded) {
        turn(run);
    }
}

static void wait_for_text(struct run *run, const char *text)
{
    while (strstr(run->out, text) == NULL) {
        if (run->out_over) {
            fail_msg("'%s' did not come, but: %s", text, run->out);
        }
        turn(run);
    }
}

static void write_all(int fd, const void *data, size_t n)
{
    const char *at = data;
    while (n > 0) {
        long took = io_write(fd, at, n);
        if (took == -EAGAIN) {
            struct pollfd poll = {.fd = fd, .events = POLLOUT};
            assert_int_equal(io_poll(&poll, 1, (int)DEADLINE_MS), 1);
            continue;
        }
        assert_true(took > 0);
        at += took;
        n -= (size_t)took;
    }
}

static void wait_for_end_of(DWORD pid)
{
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, pid);
    if (process != NULL) {
        assert_int_equal(WaitForSingleObject(process, DEADLINE_MS), WAIT_OBJECT_0);
        CloseHandle(process);
    }
}

static bool runs(DWORD pid)
{
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, pid);
    bool is = process != NULL && WaitForSingleObject(process, 0) == WAIT_TIMEOUT;
    if (process != NULL) {
        CloseHandle(process);
    }
    return is;
}

/* --- the tests --- */

static void test_output_and_errors_are_apart(void **state)
{
    struct run run;
    (void)state;
    begin(&run, "both");
    to_the_end(&run);
    assert_string_equal(run.out, "out");
    assert_string_equal(run.err, "err");
    assert_int_equal(run.code, 0);
    finish(&run);
}

static void test_every_code_comes_whole(void **state)
{
    static const uint32_t codes[] = {0,          1,         255, 259 /* which also means: runs still */,
                                     0xc0000005, 0xffffffff};
    (void)state;
    for (size_t i = 0; i < COUNT(codes); i++) {
        struct run run;
        char words[32];
        (void)snprintf(words, sizeof words, "exit %u", codes[i]);
        begin(&run, words);
        to_the_end(&run);
        assert_int_equal(run.code, codes[i]);
        finish(&run);
    }
}

/* Those that end at once, and several at a time: none of their output is lost, nor another's. */
static void test_short_ones(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct run runs[5];
        for (size_t k = 0; k < COUNT(runs); k++) {
            char words[32];
            (void)snprintf(words, sizeof words, "pour %zu", 1 + 20000 * k);
            begin(&runs[k], words);
            runs[k].pattern = true;
        }
        for (size_t k = 0; k < COUNT(runs); k++) {
            to_the_end(&runs[k]);
            assert_true(runs[k].right);
            assert_int_equal(runs[k].poured, 1 + 20000 * k);
            assert_int_equal(runs[k].code, 0);
            finish(&runs[k]);
        }
    }
}

static void test_the_end_of_input_arrives(void **state)
{
    unsigned char data[1000];
    struct run run;
    (void)state;
    begin(&run, "sink");
    fill(data, sizeof data, 0);
    write_all(run.fds[0], data, sizeof data);
    close_in(&run);
    to_the_end(&run);
    assert_string_equal(run.out, "right 1000");
    finish(&run);
}

static void test_much_output(void **state)
{
    struct run run;
    char words[32];
    (void)state;
    (void)snprintf(words, sizeof words, "pour %u", MANY);
    begin(&run, words);
    run.pattern = true;
    to_the_end(&run);
    assert_true(run.right);
    assert_int_equal(run.poured, MANY);
    finish(&run);
}

static void test_much_input(void **state)
{
    static unsigned char data[PIECE];
    struct run run;
    char expected[32];
    (void)state;
    begin(&run, "sink");
    for (uint64_t at = 0; at < MANY; at += PIECE) {
        fill(data, PIECE, at);
        write_all(run.fds[0], data, PIECE);
    }
    close_in(&run);
    to_the_end(&run);
    (void)snprintf(expected, sizeof expected, "right %u", MANY);
    assert_string_equal(run.out, expected);
    finish(&run);
}

static u_long waiting(int fd)
{
    u_long n = 0;
    assert_int_equal(ioctlsocket((SOCKET)fd, FIONREAD, &n), 0);
    return n;
}

static bool comes_within(int fd, int timeout_ms)
{
    struct pollfd poll = {.fd = fd, .events = POLLIN};
    return io_poll(&poll, 1, timeout_ms) > 0;
}

/* The code waits for what was written before it, however long nobody reads. Another program fills everything that
 * there is between here and the pipe, and only then the one whose code it is ends. */
static void test_the_tail_comes_before_the_code(void **state)
{
    struct run run;
    u_long before;
    (void)state;
    begin(&run, "flood");
    run.pattern = true;
    assert_true(comes_within(run.fds[1], DEADLINE_MS));
    do {
        before = waiting(run.fds[1]);
        assert_false(comes_within(run.end, 500));
    } while (waiting(run.fds[1]) != before);
    close_in(&run);
    assert_false(comes_within(run.end, 500));
    while (!run.coded) {
        turn(&run);
    }
    assert_true(run.right);
    assert_int_equal(run.code, 7);
    assert_false(run.out_over);
    finish(&run);
}

static void test_the_code_comes_though_another_holds_the_output(void **state)
{
    struct run run;
    DWORD pid;
    (void)state;
    begin(&run, "leave");
    while (!run.coded) {
        turn(&run);
    }
    assert_int_equal(run.code, 7);
    while (run.out_n == 0) {
        turn(&run);
    }
    assert_false(run.out_over);
    pid = (DWORD)strtoul(run.out, NULL, 10);
    assert_true(runs(pid));
    finish(&run);
    wait_for_end_of(pid);
}

static void test_a_closed_child_ends_with_its_tree(void **state)
{
    struct run run;
    DWORD pid;
    (void)state;
    begin(&run, "tree");
    wait_for_text(&run, "\n");
    pid = (DWORD)strtoul(run.out, NULL, 10);
    assert_true(runs(pid));
    finish(&run);
    wait_for_end_of(pid);
}

static void test_signals(void **state)
{
    static const struct {
        const char *name;
        uint32_t code;
    } signals[] = {{"TERM", 143}, {"KILL", 137}, {"HUP", 129}, {"INT", 130}};
    (void)state;
    for (size_t i = 0; i < COUNT(signals); i++) {
        struct run run;
        DWORD pid;
        begin(&run, "tree");
        wait_for_text(&run, "\n");
        pid = (DWORD)strtoul(run.out, NULL, 10);
        child_signal(run.child, "USR1"); /* nothing */
        child_signal(run.child, "no such signal");
        assert_true(runs(pid));
        child_signal(run.child, signals[i].name);
        to_the_end(&run);
        assert_int_equal(run.code, signals[i].code);
        wait_for_end_of(pid);
        finish(&run);
    }
}

static void test_nothing_else_is_inherited(void **state)
{
    SECURITY_ATTRIBUTES attributes = {.nLength = sizeof attributes, .bInheritHandle = TRUE};
    HANDLE event = CreateEventW(&attributes, TRUE, FALSE, NULL);
    struct run run;
    char words[64];
    (void)state;
    (void)snprintf(words, sizeof words, "inherit %llu", (unsigned long long)(uintptr_t)event);
    begin(&run, words);
    to_the_end(&run);
    assert_string_equal(run.out, "tried");
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    finish(&run);
    CloseHandle(event);
}

static void test_environment_and_folder(void **state)
{
    static const char *const env[] = {"FROM_CLIENT=Gr\xc3\xbc\xc3\x9f", "MULTISSH_X=y", "no assignment",
                                      "FROM_client=last"};
    struct logon logon = {.home = L"C:\\windows"};
    struct child_spec spec = {
        .kind = HOST_EXEC, .shell = self, .env = env, .env_n = COUNT(env), .logon = &logon};
    struct run run;
    (void)state;
    spec.command = "env From_Client";
    begin_spec(&run, &spec);
    to_the_end(&run);
    assert_string_equal(run.out, "last");
    finish(&run);
    spec.command = "folder";
    begin_spec(&run, &spec);
    to_the_end(&run);
    assert_int_equal(_stricmp(run.out, "C:\\windows"), 0);
    finish(&run);
    logon.home = L"C:\\no such folder";
    spec.command = "folder";
    begin_spec(&run, &spec);
    to_the_end(&run);
    assert_int_equal(_stricmp(run.out, "C:\\windows\\system32"), 0);
    finish(&run);
}

/* As somebody who is logged in: here the same user, for there is no other one to be had. */
static void test_with_a_token(void **state)
{
    struct logon logon = {.home = L"C:\\windows"};
    const struct child_spec spec = {
        .kind = HOST_EXEC, .shell = self, .command = "env OF_THIS_PROCESS", .logon = &logon};
    HANDLE own;
    struct run run;
    (void)state;
    assert_true(SetEnvironmentVariableA("OF_THIS_PROCESS", "yes"));
    assert_true(OpenProcessToken(GetCurrentProcess(), TOKEN_ALL_ACCESS, &own));
    assert_true(
        DuplicateTokenEx(own, TOKEN_ALL_ACCESS, NULL, SecurityImpersonation, TokenPrimary, &logon.token));
    begin_spec(&run, &spec);
    to_the_end(&run);
    assert_string_equal(run.out, "");
    assert_int_equal(run.code, 0);
    finish(&run);
    CloseHandle(logon.token);
    CloseHandle(own);
}

static void test_what_cannot_be_started(void **state)
{
    static const char *const shells[] = {"C:\\no\\such.exe", "nonsense", "C:\\windows", "..\\cmd.exe"};
    struct child *child = NULL;
    struct errmsg err;
    int fds[3], end;
    (void)state;
    for (size_t i = 0; i < COUNT(shells); i++) {
        const struct child_spec spec = {.kind = HOST_EXEC, .command = "x", .shell = shells[i]};
        assert_true(child_start(&spec, &child, fds, &end, &err) < 0);
        assert_non_null(strstr(err.text, shells[i]));
        assert_null(child);
    }
}

static void test_cmd(void **state)
{
    struct child_spec spec = {.kind = HOST_EXEC, .command = "echo \"a  b\" & exit /b 3"};
    struct run run;
    (void)state;
    begin_spec(&run, &spec);
    to_the_end(&run);
    assert_string_equal(run.out, "\"a  b\" \r\n");
    assert_int_equal(run.code, 3);
    finish(&run);
    spec.kind = HOST_SHELL; /* without a terminal: reads commands */
    spec.command = NULL;
    begin_spec(&run, &spec);
    write_all(run.fds[0], "exit 4\r\n", 8);
    to_the_end(&run);
    assert_int_equal(run.code, 4);
    finish(&run);
}

/* --- nothing is left behind --- */

static unsigned count_threads(void)
{
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
    THREADENTRY32 entry = {.dwSize = sizeof entry};
    unsigned n = 0;
    assert_true(all != INVALID_HANDLE_VALUE);
    for (BOOL more = Thread32First(all, &entry); more; more = Thread32Next(all, &entry)) {
        n += entry.th32OwnerProcessID == GetCurrentProcessId();
    }
    CloseHandle(all);
    return n;
}

/* Wine does not count them. */
static DWORD count_handles(void)
{
    DWORD n = 0, flags;
    for (uintptr_t at = 4; at < 16384; at += 4) {
        n += GetHandleInformation((HANDLE)at, &flags) != 0;
    }
    return n;
}

/* Much is sent to one that does not read; then it is closed. */
static void one_deaf(void)
{
    static const char data[PIECE];
    struct run run;
    long took;
    begin(&run, "deaf");
    for (int i = 0; i < 64 && (took = io_write(run.fds[0], data, sizeof data)) > 0; i++) {
    }
    finish(&run);
}

static void settle(unsigned threads, DWORD handles, const char *what)
{
    uint64_t until = clock_now_ms() + DEADLINE_MS;
    while (count_threads() > threads || count_handles() > handles) {
        if (clock_now_ms() > until) {
            fail_msg("%s: %u threads were %u, %lu handles were %lu", what, count_threads(), threads,
                     (unsigned long)count_handles(), (unsigned long)handles);
        }
        Sleep(20);
    }
}

static void test_nothing_is_left(void **state)
{
    unsigned threads;
    DWORD handles;
    (void)state;
    one_deaf(); /* whatever the system makes once */
    settle(1, count_handles() + 1000, "the first");
    threads = count_threads();
    handles = count_handles();
    for (int i = 0; i < 50; i++) {
        struct run run;
        if (i % 2 == 0) {
            one_deaf();
        } else {
            begin(&run, "pour 300000"); /* ended while it writes, or before */
            finish(&run);
        }
    }
    settle(threads, handles, "after 50");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_errors_are_apart),
        cmocka_unit_test(test_every_code_comes_whole),
        cmocka_unit_test(test_short_ones),
        cmocka_unit_test(test_the_end_of_input_arrives),
        cmocka_unit_test(test_much_output),
        cmocka_unit_test(test_much_input),
        cmocka_unit_test(test_the_tail_comes_before_the_code),
        cmocka_unit_test(test_the_code_comes_though_another_holds_the_output),
        cmocka_unit_test(test_a_closed_child_ends_with_its_tree),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_nothing_else_is_inherited),
        cmocka_unit_test(test_environment_and_folder),
        cmocka_unit_test(test_with_a_token),
        cmocka_unit_test(test_what_cannot_be_started),
        cmocka_unit_test(test_cmd),
        cmocka_unit_test(test_nothing_is_left),
    };
    if (argc == 3 && strcmp(argv[1], "-c") == 0) {
        return be_child(argv[2]);
    }
    if (io_start() != 0 || GetModuleFileNameA(NULL, self, sizeof self) == 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
