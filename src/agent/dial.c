/* The request for a jump. */
#include "agent/dial.h"

#include "base/json.h"
#include "stream/stream.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TICKET_VERSION 1
#define TO_MAX 300
#define PATIENCE_MS_MIN 1000
#define PATIENCE_MS_MAX (24 * 3600 * 1000)
#define PATIENCE_MS 300000

int dial_read_id(const cJSON *m, uint64_t *ret_id)
{
    int64_t id = 0;
    if (json_int(m, "id", 1, DIAL_ID_MAX, &id) != 0)
        return -EINVAL;
    *ret_id = (uint64_t)id;
    return 0;
}

/* The stream's id stands in the ticket, readable to all; only its truth cannot be checked here. */
static int ticket_stream(const char *ticket, char *ret_hex, size_t size)
{
    uint8_t payload[TICKET_TEXT_MAX];
    const char *dot = strchr(ticket, '.');
    if (dot == NULL)
        return -EINVAL;
    for (const char *p = ticket; *p != 0; p++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.", *p) == NULL)
            return -EINVAL;
    int n = crypto_b64url_decode(ticket, (size_t)(dot - ticket), payload, sizeof payload);
    if (n < 1 + TICKET_ID_SIZE || payload[0] != TICKET_VERSION)
        return -EINVAL;
    crypto_hex_encode(payload + 1, TICKET_ID_SIZE, ret_hex, size);
    return 0;
}

const char *dial_read(const cJSON *m, struct dial *ret_d)
{
    const char *ticket = json_str(m, "ticket", TICKET_TEXT_MAX - 1),
               *key = json_str(m, "key", 2 * TICKET_KEY_SIZE);
    const char *user = json_str(m, "user", NAMES_USER_MAX), *to = json_str(m, "to", TO_MAX);
    memset(ret_d, 0, sizeof *ret_d);
    if (user == NULL || !names_user_ok(user))
        return "the hub sent a user's name that is none";
    snprintf(ret_d->user, sizeof ret_d->user, "%s", user);
    if (dial_read_id(m, &ret_d->id) != 0)
        return "the hub sent an id that is none";
    if (ticket == NULL || ticket_stream(ticket, ret_d->stream, sizeof ret_d->stream) != 0)
        return "the hub sent a ticket that is none";
    snprintf(ret_d->ticket, sizeof ret_d->ticket, "%s", ticket);
    if (key == NULL || crypto_hex_decode(key, strlen(key), ret_d->key, sizeof ret_d->key) != TICKET_KEY_SIZE)
        return "the hub sent a key that is none";
    if (cJSON_GetObjectItemCaseSensitive(m, "to") != NULL) {
        if (to == NULL || addr_parse(to, 0, false, &ret_d->to) != 0 || !names_host_ok(ret_d->to.host))
            return "the hub named an address that is not on the machine's own list of hubs"; /* none is on none */
        ret_d->elsewhere = true;
    }
    snprintf(ret_d->source, sizeof ret_d->source, "%s", json_str_or(m, "source", DIAL_SOURCE_MAX, "?"));
    ret_d->source_port = (uint16_t)json_int_or(m, "source_port", 1, UINT16_MAX, 0);
    ret_d->window =
        (uint32_t)json_int_or(m, "window", STREAM_WINDOW_MIN, STREAM_WINDOW_MAX, STREAM_WINDOW_DEFAULT);
    ret_d->patience_ms =
        (uint32_t)json_int_or(m, "patience_ms", PATIENCE_MS_MIN, PATIENCE_MS_MAX, PATIENCE_MS);
    return NULL;
}

cJSON *dial_write(const struct dial *d)
{
    char key[2 * TICKET_KEY_SIZE + 1], to[TO_MAX];
    cJSON *m = json_new("dial");
    crypto_hex_encode(d->key, sizeof d->key, key, sizeof key);
    json_add_int(m, "id", (int64_t)d->id);
    json_add_str(m, "ticket", d->ticket);
    json_add_str(m, "key", key);
    crypto_wipe(key, sizeof key);
    json_add_str(m, "user", d->user);
    json_add_str(m, "source", d->source);
    if (d->source_port != 0)
        json_add_int(m, "source_port", d->source_port);
    if (d->elsewhere) {
        addr_format(&d->to, 0, to, sizeof to);
        json_add_str(m, "to", to);
    }
    json_add_int(m, "window", d->window);
    json_add_int(m, "patience_ms", d->patience_ms);
    return m;
}
