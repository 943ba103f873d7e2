/* The names of files between UTF-16, as Windows keeps them, and the bytes that clients see: UTF-8, but what is no
 * well-formed UTF-16 is kept too (WTF-8), so that every file can be reached. Pure functions. */
#include "sshd/sftp_fs_windows.h"

#include "base/utf8.h"
#include <errno.h>

#define HIGH(unit) ((unit) >= 0xd800 && (unit) < 0xdc00)
#define LOW(unit) ((unit) >= 0xdc00 && (unit) < 0xe000)

/* Half a surrogate pair, three bytes; 0: it is none. */
static wchar_t surrogate_at(const unsigned char *at, size_t n)
{
    if (n < 3 || at[0] != 0xed || at[1] < 0xa0 || at[1] > 0xbf || at[2] < 0x80 || at[2] > 0xbf)
        return 0;
    return (wchar_t)(0xd000 | (at[1] & 0x3f) << 6 | (at[2] & 0x3f));
}

long sftp_fs_windows_to_wide(const char *text, size_t n, wchar_t *out, size_t size)
{
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        uint32_t code = 0;
        size_t used = utf8_next(text + i, n - i, &code);
        if (used == 0) {
            code = surrogate_at((const unsigned char *)text + i, n - i);
            /* Two halves that belong together are four bytes, and nothing else. */
            if (code == 0 || (LOW(code) && k > 0 && HIGH(out[k - 1])))
                return -EILSEQ;
            used = 3;
        }
        if (size - k < 3)
            return -ENAMETOOLONG;
        if (code >= 0x10000) {
            out[k++] = (wchar_t)(0xd800 + ((code - 0x10000) >> 10));
            out[k++] = (wchar_t)(0xdc00 + ((code - 0x10000) & 0x3ff));
        } else {
            out[k++] = (wchar_t)code;
        }
        i += used;
    }
    out[k] = L'\0';
    return (long)k;
}

static size_t put(uint32_t code, char out[static 4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

long sftp_fs_windows_to_text(const wchar_t *wide, size_t n, char *out, size_t size)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t code = wide[i];
        if (HIGH(code) && i + 1 < n && LOW(wide[i + 1]))
            code = 0x10000 + ((code - 0xd800) << 10) + (wide[++i] - 0xdc00u);
        if (size - k < 5)
            return -ENAMETOOLONG;
        k += put(code, out + k);
    }
    out[k] = '\0';
    return (long)k;
}
