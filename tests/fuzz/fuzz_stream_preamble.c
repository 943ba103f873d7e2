/* The preamble: what is accepted means the same when written and read again, and no beginning of it is
 * refused. */
#include "stream/preamble.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct preamble p, again;
    char line[PREAMBLE_MAX + 1];
    int len = preamble_parse((const char *)data, n, &p), written;

    require(len == -EAGAIN || len == -EPROTO || (len > 0 && len <= PREAMBLE_MAX && (size_t)len <= n));
    if (len == -EAGAIN)
        require(n < PREAMBLE_MAX);
    if (len <= 0)
        return 0;
    for (int i = 0; i < len; i++)
        require(preamble_parse((const char *)data, (size_t)i, &again) == -EAGAIN);
    written = preamble_format(&p, line, sizeof line);
    require(written > 0 && preamble_parse(line, (size_t)written, &again) == written);
    require(strcmp(p.ticket, again.ticket) == 0 && p.edge == again.edge && p.epoch == again.epoch &&
            memcmp(p.mac, again.mac, sizeof p.mac) == 0);
    return 0;
}
