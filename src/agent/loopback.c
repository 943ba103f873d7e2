/* One loopback address a user. */
#include "agent/loopback.h"

#include "base/crypto.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

int loopback_for_user(const char *user, char *out, size_t size)
{
    uint8_t hash[CRYPTO_HASH_SIZE];
    if (crypto_sha256(user, strlen(user), hash) != 0)
        return -EIO;
    unsigned x = hash[0], y = hash[1], z = 1 + hash[2] % 254u;
    if (x == 0 && y == 0)
        x = 1 + hash[3] % 255u;
    snprintf(out, size, "127.%u.%u.%u", x, y, z);
    return 0;
}
