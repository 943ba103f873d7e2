/* Whose key is at the other end: the certificate checks of session.c. Private to src/tls.
 *
 * Certificates are only carriers of keys here: dates and names are not looked at, except with
 * SESSION_TRUST_SYSTEM. */
#ifndef MULTISSH_TLS_TRUST_H
#define MULTISSH_TLS_TRUST_H

#include "tls/session.h"
#include <openssl/x509.h>

/* All three fill ret_pin with the key to know the peer by, or return -EPROTO with err saying why the peer is
 * not trusted. sent is what the peer sent, the leaf included. */

/* A client is any self-signed Ed25519 certificate; the handshake's CertificateVerify proves that it holds the
 * key. */
int trust_client(X509 *leaf, const STACK_OF(X509) * sent, uint8_t ret_pin[CRYPTO_HASH_SIZE],
                 struct errmsg *err);
/* A hub's leaf must be signed by a CA certificate that came with it; with pin, by the one with that
 * key. */
int trust_hub(X509 *leaf, const STACK_OF(X509) * sent, const uint8_t *pin, uint8_t ret_pin[CRYPTO_HASH_SIZE],
              struct errmsg *err);
/* The system's certificate authorities decide; store has been set up with them and with the wanted name.
 * ret_pin is the issuer's and *ret_has_pin false when there is none in the chain. */
int trust_system(X509_STORE_CTX *store, uint8_t ret_pin[CRYPTO_HASH_SIZE], bool *ret_has_pin,
                 struct errmsg *err);

#endif
