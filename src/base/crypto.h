/* Random bytes, hashes, MACs and their text forms: thin calls onto OpenSSL. No cryptography of our own. */
#ifndef MULTISSH_BASE_CRYPTO_H
#define MULTISSH_BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRYPTO_HASH_SIZE 32

/* Fills out with n random bytes. Returns 0 or -EIO (then nothing secret may be made). */
int crypto_random(void *out, size_t n);

/* SHA-256 (FIPS 180-4). Returns 0 or -EIO. */
int crypto_sha256(const void *data, size_t n, uint8_t out[CRYPTO_HASH_SIZE]);

/* One piece of what an HMAC covers. */
struct crypto_piece {
    const void *data;
    size_t n;
};
/* HMAC-SHA-256 (RFC 2104) over the pieces in order. The caller makes the encoding unambiguous. Returns 0 or
 * -EIO. */
int crypto_hmac(const void *key, size_t key_n, const struct crypto_piece *pieces, size_t count,
                uint8_t out[CRYPTO_HASH_SIZE]);

/* Authenticated encryption: AES-256-GCM (SP 800-38D) with a random nonce in front and the tag behind. out has room for
 * n + CRYPTO_SEAL_EXTRA bytes. A key seals at most 2^32 messages. Returns 0 or -EIO. */
#define CRYPTO_SEAL_KEY 32
#define CRYPTO_SEAL_EXTRA (12 + 16)
int crypto_seal(const uint8_t key[CRYPTO_SEAL_KEY], const void *data, size_t n, uint8_t *out);
/* The n bytes that crypto_seal made; out has room for n - CRYPTO_SEAL_EXTRA. Returns 0, -EBADMSG (not made with this key,
 * or changed; out is wiped) or -EIO. */
int crypto_unseal(const uint8_t key[CRYPTO_SEAL_KEY], const void *sealed, size_t n, uint8_t *out);

/* Compares in constant time. */
bool crypto_equal(const void *a, const void *b, size_t n);
/* Overwrites; not optimised away. NULL-safe. */
void crypto_wipe(void *data, size_t n);

/* base64url without padding (RFC 4648 §5), NUL-terminated. Returns the length, or -ENOBUFS when size is too
 * small (4*((n+2)/3)+1 always suffices). */
int crypto_b64url_encode(const void *data, size_t n, char *out, size_t size);
/* Strict: only the alphabet, no padding, no stray bits. Returns the number of bytes, -EINVAL or -ENOBUFS. */
int crypto_b64url_decode(const char *text, size_t text_n, void *out, size_t size);
/* Standard base64 with padding, as in SSH public keys (RFC 4648 §4). Same returns. */
int crypto_b64_encode(const void *data, size_t n, char *out, size_t size);
int crypto_b64_decode(const char *text, size_t text_n, void *out, size_t size);
/* Lower-case hex, NUL-terminated; size ≥ 2n+1. Decode accepts either case and returns bytes or
 * -EINVAL/-ENOBUFS. */
void crypto_hex_encode(const void *data, size_t n, char *out, size_t size);
int crypto_hex_decode(const char *text, size_t text_n, void *out, size_t size);

#endif
