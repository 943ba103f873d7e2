/* Lines out of bytes. */
#include "agent/lines.h"

#include <errno.h>
#include <string.h>

int lines_next(const struct buf *b, size_t max, const char **ret_line, size_t *ret_n)
{
    size_t len = buf_len(b);
    if (len == 0)
        return 0;
    const uint8_t *data = buf_data(b);
    size_t look = len < max ? len : max;
    const uint8_t *end = memchr(data, '\n', look);
    if (end == NULL)
        return len >= max ? -EMSGSIZE : 0;
    *ret_line = (const char *)data;
    *ret_n = (size_t)(end - data);
    return 1;
}
