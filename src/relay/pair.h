/* Joins the two connections of a stream, one of each edge: bytes, both ways, until one of them ends. One process a pair,
 * which outlives the hub that started it and is found by the next one at its listening socket. Never looks at a byte. */
#ifndef MULTISSH_RELAY_PAIR_H
#define MULTISSH_RELAY_PAIR_H

#include "base/errmsg.h"

/* The four descriptors, which stay the caller's, are non-blocking, SIGPIPE is ignored. control: the SOCK_SEQPACKET channel
 * with the hub (PROTOCOL.md, "Pairs"), on which `pair` is to come first; listener: where the next hub comes; a and b: the
 * connections of the two edges, behind their preambles. Enters the sandbox, then pumps. Returns 0 (it ended, and the hub was
 * told) or a negative code with err filled: it could not begin. */
int pair_run(int control, int listener, int a, int b, struct errmsg *err);

#endif
