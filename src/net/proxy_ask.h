/* Asks the system for its proxy, on a thread, bounded in time. */
#ifndef MULTISSH_NET_PROXY_ASK_H
#define MULTISSH_NET_PROXY_ASK_H

#include "net/proxy.h"
#include <uv.h>

#define PROXY_ASK_MS 5000 /* without an answer after that there is no proxy */

struct proxy_ask;
/* Valid during the call. status 0: proxy is the answer (!on: none). Else negative, and words say why. */
typedef void proxy_ask_fn(void *arg, int status, const struct proxy *proxy, const char *words);

/* fn is called once, later. Returns 0 or a negative code. */
int proxy_ask_begin(uv_loop_t *loop, const struct addr_hostport *to, proxy_ask_fn *fn, void *arg,
                    struct proxy_ask **ret_ask);
/* Ends it without a call; NULL-safe. After fn was called there is nothing to be cancelled. */
void proxy_ask_cancel(struct proxy_ask *ask);

#endif
