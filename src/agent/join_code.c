/* The text of an invitation, taken apart. */
#include "agent/join_code.h"

#include "base/names.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CODE_BYTES (JOIN_CODE_TOKEN_SIZE + CRYPTO_HASH_SIZE)
#define CODE_CHARS 64
#define TEXT_MAX 400

static int decode(const char *code, struct join_code *c, struct errmsg *err)
{
    uint8_t raw[CODE_BYTES];
    size_t n = strlen(code);
    if (n != CODE_CHARS)
        return errmsg_set(
            err, -EINVAL,
            "the CODE behind the '/' has %zu characters, an invitation's has %d: paste the whole line that "
            "`multissh-hub invite` printed",
            n, CODE_CHARS);
    if (crypto_b64url_decode(code, n, raw, sizeof raw) != CODE_BYTES)
        return errmsg_set(
            err, -EINVAL,
            "the CODE behind the '/' has characters that no invitation has: paste the line that "
            "`multissh-hub invite` printed");
    memcpy(c->token, raw, sizeof c->token);
    memcpy(c->pin, raw + sizeof c->token, sizeof c->pin);
    c->invited = true;
    crypto_wipe(raw, sizeof raw);
    return 0;
}

int join_code_parse(const char *text, struct join_code *ret_code, struct errmsg *err)
{
    char host[TEXT_MAX];
    memset(ret_code, 0, sizeof *ret_code);
    if (strlen(text) >= sizeof host)
        return errmsg_set(err, -EINVAL, "HOST:PORT/CODE is longer than %d characters", TEXT_MAX - 1);
    const char *slash = strchr(text, '/');
    size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
    memcpy(host, text, n);
    host[n] = 0;
    if (addr_parse(host, JOIN_CODE_PORT, false, &ret_code->hub) != 0 || !names_host_ok(ret_code->hub.host))
        return errmsg_set(err, -EINVAL,
                          "'%.100s' is not the address of a hub: write HOST:PORT, or HOST:PORT/CODE", host);
    if (slash == NULL)
        return 0;
    return decode(slash + 1, ret_code, err);
}

int join_code_parse_pin(const char *text, uint8_t ret_pin[CRYPTO_HASH_SIZE])
{
    static const char prefix[] = "SHA256:";
    char padded[48];
    if (strncmp(text, prefix, sizeof prefix - 1) != 0 || strlen(text) != JOIN_CODE_PIN_CHARS)
        return -EINVAL;
    int n = snprintf(padded, sizeof padded, "%s=", text + sizeof prefix - 1);
    return crypto_b64_decode(padded, (size_t)n, ret_pin, CRYPTO_HASH_SIZE) == CRYPTO_HASH_SIZE ? 0 : -EINVAL;
}
