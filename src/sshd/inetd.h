/* The connection that a superserver hands over: descriptor 0, who is at its other end, and where the log goes.
 */
#ifndef MULTISSH_SSHD_INETD_H
#define MULTISSH_SSHD_INETD_H

#include "base/errmsg.h"
#include <stdbool.h>
#include <stdint.h>

#define INETD_IP_SIZE 64

struct inetd {
    int fd;                   /* a socket, close-on-exec; 0 and 1 are /dev/null now */
    char peer[INETD_IP_SIZE]; /* numeric; "" when it is not known */
    char local[INETD_IP_SIZE];
    unsigned peer_port, local_port; /* 0: not known */
};

/* When standard error is the connection itself, as a classic inetd leaves it, the log goes to syslog from now
 * on, and standard error to /dev/null. Returns whether it is so. To be called first. */
bool inetd_log(void);

/* Takes descriptor 0. peer: "IP" or "IP:PORT" said on the command line, or NULL; proxy_protocol: a PROXY line
 * comes first, within timeout_ms. Nothing behind that line is read. A pipe on 0 with one on 1 (ssh's
 * ProxyCommand) is bridged to a socket. Returns 0 or a negative errno value with err filled. */
int inetd_take(const char *peer, bool proxy_protocol, uint64_t timeout_ms, struct inetd *ret_inetd,
               struct errmsg *err);

#endif
