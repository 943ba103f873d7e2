/* The machine's SSH host keys: what the agent tells the hub, so that the hub can tell users. Asked of the
 * server itself with ssh-keyscan where that is installed, else read from /etc/ssh where the server is this
 * machine's, else none. */
#ifndef MULTISSH_AGENT_HOSTKEYS_H
#define MULTISSH_AGENT_HOSTKEYS_H

#include "base/addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define HOSTKEYS_MAX 8
#define HOSTKEYS_LINE_MAX 1450  /* "type base64" of an RSA key of 8,192 bits */
#define HOSTKEYS_TOTAL_MAX 5000 /* all together: a hub keeps no more */
#define HOSTKEYS_SCAN_MAX 65536

struct hostkeys {
    char *key[HOSTKEYS_MAX]; /* "type base64" */
    unsigned n;
    const char *from; /* "ssh-keyscan", "files" or "none"; static */
};

void hostkeys_release(struct hostkeys *k);
bool hostkeys_same(const struct hostkeys *a, const struct hostkeys *b);

/* Adds the keys in text: lines of `host type base64 …` (with_host) or `type base64 …`. Lines that are no key
 * of a known type, whose base64 does not begin with that type, or that are there already are left out, and
 * all beyond HOSTKEYS_MAX or HOSTKEYS_TOTAL_MAX. Returns 0 or -ENOMEM. */
int hostkeys_parse(struct hostkeys *k, const char *text, size_t n, bool with_host);

/* Reads them. fn is called once, later; the keys are then the callee's. */
typedef void hostkeys_fn(void *arg, struct hostkeys *keys);
struct hostkeys_scan;
/* local: the target is this host. Returns 0 or a negative code. */
int hostkeys_scan(uv_loop_t *loop, const struct addr_hostport *target, bool local, hostkeys_fn *fn, void *arg,
                  struct hostkeys_scan **ret_scan);
/* Ends it without a call; NULL-safe. After fn was called there is nothing to be cancelled. */
void hostkeys_cancel(struct hostkeys_scan *scan);

#endif
