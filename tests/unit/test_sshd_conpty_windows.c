/* Pseudo consoles: which calls are made of the system, and a shell on one, as this process' own user and with a token,
 * by way of a process of its own. This program is its own shell: started with `-c WORDS` it does what they say; and that
 * process: started with --console. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "base/io.h"
#include "sshd/child_windows.h"
#include "sshd/conpty_windows.h"
#include "sshd/console_windows.h"
#include <errno.h>
#include <shellapi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tlhelp32.h>

#define DEADLINE_MS 60000
#define LINES 500

static char self[1024];

/* --- the program that is started --- */

static int say_lines(void)
{
    for (int i = 0; i < LINES; i++) {
        (void)printf("line %d of them\n", i);
    }
    (void)printf("the last\n");
    (void)fflush(stdout);
    return 9;
}

/* Tells every character that comes, until a q. */
static int tell_keys(void)
{
    HANDLE in = GetStdHandle(STD_INPUT_HANDLE);
    wchar_t key = 0;
    DWORD n;
    if (!SetConsoleMode(in, 0)) {
        (void)printf("no console: %lu\n", GetLastError());
        return 1;
    }
    (void)printf("ready\n");
    (void)fflush(stdout);
    while (key != L'q' && ReadConsoleW(in, &key, 1, &n, NULL) && n == 1) {
        (void)printf("<%04x>\n", (unsigned)key);
        (void)fflush(stdout);
    }
    return 0;
}

static int tell_size(void)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &info)) {
        return 1;
    }
    (void)printf("size %d %d\n", info.srWindow.Right - info.srWindow.Left + 1,
                 info.srWindow.Bottom - info.srWindow.Top + 1);
    (void)fflush(stdout);
    return 0;
}

static int say_wide(void)
{
    static const wchar_t text[] = L"\x4e2d\x6587 gr\xfc\xdf";
    DWORD n;
    return WriteConsoleW(GetStdHandle(STD_OUTPUT_HANDLE), text, sizeof text / sizeof text[0] - 1, &n, NULL)
               ? 0
               : 1;
}

static int tell_parent(void)
{
    PROCESSENTRY32 entry = {.dwSize = sizeof entry};
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    for (BOOL more = Process32First(all, &entry); more; more = Process32Next(all, &entry)) {
        if (entry.th32ProcessID == GetCurrentProcessId()) {
            (void)printf("parent %lu.\n", (unsigned long)entry.th32ParentProcessID);
        }
    }
    CloseHandle(all);
    return 0;
}

/* Of what was inherited; the console itself is none. */
static int count_pipes(void)
{
    unsigned n = 0;
    for (uintptr_t at = 4; at < 4096; at += 4) {
        n += GetFileType((HANDLE)at) == FILE_TYPE_PIPE;
    }
    (void)printf("%u pipes.\n", n);
    return 0;
}

/* All that came with the command, unit by unit. */
static int tell_words(void)
{
    int n = 0;
    wchar_t **words = CommandLineToArgvW(GetCommandLineW(), &n);
    (void)printf("%d words, %u units, the last:", n, (unsigned)wcslen(words[n - 1]));
    for (const wchar_t *at = words[n - 1] + 6; at < words[n - 1] + 18 && *at != 0; at++) {
        (void)printf(" %04x", (unsigned)*at);
    }
    (void)printf(".\n");
    return 0;
}

/* Another one of this program, which goes on, and itself too. */
static int be_tree(void)
{
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    char path[1024], line[1200];
    (void)GetModuleFileNameA(NULL, path, sizeof path);
    (void)snprintf(line, sizeof line, "\"%s\" -c deaf", path);
    if (!CreateProcessA(path, line, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &made)) {
        return 1;
    }
    (void)printf("tree %lu %lu of them\n", (unsigned long)made.dwProcessId,
                 (unsigned long)GetCurrentProcessId());
    (void)fflush(stdout);
    WaitForSingleObject(GetCurrentProcess(), INFINITE);
    return 0;
}

static int be_child(const char *words)
{
    if (strncmp(words, "units ", 6) == 0) {
        return tell_words();
    }
    if (strcmp(words, "deaf") == 0) {
        WaitForSingleObject(GetCurrentProcess(), INFINITE);
    }
    if (strncmp(words, "exit ", 5) == 0) {
        ExitProcess((UINT)strtoul(words + 5, NULL, 10));
    }
    if (strcmp(words, "parent") == 0) {
        return tell_parent();
    }
    if (strcmp(words, "pipes") == 0) {
        return count_pipes();
    }
    if (strcmp(words, "tree") == 0) {
        return be_tree();
    }
    if (strcmp(words, "lines") == 0) {
        return say_lines();
    }
    if (strcmp(words, "keys") == 0) {
        return tell_keys();
    }
    if (strcmp(words, "size") == 0) {
        return tell_size();
    }
    if (strcmp(words, "wide") == 0) {
        return say_wide();
    }
    if (strcmp(words, "term") == 0) {
        (void)printf("TERM is %s.\n", getenv("TERM"));
    }
    return 0;
}

/* --- the process of a console: as it is, but that sizes are told, for Wine does nothing with them --- */

#define RESIZED "MS_TEST_RESIZED"

static HRESULT WINAPI tell_resize(void *handle, COORD size)
{
    char name[128];
    HANDLE event;
    (void)handle;
    (void)snprintf(name, sizeof name, "%s-%dx%d", getenv(RESIZED), size.X, size.Y);
    event = OpenEventA(EVENT_MODIFY_STATE, FALSE, name);
    if (event != NULL) {
        SetEvent(event);
        CloseHandle(event);
    }
    return S_OK;
}

typedef void any_fn(void);

static any_fn *look_up(const char *name)
{
    return (any_fn *)GetProcAddress(GetModuleHandleW(L"kernel32.dll"), name);
}

static int be_console(void)
{
    struct conpty_calls calls = {.create = (conpty_create_fn *)look_up("CreatePseudoConsole"),
                                 .resize = tell_resize,
                                 .close = (conpty_close_fn *)look_up("ClosePseudoConsole")};
    conpty_use(&calls);
    return console_main();
}

/* --- calls that are only noted --- */

static struct {
    COORD created, resized;
    unsigned creates, resizes, closes;
    HRESULT result;
} seen;

static HRESULT WINAPI note_create(COORD size, HANDLE in, HANDLE out, DWORD flags, void **ret_handle)
{
    assert_ptr_equal(in, (HANDLE)3);
    assert_ptr_equal(out, (HANDLE)4);
    assert_int_equal(flags, 0);
    seen.created = size;
    seen.creates++;
    *ret_handle = &seen;
    return seen.result;
}

static HRESULT WINAPI note_resize(void *handle, COORD size)
{
    assert_ptr_equal(handle, &seen);
    seen.resized = size;
    seen.resizes++;
    return E_NOTIMPL; /* as Wine; nobody minds */
}

static void WINAPI note_close(void *handle)
{
    assert_ptr_equal(handle, &seen);
    seen.closes++;
}

static int note(void **state)
{
    static const struct conpty_calls calls = {note_create, note_resize, note_close};
    (void)state;
    memset(&seen, 0, sizeof seen);
    conpty_use(&calls);
    return 0;
}

static int note_no_more(void **state)
{
    (void)state;
    conpty_use(NULL);
    return 0;
}

static void test_sizes(void **state)
{
    static const struct {
        unsigned columns, rows;
        SHORT x, y;
    } sizes[] = {{120, 40, 120, 40},
                 {0, 0, 80, 24},
                 {0, 50, 80, 50},
                 {1, 1, 1, 1},
                 {32767, 32767, 32767, 32767},
                 {65535, 70000, 32767, 32767},
                 {0xffffffffu, 32768, 32767, 32767}};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct conpty *console;
        struct errmsg err;
        assert_int_equal(conpty_new(sizes[i].columns, sizes[i].rows, (HANDLE)3, (HANDLE)4, &console, &err),
                         0);
        assert_ptr_equal(conpty_handle(console), &seen);
        assert_int_equal(seen.created.X, sizes[i].x);
        assert_int_equal(seen.created.Y, sizes[i].y);
        conpty_resize(console, sizes[i].columns, sizes[i].rows);
        assert_int_equal(seen.resized.X, sizes[i].x);
        assert_int_equal(seen.resized.Y, sizes[i].y);
        assert_int_equal(seen.resizes, i + 1);
        conpty_free(console);
        assert_int_equal(seen.closes, i + 1);
    }
}

static void test_shut_once(void **state)
{
    struct conpty *console;
    struct errmsg err;
    (void)state;
    assert_int_equal(conpty_new(80, 24, (HANDLE)3, (HANDLE)4, &console, &err), 0);
    conpty_shut(console);
    conpty_shut(console);
    conpty_resize(console, 90, 30);
    conpty_free(console);
    assert_int_equal(seen.closes, 1);
    assert_int_equal(seen.resizes, 0);
    conpty_free(NULL);
}

static void test_no_console(void **state)
{
    static const struct conpty_calls none = {NULL, NULL, NULL};
    struct conpty *console = NULL;
    struct errmsg err;
    (void)state;
    seen.result = HRESULT_FROM_WIN32(ERROR_ACCESS_DENIED);
    assert_int_equal(conpty_new(80, 24, (HANDLE)3, (HANDLE)4, &console, &err), -EACCES);
    assert_non_null(strstr(err.text, "pseudo console"));
    conpty_use(&none);
    assert_int_equal(conpty_new(80, 24, (HANDLE)3, (HANDLE)4, &console, &err), -ENOSYS);
    assert_non_null(strstr(err.text, "1809"));
    assert_null(console);
}

/* --- a program on a real one --- */

struct run {
    struct child *child;
    int fd, end;
    char out[256u << 10];
    size_t n;
    bool over, coded;
    uint32_t code;
};

static struct run run;
static struct logon logon; /* with a token in the tests that have one */
static char resized[64];   /* the variable that names the events of sizes */

static void begin(const char *command, const char *shell)
{
    const char *const env[] = {resized};
    const struct child_spec spec = {.logon = &logon,
                                    .kind = command == NULL ? HOST_SHELL : HOST_EXEC,
                                    .env = env,
                                    .env_n = COUNT(env),
                                    .command = command,
                                    .shell = shell,
                                    .pty = true,
                                    .term = "xterm-256color",
                                    .columns = 100,
                                    .rows = 30};
    struct errmsg err = {""};
    int fds[3];
    memset(&run, 0, sizeof run);
    if (child_start(&spec, &run.child, fds, &run.end, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(fds[0], fds[1]);
    assert_int_equal(fds[0], fds[2]);
    run.fd = fds[0];
}

static void finish(void)
{
    child_close(run.child);
    io_close(run.fd);
    io_close(run.end);
}

static void type(const char *keys)
{
    assert_int_equal(io_write(run.fd, keys, strlen(keys)), strlen(keys));
}

static void take_output(void)
{
    long got = io_read(run.fd, run.out + run.n, sizeof run.out - 1 - run.n);
    if (got > 0) {
        run.n += (size_t)got;
        run.out[run.n] = '\0';
    } else {
        run.over = got != -EAGAIN;
    }
}

static void turn(void)
{
    struct pollfd fds[] = {{.fd = run.over ? -1 : run.fd, .events = POLLIN},
                           {.fd = run.coded ? -1 : run.end, .events = POLLIN}};
    if (io_poll(fds, 2, DEADLINE_MS) <= 0) {
        fail_msg("nothing more came after: %s", run.out);
    }
    if (fds[0].revents != 0) {
        take_output();
    }
    if (fds[1].revents != 0) {
        assert_int_equal(io_read(run.end, &run.code, sizeof run.code), sizeof run.code);
        run.coded = true;
    }
}

static void to_the_end(void)
{
    while (!run.over || !run.coded) {
        turn();
    }
}

/* Past a sequence that begins at p; puts the blanks into plain that one of them stands for. */
static const char *past_sequence(const char *p, char *plain, size_t *n)
{
    if (p[1] == ']') {
        p += strcspn(p, "\a");
    } else if (p[1] == '[') {
        char *end;
        unsigned long count = strtoul(p + 2, &end, 10);
        p += 2 + strcspn(p + 2, "@ABCDEFGHIJKLMNOPQRSTUVWXYZ`abcdefghijklmnopqrstuvwxyz{|}~");
        for (; end == p && *p == 'C' && count > 0 && count < 100; count--) {
            plain[(*n)++] = ' ';
        }
    }
    return *p == '\0' ? p : p + 1;
}

/* What is shown, without what moves the cursor; such movements may stand between any two letters. */
static const char *plain_output(void)
{
    static char plain[25 * sizeof run.out];
    size_t n = 0;
    for (const char *p = run.out; *p != '\0';) {
        if (*p == '\x1b') {
            p = past_sequence(p, plain, &n);
        } else {
            plain[n++] = *p++;
        }
    }
    plain[n] = '\0';
    return plain;
}

static bool shown(const char *text)
{
    return strstr(plain_output(), text) != NULL;
}

static void wait_for_text(const char *text)
{
    while (!shown(text)) {
        if (run.over) {
            fail_msg("'%s' was not shown, but: %s", text, run.out);
        }
        turn();
    }
}

static void test_a_shell(void **state)
{
    (void)state;
    begin(NULL, "cmd");
    wait_for_text(">");
    type("echo one^+two\r");
    wait_for_text("one+two");
    type("exit 5\r");
    to_the_end();
    assert_int_equal(run.code, 5);
    finish();
}

static void test_the_last_line_comes(void **state)
{
    (void)state;
    begin("lines", self);
    to_the_end();
    assert_true(shown("the last"));
    assert_int_equal(run.code, 9);
    finish();
}

static void test_the_size_it_began_with(void **state)
{
    struct pollfd end;
    (void)state;
    begin("size", self);
    end = (struct pollfd){.fd = run.end, .events = POLLIN};
    assert_int_equal(io_poll(&end, 1, DEADLINE_MS), 1);
    for (int i = 0; i < 10 && !run.over; i++) { /* all of it is there when the code is, and its end */
        take_output();
    }
    assert_true(run.over);
    to_the_end();
    assert_true(shown("size 100 30"));
    finish();
}

static void test_wide_text_and_term(void **state)
{
    (void)state;
    begin("wide", self);
    to_the_end();
    assert_true(shown("\xe4\xb8\xad\xe6\x96\x87 gr\xc3\xbc\xc3\x9f"));
    finish();
    begin("term", self);
    to_the_end();
    assert_true(shown("TERM is xterm-256color."));
    finish();
}

static bool on_wine(void)
{
    return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL;
}

static void test_keys(void **state)
{
    (void)state;
    begin("keys", self);
    wait_for_text("ready");
    type("a\xc3\xbc");
    wait_for_text("<0061>");
    wait_for_text("<00fc>");
    if (!on_wine()) { /* which ends the console's input then */
        child_signal(run.child, "INT");
        wait_for_text("<0003>");
    }
    child_resize(run.child, 90, 20);
    type("q");
    to_the_end();
    assert_int_equal(run.code, 0);
    child_resize(run.child, 91, 21);
    child_signal(run.child, "INT");
    finish();
}

static void test_a_closed_one_ends(void **state)
{
    (void)state;
    begin("keys", self);
    wait_for_text("ready");
    child_close(run.child);
    run.child = NULL;
    to_the_end();
    assert_int_equal(run.code, 129);
    finish();
}

static void test_every_code_comes_whole(void **state)
{
    static const uint32_t codes[] = {0,          1,         255, 259 /* which also means: runs still */,
                                     0xc0000005, 0xffffffff};
    (void)state;
    for (size_t i = 0; i < COUNT(codes); i++) {
        char words[32];
        (void)snprintf(words, sizeof words, "exit %u", codes[i]);
        begin(words, self);
        to_the_end();
        assert_int_equal(run.code, codes[i]);
        finish();
    }
}

/* A process that is not this one makes the console of somebody else; the own user's, this one. */
static void test_who_starts_it(void **state)
{
    char own[32];
    (void)state;
    (void)snprintf(own, sizeof own, "parent %lu.", (unsigned long)GetCurrentProcessId());
    begin("parent", self);
    to_the_end();
    assert_true(shown("parent "));
    assert_int_equal(shown(own), logon.token == NULL);
    finish();
}

static void test_nothing_is_inherited(void **state)
{
    (void)state;
    begin("pipes", self);
    to_the_end();
    assert_true(shown(" pipes."));
    assert_true(shown("0 pipes."));
    finish();
}

/* Quotes, backslashes, CJK, and as much as a process can be given. */
static void test_the_command_arrives_as_it_is(void **state)
{
    static char words[31000];
    char expected[160];
    size_t n;
    (void)state;
    n = (size_t)snprintf(words, sizeof words, "units %s", "\"a\" b\\\\\" \xe4\xb8\xad\xe6\x96\x87 ");
    memset(words + n, 'x', sizeof words - 1 - n);
    begin(words, self);
    to_the_end();
    (void)snprintf(expected, sizeof expected, "3 words, %u units, the last:",
                   (unsigned)(sizeof words - 1 - 4 /* two characters of three bytes */));
    assert_true(shown(expected));
    assert_true(shown(" 0022 0061 0022 0020 0062 005c 005c 0022 0020"));
    assert_true(shown("4e2d"));
    assert_true(shown("6587"));
    finish();
}

static void wait_for_end_of(DWORD pid)
{
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, pid);
    if (process != NULL) {
        assert_int_equal(WaitForSingleObject(process, DEADLINE_MS), WAIT_OBJECT_0);
        CloseHandle(process);
    }
}

static void test_a_closed_one_ends_with_its_tree(void **state)
{
    unsigned long pids[2];
    const char *at;
    (void)state;
    begin("tree", self);
    wait_for_text(" of them");
    at = strstr(plain_output(), "tree ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "tree %lu %lu", &pids[0], &pids[1]), 2);
    finish();
    wait_for_end_of(pids[0]);
    wait_for_end_of(pids[1]);
}

/* The last one of many, and the process is told; with a size that is none: what is usual. */
static void test_sizes_arrive(void **state)
{
    static const struct {
        unsigned columns, rows;
        const char *is;
    } sizes[] = {{90, 20, "90x20"}, {0, 0, "80x24"}, {70000, 3, "32767x3"}};
    (void)state;
    begin("keys", self);
    wait_for_text("ready");
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char name[128];
        HANDLE event;
        (void)snprintf(name, sizeof name, "%s-%s", strchr(resized, '=') + 1, sizes[i].is);
        event = CreateEventA(NULL, TRUE, FALSE, name);
        assert_non_null(event);
        for (unsigned k = 0; k < 1000; k++) {
            child_resize(run.child, 100 + k, 50);
        }
        child_resize(run.child, sizes[i].columns, sizes[i].rows);
        assert_int_equal(WaitForSingleObject(event, DEADLINE_MS), WAIT_OBJECT_0);
        CloseHandle(event);
    }
    type("q");
    to_the_end();
    assert_int_equal(run.code, 0);
    finish();
}

/* Here the start has succeeded, so the words come at the terminal. */
static void test_a_shell_that_is_no_program(void **state)
{
    (void)state;
    begin(NULL, "C:\\windows\\win.ini");
    to_the_end();
    assert_int_equal(run.code, 126);
    assert_true(shown("win.ini cannot be started: "));
    finish();
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

static unsigned count_own_kind(void)
{
    PROCESSENTRY32 entry = {.dwSize = sizeof entry};
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    wchar_t path[1024];
    unsigned n = 0;
    assert_true(GetModuleFileNameW(NULL, path, 1024) < 1024);
    for (BOOL more = Process32First(all, &entry); more; more = Process32Next(all, &entry)) {
        n += _wcsicmp(entry.szExeFile, wcsrchr(path, L'\\') + 1) == 0;
    }
    CloseHandle(all);
    return n;
}

static void settle(DWORD handles, unsigned processes)
{
    uint64_t until = clock_now_ms() + DEADLINE_MS;
    while (count_handles() > handles || count_own_kind() > processes) {
        if (clock_now_ms() > until) {
            fail_msg("%lu handles were %lu, %u processes were %u", (unsigned long)count_handles(),
                     (unsigned long)handles, count_own_kind(), processes);
        }
        Sleep(10);
    }
}

static void test_nothing_is_left(void **state)
{
    DWORD handles = count_handles();
    (void)state;
    settle(handles, 1);
    for (int i = 0; i < 30; i++) {
        begin(i % 3 == 2 ? "exit 3" : "keys", self);
        if (i % 3 == 0) {
            wait_for_text("ready");
        } else if (i % 3 == 2) {
            to_the_end();
        }
        finish();
    }
    settle(handles, 1);
}

static int with_token(void **state)
{
    HANDLE own;
    BOOL well;
    (void)state;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ALL_ACCESS, &own)) {
        return -1;
    }
    well = DuplicateTokenEx(own, TOKEN_ALL_ACCESS, NULL, SecurityImpersonation, TokenPrimary, &logon.token);
    CloseHandle(own);
    return well ? 0 : -1;
}

static int without_token(void **state)
{
    (void)state;
    CloseHandle(logon.token);
    logon.token = NULL;
    return 0;
}

#define WITH_TOKEN(test)                                                                                     \
    {                                                                                                        \
#test "_with_a_token", test, with_token, without_token, NULL                                         \
    }
#define BOTH_WAYS(test) cmocka_unit_test(test), WITH_TOKEN(test)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, note, note_no_more),
        cmocka_unit_test_setup_teardown(test_shut_once, note, note_no_more),
        cmocka_unit_test_setup_teardown(test_no_console, note, note_no_more),
        BOTH_WAYS(test_a_shell),
        BOTH_WAYS(test_the_last_line_comes),
        BOTH_WAYS(test_every_code_comes_whole),
        BOTH_WAYS(test_the_size_it_began_with),
        BOTH_WAYS(test_wide_text_and_term),
        BOTH_WAYS(test_keys),
        BOTH_WAYS(test_who_starts_it),
        BOTH_WAYS(test_nothing_is_inherited),
        BOTH_WAYS(test_the_command_arrives_as_it_is),
        BOTH_WAYS(test_a_closed_one_ends),
        BOTH_WAYS(test_a_closed_one_ends_with_its_tree),
        WITH_TOKEN(test_sizes_arrive),
        WITH_TOKEN(test_a_shell_that_is_no_program),
        BOTH_WAYS(test_nothing_is_left),
    };
    if (argc == 3 && strcmp(argv[1], "-c") == 0) {
        return be_child(argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], CONSOLE_FLAG) == 0) {
        return be_console();
    }
    (void)snprintf(resized, sizeof resized, RESIZED "=Local\\multissh-test-%lu",
                   (unsigned long)GetCurrentProcessId());
    if (io_start() != 0 || GetModuleFileNameA(NULL, self, sizeof self) == 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
