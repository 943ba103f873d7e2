/* What the tests run on the Windows machine: one program that tells what it was given, moves bytes, has children, and looks at
 * its console. Windows alone; no library but the system's. */
/* First, as Windows' headers want it. */
#include <winsock2.h>

#include <bcrypt.h>
#include <fcntl.h>
#include <io.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

#define BLOCK 65536

static void fail(const char *what)
{
    fprintf(stderr, "probe: %s: error %lu\n", what, GetLastError());
    exit(99);
}

static void write_all(HANDLE to, const void *data, DWORD n)
{
    const char *at = data;
    while (n > 0) {
        DWORD done = 0;
        if (!WriteFile(to, at, n, &done, NULL)) {
            fail("writing");
        }
        at += done;
        n -= done;
    }
}

/* At most cap bytes; 0 at the end. */
static DWORD read_some(void *into, DWORD cap)
{
    DWORD n = 0;
    if (!ReadFile(GetStdHandle(STD_INPUT_HANDLE), into, cap, &n, NULL) &&
        GetLastError() != ERROR_BROKEN_PIPE) {
        fail("reading");
    }
    return n;
}

static void say_wide(HANDLE to, const wchar_t *text)
{
    char utf8[8192];
    DWORD mode;
    int n;
    if (GetConsoleMode(to, &mode)) {
        WriteConsoleW(to, text, (DWORD)wcslen(text), NULL, NULL);
        return;
    }
    n = WideCharToMultiByte(CP_UTF8, 0, text, -1, utf8, sizeof utf8, NULL, NULL);
    write_all(to, utf8, n > 0 ? (DWORD)(n - 1) : 0);
}

static unsigned long long number(int n_words, wchar_t **words)
{
    return n_words > 0 ? wcstoull(words[0], NULL, 0) : 0;
}

/* Standard input to standard output as it is. */
static int cat(int n_words, wchar_t **words)
{
    (void)n_words, (void)words;
    static char block[BLOCK];
    DWORD n;
    while ((n = read_some(block, sizeof block)) > 0) {
        write_all(GetStdHandle(STD_OUTPUT_HANDLE), block, n);
    }
    return 0;
}

/* "HEX BYTES" of standard input, at its end. */
static int sha256(int n_words, wchar_t **words)
{
    (void)n_words, (void)words;
    static UCHAR block[BLOCK];
    BCRYPT_ALG_HANDLE algorithm;
    BCRYPT_HASH_HANDLE hash;
    UCHAR sum[32];
    unsigned long long total = 0;
    DWORD n;
    if (BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_SHA256_ALGORITHM, NULL, 0) ||
        BCryptCreateHash(algorithm, &hash, NULL, 0, NULL, 0, 0)) {
        fail("SHA-256");
    }
    while ((n = read_some(block, sizeof block)) > 0) {
        if (BCryptHashData(hash, block, n, 0)) {
            fail("SHA-256");
        }
        total += n;
    }
    if (BCryptFinishHash(hash, sum, sizeof sum, 0)) {
        fail("SHA-256");
    }
    for (size_t i = 0; i < sizeof sum; i++) {
        printf("%02x", sum[i]);
    }
    printf(" %llu\n", total);
    return 0;
}

/* So many 64-bit numbers, 0 and up, little end first. */
static int count(int n_words, wchar_t **words)
{
    unsigned long long n = number(n_words, words);
    static unsigned long long block[BLOCK / 8];
    unsigned long long next = 0;
    while (next < n) {
        DWORD k;
        for (k = 0; k < BLOCK / 8 && next < n; k++) {
            block[k] = next++;
        }
        write_all(GetStdHandle(STD_OUTPUT_HANDLE), block, k * 8);
    }
    return 0;
}

/* The same many lines to both streams in turn. */
static int both(int n_words, wchar_t **words)
{
    unsigned long long n = number(n_words, words);
    char line[64];
    for (unsigned long long i = 0; i < n; i++) {
        int k = snprintf(line, sizeof line, "out %llu\n", i);
        write_all(GetStdHandle(STD_OUTPUT_HANDLE), line, (DWORD)k);
        k = snprintf(line, sizeof line, "err %llu\n", i);
        write_all(GetStdHandle(STD_ERROR_HANDLE), line, (DWORD)k);
    }
    return 0;
}

/* The variables named, or all, one a line. */
static int environment(int n, wchar_t **names)
{
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    static wchar_t text[32768];
    wchar_t *block = NULL, *at;
    for (int i = 0; i < n; i++) {
        say_wide(out, names[i]);
        say_wide(out, L"=");
        say_wide(out, GetEnvironmentVariableW(names[i], text, 32768) > 0 ? text : L"");
        say_wide(out, L"\n");
    }
    if (n > 0) {
        return 0;
    }
    block = GetEnvironmentStringsW();
    for (at = block; at && *at; at += wcslen(at) + 1) {
        say_wide(out, at);
        say_wide(out, L"\n");
    }
    FreeEnvironmentStringsW(block);
    return 0;
}

static int arguments(int n, wchar_t **words)
{
    for (int i = 0; i < n; i++) {
        say_wide(GetStdHandle(STD_OUTPUT_HANDLE), L"[");
        say_wide(GetStdHandle(STD_OUTPUT_HANDLE), words[i]);
        say_wide(GetStdHandle(STD_OUTPUT_HANDLE), L"]\n");
    }
    return 0;
}

/* Two children, each with two, and so on; then it sleeps. */
static int branch(int n_words, wchar_t **words)
{
    unsigned long long depth = number(n_words, words);
    wchar_t self[MAX_PATH], line[MAX_PATH + 32];
    GetModuleFileNameW(NULL, self, MAX_PATH);
    for (int i = 0; i < 2 && depth > 0; i++) {
        STARTUPINFOW start = {.cb = sizeof start};
        PROCESS_INFORMATION made;
        _snwprintf(line, MAX_PATH + 32, L"\"%ls\" branch %llu", self, depth - 1);
        /* One with the console, and one without. */
        if (!CreateProcessW(self, line, NULL, NULL, FALSE, i ? DETACHED_PROCESS : 0, NULL, NULL, &start,
                            &made)) {
            fail("a child");
        }
        CloseHandle(made.hThread);
        CloseHandle(made.hProcess);
    }
    if (wcscmp(words[-1], L"branch")) {
        say_wide(GetStdHandle(STD_OUTPUT_HANDLE), L"ready\n");
    }
    Sleep(INFINITE);
    return 0;
}

/* What the three handles are, and the size of the window. */
static int console(int n_words, wchar_t **words)
{
    (void)n_words, (void)words;
    static const DWORD which[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    static const wchar_t *const names[] = {L"in", L"out", L"err"};
    CONSOLE_SCREEN_BUFFER_INFO info = {0};
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    wchar_t line[128];
    for (int i = 0; i < 3; i++) {
        DWORD mode = 0;
        bool is = GetConsoleMode(GetStdHandle(which[i]), &mode);
        _snwprintf(line, 128, L"%ls %ls\r\n", names[i], is ? L"console" : L"other");
        say_wide(out, line);
    }
    GetConsoleScreenBufferInfo(out, &info);
    _snwprintf(line, 128, L"window %dx%d codepage %u\r\n", info.srWindow.Right - info.srWindow.Left + 1,
               info.srWindow.Bottom - info.srWindow.Top + 1, GetConsoleOutputCP());
    say_wide(out, line);
    return 0;
}

/* A line typed at the console, as the UTF-16 units that came. */
static int keys(int n_words, wchar_t **words)
{
    (void)n_words, (void)words;
    HANDLE in = GetStdHandle(STD_INPUT_HANDLE), out = GetStdHandle(STD_OUTPUT_HANDLE);
    wchar_t typed[256], word[16];
    DWORD n = 0;
    say_wide(out, L"type:\r\n");
    if (!ReadConsoleW(in, typed, 256, &n, NULL)) {
        fail("the console");
    }
    say_wide(out, L"units");
    for (DWORD i = 0; i < n; i++) {
        _snwprintf(word, 16, L" %04x", typed[i]);
        say_wide(out, word);
    }
    say_wide(out, L".\r\n");
    return 0;
}

/* Accepts one connection on the loopback address, after saying where, and gives back what comes. */
static int echo(int n_words, wchar_t **words)
{
    static char block[BLOCK];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    WSADATA data;
    SOCKET listener, one;
    int n;
    at.sin_port = htons((u_short)number(n_words, words));
    if (WSAStartup(MAKEWORD(2, 2), &data) || (listener = socket(AF_INET, SOCK_STREAM, 0)) == INVALID_SOCKET ||
        bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 5)) {
        fail("listening");
    }
    say_wide(GetStdHandle(STD_OUTPUT_HANDLE), L"listening\n");
    one = accept(listener, NULL, NULL);
    while (one != INVALID_SOCKET && (n = recv(one, block, sizeof block, 0)) > 0) {
        for (int done = 0; done < n;) {
            int k = send(one, block + done, n - done, 0);
            if (k <= 0) {
                fail("sending");
            }
            done += k;
        }
    }
    return 0;
}

/* Ctrl-C or Ctrl-Break comes: it says which, and ends with 7. */
static BOOL WINAPI on_event(DWORD which)
{
    say_wide(GetStdHandle(STD_OUTPUT_HANDLE), which == CTRL_C_EVENT ? L"ctrl-c\r\n" : L"another event\r\n");
    ExitProcess(7);
}

static int events(int n_words, wchar_t **words)
{
    (void)n_words, (void)words;
    SetConsoleCtrlHandler(on_event, TRUE);
    say_wide(GetStdHandle(STD_OUTPUT_HANDLE), L"waiting\r\n");
    Sleep(INFINITE);
    return 0;
}

/* Until standard input ends; then how many bytes came. */
static int until_end(int n_words, wchar_t **words)
{
    (void)n_words, (void)words;
    static char block[BLOCK];
    unsigned long long total = 0;
    DWORD n;
    say_wide(GetStdHandle(STD_OUTPUT_HANDLE), L"reading\n");
    while ((n = read_some(block, sizeof block)) > 0) {
        total += n;
    }
    printf("ended after %llu\n", total);
    return 0;
}

/* As until_end, and has a desktop meanwhile: whoever needs the first one starts it, and it keeps what that one has open. */
static int hold(int n_words, wchar_t **words)
{
    (void)GetDesktopWindow();
    return until_end(n_words, words);
}

static int leave(int n_words, wchar_t **words)
{
    ExitProcess((UINT)number(n_words, words));
}

int wmain(int argc, wchar_t **argv);

int wmain(int argc, wchar_t **argv)
{
    static const struct {
        const wchar_t *name;
        int (*run)(int n_words, wchar_t **words);
    } all[] = {{L"cat", cat},         {L"sha256", sha256},  {L"count", count},   {L"both", both},
               {L"env", environment}, {L"args", arguments}, {L"tree", branch},   {L"branch", branch},
               {L"console", console}, {L"keys", keys},      {L"events", events}, {L"until-end", until_end},
               {L"echo", echo},       {L"exit", leave},     {L"hold", hold}};
    (void)_setmode(_fileno(stdout), _O_BINARY);
    for (size_t i = 0; argc > 1 && i < sizeof all / sizeof all[0]; i++) {
        if (!wcscmp(argv[1], all[i].name)) {
            return all[i].run(argc - 2, argv + 2);
        }
    }
    /* Whatever a shell is called with. */
    return arguments(argc - 1, argv + 1);
}
