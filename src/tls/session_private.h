/* What session.c and session_ctx.c share: the session itself. Private to src/tls. */
#ifndef MULTISSH_TLS_SESSION_PRIVATE_H
#define MULTISSH_TLS_SESSION_PRIVATE_H

#include "tls/session.h"
#include "tls/session_bio.h"

struct session {
    SSL *ssl;
    struct session_wire wire;
    struct session_trust trust;
    struct errmsg *err; /* during session_input: where the certificate check leaves its reason */
    const char *alpn;   /* wanted, on a client; negotiated, once ready */
    size_t unsent;      /* answers that input caused since output was last empty */
    int failed;         /* the code of the failure that ended it */
    bool server, ready, has_pin, explained, peer_ended, we_ended;
    uint8_t pin[CRYPTO_HASH_SIZE];
};

/* The ALPN value as one of our constants, or NULL. */
const char *session_known_alpn(const unsigned char *name, size_t n);

#endif
