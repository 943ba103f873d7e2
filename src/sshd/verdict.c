/* Logins: rights, words and times. */
#include "sshd/verdict.h"

#include "sshd/host.h"
#include "sshd/netops.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REFUSAL_MS 20u /* a refusal takes this long, or this doubled until it is longer than the work was */
#define ASKS_EXTRA 20u

int verdict_by_key(const char *key, char out[VERDICT_BY_MAX], struct errmsg *err)
{
    char type[64], fingerprint[KEYLINE_FINGERPRINT];
    size_t n = strcspn(key, " ");
    if (n >= sizeof type || key[n] != ' ' || strlen(key) > KEYLINE_MAX)
        return errmsg_set(err, -EINVAL, "the key is of no kind that is known here");
    memcpy(type, key, n);
    type[n] = '\0';
    if (keyline_check_user(type, key + n + 1, fingerprint, err) < 0)
        return -EINVAL;
    (void)snprintf(out, VERDICT_BY_MAX, "the key %s %s", type, fingerprint);
    return 0;
}

uint64_t verdict_due_ms(uint64_t took_ms)
{
    uint64_t due = REFUSAL_MS;
    while (due < took_ms)
        due *= 2;
    return due;
}

unsigned verdict_asks_max(const struct sshd_options *o)
{
    return 2 * (unsigned)o->tries_max + ASKS_EXTRA;
}

unsigned verdict_rights(const struct sshd_options *o, const struct authkeys_rights *r)
{
    return (o->pty && !r->no_pty ? HOST_RIGHT_PTY : 0) |
           (o->local_forwarding && !r->no_port_forwarding ? HOST_RIGHT_LOCAL_FORWARD : 0) |
           (o->remote_forwarding && !r->no_port_forwarding ? HOST_RIGHT_REMOTE_FORWARD : 0) |
           (o->agent_forwarding && !r->no_agent_forwarding ? HOST_RIGHT_AGENT : 0);
}

const char *verdict_connect(unsigned rights, const struct authkeys_rights *r, const char *host, unsigned port)
{
    if ((rights & HOST_RIGHT_LOCAL_FORWARD) == 0)
        return "connecting onward is not allowed for this login";
    if (port == 0 || port > 65535 || host[0] == '\0' || strlen(host) > NETOPS_HOST_MAX)
        return "this is no host and port";
    return authkeys_may_open(r, host, port) ? NULL : "this key may not connect there (permitopen)";
}

const char *verdict_listen(unsigned rights, const struct authkeys_rights *r, const char *host, unsigned port)
{
    if ((rights & HOST_RIGHT_REMOTE_FORWARD) == 0)
        return "listening is not allowed for this login";
    if (port > 65535 || strlen(host) > NETOPS_HOST_MAX)
        return "this is no host and port";
    return authkeys_may_listen(r, host, port) ? NULL : "this key may not listen there (permitlisten)";
}
