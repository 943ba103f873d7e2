/* Vouchers: made and opened here, and nowhere else. Pure functions over the hub's secret; no state, no clock. */
#include "hub/voucher.h"
#include "base/buf.h"
#include "base/json.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1
#define PAYLOAD_MAX (VOUCHER_KEY_MAX + 512)
#define B64(n) (((n)*4 + 2) / 3) /* base64url without padding */
#define MAC_TEXT B64(CRYPTO_HASH_SIZE)

_Static_assert(B64(PAYLOAD_MAX) + 1 + MAC_TEXT + 1 <= VOUCHER_TEXT_MAX, "the longest voucher fits");

/* The terminating NUL is part of it: it separates the label from what follows. */
static const char label[] = "multissh voucher v1";

static int mac_of(const uint8_t secret[TICKET_SECRET_SIZE], const void *payload, size_t n,
                  uint8_t out[CRYPTO_HASH_SIZE])
{
    const struct crypto_piece pieces[] = {{label, sizeof label}, {payload, n}};

    return crypto_hmac(secret, TICKET_SECRET_SIZE, pieces, 2, out);
}

static bool is_ip(const char *text)
{
    struct in6_addr a;

    return inet_pton(AF_INET, text, &a) == 1 || inet_pton(AF_INET6, text, &a) == 1;
}

static bool in_order(const struct voucher *v)
{
    bool user = v->user[0] != '\0';

    if (memchr(v->user, '\0', sizeof v->user) == NULL || memchr(v->source, '\0', sizeof v->source) == NULL)
        return false;
    if (user != (v->key != NULL) || v->at_s < 0 || !is_ip(v->source))
        return false;
    return !user || (names_user_ok(v->user) && strlen(v->key) <= VOUCHER_KEY_MAX);
}

static int payload_of(const struct voucher *v, struct buf *out)
{
    cJSON *o = cJSON_CreateObject();

    (void)json_add_int(o, "v", VERSION);
    if (v->key != NULL) {
        (void)json_add_str(o, "user", v->user);
        (void)json_add_str(o, "key", v->key);
    }
    (void)json_add_str(o, "source", v->source);
    (void)json_add_int(o, "port", v->port);
    (void)json_add_int(o, "at_s", v->at_s);
    return json_take(o, out);
}

int voucher_make(const uint8_t secret[TICKET_SECRET_SIZE], const struct voucher *v, char **ret_text)
{
    uint8_t mac[CRYPTO_HASH_SIZE];
    struct buf payload;
    char *text = NULL;
    int n = 0, rc = -EINVAL;

    buf_init(&payload, PAYLOAD_MAX);
    if (!in_order(v))
        goto out;
    rc = payload_of(v, &payload);
    if (rc == 0)
        rc = mac_of(secret, buf_data(&payload), buf_len(&payload), mac);
    if (rc < 0)
        goto out;
    rc = -ENOMEM;
    text = malloc(VOUCHER_TEXT_MAX);
    if (text == NULL)
        goto out;
    n = crypto_b64url_encode(buf_data(&payload), buf_len(&payload), text, VOUCHER_TEXT_MAX);
    text[n++] = '.';
    (void)crypto_b64url_encode(mac, sizeof mac, text + n, VOUCHER_TEXT_MAX - (size_t)n);
    *ret_text = text;
    rc = 0;
out:
    buf_release(&payload);
    return rc;
}

/* What a hub has signed: all the same nothing of it is believed that does not fit. */
static int decode(const char *payload, size_t n, struct voucher *ret_v)
{
    struct voucher v = {.user = ""};
    const char *key = NULL;
    cJSON *o = NULL;
    int rc = json_parse(payload, n, PAYLOAD_MAX, &o);

    if (rc < 0)
        return rc == -ENOMEM ? rc : -EINVAL;
    (void)snprintf(v.user, sizeof v.user, "%s", json_str_or(o, "user", NAMES_USER_MAX, ""));
    (void)snprintf(v.source, sizeof v.source, "%s", json_str_or(o, "source", sizeof v.source - 1, ""));
    v.port = (uint16_t)json_int_or(o, "port", 0, 65535, 0);
    v.at_s = json_int_or(o, "at_s", 0, INT64_C(1) << 53, -1);
    key = json_str(o, "key", VOUCHER_KEY_MAX);
    if (key != NULL && (v.key = strdup(key)) == NULL)
        rc = -ENOMEM;
    else if (json_int_or(o, "v", 0, INT32_MAX, 0) != VERSION || !in_order(&v))
        rc = -EINVAL;
    cJSON_Delete(o);
    if (rc < 0)
        voucher_release(&v);
    else
        *ret_v = v;
    return rc;
}

int voucher_open(const uint8_t secret[TICKET_SECRET_SIZE], const char *text, struct voucher *ret_v)
{
    uint8_t mac[CRYPTO_HASH_SIZE], expected[CRYPTO_HASH_SIZE];
    size_t text_n = strnlen(text, VOUCHER_TEXT_MAX);
    const char *dot = text_n == VOUCHER_TEXT_MAX ? NULL : memchr(text, '.', text_n);
    char *payload = NULL;
    int n = 0, rc = -EINVAL;

    if (dot == NULL || text_n - (size_t)(dot + 1 - text) != MAC_TEXT)
        return -EINVAL;
    payload = malloc(PAYLOAD_MAX);
    if (payload == NULL)
        return -ENOMEM;
    n = crypto_b64url_decode(text, (size_t)(dot - text), payload, PAYLOAD_MAX);
    if (n < 0 || crypto_b64url_decode(dot + 1, MAC_TEXT, mac, sizeof mac) != CRYPTO_HASH_SIZE)
        goto out;
    rc = mac_of(secret, payload, (size_t)n, expected);
    if (rc == 0 && !crypto_equal(mac, expected, sizeof mac))
        rc = -EPERM;
    crypto_wipe(expected, sizeof expected); /* else a stranger's payload lies here beside its true MAC */
    if (rc == 0)
        rc = decode(payload, (size_t)n, ret_v);
out:
    free(payload);
    return rc;
}

void voucher_release(struct voucher *v)
{
    free(v->key);
    v->key = NULL;
}
