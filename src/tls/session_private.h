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
    bool server, ready, has_pin, explained, peer_ended, we_ended, resumed;
    uint8_t pin[CRYPTO_HASH_SIZE];
    int64_t signed_s; /* a server that asks for certificates: when the client's key last signed a handshake */
    uint32_t busy_ms; /* the hub's answer in place of TLS; 0: there was none */
    bool heard;       /* the other side's first bytes have been looked at */
    char *name;       /* SYSTEM: the trust's, for what is remembered of this session */
    /* A client that resumes, or may be given a ticket: */
    struct session_ticket *offer; /* until the handshake is over */
    STACK_OF(X509) * chain;
    bool has_offer_pin;
    uint8_t offer_pin[CRYPTO_HASH_SIZE];
};

/* session_resume.c */
/* A client offers what its context remembers, where that fits. */
void session_resume_offer(struct session *s);
/* The handshake is over. False: what was resumed does not say with whom. */
bool session_resume_done(struct session *s);
/* The handshake came to nothing: what was offered is not offered again. */
void session_resume_failed(struct session *s);
void session_resume_release(struct session *s);

/* The ALPN value as one of our constants, or NULL. */
const char *session_known_alpn(const unsigned char *name, size_t n);

#endif
