/* Keys and certificates on a real disk: made once, loaded again, refused when they should be. */
#include "tls/keys.h"

#include "base/fs.h"
#include "portable.h"
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[256];

static int setup(void **state)
{
    (void)state;
    return portable_folder(dir, sizeof(dir));
}

static int teardown(void **state)
{
    static const char *const names[] = {"key", "rsa", "pass", "junk", "cert"};
    char path[300];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir); /* fails when a temporary file was left behind */
}

static const char *in_dir(const char *name)
{
    static char path[300];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void put(const char *path, const char *text)
{
    assert_int_equal(fs_write_atomic(path, text, strlen(text), 0600), 0);
}

static void put_pem(const char *name, EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, "secret", cipher ? 6 : 0, NULL, NULL),
                     1);
    long n = BIO_get_mem_data(bio, &text);
    assert_int_equal(fs_write_atomic(in_dir(name), text, (size_t)n, 0600), 0);
    BIO_free(bio);
}

static void test_made_once_then_loaded(void **state)
{
    EVP_PKEY *first = NULL, *second = NULL, *third = NULL;
    struct errmsg err = {""};
    const char *path = in_dir("key");

    (void)state;
    assert_int_equal(keys_load(path, &first, &err), -ENOENT);
    assert_null(first);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(keys_load_or_make(path, &first, &err), 0);
    assert_string_equal(err.text, "");
    assert_int_equal(fs_check_private(path), 0);
    assert_int_equal(keys_load_or_make(path, &second, &err), 0);
    assert_int_equal(keys_load(path, &third, &err), 0);
    assert_int_equal(EVP_PKEY_eq(first, second), 1);
    assert_int_equal(EVP_PKEY_eq(first, third), 1);
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
    EVP_PKEY_free(third);
}

static void test_bad_files_are_refused_and_kept(void **state)
{
    EVP_PKEY *key = NULL, *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    struct errmsg err = {""};
    struct buf text;

    (void)state;
    put(in_dir("junk"), "");
    assert_int_equal(keys_load_or_make(in_dir("junk"), &key, &err), -EINVAL);
    buf_init(&text, 100);
    assert_int_equal(fs_read(in_dir("junk"), &text), 0); /* not replaced by a new key */
    assert_int_equal(buf_len(&text), 0);
    buf_release(&text);
    put(in_dir("junk"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert_int_equal(keys_load_or_make(in_dir("junk"), &key, &err), -EINVAL);

    put_pem("rsa", rsa, NULL);
    assert_int_equal(keys_load(in_dir("rsa"), &key, &err), -EINVAL);
    assert_non_null(strstr(err.text, "Ed25519"));

    put_pem("pass", rsa, EVP_aes_128_cbc()); /* must be refused without a prompt */
    assert_int_equal(keys_load(in_dir("pass"), &key, &err), -EINVAL);
    assert_null(key);
    EVP_PKEY_free(rsa);

    assert_true(keys_load_or_make("/nonexistent-folder/key", &key, &err) < 0);
    assert_non_null(strstr(err.text, "/nonexistent-folder/key"));
    assert_true(keys_load_or_make(dir, &key, &err) < 0);
}

static void test_certificates(void **state)
{
    EVP_PKEY *ca_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
             *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *ca = NULL, *leaf = NULL, *self = NULL, *loaded = NULL;
    uint8_t pin[CRYPTO_HASH_SIZE], again[CRYPTO_HASH_SIZE];
    char text[KEYS_FINGERPRINT_TEXT];
    char long_name[254];
    struct errmsg err = {""};
    int days, seconds;

    (void)state;
    assert_int_equal(keys_self_sign(ca_key, "the hub's CA", 1, &ca), 0);
    assert_int_equal(X509_check_ca(ca), 1);
    assert_int_equal(X509_get_pathlen(ca), 0);
    assert_int_equal(X509_verify(ca, ca_key), 1);
    assert_int_equal(X509_cmp_current_time(X509_get0_notBefore(ca)), -1);
    assert_int_equal(ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(ca)), 1);
    assert_true(days > 365 * 1000);

    assert_int_equal(keys_sign_leaf(key, ca_key, ca, "hub.example.com", &leaf), 0);
    assert_int_equal(X509_verify(leaf, ca_key), 1);
    assert_int_equal(X509_verify(leaf, key), 0);
    assert_int_equal(X509_check_ca(leaf), 0);
    assert_int_equal(X509_check_issued(ca, leaf), X509_V_OK);
    assert_int_equal(X509_check_host(leaf, "hub.example.com", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(leaf, "other.example.com", 0, 0, NULL), 0);
    X509_free(leaf);
    assert_int_equal(keys_sign_leaf(key, ca_key, ca, "2001:db8::1", &leaf), 0);
    assert_int_equal(X509_check_ip_asc(leaf, "2001:db8::1", 0), 1);
    X509_free(leaf);
    memset(long_name, 'a', sizeof(long_name) - 1);
    for (size_t i = 50; i < sizeof(long_name) - 1; i += 50)
        long_name[i] = '.';
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(keys_sign_leaf(key, ca_key, ca, long_name, &leaf), 0);
    assert_int_equal(X509_check_host(leaf, long_name, 0, 0, NULL), 1);

    assert_int_equal(keys_sign_leaf(key, key, ca, "hub", &self), -EINVAL); /* not the CA's key */
    assert_int_equal(keys_self_sign(key, "", 0, &self), -EINVAL);
    assert_null(self);
    assert_int_equal(keys_self_sign(key, "agent", 0, &self), 0);
    assert_int_equal(X509_check_ca(self), 0);

    assert_int_equal(keys_pin(leaf, pin), 0);
    assert_int_equal(keys_pin(self, again), 0);
    assert_memory_equal(pin, again, sizeof(pin)); /* the key counts, not the certificate */
    assert_int_equal(keys_pin(ca, again), 0);
    assert_memory_not_equal(pin, again, sizeof(pin));
    memset(pin, 0xff, sizeof(pin));
    keys_pin_text(pin, text);
    assert_string_equal(text, "SHA256://////////////////////////////////////////8");

    assert_int_equal(keys_cert_load(in_dir("cert"), &loaded, &err), -ENOENT);
    assert_int_equal(keys_cert_save(in_dir("cert"), leaf), 0);
    assert_int_equal(keys_cert_save(in_dir("cert"), ca), 0); /* replaces */
    assert_int_equal(keys_cert_load(in_dir("cert"), &loaded, &err), 0);
    assert_int_equal(X509_cmp(loaded, ca), 0);
    X509_free(loaded);
    put(in_dir("cert"), "no certificate");
    loaded = NULL;
    assert_int_equal(keys_cert_load(in_dir("cert"), &loaded, &err), -EINVAL);
    assert_null(loaded);
    assert_non_null(strstr(err.text, in_dir("cert")));

    X509_free(ca);
    X509_free(leaf);
    X509_free(self);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

/* The pin must be what everybody else computes from the same certificate (RFC 7469, section 2.4). */
static void test_pin_is_that_of_openssl(void **state)
{
    /* openssl genpkey -algorithm ed25519 with the key of RFC 8032, section 7.1, test 1;
     * openssl pkey -pubout -outform der | openssl dgst -sha256 */
    static const uint8_t secret[32] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
                                       0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
                                       0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof(secret));
    X509 *cert = NULL;
    uint8_t pin[CRYPTO_HASH_SIZE];
    char hex[2 * CRYPTO_HASH_SIZE + 1];

    (void)state;
    assert_non_null(key);
    assert_int_equal(keys_self_sign(key, "x", 0, &cert), 0);
    assert_int_equal(keys_pin(cert, pin), 0);
    crypto_hex_encode(pin, sizeof(pin), hex, sizeof(hex));
    assert_string_equal(hex, "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9");
    X509_free(cert);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_once_then_loaded),
        cmocka_unit_test(test_bad_files_are_refused_and_kept),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_pin_is_that_of_openssl),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
