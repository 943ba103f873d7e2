/* The command line that the service is registered with, and who may do what to it. */
#include "agent/service_windows.h"

#include <errno.h>
#include <shellapi.h>
#include <stdlib.h>
#include <string.h>

/* Windows' own but for CR (controls of the service's own) of those who are logged in and of services. */
const wchar_t service_rights[] = L"D:(A;;CCLCSWRPWPDTLOCRRC;;;SY)(A;;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;BA)"
                                 L"(A;;CCLCSWLORC;;;IU)(A;;CCLCSWLORC;;;SU)";

/* Backslashes count only before a quotation mark: each is doubled there, and one more hides the mark. */
wchar_t *service_quote(const wchar_t *argument)
{
    size_t n = wcslen(argument);
    wchar_t *out = calloc(2 * n + 3, sizeof *out), *at = out;
    if (out == NULL)
        return NULL;
    *at++ = L'"';
    for (size_t i = 0; i < n;) {
        size_t slashes = 0;
        while (argument[i + slashes] == L'\\')
            slashes++;
        wchar_t next = argument[i + slashes];
        size_t write = next == 0 || next == L'"' ? 2 * slashes : slashes;
        while (write-- > 0)
            *at++ = L'\\';
        if (next == L'"')
            *at++ = L'\\';
        if (next != 0)
            *at++ = next;
        i += slashes + (next != 0);
    }
    *at = L'"';
    return out;
}

static int quoted_path(const char *path, wchar_t **ret_quoted)
{
    wchar_t *wide = NULL;
    if (strpbrk(path, "%\"") != NULL)
        return -EINVAL;
    int r = win_utf16(path, &wide);
    if (r != 0)
        return r;
    *ret_quoted = service_quote(wide);
    free(wide);
    return *ret_quoted != NULL ? 0 : -ENOMEM;
}

int service_line(const char *program, const char *state, wchar_t **ret_line)
{
    static const wchar_t form[] = L"%ls --state %ls service run";
    wchar_t *first = NULL, *second = NULL, *line = NULL;
    size_t size = 0;
    int r = quoted_path(program, &first);
    if (r == 0)
        r = quoted_path(state, &second);
    if (r == 0) {
        size = wcslen(first) + wcslen(second) + sizeof form;
        line = calloc(size, sizeof *line);
        r = line != NULL ? 0 : -ENOMEM;
    }
    if (r == 0) {
        (void)swprintf(line, size, form, first, second);
        *ret_line = line;
    }
    free(first);
    free(second);
    return r;
}

int service_line_state(const wchar_t *line, char *out, size_t size)
{
    int n = 0, r = -ENOENT;
    wchar_t **words = line[0] != 0 ? CommandLineToArgvW(line, &n) : NULL;
    if (words == NULL)
        return line[0] != 0 ? -ENOMEM : -ENOENT;
    for (int i = 1; i + 1 < n; i++) {
        if (wcscmp(words[i], L"--state") == 0) {
            r = win_utf8_into(words[i + 1], out, size);
            break;
        }
    }
    LocalFree(words);
    return r;
}
