/* TLS keys and certificates: Ed25519 keys, the hub's small CA and the leaf it signs, an agent's self-signed
 * certificate, and their fingerprints (SHA-256 of the SubjectPublicKeyInfo, as RFC 7469 pins do). Files are
 * made private (0600) and written atomically; an existing key is never overwritten. */
#ifndef MULTISSH_TLS_KEYS_H
#define MULTISSH_TLS_KEYS_H

#include "base/crypto.h"
#include "base/errmsg.h"
#include <openssl/evp.h>
#include <openssl/x509.h>

#define KEYS_FINGERPRINT_TEXT 52 /* "SHA256:" + 43 base64 characters + NUL, as ssh-keygen -l prints */

/* Loads the Ed25519 private key (PEM, PKCS#8) from path, or makes it. *ret_key is the caller's
 * (EVP_PKEY_free). Refuses a file open to group or others. Returns 0 or a negative code with err filled. */
int keys_load_or_make(const char *path, EVP_PKEY **ret_key, struct errmsg *err);
/* As keys_load_or_make, but a missing file is an error (-ENOENT). */
int keys_load(const char *path, EVP_PKEY **ret_key, struct errmsg *err);

/* A self-signed certificate for key with the common name cn; valid from 1970 to 9999, for only the key
 * counts. is_ca: basicConstraints CA:TRUE, pathlen 0. Returns 0 or a negative code. */
int keys_self_sign(EVP_PKEY *key, const char *cn, int is_ca, X509 **ret_cert);

/* A leaf for leaf_key, signed by ca_key, named cn (also as subjectAltName where it is a DNS name or an IP).
 * Returns 0, -EINVAL (ca_key is not ca_cert's, cn is empty) or -EIO. */
int keys_sign_leaf(EVP_PKEY *leaf_key, EVP_PKEY *ca_key, X509 *ca_cert, const char *cn, X509 **ret_cert);

/* Writes the certificate as PEM, replacing path atomically: a certificate, unlike a key, can be made again,
 * and is (a new leaf). Mode 0600. Returns 0 or a negative errno value. */
int keys_cert_save(const char *path, X509 *cert);
/* Loads the first certificate (PEM) in path, at most 64 KiB. *ret_cert is the caller's (X509_free). Returns 0
 * or a negative code (-ENOENT, -EINVAL …) with err filled. */
int keys_cert_load(const char *path, X509 **ret_cert, struct errmsg *err);

/* SHA-256 of the certificate's SubjectPublicKeyInfo. Returns 0 or -EIO. */
int keys_pin(X509 *cert, uint8_t out[CRYPTO_HASH_SIZE]);
/* "SHA256:…" for people. */
void keys_pin_text(const uint8_t pin[CRYPTO_HASH_SIZE], char out[KEYS_FINGERPRINT_TEXT]);

#endif
