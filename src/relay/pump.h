/* Carries one stream connection between a TLS client and a plain local socket, both ways, until both have
 * ended. */
#ifndef MULTISSH_RELAY_PUMP_H
#define MULTISSH_RELAY_PUMP_H

#include "base/errmsg.h"
#include "tls/session.h"
#include <stdint.h>

/* Does the server's handshake on tcp within grace_ms, then pumps. Both sockets are non-blocking, SIGPIPE is
 * ignored; they stay the caller's. A close_notify becomes shutdown(local, SHUT_WR), an end of file on local
 * becomes close_notify and shutdown(tcp, SHUT_WR). Opens nothing, so that it runs in the sandbox. Holds at
 * most about 300 KiB, whatever the two sides do. Returns 0 (both directions ended, or the local side closed)
 * or with err filled -ETIMEDOUT (no handshake in time), -EPROTO (TLS), -ECONNRESET (the connection was lost),
 * -ECANCELED (the local side closed before the handshake was done) or -ENOMEM. */
int pump_run(SSL_CTX *ctx, int tcp, int local, uint64_t grace_ms, struct errmsg *err);

#endif
