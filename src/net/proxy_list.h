/* Lists of proxies, and of what is reached without one, as Windows keeps them. Pure. */
#ifndef MULTISSH_NET_PROXY_LIST_H
#define MULTISSH_NET_PROXY_LIST_H

#include "base/addr.h"
#include <stdbool.h>
#include <stddef.h>

/* The proxy of a list for a tunnel: "proxy:8080" (for everything) or "http=a:80;https=b:8080;socks=c:1080", separated
 * by ';' or blanks; the first that fits, that of https before one for everything. Copied to out as it stands there.
 * Returns 0, -ENOENT (none is meant for a tunnel) or -ENAMETOOLONG. */
int proxy_list_pick(const char *list, char *out, size_t size);

/* Is to reached without a proxy? list: names and addresses with '*', perhaps with a scheme before and a port behind;
 * "<local>": every name without a dot; separated by ';', ',' or blanks. NULL is "". This host itself is in every
 * list that does not say "<-loopback>". */
bool proxy_list_bypasses(const char *list, const struct addr_hostport *to);

#endif
