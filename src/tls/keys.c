/* Owns the making, signing, loading and saving of TLS keys and certificates. It decides nothing about trust:
 * that is session.c. Certificates carry keys and names only; their dates mean nothing here. */
#include "tls/keys.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/names.h"
#include "tls/keys_place.h"
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#define KEY_FILE_MAX 16384
#define CERT_FILE_MAX 65536
#define COMMON_NAME_MAX 64 /* ub-common-name, RFC 5280 appendix A.1 */

/* A key under a passphrase must be an error, not a prompt on the operator's terminal. */
static int no_passphrase(char *out, int size, int writing, void *user)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static const char *explain(int code)
{
    return strerror(-code);
}

int keys_load(const char *path, EVP_PKEY **ret_key, struct errmsg *err)
{
    struct buf text;
    BIO *bio = NULL;
    EVP_PKEY *key = NULL;
    int rc;

    buf_init(&text, KEY_FILE_MAX);
    rc = fs_check_private(path);
    if (rc == -EPERM) {
        errmsg_set(err, rc, "the key file %s is open to other users: %s", path, fs_private_advice);
        goto out;
    }
    if (rc == 0)
        rc = fs_read(path, &text);
    if (rc < 0) {
        errmsg_set(err, rc, "the key file %s cannot be read: %s", path, explain(rc));
        goto out;
    }
    bio = BIO_new_mem_buf(buf_data(&text), (int)buf_len(&text));
    if (bio)
        key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (!key) {
        rc = errmsg_set(err, -EINVAL, "%s holds no private key in PEM form without a passphrase", path);
        goto out;
    }
    if (!EVP_PKEY_is_a(key, "ED25519")) {
        rc = errmsg_set(err, -EINVAL, "the key in %s is not an Ed25519 key", path);
        goto out;
    }
    *ret_key = key;
    key = NULL;
    rc = 0;
out:
    EVP_PKEY_free(key);
    BIO_free(bio);
    buf_wipe(&text);
    ERR_clear_error();
    return rc;
}

/* Writes the key beside path, whole and synced. */
static int write_key(const char *path, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text;
    long n;
    int rc = -ENOMEM;

    if (!bio)
        goto out;
    if (PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        rc = -EIO;
        goto out;
    }
    n = BIO_get_mem_data(bio, &text);
    rc = n > 0 ? fs_write_atomic(path, text, (size_t)n, 0600) : -EIO;
out:
    BIO_free(bio);
    return rc;
}

/* Makes a key and puts it under path. Returns 0, -EEXIST (another process was faster) or another negative
 * code. */
static int make_key(const char *path)
{
    EVP_PKEY *key = NULL;
    char beside[FS_PATH_MAX], hex[17];
    uint8_t random[8];
    size_t n = strlen(path);
    int rc = crypto_random(random, sizeof(random));

    if (rc < 0)
        goto out;
    rc = -ENAMETOOLONG;
    if (n + sizeof(".new-") + sizeof(hex) > sizeof(beside))
        goto out;
    crypto_hex_encode(random, sizeof(random), hex, sizeof(hex));
    memcpy(beside, path, n);
    memcpy(beside + n, ".new-", 5);
    memcpy(beside + n + 5, hex, sizeof(hex));

    rc = -EIO;
    key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (!key)
        goto out;
    rc = write_key(beside, key);
    if (rc == 0)
        rc = keys_place(beside, path);
out:
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}

int keys_load_or_make(const char *path, EVP_PKEY **ret_key, struct errmsg *err)
{
    int rc = keys_load(path, ret_key, err);

    if (rc != -ENOENT)
        return rc;
    rc = make_key(path);
    if (rc < 0 && rc != -EEXIST)
        return errmsg_set(err, rc, "a new key cannot be written to %s: %s", path, explain(rc));
    /* What counts from now on is what lies on the disk, whoever put it there. */
    if (err)
        err->text[0] = '\0';
    return keys_load(path, ret_key, err);
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    bool ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool set_serial(X509 *cert)
{
    uint8_t bytes[16];
    BIGNUM *number = NULL;
    bool ok = false;

    if (crypto_random(bytes, sizeof(bytes)) < 0)
        return false;
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive and never 0 (RFC 5280 §4.1.2.2) */
    number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return ok;
}

/* A certificate for key named cn, with everything but the issuer, the extensions and the signature. */
static X509 *draft(EVP_PKEY *key, const char *cn)
{
    X509 *cert = X509_new();
    size_t n = strlen(cn);

    if (n > COMMON_NAME_MAX)
        n = COMMON_NAME_MAX;
    if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), "19700101000000Z") == 1 &&
        ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), "99991231235959Z") == 1 &&
        X509_set_pubkey(cert, key) == 1 &&
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                   (const unsigned char *)cn, (int)n, -1, 0) == 1)
        return cert;
    X509_free(cert);
    return NULL;
}

int keys_self_sign(EVP_PKEY *key, const char *cn, int is_ca, X509 **ret_cert)
{
    X509 *cert = NULL;
    int rc = -EINVAL;

    if (cn[0] == '\0')
        goto out;
    rc = -EIO;
    cert = draft(key, cn);
    if (!cert || X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1 ||
        !add_extension(cert, cert, NID_basic_constraints,
                       is_ca ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") ||
        !add_extension(cert, cert, NID_key_usage,
                       is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") ||
        !add_extension(cert, cert, NID_subject_key_identifier, "hash"))
        goto out;
    if (!is_ca && !add_extension(cert, cert, NID_ext_key_usage, "clientAuth"))
        goto out;
    if (X509_sign(cert, key, NULL) <= 0)
        goto out;
    *ret_cert = cert;
    cert = NULL;
    rc = 0;
out:
    X509_free(cert);
    ERR_clear_error();
    return rc;
}

/* Built as objects, not through X509V3_EXT_conf, whose text form would read a ',' in a name as a second name.
 */
static bool add_alt_name(X509 *cert, const char *name)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *entry = GENERAL_NAME_new();
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    ASN1_IA5STRING *dns = ip ? NULL : ASN1_IA5STRING_new();
    bool ok = false;

    if (!names || !entry || (!ip && (!dns || ASN1_STRING_set(dns, name, (int)strlen(name)) != 1)))
        goto out;
    if (ip) {
        GENERAL_NAME_set0_value(entry, GEN_IPADD, ip);
        ip = NULL;
    } else {
        GENERAL_NAME_set0_value(entry, GEN_DNS, dns);
        dns = NULL;
    }
    if (sk_GENERAL_NAME_push(names, entry) <= 0)
        goto out;
    entry = NULL;
    ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
out:
    ASN1_OCTET_STRING_free(ip);
    ASN1_IA5STRING_free(dns);
    GENERAL_NAME_free(entry);
    GENERAL_NAMES_free(names);
    return ok;
}

int keys_sign_leaf(EVP_PKEY *leaf_key, EVP_PKEY *ca_key, X509 *ca_cert, const char *cn, X509 **ret_cert)
{
    X509 *cert = NULL;
    int rc = -EINVAL;

    if (cn[0] == '\0' || X509_check_private_key(ca_cert, ca_key) != 1)
        goto out;
    rc = -EIO;
    cert = draft(leaf_key, cn);
    if (!cert || X509_set_issuer_name(cert, X509_get_subject_name(ca_cert)) != 1 ||
        !add_extension(cert, ca_cert, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(cert, ca_cert, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(cert, ca_cert, NID_ext_key_usage, "serverAuth") ||
        !add_extension(cert, ca_cert, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, ca_cert, NID_authority_key_identifier, "keyid:always"))
        goto out;
    if (names_host_ok(cn) && !add_alt_name(cert, cn))
        goto out;
    if (X509_sign(cert, ca_key, NULL) <= 0)
        goto out;
    *ret_cert = cert;
    cert = NULL;
    rc = 0;
out:
    X509_free(cert);
    ERR_clear_error();
    return rc;
}

int keys_cert_save(const char *path, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long n;
    int rc = -ENOMEM;

    if (!bio || PEM_write_bio_X509(bio, cert) != 1)
        goto out;
    n = BIO_get_mem_data(bio, &text);
    rc = n > 0 ? fs_write_atomic(path, text, (size_t)n, 0600) : -EIO;
out:
    BIO_free(bio);
    ERR_clear_error();
    return rc;
}

int keys_cert_load(const char *path, X509 **ret_cert, struct errmsg *err)
{
    struct buf text;
    BIO *bio = NULL;
    X509 *cert = NULL;
    int rc;

    buf_init(&text, CERT_FILE_MAX);
    rc = fs_read(path, &text);
    if (rc < 0) {
        errmsg_set(err, rc, "the certificate file %s cannot be read: %s", path, explain(rc));
        goto out;
    }
    bio = BIO_new_mem_buf(buf_data(&text), (int)buf_len(&text));
    if (bio)
        cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    if (!cert) {
        rc = errmsg_set(err, -EINVAL, "%s holds no certificate in PEM form", path);
        goto out;
    }
    *ret_cert = cert;
    rc = 0;
out:
    BIO_free(bio);
    buf_release(&text);
    ERR_clear_error();
    return rc;
}

int keys_pin(X509 *cert, uint8_t out[CRYPTO_HASH_SIZE])
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    int rc = n > 0 ? crypto_sha256(der, (size_t)n, out) : -EIO;

    OPENSSL_free(der);
    ERR_clear_error();
    return rc;
}

void keys_pin_text(const uint8_t pin[CRYPTO_HASH_SIZE], char out[KEYS_FINGERPRINT_TEXT])
{
    static const char prefix[] = "SHA256:";
    char *pad;

    memcpy(out, prefix, sizeof(prefix));
    (void)crypto_b64_encode(pin, CRYPTO_HASH_SIZE, out + sizeof(prefix) - 1,
                            KEYS_FINGERPRINT_TEXT - (sizeof(prefix) - 1));
    pad = strchr(out, '=');
    if (pad)
        *pad = '\0';
}
