/* The pseudo console: the system's calls, found at run time, and what Wine needs beside them. */
#include "sshd/conpty_windows.h"

#include <errno.h>
#include <stdlib.h>
#include <winternl.h>

struct conpty {
    void *handle;
    SRWLOCK lock; /* shut */
    bool shut;
};

typedef NTSTATUS WINAPI open_file_fn(HANDLE *ret_handle, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes,
                                     IO_STATUS_BLOCK *ret_status, ULONG share, ULONG options);

static const struct conpty_calls *used;

void conpty_use(const struct conpty_calls *calls)
{
    used = calls;
}

typedef void any_fn(void);

static any_fn *look_up(const wchar_t *module, const char *name)
{
    HMODULE loaded = GetModuleHandleW(module);
    return loaded == NULL ? NULL : (any_fn *)GetProcAddress(loaded, name);
}

static bool find_calls(struct conpty_calls *ret_calls)
{
    if (used != NULL) {
        *ret_calls = *used;
        return used->create != NULL;
    }
    ret_calls->create = (conpty_create_fn *)look_up(L"kernel32.dll", "CreatePseudoConsole");
    ret_calls->resize = (conpty_resize_fn *)look_up(L"kernel32.dll", "ResizePseudoConsole");
    ret_calls->close = (conpty_close_fn *)look_up(L"kernel32.dll", "ClosePseudoConsole");
    return ret_calls->create != NULL && ret_calls->resize != NULL && ret_calls->close != NULL;
}

static SHORT cells(unsigned n, unsigned otherwise)
{
    if (n == 0) {
        n = otherwise;
    }
    return (SHORT)(n < CONPTY_CELLS_MAX ? n : CONPTY_CELLS_MAX);
}

static COORD size_of(unsigned columns, unsigned rows)
{
    return (COORD){.X = cells(columns, CONPTY_COLUMNS), .Y = cells(rows, CONPTY_ROWS)};
}

int conpty_new(unsigned columns, unsigned rows, HANDLE in, HANDLE out, struct conpty **ret_console,
               struct errmsg *err)
{
    struct conpty_calls calls;
    struct conpty *console;
    HRESULT result;
    if (!find_calls(&calls)) {
        return errmsg_set(
            err, -ENOSYS,
            "terminals need Windows 10 1809 or Server 2019, or later: this one runs commands alone (ssh -T)");
    }
    console = calloc(1, sizeof *console);
    if (console == NULL) {
        return errmsg_set(err, -ENOMEM, "no terminal: out of memory");
    }
    InitializeSRWLock(&console->lock);
    result = calls.create(size_of(columns, rows), in, out, 0, &console->handle);
    if (FAILED(result)) {
        char words[256];
        DWORD error =
            HRESULT_FACILITY(result) == FACILITY_WIN32 ? (DWORD)HRESULT_CODE(result) : (DWORD)result;
        free(console);
        win_words(error, words, sizeof words);
        return errmsg_set(err, win_errno(error), "Windows gave no pseudo console: %s", words);
    }
    *ret_console = console;
    return 0;
}

void *conpty_handle(const struct conpty *console)
{
    return console->handle;
}

/* --- Wine: a process gets the pseudo console, but its standard handles are not the console's --- */

static int open_device(open_file_fn *open_file, const wchar_t *path, HANDLE *ret_handle, struct errmsg *err)
{
    UNICODE_STRING name = {.Length = (USHORT)(wcslen(path) * sizeof *path),
                           .MaximumLength = (USHORT)(wcslen(path) * sizeof *path),
                           .Buffer = (wchar_t *)(void *)path};
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK status;
    NTSTATUS result;
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_INHERIT, NULL, NULL);
    result = open_file(ret_handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, &status,
                       FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT);
    return result < 0 ? errmsg_set(err, -EIO, "no terminal: %ls cannot be opened (%08lx)", path,
                                   (unsigned long)result)
                      : 0;
}

int conpty_std_handles(const struct conpty *console, HANDLE *ret_in, HANDLE *ret_out, struct errmsg *err)
{
    open_file_fn *open_file = (open_file_fn *)look_up(L"ntdll.dll", "NtOpenFile");
    HANDLE in = NULL, out = NULL;
    int rc = 0;
    (void)console;
    if (open_file != NULL && look_up(L"ntdll.dll", "wine_get_version") != NULL) {
        rc = open_device(open_file, L"\\Device\\ConDrv\\Input", &in, err);
        if (rc == 0) {
            rc = open_device(open_file, L"\\Device\\ConDrv\\Output", &out, err);
        }
        if (rc < 0 && in != NULL) {
            CloseHandle(in);
            in = NULL;
        }
    }
    if (rc == 0) {
        *ret_in = in;
        *ret_out = out;
    }
    return rc;
}

/* --- size and end --- */

void conpty_resize(struct conpty *console, unsigned columns, unsigned rows)
{
    struct conpty_calls calls;
    AcquireSRWLockExclusive(&console->lock);
    if (!console->shut && find_calls(&calls)) {
        (void)calls.resize(console->handle, size_of(columns, rows)); /* a program can do without */
    }
    ReleaseSRWLockExclusive(&console->lock);
}

void conpty_shut(struct conpty *console)
{
    struct conpty_calls calls;
    bool before;
    AcquireSRWLockExclusive(&console->lock);
    before = console->shut;
    console->shut = true;
    ReleaseSRWLockExclusive(&console->lock);
    if (!before && find_calls(&calls)) {
        calls.close(console->handle);
    }
}

void conpty_free(struct conpty *console)
{
    if (console != NULL) {
        conpty_shut(console);
        free(console);
    }
}
