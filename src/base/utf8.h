/* UTF-8 (RFC 3629): what is valid, and what is safe to show. Pure functions. */
#ifndef MULTISSH_BASE_UTF8_H
#define MULTISSH_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the valid character at text[0..n), 1 to 4, with its code point in *ret_code; 0 when there is
 * none: an overlong form, a surrogate, beyond U+10FFFF, cut short, or n = 0. */
size_t utf8_next(const char *text, size_t n, uint32_t *ret_code);

/* Is all of text valid? NUL and control characters are. */
bool utf8_ok(const char *text, size_t n);

/* A character that may not reach a terminal or a log as it is: C0 and C1 controls, DEL, line and paragraph
 * separators, and those that turn the direction of writing. */
bool utf8_unsafe(uint32_t code);

/* The largest length ≤ max at which text[0..n) may be cut without splitting a valid character; n when n ≤
 * max. */
size_t utf8_cut(const char *text, size_t n, size_t max);

#endif
