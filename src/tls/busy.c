/* The one line of a hub that is busy. Pure. */
#include "tls/busy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char begin[] = "MULTISSH/1 busy retry_ms=";
#define BEGIN_SIZE (sizeof(begin) - 1)

size_t busy_line(uint32_t retry_ms, char out[BUSY_LINE_MAX])
{
    return (size_t)snprintf(out, BUSY_LINE_MAX, "%s%lu\n", begin, (unsigned long)retry_ms);
}

int busy_parse(const char *data, size_t n, uint32_t *ret_ms)
{
    const char *end = n > 0 ? memchr(data, '\n', n < BUSY_LINE_MAX ? n : BUSY_LINE_MAX) : NULL;
    size_t line = end ? (size_t)(end - data) : n;
    uint32_t ms = 0;
    size_t i = BEGIN_SIZE;

    if (memcmp(data, begin, line < BEGIN_SIZE ? line : BEGIN_SIZE) != 0 || line >= BUSY_LINE_MAX)
        return -EPROTO;
    if (!end)
        return -EAGAIN;
    for (; i < line && data[i] >= '0' && data[i] <= '9'; i++) {
        if (ms <= BUSY_RETRY_MAX_MS)
            ms = ms * 10 + (uint32_t)(data[i] - '0');
    }
    /* Further words may come one day. */
    if (line <= BEGIN_SIZE || i == BEGIN_SIZE || (i < line && data[i] != ' '))
        return -EPROTO;
    *ret_ms = ms == 0 ? 1 : ms > BUSY_RETRY_MAX_MS ? BUSY_RETRY_MAX_MS : ms;
    return 0;
}
