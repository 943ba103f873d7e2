/* The log's sink that writes events, and the registration of their sources. */
#include "base/eventlog_windows.h"

#include "base/log.h"
#include "base/win.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY L"SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\"
#define KEY_MAX 128
#define TYPES (EVENTLOG_ERROR_TYPE | EVENTLOG_WARNING_TYPE | EVENTLOG_INFORMATION_TYPE)

/* The numbers are those of the messages in eventlog.rc, by which an operator can filter. */
static const struct {
    WORD type;
    DWORD id;
} events[] = {
    [LOG_LEVEL_ERROR] = {EVENTLOG_ERROR_TYPE, 1},
    [LOG_LEVEL_WARN] = {EVENTLOG_WARNING_TYPE, 2},
    [LOG_LEVEL_INFO] = {EVENTLOG_INFORMATION_TYPE, 3},
    [LOG_LEVEL_DEBUG] = {EVENTLOG_INFORMATION_TYPE, 4},
};

/* A line that cannot be written is lost: there is no other place to say so. */
static void write_event(void *arg, enum log_level level, const char *text)
{
    wchar_t *wide = NULL;
    if (win_utf16(text, &wide) != 0)
        return;
    const wchar_t *strings[] = {wide};
    (void)ReportEventW(arg, events[level].type, 0, events[level].id, NULL, 1, 0, strings, NULL);
    free(wide);
}

int eventlog_open(const char *source)
{
    wchar_t *wide = NULL;
    int r = win_utf16(source, &wide);
    if (r != 0)
        return r;
    HANDLE handle = RegisterEventSourceW(NULL, wide);
    r = handle != NULL ? 0 : win_errno(GetLastError());
    free(wide);
    if (r == 0)
        log_set_sink(write_event, handle);
    return r;
}

bool eventlog_needed(void)
{
    HANDLE error = GetStdHandle(STD_ERROR_HANDLE);
    return error == NULL || error == INVALID_HANDLE_VALUE;
}

static int key_of(const char *source, wchar_t out[KEY_MAX])
{
    wchar_t *wide = NULL;
    int r = win_utf16(source, &wide);
    if (r != 0)
        return r;
    int n = swprintf(out, KEY_MAX, L"%ls%ls", KEY, wide);
    free(wide);
    return n >= 0 && n < KEY_MAX ? 0 : -ENAMETOOLONG;
}

int eventlog_register(const char *source, const wchar_t *program)
{
    wchar_t name[KEY_MAX];
    HKEY key = NULL;
    DWORD types = TYPES, size = (DWORD)((wcslen(program) + 1) * sizeof *program);
    int r = key_of(source, name);
    if (r != 0)
        return r;
    LSTATUS status = RegCreateKeyExW(HKEY_LOCAL_MACHINE, name, 0, NULL, 0, KEY_SET_VALUE, NULL, &key, NULL);
    if (status == ERROR_SUCCESS)
        status = RegSetValueExW(key, L"EventMessageFile", 0, REG_EXPAND_SZ, (const BYTE *)program, size);
    if (status == ERROR_SUCCESS)
        status = RegSetValueExW(key, L"TypesSupported", 0, REG_DWORD, (const BYTE *)&types, sizeof types);
    if (key != NULL)
        RegCloseKey(key);
    return status == ERROR_SUCCESS ? 0 : win_errno((DWORD)status);
}

int eventlog_unregister(const char *source)
{
    wchar_t name[KEY_MAX];
    int r = key_of(source, name);
    if (r != 0)
        return r;
    LSTATUS status = RegDeleteTreeW(HKEY_LOCAL_MACHINE, name);
    return status == ERROR_SUCCESS || status == ERROR_FILE_NOT_FOUND ? 0 : win_errno((DWORD)status);
}
