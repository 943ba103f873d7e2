/* SSH public keys as text. Checks structure only; holds nothing. */
#include "base/keyline.h"

#include "base/crypto.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BLOB_MAX 3200
#define RSA_BITS_MIN 2048

enum shape { SHAPE_ED25519, SHAPE_ECDSA, SHAPE_RSA, SHAPE_SK_ED25519, SHAPE_SK_ECDSA, SHAPE_REFUSED };

struct type {
    const char *name;
    enum shape shape;
    const char *curve; /* ECDSA */
    size_t point;      /* ECDSA: bytes of an uncompressed point */
};

static const struct type types[] = {
    {"ssh-ed25519", SHAPE_ED25519, NULL, 0},
    {"ecdsa-sha2-nistp256", SHAPE_ECDSA, "nistp256", 65},
    {"ecdsa-sha2-nistp384", SHAPE_ECDSA, "nistp384", 97},
    {"ecdsa-sha2-nistp521", SHAPE_ECDSA, "nistp521", 133},
    {"ssh-rsa", SHAPE_RSA, NULL, 0},
    {"sk-ssh-ed25519@openssh.com", SHAPE_SK_ED25519, NULL, 0},
    {"sk-ecdsa-sha2-nistp256@openssh.com", SHAPE_SK_ECDSA, "nistp256", 65},
    {"ssh-dss", SHAPE_REFUSED, NULL, 0},
};

struct cursor {
    const uint8_t *at;
    size_t left;
};

/* An SSH string (RFC 4251 §5). */
static bool take_string(struct cursor *c, const uint8_t **ret_data, size_t *ret_n)
{
    if (c->left < 4)
        return false;
    size_t n = (size_t)c->at[0] << 24 | (size_t)c->at[1] << 16 | (size_t)c->at[2] << 8 | c->at[3];
    if (n > c->left - 4)
        return false;
    *ret_data = c->at + 4;
    *ret_n = n;
    c->at += 4 + n;
    c->left -= 4 + n;
    return true;
}

static bool take_equal(struct cursor *c, const char *text)
{
    const uint8_t *data;
    size_t n;
    return take_string(c, &data, &n) && n == strlen(text) && memcmp(data, text, n) == 0;
}

static bool take_sized(struct cursor *c, size_t size)
{
    const uint8_t *data;
    size_t n;
    return take_string(c, &data, &n) && n == size;
}

static bool take_any(struct cursor *c)
{
    const uint8_t *data;
    size_t n;
    return take_string(c, &data, &n) && n > 0;
}

static bool is_certificate(const char *type)
{
    return strstr(type, "-cert-v0") != NULL;
}

static const struct type *find_type(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    }
    return NULL;
}

bool keyline_at_type(const char *at)
{
    char word[64];
    size_t n = strcspn(at, " \t");
    if (n >= sizeof word)
        return false;
    memcpy(word, at, n);
    word[n] = '\0';
    return find_type(word) != NULL || is_certificate(word);
}

/* Bits of a positive mpint; 0 when it is not one. */
static unsigned take_mpint_bits(struct cursor *c)
{
    const uint8_t *data;
    size_t n;
    if (!take_string(c, &data, &n) || n == 0 || (data[0] & 0x80) != 0)
        return 0;
    while (n > 0 && data[0] == 0) {
        data++;
        n--;
    }
    if (n == 0)
        return 0;
    unsigned bits = (unsigned)n * 8;
    for (uint8_t top = data[0]; (top & 0x80) == 0; top = (uint8_t)(top << 1))
        bits--;
    return bits;
}

static int check_rsa(struct cursor *c, struct errmsg *err)
{
    unsigned e = take_mpint_bits(c), n = take_mpint_bits(c);
    if (e == 0 || n == 0)
        return errmsg_set(err, -EINVAL, "the ssh-rsa key is damaged");
    if (n < RSA_BITS_MIN)
        return errmsg_set(err, -EINVAL, "the ssh-rsa key has %u bits, at least %d are needed", n,
                          RSA_BITS_MIN);
    return 0;
}

static int check_shape(const struct type *t, struct cursor *c, struct errmsg *err)
{
    bool ok = false;
    switch (t->shape) {
    case SHAPE_ED25519:
        ok = take_sized(c, 32);
        break;
    case SHAPE_SK_ED25519:
        ok = take_sized(c, 32) && take_any(c);
        break;
    case SHAPE_ECDSA:
        ok = take_equal(c, t->curve) && take_sized(c, t->point);
        break;
    case SHAPE_SK_ECDSA:
        ok = take_equal(c, t->curve) && take_sized(c, t->point) && take_any(c);
        break;
    case SHAPE_RSA: {
        int rc = check_rsa(c, err);
        if (rc < 0)
            return rc;
        ok = true;
        break;
    }
    case SHAPE_REFUSED:
        return errmsg_set(err, -EINVAL, "%s keys are too weak to be taken", t->name);
    }
    if (!ok || c->left != 0)
        return errmsg_set(err, -EINVAL, "the %s key is damaged", t->name);
    return 0;
}

int keyline_check_user(const char *type, const char *base64, char fingerprint[KEYLINE_FINGERPRINT],
                       struct errmsg *err)
{
    uint8_t blob[BLOB_MAX], hash[CRYPTO_HASH_SIZE];
    char text[48];
    if (is_certificate(type))
        return errmsg_set(err, -EINVAL, "certificates (%.60s) are not taken; give the plain key", type);
    const struct type *t = find_type(type);
    if (t == NULL)
        return errmsg_set(err, -EINVAL, "\"%.60s\" is not a key type", type);
    int n = crypto_b64_decode(base64, strlen(base64), blob, sizeof blob);
    if (n <= 0)
        return errmsg_set(err, -EINVAL, "the %s key is not valid base64, or too long", type);
    struct cursor c = {blob, (size_t)n};
    if (!take_equal(&c, type))
        return errmsg_set(err, -EINVAL, "the key is not the %s key that the line says", type);
    int rc = check_shape(t, &c, err);
    if (rc < 0)
        return rc;
    if (crypto_sha256(blob, (size_t)n, hash) < 0 ||
        crypto_b64_encode(hash, sizeof hash, text, sizeof text) < 0)
        return errmsg_set(err, -EINVAL, "the key's fingerprint could not be computed");
    text[strcspn(text, "=")] = '\0';
    snprintf(fingerprint, KEYLINE_FINGERPRINT, "SHA256:%.43s", text);
    return 0;
}

bool keyline_host_ok(const char *line)
{
    char type[65];
    uint8_t blob[BLOB_MAX];
    const char *space = strchr(line, ' ');
    if (space == NULL || space == line || (size_t)(space - line) >= sizeof type || strlen(line) > KEYLINE_MAX)
        return false;
    memcpy(type, line, (size_t)(space - line));
    type[space - line] = '\0';
    if (type[strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789@.-")] != '\0' || is_certificate(type))
        return false;
    int n = crypto_b64_decode(space + 1, strlen(space + 1), blob, sizeof blob);
    if (n <= 0)
        return false;
    struct cursor c = {blob, (size_t)n};
    return take_equal(&c, type) && c.left > 0;
}

int keyline_take_quoted(char **at, char **ret_value)
{
    char *in = *at, *out;
    if (*in != '"')
        return -EINVAL;
    *ret_value = out = ++in;
    while (*in != '"') {
        if (*in == '\0')
            return -EINVAL;
        if (in[0] == '\\' && in[1] == '"')
            in++;
        *out++ = *in++;
    }
    *at = in + 1;
    *out = '\0';
    return 0;
}

bool keyline_fingerprint_ok(const char *text)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strncmp(text, "SHA256:", 7) == 0 && strspn(text + 7, alphabet) == 43 && text[50] == '\0';
}
