/* What every part needs of Windows: text, paths, the environment. */
#include "base/win.h"

#include "base/io.h"
#include <errno.h>
#include <limits.h>
#include <shellapi.h>
#include <stdbool.h>
#include <stdlib.h>

#define PATH_CHARS_MAX 32767
#define PLAIN_MAX 247 /* what CreateDirectoryW takes without the \\?\ form, its NUL not counted */

int win_utf16(const char *text, wchar_t **ret_wide)
{
    int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    if (n <= 0)
        return -EILSEQ;
    wchar_t *wide = malloc((size_t)n * sizeof *wide);
    if (wide == NULL)
        return -ENOMEM;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, n) != n) {
        free(wide);
        return -EILSEQ;
    }
    *ret_wide = wide;
    return 0;
}

int win_utf8(const wchar_t *wide, char **ret_text)
{
    int n = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, NULL, 0, NULL, NULL);
    if (n <= 0)
        return -EILSEQ;
    char *text = malloc((size_t)n);
    if (text == NULL)
        return -ENOMEM;
    if (WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, text, n, NULL, NULL) != n) {
        free(text);
        return -EILSEQ;
    }
    *ret_text = text;
    return 0;
}

int win_utf8_into(const wchar_t *wide, char *out, size_t size)
{
    int room = size > INT_MAX ? INT_MAX : (int)size;
    if (size == 0)
        return -ENAMETOOLONG;
    int n = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, out, room, NULL, NULL);
    if (n > 0)
        return 0;
    out[0] = '\0';
    return GetLastError() == ERROR_INSUFFICIENT_BUFFER ? -ENAMETOOLONG : -EILSEQ;
}

static bool begins(const wchar_t *text, const wchar_t *with)
{
    return _wcsnicmp(text, with, wcslen(with)) == 0;
}

static bool has_drive(const wchar_t *path)
{
    return ((path[0] >= L'a' && path[0] <= L'z') || (path[0] >= L'A' && path[0] <= L'Z')) && path[1] == L':';
}

/* What comes in the \\?\ form is brought to the plain one, so that there is one door for both: drives and shares pass,
 * and what else has names there does not. */
static int plain_form(wchar_t *path)
{
    for (wchar_t *p = path; *p != 0; p++) {
        if (*p == L'/')
            *p = L'\\';
    }
    if (!begins(path, L"\\\\?\\"))
        return begins(path, L"\\\\.\\") || begins(path, L"\\??\\") ? -EINVAL : 0;
    const wchar_t *rest = path + 4;
    wchar_t *to = path;
    if (begins(rest, L"UNC\\")) {
        rest += 3;
        *to++ = L'\\';
    } else if (!has_drive(rest) || rest[2] != L'\\') {
        return -EINVAL;
    }
    wmemmove(to, rest, wcslen(rest) + 1);
    return 0;
}

/* The longest form is \\?\UNC\ for a path that begins with \\. */
static int full_form(const wchar_t *path, wchar_t **ret_wide)
{
    static const wchar_t drive[] = L"\\\\?\\", share[] = L"\\\\?\\UNC";
    DWORD n = GetFullPathNameW(path, 0, NULL, NULL); /* with the NUL */
    if (n == 0 || n > PATH_CHARS_MAX)
        return n == 0 ? win_errno(GetLastError()) : -ENAMETOOLONG;
    wchar_t *full = malloc(((size_t)n + sizeof share / sizeof share[0]) * sizeof *full);
    if (full == NULL)
        return -ENOMEM;
    DWORD len = GetFullPathNameW(path, n, full, NULL);
    if (len == 0 || len >= n || begins(full, L"\\\\.\\") || begins(full, L"\\\\?\\")) {
        free(full);
        return -EINVAL;
    }
    if (len > PLAIN_MAX) {
        bool unc = begins(full, L"\\\\");
        const wchar_t *prefix = unc ? share : drive;
        size_t skip = unc ? 1 : 0;
        wmemmove(full + wcslen(prefix), full + skip, len + 1 - skip);
        wmemcpy(full, prefix, wcslen(prefix));
    }
    *ret_wide = full;
    return 0;
}

int win_path(const char *path, wchar_t **ret_wide)
{
    wchar_t *wide = NULL;
    if (path[0] == '\0')
        return -ENOENT;
    int r = win_utf16(path, &wide);
    if (r == 0)
        r = plain_form(wide);
    if (r == 0)
        r = full_form(wide, ret_wide);
    free(wide);
    return r;
}

char *win_env(const char *name)
{
    wchar_t *wide = NULL, *value = NULL;
    char *text = NULL;
    if (win_utf16(name, &wide) != 0)
        return NULL;
    /* Another thread may change it in between. */
    for (DWORD room = 256, n = 0;;) {
        wchar_t *more = realloc(value, room * sizeof *value);
        if (more == NULL)
            goto out;
        value = more;
        SetLastError(ERROR_SUCCESS);
        n = GetEnvironmentVariableW(wide, value, room);
        if (n == 0 && GetLastError() != ERROR_SUCCESS)
            goto out;
        if (n < room)
            break;
        room = n + 1;
    }
    if (win_utf8(value, &text) != 0)
        text = NULL;
out:
    free(value);
    free(wide);
    return text;
}

int win_args(int *ret_argc, char ***ret_argv)
{
    int argc = 0, r = io_start();
    if (r != 0)
        return r;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &argc);
    if (wide == NULL)
        return win_errno(GetLastError());
    char **argv = calloc((size_t)argc + 1, sizeof *argv);
    if (argv == NULL)
        r = -ENOMEM;
    for (int i = 0; r == 0 && i < argc; i++)
        r = win_utf8(wide[i], &argv[i]);
    LocalFree(wide);
    if (r != 0) {
        for (int i = 0; argv != NULL && argv[i] != NULL; i++)
            free(argv[i]);
        free(argv);
        return r;
    }
    *ret_argc = argc;
    *ret_argv = argv;
    return 0;
}
