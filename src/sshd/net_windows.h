/* Connecting and listening for forwards. May take long: to be called on threads of their own. Windows alone. */
#ifndef MULTISSH_SSHD_NET_WINDOWS_H
#define MULTISSH_SSHD_NET_WINDOWS_H

#include "base/errmsg.h"
#include <stdbool.h>

/* A connected, non-blocking socket that is not inherited; the addresses of the name are tried in turn, for
 * NETOPS_CONNECT_MS together (finding them has bounds of the system's). Returns 0 or a negative errno value, and err
 * then has a sentence for the user. */
int net_connect(const char *host, unsigned port, int *ret_fd, struct errmsg *err);

/* Sockets that listen, of one port; the second is -1 when there is but one. Without anywhere: at host when that is a
 * loopback address, else at 127.0.0.1 and ::1, the second of which may be missing. With it "" and "*" are every
 * address of the machine. Port 0 takes any. Nobody else can listen at the same address. Returns and err as above. */
int net_listen(const char *host, unsigned port, bool anywhere, int ret_fds[2], unsigned *ret_port,
               struct errmsg *err);

#endif
