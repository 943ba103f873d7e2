/* Opens TCP connections: asks DNS, tries one address after the other, goes through an HTTP proxy where there
 * is one. For the control connection, streams, the machine's SSH server and probes alike. Knows nothing of
 * what is spoken over them. */
#ifndef MULTISSH_NET_DIALER_H
#define MULTISSH_NET_DIALER_H

#include "base/addr.h"
#include "net/proxy.h"
#include <stdint.h>
#include <uv.h>

#define DIALER_TIMEOUT_MS 5000      /* for each address to connect */
#define DIALER_DNS_TIMEOUT_MS 10000 /* for the name, and for the proxy's answer */
#define DIALER_ADDRESSES_MAX 16     /* of one name; further ones are not tried */

struct dialer_config {
    uv_loop_t *loop;
    struct addr_hostport to;
    /* Go to this address and ask no DNS, where the first hop, which is the proxy if there is one, is fixed_for (NULL: to).
     * Both are copied. NULL: it is looked up. */
    const struct sockaddr *fixed;
    const struct addr_hostport *fixed_for;
    /* An address of to: tried where no proxy is and the name cannot be looked up, or not within DIALER_TIMEOUT_MS; copied.
     * NULL: none. */
    const struct sockaddr *fallback;
    /* Begin with this one of a name's addresses, counted in a circle: so that dials that overlap do not all wait for
     * the same one. */
    unsigned first;
    const struct proxy *proxy; /* copied; NULL: none; the system is asked when it says so */
    /* IPv4: bind to it where the other end is in 127.0.0.0/8, if it can be had; copied. NULL: the system chooses. */
    const struct sockaddr *source;
};

struct dialer;
/* status 0: connected; *tcp is the callee's (heap: uv_close it, and free it in the close callback). Otherwise
 * status is negative, tcp is NULL, no address is left to be tried, and words say what happened to the last
 * one. Never called from within a call of this module. */
typedef void dialer_fn(void *arg, int status, uv_tcp_t *tcp, const char *words);

/* Begins nothing yet. Returns 0 or -ENOMEM. */
int dialer_new(const struct dialer_config *config, dialer_fn *fn, void *arg, struct dialer **ret_d);
/* Tries the addresses not tried yet until one connects. One call of fn follows. Not to be called before that.
 */
void dialer_next(struct dialer *d);
/* The address that was tried last (a proxy's, when there is one); family 0 when there was none. Valid after
 * fn was called, as long as d. */
const struct sockaddr *dialer_peer(const struct dialer *d);
/* Is it a proxy's? Valid as that. */
bool dialer_proxied(const struct dialer *d);
/* The proxy that was used, also when the system named it; !on: none. Valid as that. */
const struct proxy *dialer_proxy(const struct dialer *d);
/* Ends everything; no calls follow. NULL-safe; also from within fn. */
void dialer_free(struct dialer *d);

#endif
