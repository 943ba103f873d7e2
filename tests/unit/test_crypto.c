/* Hashes and MACs against the published vectors; text forms, strict. */
#include "cmocka_all.h"

#include "base/crypto.h"
#include <errno.h>
#include <string.h>

static void sha256(void **state)
{
    uint8_t out[CRYPTO_HASH_SIZE];
    char hex[65];
    (void)state;
    assert_int_equal(crypto_sha256("abc", 3, out), 0); /* FIPS 180-4 example */
    crypto_hex_encode(out, sizeof out, hex, sizeof hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(crypto_sha256("", 0, out), 0);
    crypto_hex_encode(out, sizeof out, hex, sizeof hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void hmac(void **state)
{
    uint8_t out[CRYPTO_HASH_SIZE], long_key[131];
    char hex[65];
    (void)state;
    /* RFC 4231, test case 2, whole and in pieces. */
    const char *want = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const struct crypto_piece whole[] = {{"what do ya want for nothing?", 28}};
    const struct crypto_piece parts[] = {{"what do ya ", 11}, {NULL, 0}, {"want for nothing?", 17}};
    assert_int_equal(crypto_hmac("Jefe", 4, whole, 1, out), 0);
    crypto_hex_encode(out, sizeof out, hex, sizeof hex);
    assert_string_equal(hex, want);
    assert_int_equal(crypto_hmac("Jefe", 4, parts, 3, out), 0);
    crypto_hex_encode(out, sizeof out, hex, sizeof hex);
    assert_string_equal(hex, want);
    /* Test case 6: a key longer than the block. */
    memset(long_key, 0xaa, sizeof long_key);
    const struct crypto_piece six[] = {{"Test Using Larger Than Block-Size Key - Hash Key First", 54}};
    assert_int_equal(crypto_hmac(long_key, sizeof long_key, six, 1, out), 0);
    crypto_hex_encode(out, sizeof out, hex, sizeof hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void random_bytes(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    (void)state;
    assert_int_equal(crypto_random(a, sizeof a), 0);
    assert_int_equal(crypto_random(b, sizeof b), 0);
    assert_false(crypto_equal(a, b, sizeof a));
    assert_false(crypto_equal(a, zero, sizeof a));
    assert_int_equal(crypto_random((char *)a, SIZE_MAX), -EIO);
    crypto_wipe(a, sizeof a);
    assert_true(crypto_equal(a, zero, sizeof a));
    crypto_wipe(NULL, 0);
    assert_true(crypto_equal(NULL, NULL, 0));
}

/* RFC 4648 §10, and both alphabets at their last two letters. */
static void base64_vectors(void **state)
{
    static const struct {
        const char *plain, *std, *url;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xef\xff", "++//", "--__"},
    };
    char text[32];
    uint8_t bytes[32];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t n = strlen(cases[i].plain);
        assert_int_equal(crypto_b64_encode(cases[i].plain, n, text, sizeof text), strlen(cases[i].std));
        assert_string_equal(text, cases[i].std);
        assert_int_equal(crypto_b64_decode(text, strlen(text), bytes, sizeof bytes), n);
        assert_memory_equal(bytes, cases[i].plain, n);
        assert_int_equal(crypto_b64url_encode(cases[i].plain, n, text, sizeof text), strlen(cases[i].url));
        assert_string_equal(text, cases[i].url);
        assert_int_equal(crypto_b64url_decode(text, strlen(text), bytes, sizeof bytes), n);
        assert_memory_equal(bytes, cases[i].plain, n);
    }
}

static void base64_is_strict(void **state)
{
    static const char *const bad_std[] = {"Zg",   "Zg=",  "Z===",     "====", "Zh==", "Zm9=",  "Zm9v\n",
                                          "Z g=", "--__", "Zg==Zg==", "=",    "Zg=a", "Zm9vY", "====Zg=="};
    static const char *const bad_url[] = {"Z",    "A",    "AAAAA", "Zg==",  "Zh",    "Zm9",
                                          "++//", "Zg\n", " Zg",   "Zm9vY", "Zm\xc3"};
    uint8_t out[32];
    (void)state;
    for (size_t i = 0; i < COUNT(bad_std); i++)
        assert_int_equal(crypto_b64_decode(bad_std[i], strlen(bad_std[i]), out, sizeof out), -EINVAL);
    for (size_t i = 0; i < COUNT(bad_url); i++)
        assert_int_equal(crypto_b64url_decode(bad_url[i], strlen(bad_url[i]), out, sizeof out), -EINVAL);
    assert_int_equal(crypto_b64url_decode("Zm\0v", 4, out, sizeof out), -EINVAL);
}

static void sizes_are_kept(void **state)
{
    char text[8];
    uint8_t out[2];
    (void)state;
    assert_int_equal(crypto_b64_encode("foobar", 6, text, 8), -ENOBUFS);
    assert_int_equal(crypto_b64url_encode("fooba", 5, text, 7), -ENOBUFS);
    assert_int_equal(crypto_b64url_encode("fooba", 5, text, 8), 7);
    assert_int_equal(crypto_b64_encode("", 0, text, 0), -ENOBUFS);
    assert_int_equal(crypto_b64_decode("Zm9v", 4, out, 2), -ENOBUFS);
    assert_int_equal(crypto_b64_decode("Zm8=", 4, out, 2), 2);
    assert_int_equal(crypto_hex_decode("010203", 6, out, 2), -ENOBUFS);
    assert_int_equal(crypto_hex_decode("0a0B", 4, out, 2), 2);
    assert_int_equal(out[1], 11);
    assert_int_equal(crypto_hex_decode("0a0", 3, out, 2), -EINVAL);
    assert_int_equal(crypto_hex_decode("0g", 2, out, 2), -EINVAL);
    assert_int_equal(crypto_hex_decode("0x", 2, out, 2), -EINVAL);
    crypto_hex_encode("\x01\x02\x03\x04", 4, text, 8);
    assert_string_equal(text, "010203"); /* cut, never beyond */
}

static void round_trips(void **state)
{
    uint8_t in[100], out[100];
    char text[256];
    (void)state;
    for (size_t n = 0; n <= sizeof in; n++) {
        assert_int_equal(crypto_random(in, n), 0);
        int len = crypto_b64url_encode(in, n, text, 4 * ((n + 2) / 3) + 1);
        assert_true(len >= 0);
        assert_int_equal(crypto_b64url_decode(text, (size_t)len, out, n), n);
        assert_memory_equal(in, out, n);
        len = crypto_b64_encode(in, n, text, 4 * ((n + 2) / 3) + 1);
        assert_int_equal(crypto_b64_decode(text, (size_t)len, out, n), n);
        assert_memory_equal(in, out, n);
        crypto_hex_encode(in, n, text, 2 * n + 1);
        assert_int_equal(crypto_hex_decode(text, 2 * n, out, n), n);
        assert_memory_equal(in, out, n);
    }
}

static void sealing(void **state)
{
    const uint8_t key[CRYPTO_SEAL_KEY] = {1}, other[CRYPTO_SEAL_KEY] = {2};
    uint8_t plain[100], sealed[sizeof plain + CRYPTO_SEAL_EXTRA], again[sizeof sealed], out[sizeof plain];
    (void)state;
    assert_int_equal(crypto_random(plain, sizeof plain), 0);
    for (size_t n = 0; n <= sizeof plain; n += 25) {
        assert_int_equal(crypto_seal(key, plain, n, sealed), 0);
        assert_int_equal(crypto_unseal(key, sealed, n + CRYPTO_SEAL_EXTRA, out), 0);
        assert_memory_equal(out, plain, n);
        assert_int_equal(crypto_seal(key, plain, n, again), 0);
        assert_memory_not_equal(again, sealed, n + CRYPTO_SEAL_EXTRA); /* a nonce of its own */
        assert_int_equal(crypto_unseal(other, sealed, n + CRYPTO_SEAL_EXTRA, out), -EBADMSG);
        for (size_t i = 0; i < n + CRYPTO_SEAL_EXTRA; i++) {
            sealed[i] ^= 0x10;
            assert_int_equal(crypto_unseal(key, sealed, n + CRYPTO_SEAL_EXTRA, out), -EBADMSG);
            sealed[i] ^= 0x10;
            assert_int_equal(crypto_unseal(key, sealed, i, out), -EBADMSG); /* cut */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256),           cmocka_unit_test(hmac),
        cmocka_unit_test(random_bytes),     cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_is_strict), cmocka_unit_test(sizes_are_kept),
        cmocka_unit_test(round_trips),      cmocka_unit_test(sealing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
