/* Reads the ALPN out of a ClientHello that was peeked at and not consumed (RFC 8446 §4.1.2, RFC 7301): the
 * hub must know whether a TLS connection is a control connection or a stream before anybody ends the TLS. */
#ifndef MULTISSH_TLS_HELLO_H
#define MULTISSH_TLS_HELLO_H

#include <stddef.h>
#include <stdint.h>

#define HELLO_MAX 8192 /* a ClientHello larger than this is refused */

enum hello_alpn { HELLO_CONTROL = 1, HELLO_STREAM = 2 };

/* Returns HELLO_CONTROL or HELLO_STREAM (the first protocol in the list that is ours), -EAGAIN (not complete
 * yet and what is there is well-formed so far; *ret_need is set to the total bytes wanted before it is worth
 * asking again), or -EPROTO (not a ClientHello, none of our protocols, too large). */
int hello_alpn(const uint8_t *data, size_t n, size_t *ret_need);

#endif
