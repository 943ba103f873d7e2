/* The proxy that the system is set to use. Siblings: proxy_system_posix.c, proxy_system_windows.c. */
#ifndef MULTISSH_NET_PROXY_SYSTEM_H
#define MULTISSH_NET_PROXY_SYSTEM_H

#include "net/proxy.h"

/* Has this system such a setting? */
extern const bool proxy_system_there;

/* Asks for the one on the way to to. May take some seconds: to be called on a thread, and does not log. Returns 0
 * (ret_p->on: there is one; err: "", or what could not be found out), or a negative code with err filled. */
int proxy_system(const struct addr_hostport *to, struct proxy *ret_p, struct errmsg *err);

#endif
