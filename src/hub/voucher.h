/* Vouchers: what the hub knows of a user's connection, signed and left with the front, so that the next hub may believe
 * it. A front can give a voucher back but not make one: after a restart it is believed no more than before.
 *
 * voucher = b64url(payload) "." b64url(HMAC(secret, "multissh voucher v1" 0x00 payload))
 * payload = JSON {"v":1, "source":IP, "port":N, "at_s":N} and, for a user that is logged in, "user" and "key". */
#ifndef MULTISSH_HUB_VOUCHER_H
#define MULTISSH_HUB_VOUCHER_H

#include "base/names.h"
#include "stream/ticket.h"

#define VOUCHER_KEY_MAX 16384  /* bytes of "type base64", as in authorized_users */
#define VOUCHER_TEXT_MAX 24576 /* with NUL */

struct voucher {
    char user[NAMES_USER_MAX + 1]; /* "": nobody is logged in */
    char *key;                     /* "type base64"; NULL when nobody is */
    char source[64];               /* IP */
    uint16_t port;
    int64_t at_s;
};

/* *ret_text is the caller's, to be freed. v->key is only read. Returns 0, -EINVAL (a field out of its bounds), -ENOMEM
 * or -EIO. */
int voucher_make(const uint8_t secret[TICKET_SECRET_SIZE], const struct voucher *v, char **ret_text);
/* Verifies the MAC in constant time before it looks at the rest. Release *ret_v with voucher_release. Returns 0,
 * -EINVAL (malformed), -EPERM (forged), -ENOMEM or -EIO. */
int voucher_open(const uint8_t secret[TICKET_SECRET_SIZE], const char *text, struct voucher *ret_v);
void voucher_release(struct voucher *v);

#endif
