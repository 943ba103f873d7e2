/* What the hosts of all systems have in common. */
#include "agent/host.h"

#include <stdio.h>
#include <string.h>

bool host_id_ok(const char *id)
{
    size_t n = strlen(id);
    return n >= 16 && strspn(id, "0123456789abcdefABCDEF-") == n;
}

void host_set_machine_id(struct host *h, const char *id)
{
    static const char label[] = "multissh machine id v1:";
    char text[sizeof label + HOST_ID_MAX];
    uint8_t hash[CRYPTO_HASH_SIZE];
    int n = snprintf(text, sizeof text, "%s%s", label, id);
    if (host_id_ok(id) && (size_t)n < sizeof text && crypto_sha256(text, (size_t)n, hash) == 0)
        crypto_hex_encode(hash, sizeof hash, h->machine_id, sizeof h->machine_id);
}
