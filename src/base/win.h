/* What every part needs of Windows: text, paths, errors. Windows alone (win_windows.c). Everything of ours is UTF-8;
 * Windows' own functions are called in their W forms. */
#ifndef MULTISSH_BASE_WIN_H
#define MULTISSH_BASE_WIN_H

#include "base/sockaddr.h" /* winsock2.h must come before windows.h */
#include <stddef.h>
#include <wchar.h>
#include <windows.h>

/* UTF-8 to UTF-16 and back, NUL-terminated, the caller's to free. Return 0, -EILSEQ (not well-formed) or -ENOMEM. */
int win_utf16(const char *text, wchar_t **ret_wide);
int win_utf8(const wchar_t *wide, char **ret_text);
/* The same into a buffer: 0, -EILSEQ or -ENAMETOOLONG (out is then ""). */
int win_utf8_into(const wchar_t *wide, char *out, size_t size);

/* A path for the W functions: absolute, with backslashes and without dots, and in the \\?\ form when it is longer
 * than MAX_PATH allows; devices (NUL, CON, \\.\...) are refused with -EINVAL. The caller's to free. Returns 0, -EINVAL,
 * -ENOENT (an empty path), -EILSEQ, -ENAMETOOLONG or -ENOMEM. */
int win_path(const char *path, wchar_t **ret_wide);

/* An error of GetLastError (or WSAGetLastError, which shares its numbers) as a negative errno value; -EIO when there
 * is none like it. */
int win_errno_find(DWORD error);
static inline int win_errno(DWORD error)
{
    int r = win_errno_find(error);
    return r < 0 ? r : -5; /* EIO: never success */
}
/* Its words in one line, without the dot at the end, with the number behind: "Access is denied (5)". */
void win_words(DWORD error, char *out, size_t size);

/* A variable of the environment, the caller's to free. NULL: not set, or out of memory. */
char *win_env(const char *name);

/* The process' arguments in UTF-8; argv is the caller's for the process' life. Called first: it does io_start. Returns
 * 0 or a negative errno value. */
int win_args(int *ret_argc, char ***ret_argv);

#endif
