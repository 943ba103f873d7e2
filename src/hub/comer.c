/* Owns nothing that outlives a call. */
#include "hub/comer.h"
#include "base/log.h"
#include <stdio.h>
#include <unistd.h>

static struct log_limit limit = {.burst = 30, .interval_ms = 2000}; /* one hub a process */

void comer_end(const struct comer *c, struct farewells *f, bool final, const char *text)
{
    char line[PREAMBLE_MAX + 1];
    int n = preamble_refuse_format(c->p, c->key, final, text, line, sizeof line);

    if (n < 0)
        close(c->fd);
    else
        farewells_add(f, c->fd, line, (size_t)n);
}

void comer_refuse(const struct comer *c, struct farewells *f, bool final, const char *why)
{
    char text[PREAMBLE_TEXT_MAX + 1];

    (void)snprintf(text, sizeof text, "the hub does not take this connection: %s", why);
    log_limited(&limit, LOG_LEVEL_INFO, "stream connection from %s refused: %s", c->source, why);
    comer_end(c, f, final, text);
}
