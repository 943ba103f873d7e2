/* The two ends of an SSL object as struct bufs. Private to src/tls.
 *
 * OpenSSL's own memory BIO keeps the memory of its largest moment; a hub has thousands of idle sessions.
 * These give it back. */
#ifndef MULTISSH_TLS_SESSION_BIO_H
#define MULTISSH_TLS_SESSION_BIO_H

#include "base/buf.h"
#include <openssl/bio.h>

struct session_wire {
    struct buf in;  /* ciphertext from the peer, not yet read by OpenSSL */
    struct buf out; /* ciphertext for the peer */
    int error;      /* the negative code of an append that failed; the session is lost then */
};

/* A BIO over wire, which must outlive it; NULL when out of memory. */
BIO *session_bio_new(struct session_wire *wire);

#endif
