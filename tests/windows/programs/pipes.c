/* pipes.exe KIND COMMAND...: runs a command with pipes of Windows for standard input and output, as a client there would, and copies between
 * them and its own, which are those of the system that Wine runs on. KIND: anonymous, or overlapped (Windows' OpenSSH). */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

struct copy {
    HANDLE from, to;
    bool close; /* the end is told by closing */
};

static void fail(const char *what)
{
    fprintf(stderr, "pipes of the tests: %s: error %lu\n", what, GetLastError());
    exit(255);
}

/* What our end does waits; the end that is given away is as the command wants it. */
static DWORD WINAPI copy(void *arg)
{
    struct copy *c = arg;
    static __thread char block[65536];
    DWORD n = 0;
    while (ReadFile(c->from, block, sizeof block, &n, NULL) && n > 0) {
        for (DWORD at = 0, done = 0; at < n; at += done) {
            if (!WriteFile(c->to, block + at, n - at, &done, NULL)) {
                return 0;
            }
        }
    }
    if (c->close) {
        CloseHandle(c->to);
    }
    return 0;
}

/* Theirs is inherited. */
static void make_pipe(bool overlapped, bool to_them, HANDLE *ret_ours, HANDLE *ret_theirs)
{
    static unsigned number;
    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof inherit, .bInheritHandle = TRUE};
    HANDLE ends[2];
    if (overlapped) {
        wchar_t name[100];
        swprintf(name, 100, L"\\\\.\\pipe\\multissh-test-%lu-%u", GetCurrentProcessId(), number++);
        ends[0] = CreateNamedPipeW(name, to_them ? PIPE_ACCESS_OUTBOUND : PIPE_ACCESS_INBOUND, PIPE_TYPE_BYTE | PIPE_WAIT, 1, 65536, 65536, 0, NULL);
        ends[1] = CreateFileW(name, to_them ? GENERIC_READ : GENERIC_WRITE, 0, &inherit, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
        *ret_ours = ends[0];
        *ret_theirs = ends[1];
        if (ends[0] == INVALID_HANDLE_VALUE || ends[1] == INVALID_HANDLE_VALUE) {
            fail("a named pipe");
        }
        return;
    }
    if (!CreatePipe(&ends[0], &ends[1], NULL, 65536)) {
        fail("a pipe");
    }
    *ret_ours = ends[to_them];
    *ret_theirs = ends[!to_them];
    SetHandleInformation(*ret_theirs, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
}

/* What follows the first argument, as it was written. */
static wchar_t *after_kind(wchar_t *line)
{
    for (int word = 0; word < 2; word++) {
        bool quoted = false;
        while (*line != L'\0' && (quoted || *line != L' ')) {
            quoted ^= *line++ == L'"';
        }
        line += wcsspn(line, L" ");
    }
    return line;
}

int wmain(int argc, wchar_t **argv)
{
    bool overlapped = argc > 1 && wcscmp(argv[1], L"overlapped") == 0;
    STARTUPINFOW how = {.cb = sizeof how, .dwFlags = STARTF_USESTDHANDLES, .hStdError = GetStdHandle(STD_ERROR_HANDLE)};
    PROCESS_INFORMATION child;
    struct copy in = {.from = GetStdHandle(STD_INPUT_HANDLE), .close = true};
    struct copy out = {.to = GetStdHandle(STD_OUTPUT_HANDLE)};
    DWORD status = 255;
    if (argc < 3) {
        fail("usage");
    }
    make_pipe(overlapped, true, &in.to, &how.hStdInput);
    make_pipe(overlapped, false, &out.from, &how.hStdOutput);
    SetHandleInformation(how.hStdError, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    if (!CreateProcessW(NULL, after_kind(GetCommandLineW()), NULL, NULL, TRUE, 0, NULL, NULL, &how, &child)) {
        fail("the command");
    }
    CloseHandle(how.hStdInput);
    CloseHandle(how.hStdOutput);
    if (CreateThread(NULL, 0, copy, &in, 0, NULL) == NULL) {
        fail("a thread");
    }
    copy(&out);
    WaitForSingleObject(child.hProcess, INFINITE);
    GetExitCodeProcess(child.hProcess, &status);
    ExitProcess(status);
}
