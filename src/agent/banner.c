/* The SSH identification line. */
#include "agent/banner.h"

#include <stdbool.h>
#include <string.h>

static void keep_first(struct banner *b)
{
    if (b->first[0] != 0)
        return;
    size_t n = b->n < sizeof b->first - 1 ? b->n : sizeof b->first - 1;
    for (size_t i = 0; i < n; i++)
        b->first[i] = b->line[i] >= 0x20 && b->line[i] < 0x7f ? b->line[i] : '.';
    b->first[n] = 0;
}

static enum banner_verdict line_end(struct banner *b)
{
    if (b->n > 0 && b->line[b->n - 1] == '\r')
        b->n--;
    b->line[b->n] = 0;
    if (strncmp(b->line, "SSH-", 4) == 0) {
        bool version_2 = strncmp(b->line, "SSH-2.0-", 8) == 0 || strncmp(b->line, "SSH-1.99-", 9) == 0;
        if (!version_2)
            keep_first(b);
        return version_2 ? BANNER_SSH : BANNER_NOT_SSH;
    }
    keep_first(b);
    b->n = 0;
    return ++b->lines >= BANNER_LINES_MAX ? BANNER_NOT_SSH : BANNER_MORE;
}

enum banner_verdict banner_feed(struct banner *b, const void *data, size_t n)
{
    const char *at = data;
    for (size_t i = 0; i < n && b->verdict == BANNER_MORE; i++) {
        if (at[i] == '\n') {
            b->verdict = line_end(b);
        } else if (b->n + 1 >= BANNER_LINE_MAX) { /* with its LF it would be too long */
            keep_first(b);
            b->verdict = BANNER_NOT_SSH;
        } else {
            b->line[b->n++] = at[i];
        }
    }
    return b->verdict;
}

enum banner_verdict banner_end(struct banner *b)
{
    if (b->verdict == BANNER_MORE) {
        keep_first(b);
        b->verdict = BANNER_NOT_SSH;
    }
    return b->verdict;
}
