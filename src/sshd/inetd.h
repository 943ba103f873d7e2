/* The connection that a superserver hands over: descriptor 0, who is at its other end, and where the log goes.
 * inetd_posix.c and inetd_windows.c are what differs. */
#ifndef MULTISSH_SSHD_INETD_H
#define MULTISSH_SSHD_INETD_H

#include "base/errmsg.h"
#include <stdbool.h>
#include <stdint.h>

#define INETD_IP_SIZE 64

struct inetd {
    int fd;                   /* a socket that is not inherited; 0 and 1 are /dev/null (NUL) now */
    char peer[INETD_IP_SIZE]; /* numeric; "" when it is not known */
    char local[INETD_IP_SIZE];
    unsigned peer_port, local_port; /* 0: not known */
};

/* When standard error is the connection itself, as a classic inetd leaves it, the log goes to syslog from now
 * on, and standard error to /dev/null; on Windows, when there is none, to the event log. Returns whether it is so.
 * To be called first. */
bool inetd_log(void);

/* Takes descriptor 0. peer: "IP" or "IP:PORT" said on the command line, or NULL; proxy_protocol: a PROXY line
 * comes first, within timeout_ms. Nothing behind that line is read. A pipe on 0 with one on 1 (ssh's
 * ProxyCommand) is bridged to a socket. Returns 0 or a negative errno value with err filled. */
int inetd_take(const char *peer, bool proxy_protocol, uint64_t timeout_ms, struct inetd *ret_inetd,
               struct errmsg *err);

/* Takes descriptor 0 alone, for inetd_take; *ret_bridged: it was pipes, so that the addresses of the socket say
 * nothing. Returns 0 or a negative errno value with err filled. */
int inetd_descriptor(int *ret_fd, bool *ret_bridged, struct errmsg *err);

/* Once the connection is closed: what was sent before is on its way. Waits for a bridge, if there is one in this
 * process, but not for ever. */
void inetd_finish(void);

#endif
