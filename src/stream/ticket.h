/* Tickets: what lets an edge join a stream, made by the hub and verifiable by any hub that has the secret,
 * without state.
 *
 * ticket = b64url(payload) "." b64url(HMAC(secret, "multissh ticket v1" 0x00 payload))
 * payload = u8 1 | stream id (16) | expiry (u64 BE, seconds since 1970, bounds epoch 0 only) | u8 len,
 * machine | u8 len, user | when the id says joined: 8 bytes of the user's key
 * key = HMAC(secret, "multissh stream key v1" 0x00 payload): known to the hub and to the two edges, never on a
 * stream's wire. */
#ifndef MULTISSH_STREAM_TICKET_H
#define MULTISSH_STREAM_TICKET_H

#include "base/crypto.h"
#include "base/names.h"
#include <stdbool.h>
#include <stdint.h>

#define TICKET_SECRET_SIZE 32
#define TICKET_ID_SIZE 16
#define TICKET_KEY_SIZE CRYPTO_HASH_SIZE
#define TICKET_TEXT_MAX 320 /* with NUL */
#define TICKET_USER_KEY_SIZE 8

struct ticket {
    uint8_t id[TICKET_ID_SIZE];
    int64_t expiry_s;
    char machine[NAMES_MACHINE_MAX + 1];
    char user[NAMES_USER_MAX + 1];
    /* Joined only: by which of the user's keys it was asked for, see ticket_user_key. */
    uint8_t user_key[TICKET_USER_KEY_SIZE];
};

/* A new stream's id: random, but for its first bit, which says who edge a is: a connection of its own, that
 * dials the hub as edge b does (joined), or a channel of a front. Returns 0 or -EIO. */
int ticket_id_new(bool joined, uint8_t ret_id[TICKET_ID_SIZE]);
bool ticket_id_joined(const uint8_t id[TICKET_ID_SIZE]);

/* What stands in a joined ticket for the key ("type base64") of its user: the first bytes of its SHA-256. Returns 0 or
 * -EIO. */
int ticket_user_key(const char *key, uint8_t ret_user_key[TICKET_USER_KEY_SIZE]);

/* Makes ticket and key; t->id is one of ticket_id_new. Returns 0, -EINVAL or -EIO. */
int ticket_make(const uint8_t secret[TICKET_SECRET_SIZE], const struct ticket *t, char out[TICKET_TEXT_MAX],
                uint8_t ret_key[TICKET_KEY_SIZE]);
/* Verifies the MAC in constant time, then parses. Does not look at the expiry. Returns 0, -EINVAL (malformed)
 * or -EPERM (forged). */
int ticket_open(const uint8_t secret[TICKET_SECRET_SIZE], const char *text, struct ticket *ret_t,
                uint8_t ret_key[TICKET_KEY_SIZE]);

#endif
