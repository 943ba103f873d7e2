/* Tickets: any text is refused, and any payload under a true MAC is either refused or exactly what is made
 * from it. */
#include "stream/ticket.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t secret[TICKET_SECRET_SIZE] = {5};
    static const char label[] = "multissh ticket v1";
    const struct crypto_piece pieces[] = {{label, sizeof label}, {data, n}};
    uint8_t mac[CRYPTO_HASH_SIZE], key[TICKET_KEY_SIZE], key2[TICKET_KEY_SIZE];
    char text[2 * TICKET_TEXT_MAX], made[TICKET_TEXT_MAX];
    struct ticket t;
    size_t cut = n < sizeof text - 1 ? n : sizeof text - 1;
    int len, r;

    memcpy(text, data, cut);
    text[cut] = '\0';
    require(ticket_open(secret, text, &t, key) < 0);
    if (crypto_hmac(secret, sizeof secret, pieces, 2, mac) < 0)
        return 0;
    len = crypto_b64url_encode(data, n, text, TICKET_TEXT_MAX);
    if (len < 0)
        return 0;
    text[len++] = '.';
    require(crypto_b64url_encode(mac, sizeof mac, text + len, sizeof text - (size_t)len) > 0);
    r = ticket_open(secret, text, &t, key);
    require(r == 0 || r == -EINVAL);
    if (r == 0) {
        require(ticket_make(secret, &t, made, key2) == 0 && strcmp(made, text) == 0);
        require(memcmp(key, key2, sizeof key) == 0);
    }
    return 0;
}
