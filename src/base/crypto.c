/* Random bytes, hashes, MACs and their text forms: thin calls onto OpenSSL. No cryptography of our own. */
#include "base/crypto.h"

#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

int crypto_random(void *out, size_t n)
{
    if (n > INT_MAX)
        return -EIO;
    return RAND_bytes(out, (int)n) == 1 ? 0 : -EIO;
}

int crypto_sha256(const void *data, size_t n, uint8_t out[CRYPTO_HASH_SIZE])
{
    return EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int crypto_hmac(const void *key, size_t key_n, const struct crypto_piece *pieces, size_t count,
                uint8_t out[CRYPTO_HASH_SIZE])
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    int r = -EIO;
    size_t written = 0;
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    if (ctx == NULL || EVP_MAC_init(ctx, key, key_n, params) != 1)
        goto out;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].n > 0 && EVP_MAC_update(ctx, pieces[i].data, pieces[i].n) != 1)
            goto out;
    }
    if (EVP_MAC_final(ctx, out, &written, CRYPTO_HASH_SIZE) == 1 && written == CRYPTO_HASH_SIZE)
        r = 0;
out:
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return r;
}

#define NONCE_SIZE 12
#define TAG_SIZE 16

int crypto_seal(const uint8_t key[CRYPTO_SEAL_KEY], const void *data, size_t n, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t *body = out + NONCE_SIZE;
    int r = -EIO, written = 0, rest = 0;
    if (ctx == NULL || n > INT_MAX || crypto_random(out, NONCE_SIZE) != 0)
        goto out;
    if (EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, out) == 1 &&
        EVP_EncryptUpdate(ctx, body, &written, data, (int)n) == 1 && (size_t)written == n &&
        EVP_EncryptFinal_ex(ctx, body + n, &rest) == 1 && rest == 0 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, body + n) == 1)
        r = 0;
out:
    EVP_CIPHER_CTX_free(ctx);
    return r;
}

int crypto_unseal(const uint8_t key[CRYPTO_SEAL_KEY], const void *sealed, size_t n, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = NULL;
    const uint8_t *nonce = sealed;
    uint8_t tag[TAG_SIZE];
    int r = -EBADMSG, written = 0, rest = 0;
    if (n < CRYPTO_SEAL_EXTRA || n > INT_MAX)
        return r;
    n -= CRYPTO_SEAL_EXTRA;
    memcpy(tag, nonce + NONCE_SIZE + n, TAG_SIZE);
    ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL || EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) != 1) {
        r = -EIO;
        goto out;
    }
    if (EVP_DecryptUpdate(ctx, out, &written, nonce + NONCE_SIZE, (int)n) == 1 && (size_t)written == n &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1 &&
        EVP_DecryptFinal_ex(ctx, out + n, &rest) == 1 && rest == 0)
        r = 0;
    if (r < 0)
        crypto_wipe(out, n);
out:
    EVP_CIPHER_CTX_free(ctx);
    return r;
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}

void crypto_wipe(void *data, size_t n)
{
    if (data != NULL)
        OPENSSL_cleanse(data, n);
}

/* OpenSSL's own base64 decoder accepts white space, stray bits and wrong lengths, and knows no base64url:
 * text from strangers must have one form only. */
static const char alphabet_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char alphabet_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int encode(const char *alphabet, bool pad, const uint8_t *in, size_t n, char *out, size_t size)
{
    size_t len = n / 3 * 4 + (n % 3 == 0 ? 0 : pad ? 4 : n % 3 + 1);
    if (n > INT_MAX / 2 || size <= len)
        return -ENOBUFS;
    size_t o = 0;
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16;
        if (have > 1)
            bits |= (uint32_t)in[i + 1] << 8;
        if (have > 2)
            bits |= in[i + 2];
        for (size_t k = 0; k <= have; k++)
            out[o++] = alphabet[bits >> (18 - 6 * k) & 63];
    }
    while (o < len)
        out[o++] = '=';
    out[o] = '\0';
    return (int)len;
}

static int value_of(const char *alphabet, char c)
{
    const char *at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

static int decode(const char *alphabet, const char *text, size_t n, uint8_t *out, size_t size)
{
    if (n % 4 == 1)
        return -EINVAL;
    size_t len = n / 4 * 3 + (n % 4 == 0 ? 0 : n % 4 - 1);
    if (n > INT_MAX || len > size)
        return -ENOBUFS;
    uint32_t bits = 0;
    unsigned have = 0;
    size_t o = 0;
    for (size_t i = 0; i < n; i++) {
        int v = value_of(alphabet, text[i]);
        if (v < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[o++] = (uint8_t)(bits >> have);
        }
    }
    if ((bits & ((1U << have) - 1)) != 0)
        return -EINVAL;
    return (int)o;
}

int crypto_b64url_encode(const void *data, size_t n, char *out, size_t size)
{
    return encode(alphabet_url, false, data, n, out, size);
}

int crypto_b64url_decode(const char *text, size_t text_n, void *out, size_t size)
{
    return decode(alphabet_url, text, text_n, out, size);
}

int crypto_b64_encode(const void *data, size_t n, char *out, size_t size)
{
    return encode(alphabet_std, true, data, n, out, size);
}

int crypto_b64_decode(const char *text, size_t text_n, void *out, size_t size)
{
    if (text_n % 4 != 0)
        return -EINVAL;
    for (int pad = 0; pad < 2 && text_n > 0 && text[text_n - 1] == '='; pad++)
        text_n--;
    return decode(alphabet_std, text, text_n, out, size);
}

void crypto_hex_encode(const void *data, size_t n, char *out, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    size_t o = 0;
    if (size == 0)
        return;
    for (size_t i = 0; i < n && o + 2 < size; i++) {
        out[o++] = digits[in[i] >> 4];
        out[o++] = digits[in[i] & 15];
    }
    out[o] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int crypto_hex_decode(const char *text, size_t text_n, void *out, size_t size)
{
    uint8_t *to = out;
    if (text_n % 2 != 0)
        return -EINVAL;
    if (text_n / 2 > size || text_n > INT_MAX)
        return -ENOBUFS;
    for (size_t i = 0; i < text_n; i += 2) {
        int high = hex_value(text[i]), low = hex_value(text[i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        to[i / 2] = (uint8_t)(high << 4 | low);
    }
    return (int)(text_n / 2);
}
