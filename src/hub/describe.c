/* Machines in words for people. Keeps nothing. */
#include "hub/describe.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "hub/hub.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void describe_machine(const struct machine *m, int64_t now_s, char *out, size_t size)
{
    char ago[32];
    clock_format_ago(now_s > m->since_s ? (uint64_t)(now_s - m->since_s) * 1000 : 0, ago, sizeof ago);
    if (m->link != NULL)
        snprintf(out, size, "%s is online, since %s", m->name, ago);
    else if (m->since_s == 0)
        snprintf(out, size, "%s is offline and has not been seen yet", m->name);
    else
        snprintf(out, size, "%s is offline, last seen %s ago (%s)", m->name, ago, m->reason);
}

void describe_clean(const char *text, char *out, size_t size)
{
    size_t at = 0, n = strlen(text);
    uint32_t code;
    while (n > 0) {
        size_t step = utf8_next(text, n, &code);
        bool plain = step > 0 && !utf8_unsafe(code);
        size_t width = plain ? step : 1;
        if (at + width >= size)
            break;
        if (plain)
            memcpy(out + at, text, step);
        else
            out[at] = '?';
        at += width;
        text += step > 0 ? step : 1;
        n -= step > 0 ? step : 1;
    }
    out[at] = '\0';
}

void describe_unknown(const char *name, char *out, size_t size)
{
    char clean[80];
    describe_clean(name, clean, sizeof clean);
    snprintf(out, size, "there is no machine \"%s\" that you may use", clean);
}

int describe_machine_name(const char *host, const char *domain, char out[NAMES_MACHINE_MAX + 1])
{
    size_t n = strlen(host), d = strlen(domain);
    if (n > 0 && host[n - 1] == '.') /* a name may be written with the root's dot */
        n--;
    if (d > 0 && n > d + 1 && host[n - d - 1] == '.' && strncasecmp(host + n - d, domain, d) == 0)
        n -= d + 1;
    if (n > NAMES_MACHINE_MAX)
        return -EINVAL;
    memcpy(out, host, n);
    out[n] = '\0';
    return names_machine_ok(out) ? 0 : -EINVAL;
}

void describe_hub(const struct hub *hub, uint16_t omit_port, char out[DESCRIBE_HUB_MAX])
{
    struct addr_hostport hp = {.port = hub->public_port};
    snprintf(hp.host, sizeof hp.host, "%s", hub->public_host);
    addr_format(&hp, omit_port, out, DESCRIBE_HUB_MAX);
}
