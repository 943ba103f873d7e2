/* Host keys as text: parsing and comparing. */
#include "agent/hostkeys.h"

#include "base/crypto.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const types[] = {"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
                                    "ecdsa-sha2-nistp521", "ssh-rsa"};

void hostkeys_release(struct hostkeys *k)
{
    for (unsigned i = 0; i < k->n; i++)
        free(k->key[i]);
    memset(k, 0, sizeof *k);
}

static bool contains(const struct hostkeys *k, const char *line)
{
    for (unsigned i = 0; i < k->n; i++)
        if (strcmp(k->key[i], line) == 0)
            return true;
    return false;
}

bool hostkeys_same(const struct hostkeys *a, const struct hostkeys *b)
{
    if (a->n != b->n || strcmp(a->from != NULL ? a->from : "", b->from != NULL ? b->from : "") != 0)
        return false;
    for (unsigned i = 0; i < a->n; i++)
        if (!contains(b, a->key[i]))
            return false;
    return true;
}

/* Does the base64 hold a key that says itself that it is of this type (RFC 4253 §6.6)? */
static bool blob_ok(const char *type, const char *base64, size_t n)
{
    uint8_t blob[HOSTKEYS_LINE_MAX];
    size_t type_n = strlen(type);
    int len = crypto_b64_decode(base64, n, blob, sizeof blob);
    if (len < (int)(4 + type_n + 4))
        return false;
    size_t said = (size_t)blob[0] << 24 | (size_t)blob[1] << 16 | (size_t)blob[2] << 8 | blob[3];
    return said == type_n && memcmp(blob + 4, type, type_n) == 0;
}

/* The next word of a line; its length in *ret_n, 0 when there is none. */
static const char *word(const char **at, const char *end, size_t *ret_n)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == '\r'))
        (*at)++;
    const char *start = *at;
    while (*at < end && **at != ' ' && **at != '\t' && **at != '\r')
        (*at)++;
    *ret_n = (size_t)(*at - start);
    return start;
}

static int parse_line(struct hostkeys *k, const char *at, const char *end, bool with_host)
{
    char line[HOSTKEYS_LINE_MAX + 1];
    size_t n, type_n;
    if (at == end || *at == '#' || k->n == HOSTKEYS_MAX)
        return 0;
    if (with_host)
        word(&at, end, &n);
    const char *type = word(&at, end, &type_n);
    const char *base64 = word(&at, end, &n);
    size_t t = 0;
    while (t < sizeof types / sizeof types[0] &&
           (strlen(types[t]) != type_n || memcmp(types[t], type, type_n) != 0))
        t++;
    if (t == sizeof types / sizeof types[0] || type_n + 1 + n > HOSTKEYS_LINE_MAX ||
        !blob_ok(types[t], base64, n))
        return 0;
    memcpy(line, type, type_n);
    line[type_n] = ' ';
    memcpy(line + type_n + 1, base64, n);
    line[type_n + 1 + n] = 0;
    size_t total = strlen(line);
    for (unsigned i = 0; i < k->n; i++)
        total += strlen(k->key[i]);
    if (contains(k, line) || total > HOSTKEYS_TOTAL_MAX)
        return 0;
    k->key[k->n] = strdup(line);
    if (k->key[k->n] == NULL)
        return -ENOMEM;
    k->n++;
    return 0;
}

int hostkeys_parse(struct hostkeys *k, const char *text, size_t n, bool with_host)
{
    for (const char *at = text, *end = text + n; at < end;) {
        const char *nl = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = nl != NULL ? nl : end;
        int r = parse_line(k, at, line_end, with_host);
        if (r != 0)
            return r;
        at = nl != NULL ? nl + 1 : end;
    }
    return 0;
}
