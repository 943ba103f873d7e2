/* The tickets by which a machine that the hub knows resumes its control connection: what is in one, and how it is made
 * and opened. Private to src/tls.
 *
 * A ticket is sealed by the hub for itself and holds the machine's key (its pin), when that key last signed a handshake, the
 * secret that both ends share, and when it expires; so the hub keeps nothing. It becomes the identity of a pre-shared key of TLS 1.3 (RFC 8446 §4.2.11), always
 * together with a fresh key exchange. It says who comes, never that they may. */
#ifndef MULTISSH_TLS_RESUME_H
#define MULTISSH_TLS_RESUME_H

#include "base/crypto.h"
#include <stddef.h>
#include <stdint.h>

#define RESUME_KEY_SIZE 32 /* of the shared secret */
#define RESUME_TICKET_SIZE (1 + CRYPTO_SEAL_EXTRA + 8 + 8 + CRYPTO_HASH_SIZE + RESUME_KEY_SIZE)

/* Whom a ticket is for. */
struct resume_owner {
    uint8_t pin[CRYPTO_HASH_SIZE];
    int64_t signed_s; /* the last handshake that this key has signed */
};
/* secret: the hub's. Makes the shared secret, too. Returns 0 or -EIO. */
int resume_make(const uint8_t secret[CRYPTO_SEAL_KEY], const struct resume_owner *owner, int64_t expires_s,
                uint8_t ret_ticket[RESUME_TICKET_SIZE], uint8_t ret_key[RESUME_KEY_SIZE]);
/* Returns 0, -EBADMSG (not a ticket of this secret), -ETIME (expired) or -EIO. Nothing is returned unless it is 0. */
int resume_open(const uint8_t secret[CRYPTO_SEAL_KEY], const uint8_t *ticket, size_t n, int64_t now_s,
                struct resume_owner *ret_owner, uint8_t ret_key[RESUME_KEY_SIZE]);

#endif
