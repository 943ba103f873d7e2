/* Owns the form of the tickets. Pure: no state, no clock, no OpenSSL session. */
#include "tls/resume.h"

#include <errno.h>
#include <string.h>

#define VERSION 1
#define PLAIN_SIZE (8 + 8 + CRYPTO_HASH_SIZE + RESUME_KEY_SIZE)

static uint8_t *put(uint8_t *at, int64_t number)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t)((uint64_t)number >> shift);
    return at;
}

static int64_t get(const uint8_t *at)
{
    uint64_t number = 0;

    for (size_t i = 0; i < 8; i++)
        number = number << 8 | at[i];
    return (int64_t)number;
}

int resume_make(const uint8_t secret[CRYPTO_SEAL_KEY], const struct resume_owner *owner, int64_t expires_s,
                uint8_t ret_ticket[RESUME_TICKET_SIZE], uint8_t ret_key[RESUME_KEY_SIZE])
{
    uint8_t plain[PLAIN_SIZE], *at;
    int rc = crypto_random(ret_key, RESUME_KEY_SIZE);

    if (rc < 0)
        return rc;
    at = put(put(plain, expires_s), owner->signed_s);
    memcpy(at, owner->pin, CRYPTO_HASH_SIZE);
    memcpy(at + CRYPTO_HASH_SIZE, ret_key, RESUME_KEY_SIZE);
    ret_ticket[0] = VERSION;
    rc = crypto_seal(secret, plain, sizeof(plain), ret_ticket + 1);
    crypto_wipe(plain, sizeof(plain));
    return rc;
}

int resume_open(const uint8_t secret[CRYPTO_SEAL_KEY], const uint8_t *ticket, size_t n, int64_t now_s,
                struct resume_owner *ret_owner, uint8_t ret_key[RESUME_KEY_SIZE])
{
    uint8_t plain[PLAIN_SIZE];
    int rc = -EBADMSG;

    if (n != RESUME_TICKET_SIZE || ticket[0] != VERSION)
        return rc;
    rc = crypto_unseal(secret, ticket + 1, n - 1, plain);
    if (rc < 0)
        return rc;
    if (get(plain) <= now_s) {
        rc = -ETIME;
    } else {
        ret_owner->signed_s = get(plain + 8);
        memcpy(ret_owner->pin, plain + 16, CRYPTO_HASH_SIZE);
        memcpy(ret_key, plain + 16 + CRYPTO_HASH_SIZE, RESUME_KEY_SIZE);
    }
    crypto_wipe(plain, sizeof(plain));
    return rc;
}
