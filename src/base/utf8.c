/* UTF-8 (RFC 3629): what is valid, and what is safe to show. Pure functions. */
#include "base/utf8.h"

size_t utf8_next(const char *text, size_t n, uint32_t *ret_code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *s = (const uint8_t *)text;
    size_t len;
    uint32_t code;

    if (n == 0)
        return 0;
    if (s[0] < 0x80) {
        *ret_code = s[0];
        return 1;
    }
    if ((s[0] & 0xe0) == 0xc0) {
        len = 2;
        code = s[0] & 0x1f;
    } else if ((s[0] & 0xf0) == 0xe0) {
        len = 3;
        code = s[0] & 0x0f;
    } else if ((s[0] & 0xf8) == 0xf0) {
        len = 4;
        code = s[0] & 0x07;
    } else {
        return 0;
    }
    if (n < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    if (code < smallest[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return len;
}

bool utf8_ok(const char *text, size_t n)
{
    uint32_t code;
    for (size_t i = 0; i < n;) {
        size_t len = utf8_next(text + i, n - i, &code);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

bool utf8_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x061c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

size_t utf8_cut(const char *text, size_t n, size_t max)
{
    if (n <= max)
        return n;
    /* Only a character that begins in the last three bytes can reach past max. */
    for (size_t back = 1; back <= 3 && back <= max; back++) {
        uint32_t code;
        size_t at = max - back;
        if (utf8_next(text + at, n - at, &code) > back)
            return at;
    }
    return max;
}
