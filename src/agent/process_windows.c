/* The process, on Windows. */
#include "agent/process.h"

#include "agent/service_windows.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/win.h"
#include <errno.h>
#include <initguid.h> /* the numbers of the known folders */
#include <io.h>
#include <knownfolders.h>
#include <shlobj.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* A region that is far behind the text of a lock file: others can read who holds it. */
#define LOCK_OFFSET 0x40000000u

/* Closing the console ends the agent alone; its settings are read again by the service's control. */
const struct process_signal process_signals[PROCESS_SIGNALS] = {
    {SIGINT, PROCESS_STOP_ALL}, {SIGBREAK, PROCESS_STOP_ALL}, {SIGHUP, PROCESS_STOP}};

static UINT console_before; /* the code page of the console that others go on to use */

static void restore_console(void)
{
    SetConsoleOutputCP(console_before);
}

/* What we print is UTF-8. */
static void prepare_console(void)
{
    console_before = GetConsoleOutputCP(); /* 0: there is no console */
    if (console_before != 0 && console_before != CP_UTF8 && atexit(restore_console) == 0)
        SetConsoleOutputCP(CP_UTF8);
}

void process_prepare(void)
{
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    /* What is loaded later comes from the system's folder, and not from where somebody unpacked the programs. */
    SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32);
    uv_disable_stdio_inheritance();
    prepare_console();
}

int process_args(int *argc, char ***argv)
{
    return win_args(argc, argv);
}

void process_hide(char *text)
{
    wchar_t *wide = NULL, *at = NULL;
    if (text[0] != 0 && win_utf16(text, &wide) == 0)
        at = wcsstr(GetCommandLineW(), wide);
    if (at != NULL)
        SecureZeroMemory(at, wcslen(wide) * sizeof *at);
    if (wide != NULL)
        SecureZeroMemory(wide, wcslen(wide) * sizeof *wide);
    free(wide);
    crypto_wipe(text, strlen(text));
}

/* --- the lock --- */

static long read_pid(HANDLE file)
{
    char text[32];
    DWORD n = 0;
    if (!ReadFile(file, text, sizeof text - 1, &n, NULL))
        return 0;
    text[n] = 0;
    return strtol(text, NULL, 10);
}

static int write_pid(HANDLE file)
{
    char text[32];
    DWORD done = 0;
    int n = snprintf(text, sizeof text, "%lu\r\n", GetCurrentProcessId());
    if (!SetEndOfFile(file) || !WriteFile(file, text, (DWORD)n, &done, NULL))
        return win_errno(GetLastError());
    return done == (DWORD)n ? 0 : -EIO;
}

int process_lock(const char *path, int *ret_fd, long *ret_pid)
{
    OVERLAPPED region = {.Offset = LOCK_OFFSET};
    wchar_t *wide = NULL;
    *ret_pid = 0;
    int r = win_path(path, &wide);
    if (r != 0)
        return r;
    HANDLE file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                              OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    DWORD error = GetLastError();
    free(wide);
    if (file == INVALID_HANDLE_VALUE)
        return win_errno(error);
    if (!LockFileEx(file, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &region)) {
        error = GetLastError();
        r = error == ERROR_LOCK_VIOLATION || error == ERROR_IO_PENDING ? -EBUSY : win_errno(error);
        if (r == -EBUSY)
            *ret_pid = read_pid(file);
    } else {
        r = write_pid(file);
    }
    if (r != 0) {
        CloseHandle(file);
        return r;
    }
    *ret_fd = (int)(intptr_t)file; /* a handle has 32 bits that count */
    return 0;
}

void process_unlock(int fd)
{
    CloseHandle((HANDLE)(intptr_t)fd);
}

/* --- who it is, and where its state is --- */

static bool is_elevated(HANDLE token)
{
    TOKEN_ELEVATION elevation = {0};
    DWORD n = 0;
    return GetTokenInformation(token, TokenElevation, &elevation, sizeof elevation, &n) &&
           elevation.TokenIsElevated != 0;
}

static bool is_system(HANDLE token)
{
    union {
        TOKEN_USER user;
        char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    } who;
    DWORD n = 0;
    return GetTokenInformation(token, TokenUser, &who, sizeof who, &n) &&
           IsWellKnownSid(who.user.User.Sid, WinLocalSystemSid);
}

/* Does it act for the machine, and not for a person? */
static bool is_machines(void)
{
    HANDLE token = NULL;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return false;
    bool yes = is_system(token) || is_elevated(token);
    CloseHandle(token);
    return yes;
}

/* There is no signal for a program that has no console, or another one: the service is told by the SCM, and an agent that
 * somebody runs by hand is ended as the task manager does it. Its sessions have a process of their own. */
int process_end(long pid, bool all)
{
    struct errmsg err = {""};
    int r = service_end(pid, &err);
    (void)all;
    if (r != 0) {
        if (r < 0)
            log_error("%s", err.text);
        return r < 0 ? r : 0;
    }
    HANDLE process = OpenProcess(PROCESS_TERMINATE, FALSE, (DWORD)pid);
    if (process == NULL)
        return GetLastError() == ERROR_INVALID_PARAMETER ? 0 : win_errno(GetLastError());
    if (!TerminateProcess(process, EXIT_FAILURE) && GetLastError() != ERROR_ACCESS_DENIED) /* it is ending */
        r = win_errno(GetLastError());
    CloseHandle(process);
    return r;
}

const char process_state_help[] =
    "%ProgramData%\\multissh-agent as a service and for an administrator who runs\n"
    "             elevated, else %LOCALAPPDATA%\\multissh-agent";

int process_state_dir(char *out, size_t size)
{
    wchar_t *folder = NULL;
    char text[FS_PATH_MAX];
    const KNOWNFOLDERID *id = is_machines() ? &FOLDERID_ProgramData : &FOLDERID_LocalAppData;
    int r = SHGetKnownFolderPath(id, KF_FLAG_DEFAULT, NULL, &folder) == S_OK
                ? win_utf8_into(folder, text, sizeof text)
                : -ENOENT;
    CoTaskMemFree(folder);
    if (r != 0)
        return r;
    int n = snprintf(out, size, "%s\\multissh-agent", text);
    return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

/* --- what is not there --- */

void process_child_limits(long pid)
{
    (void)pid;
}

uint64_t process_given_files(void)
{
    return 0;
}

void process_children_files(uint64_t n)
{
    (void)n;
}

void process_detach(const char *name)
{
    (void)name;
}

void process_be_alone(void)
{
}

bool process_has_shell(char *out, size_t size)
{
    if (size > 0)
        out[0] = 0;
    return true;
}

bool process_socket_usable(const char *path)
{
    (void)path;
    return false;
}
