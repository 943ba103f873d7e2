/* An HTTP proxy that opens a tunnel with CONNECT (RFC 9110 §9.3.6): which one, the request, and the reading
 * of its answer. No sockets here. */
#ifndef MULTISSH_NET_PROXY_H
#define MULTISSH_NET_PROXY_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/errmsg.h"
#include <stdbool.h>
#include <stddef.h>

#define PROXY_HEADER_MAX 8192
#define PROXY_AUTH_MAX 256 /* bytes of USER:PASSWORD */

struct proxy {
    bool on;
    bool ask; /* the system has to be asked (proxy_ask.h); on is false until then */
    struct addr_hostport at;
    char auth[PROXY_AUTH_MAX / 3 * 4 + 8]; /* base64 of USER:PASSWORD; "" = none. Never to be logged */
};

/* Reads "http://[USER:PASSWORD@]HOST[:PORT]" (port 80 when left out; USER and PASSWORD may have %XX), "none",
 * or "env": the environment's https_proxy, HTTPS_PROXY, all_proxy or ALL_PROXY, unless no_proxy or NO_PROXY
 * names the host to be reached; or "system", where the system has such a setting. NULL is "none". Returns 0 or -EINVAL with err filled (the password is not in
 * it). */
int proxy_choose(const char *text, const char *to_host, struct proxy *ret_p, struct errmsg *err);

/* Does the comma-separated list of no_proxy (names, .domains, addresses, *) cover host? */
bool proxy_excepted(const char *list, const char *host);

/* Appends the CONNECT request. Returns 0, -ENOBUFS or -ENOMEM. */
int proxy_request(const struct proxy *p, const struct addr_hostport *to, struct buf *out);

/* The answer, as it comes. Zero-initialise. */
struct proxy_answer {
    size_t n;     /* private */
    size_t total; /* private: header bytes so far */
    bool status_seen;
    int status;
    char line[160]; /* private: the line being read, cut */
    char words[96]; /* the reason phrase, printable */
};

/* Returns 1 (the tunnel is open; *ret_used bytes were the header, what follows is the tunnel's), 0 (more is
 * wanted), or a negative code with err filled: -EPROTO (no HTTP answer, or a header over PROXY_HEADER_MAX),
 * -EACCES (407, 401, 403: it wants other credentials, or forbids), -ECONNREFUSED (any other status). */
int proxy_answer_feed(struct proxy_answer *a, const char *data, size_t n, size_t *ret_used,
                      struct errmsg *err);

#endif
