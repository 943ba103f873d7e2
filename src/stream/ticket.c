/* Tickets: made and opened here, and nowhere else. Pure functions over the hub's secret; no state, no clock.
 *
 * The MAC is checked before a single byte of the payload is looked at, so what is parsed was written by a
 * hub. */
#include "stream/ticket.h"
#include <errno.h>
#include <string.h>

#define TICKET_VERSION 1
#define TICKET_FIXED (1 + TICKET_ID_SIZE + 8 + 1 + 1) /* the payload without the two names */
#define TICKET_PAYLOAD_MAX (TICKET_FIXED + NAMES_MACHINE_MAX + NAMES_USER_MAX + TICKET_USER_KEY_SIZE)
#define TICKET_B64(n) (((n)*4 + 2) / 3) /* base64url without padding */
#define TICKET_MAC_TEXT TICKET_B64(CRYPTO_HASH_SIZE)

_Static_assert(TICKET_B64(TICKET_PAYLOAD_MAX) + 1 + TICKET_MAC_TEXT + 1 <= TICKET_TEXT_MAX,
               "the longest ticket fits");

/* The terminating NUL is part of each label: it separates the label from what follows. */
static const char mac_label[] = "multissh ticket v1";
static const char key_label[] = "multissh stream key v1";

static int ticket_hmac(const uint8_t secret[TICKET_SECRET_SIZE], const char *label, size_t label_n,
                       const uint8_t *payload, size_t n, uint8_t out[CRYPTO_HASH_SIZE])
{
    const struct crypto_piece pieces[] = {{label, label_n}, {payload, n}};
    return crypto_hmac(secret, TICKET_SECRET_SIZE, pieces, 2, out);
}

static size_t ticket_encode(const struct ticket *t, uint8_t out[TICKET_PAYLOAD_MAX])
{
    size_t machine_n = strlen(t->machine), user_n = strlen(t->user), n = 0;
    uint64_t expiry = (uint64_t)t->expiry_s;

    out[n++] = TICKET_VERSION;
    memcpy(out + n, t->id, TICKET_ID_SIZE);
    n += TICKET_ID_SIZE;
    for (int shift = 56; shift >= 0; shift -= 8)
        out[n++] = (uint8_t)(expiry >> shift);
    out[n++] = (uint8_t)machine_n;
    memcpy(out + n, t->machine, machine_n);
    n += machine_n;
    out[n++] = (uint8_t)user_n;
    memcpy(out + n, t->user, user_n);
    n += user_n;
    if (!ticket_id_joined(t->id))
        return n;
    memcpy(out + n, t->user_key, TICKET_USER_KEY_SIZE);
    return n + TICKET_USER_KEY_SIZE;
}

/* Takes one length-prefixed name; false when it does not fit. */
static bool ticket_take_name(const uint8_t **p, size_t *n, char *out, size_t max)
{
    size_t len;

    if (*n < 1)
        return false;
    len = (*p)[0];
    if (len > max || len > *n - 1 || memchr(*p + 1, '\0', len))
        return false;
    memcpy(out, *p + 1, len);
    out[len] = '\0';
    *p += 1 + len;
    *n -= 1 + len;
    return true;
}

static bool ticket_decode(const uint8_t *p, size_t n, struct ticket *t)
{
    uint64_t expiry = 0;

    if (n < TICKET_FIXED || p[0] != TICKET_VERSION)
        return false;
    memcpy(t->id, p + 1, TICKET_ID_SIZE);
    p += 1 + TICKET_ID_SIZE;
    for (int i = 0; i < 8; i++)
        expiry = expiry << 8 | p[i];
    if (expiry > INT64_MAX)
        return false;
    t->expiry_s = (int64_t)expiry;
    p += 8;
    n -= 1 + TICKET_ID_SIZE + 8;
    if (!ticket_take_name(&p, &n, t->machine, NAMES_MACHINE_MAX) ||
        !ticket_take_name(&p, &n, t->user, NAMES_USER_MAX) ||
        n != (ticket_id_joined(t->id) ? TICKET_USER_KEY_SIZE : 0))
        return false;
    memcpy(t->user_key, p, n);
    return names_machine_ok(t->machine) && names_user_ok(t->user);
}

int ticket_id_new(bool joined, uint8_t ret_id[TICKET_ID_SIZE])
{
    int rc = crypto_random(ret_id, TICKET_ID_SIZE);

    ret_id[0] = (uint8_t)((ret_id[0] & 0x7f) | (joined ? 0x80 : 0));
    return rc;
}

bool ticket_id_joined(const uint8_t id[TICKET_ID_SIZE])
{
    return (id[0] & 0x80) != 0;
}

int ticket_user_key(const char *key, uint8_t ret_user_key[TICKET_USER_KEY_SIZE])
{
    uint8_t hash[CRYPTO_HASH_SIZE];
    int rc = crypto_sha256(key, strlen(key), hash);

    if (rc == 0)
        memcpy(ret_user_key, hash, TICKET_USER_KEY_SIZE);
    return rc;
}

int ticket_make(const uint8_t secret[TICKET_SECRET_SIZE], const struct ticket *t, char out[TICKET_TEXT_MAX],
                uint8_t ret_key[TICKET_KEY_SIZE])
{
    uint8_t payload[TICKET_PAYLOAD_MAX], mac[CRYPTO_HASH_SIZE];
    size_t n;
    int len, r;

    if (t->expiry_s < 0 || !memchr(t->machine, '\0', sizeof t->machine) ||
        !memchr(t->user, '\0', sizeof t->user) || !names_machine_ok(t->machine) || !names_user_ok(t->user))
        return -EINVAL;
    n = ticket_encode(t, payload);
    r = ticket_hmac(secret, mac_label, sizeof mac_label, payload, n, mac);
    if (r < 0)
        return r;
    r = ticket_hmac(secret, key_label, sizeof key_label, payload, n, ret_key);
    if (r < 0)
        return r;
    len = crypto_b64url_encode(payload, n, out, TICKET_TEXT_MAX);
    if (len < 0)
        return -EINVAL;
    out[len++] = '.';
    r = crypto_b64url_encode(mac, sizeof mac, out + len, TICKET_TEXT_MAX - (size_t)len);
    return r < 0 ? -EINVAL : 0;
}

int ticket_open(const uint8_t secret[TICKET_SECRET_SIZE], const char *text, struct ticket *ret_t,
                uint8_t ret_key[TICKET_KEY_SIZE])
{
    uint8_t payload[TICKET_PAYLOAD_MAX], mac[CRYPTO_HASH_SIZE], expected[CRYPTO_HASH_SIZE];
    struct ticket t;
    size_t text_n = strnlen(text, TICKET_TEXT_MAX);
    const char *dot;
    int n, r;

    if (text_n == TICKET_TEXT_MAX)
        return -EINVAL;
    dot = memchr(text, '.', text_n);
    if (!dot || text_n - (size_t)(dot + 1 - text) != TICKET_MAC_TEXT)
        return -EINVAL;
    n = crypto_b64url_decode(text, (size_t)(dot - text), payload, sizeof payload);
    if (n < TICKET_FIXED ||
        crypto_b64url_decode(dot + 1, TICKET_MAC_TEXT, mac, sizeof mac) != CRYPTO_HASH_SIZE)
        return -EINVAL;
    r = ticket_hmac(secret, mac_label, sizeof mac_label, payload, (size_t)n, expected);
    if (r < 0)
        return r;
    r = crypto_equal(mac, expected, sizeof mac) ? 0 : -EPERM;
    crypto_wipe(expected, sizeof expected); /* else a stranger's payload lies here beside its true MAC */
    if (r < 0)
        return r;
    memset(&t, 0, sizeof t);
    if (!ticket_decode(payload, (size_t)n, &t))
        return -EINVAL;
    r = ticket_hmac(secret, key_label, sizeof key_label, payload, (size_t)n, ret_key);
    if (r < 0)
        return r;
    *ret_t = t;
    return 0;
}
