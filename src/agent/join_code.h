/* What a person pastes after `multissh-agent join`: HOST:PORT, and behind a slash the CODE of an invitation,
 * which is b64url of a one-time token (16 bytes) and the pin of the hub's CA (32 bytes): 64 characters. Pure.
 */
#ifndef MULTISSH_AGENT_JOIN_CODE_H
#define MULTISSH_AGENT_JOIN_CODE_H

#include "base/addr.h"
#include "base/crypto.h"
#include "base/errmsg.h"
#include <stdbool.h>

#define JOIN_CODE_PORT 2244 /* where a hub listens when nothing is said */
#define JOIN_CODE_TOKEN_SIZE 16
#define JOIN_CODE_TOKEN_TEXT 23 /* b64url of it, with NUL */
#define JOIN_CODE_PIN_CHARS 50  /* "SHA256:" and 43 characters */

struct join_code {
    struct addr_hostport hub;
    bool invited; /* a CODE was there: token and pin hold */
    uint8_t token[JOIN_CODE_TOKEN_SIZE];
    uint8_t pin[CRYPTO_HASH_SIZE];
};

/* Returns 0, or -EINVAL with err saying what is wrong and how it should look. The caller wipes *ret_code. */
int join_code_parse(const char *text, struct join_code *ret_code, struct errmsg *err);

/* "SHA256:" and base64 without padding → 32 bytes. Returns 0 or -EINVAL. */
int join_code_parse_pin(const char *text, uint8_t ret_pin[CRYPTO_HASH_SIZE]);

#endif
