/* What a hub answers in place of TLS when it cannot take a machine's connection now: one line, before any cryptography
 * (PROTOCOL.md, "One port"). It is not protected, and says no more than whoever can cut the connection could: come back later. */
#ifndef MULTISSH_TLS_BUSY_H
#define MULTISSH_TLS_BUSY_H

#include <stddef.h>
#include <stdint.h>

#define BUSY_LINE_MAX 64        /* with the newline */
#define BUSY_RETRY_MAX_MS 60000 /* more is not believed */

/* Writes the line, NUL-terminated. Returns its length. */
size_t busy_line(uint32_t retry_ms, char out[BUSY_LINE_MAX]);
/* Looks at the first n bytes of an answer. Returns 0 (it is one; *ret_ms is between 1 and BUSY_RETRY_MAX_MS), -EAGAIN (may
 * become one) or -EPROTO. */
int busy_parse(const char *data, size_t n, uint32_t *ret_ms);

#endif
