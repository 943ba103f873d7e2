/* Tells when the network may have come back or changed: an address or a route came or went. Siblings:
 * netwatch_linux.c, netwatch_windows.c. */
#ifndef MULTISSH_NET_NETWATCH_H
#define MULTISSH_NET_NETWATCH_H

#include <uv.h>

#define NETWATCH_QUIET_MS 250 /* a burst of changes is told once, this long after its first */

struct netwatch;
typedef void netwatch_fn(void *arg);
/* fn is called from the loop after each change. Returns 0 or a negative errno value (then nobody will tell).
 */
int netwatch_new(uv_loop_t *loop, netwatch_fn *fn, void *arg, struct netwatch **ret_w);
void netwatch_free(struct netwatch *w);

#endif
