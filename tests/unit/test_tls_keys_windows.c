/* Keys where rights are access control lists, and the authorities of Windows' own store. */
#include "tls/keys.h"

#include "base/win.h"
#include "portable.h"
#include "tls/store.h"
#include <aclapi.h>
#include <errno.h>
#include <sddl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wincrypt.h>
#undef X509_NAME

#include <cmocka.h>

static char dir[256];

static int setup(void **state)
{
    (void)state;
    return portable_folder(dir, sizeof(dir));
}

static int teardown(void **state)
{
    static const char *const names[] = {"open", "race"};
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

static void test_open_to_others(void **state)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    EVP_PKEY *key = NULL;
    struct errmsg err = {""};
    wchar_t *wide = NULL;

    (void)state;
    assert_int_equal(keys_load_or_make(in_dir("open"), &key, &err), 0);
    EVP_PKEY_free(key);
    key = NULL;
    assert_int_equal(win_path(in_dir("open"), &wide), 0);
    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorW(
        L"D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FR;;;WD)", SDDL_REVISION_1, &descriptor, NULL));
    assert_true(SetFileSecurityW(wide, DACL_SECURITY_INFORMATION, descriptor));
    assert_int_equal(keys_load(in_dir("open"), &key, &err), -EPERM);
    assert_non_null(strstr(err.text, "open to other users: "));
    assert_non_null(strstr(err.text, "icacls"));
    assert_null(key);
    LocalFree(descriptor);
    free(wide);
}

struct maker {
    HANDLE go;
    uint8_t pin[CRYPTO_HASH_SIZE];
};

static DWORD WINAPI make(void *arg)
{
    struct maker *m = arg;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    char path[300];

    snprintf(path, sizeof(path), "%s/race", dir);
    if (WaitForSingleObject(m->go, 20000) != WAIT_OBJECT_0)
        return 1;
    bool ok = keys_load_or_make(path, &key, NULL) == 0 && keys_self_sign(key, "x", 0, &cert) == 0 &&
              keys_pin(cert, m->pin) == 0;
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok ? 0 : 1;
}

/* Many find no key at the same moment: all must end with the same one. */
static void test_race_has_one_winner(void **state)
{
    enum { MAKERS = 8 };
    HANDLE threads[MAKERS], go = CreateEventW(NULL, TRUE, FALSE, NULL);
    struct maker makers[MAKERS];

    (void)state;
    for (int i = 0; i < MAKERS; i++) {
        makers[i] = (struct maker){.go = go};
        threads[i] = CreateThread(NULL, 0, make, &makers[i], 0, NULL);
        assert_non_null(threads[i]);
    }
    assert_true(SetEvent(go));
    assert_int_equal(WaitForMultipleObjects(MAKERS, threads, TRUE, 20000), WAIT_OBJECT_0);
    for (int i = 0; i < MAKERS; i++) {
        DWORD code = 1;

        assert_true(GetExitCodeThread(threads[i], &code));
        assert_int_equal(code, 0);
        assert_memory_equal(makers[i].pin, makers[0].pin, sizeof(makers[i].pin));
        CloseHandle(threads[i]);
    }
    CloseHandle(go);
}

static bool store_knows(X509 *cert)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *issuer = NULL;

    assert_int_equal(store_add_system(store), 0);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
    bool known = X509_STORE_CTX_get1_issuer(&issuer, ctx, cert) == 1 && X509_cmp(issuer, cert) == 0;
    X509_free(issuer);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return known;
}

/* Into a store of the user's own, which is kept when it is closed. use: the only one that it is trusted for. */
static void put(const wchar_t *name, const unsigned char *der, int n, char *use)
{
    HCERTSTORE store = CertOpenSystemStoreW(0, name);
    CERT_ENHKEY_USAGE usage = {.cUsageIdentifier = 1, .rgpszUsageIdentifier = &use};
    PCCERT_CONTEXT cert = NULL;

    assert_true(
        CertAddEncodedCertificateToStore(store, X509_ASN_ENCODING, der, (DWORD)n, CERT_STORE_ADD_NEW, &cert));
    assert_true(!use || CertSetEnhancedKeyUsage(cert, &usage));
    CertFreeCertificateContext(cert);
    assert_true(CertCloseStore(store, 0));
}

static void take_out(const wchar_t *name, const unsigned char *der, int n)
{
    HCERTSTORE store = CertOpenSystemStoreW(0, name);
    PCCERT_CONTEXT like = CertCreateCertificateContext(X509_ASN_ENCODING, der, (DWORD)n);
    PCCERT_CONTEXT cert =
        CertFindCertificateInStore(store, X509_ASN_ENCODING, 0, CERT_FIND_EXISTING, like, NULL);

    if (cert)
        CertDeleteCertificateFromStore(cert);
    CertFreeCertificateContext(like);
    CertCloseStore(store, 0);
}

static X509 *new_cert(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    X509 *cert = X509_new();
    char name[33];
    uint8_t random[16];

    assert_int_equal(crypto_random(random, sizeof(random)), 0);
    crypto_hex_encode(random, sizeof(random), name, sizeof(name));
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name,
                               -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    EVP_PKEY_free(key);
    return cert;
}

/* Is a certificate of such a use believed, and when it is disallowed? By way of the intermediate authorities: to add a
 * root, Windows asks the user in a window. */
static bool believed(char *use, bool disallow)
{
    unsigned char *der = NULL;
    X509 *cert = new_cert();
    int n = i2d_X509(cert, &der);

    assert_true(n > 0);
    assert_false(store_knows(cert));
    put(L"CA", der, n, use);
    if (disallow)
        put(L"Disallowed", der, n, NULL);
    bool known = store_knows(cert);
    take_out(L"CA", der, n);
    if (disallow)
        take_out(L"Disallowed", der, n);
    OPENSSL_free(der);
    X509_free(cert);
    return known;
}

static void test_system_store(void **state)
{
    char mail[] = "1.3.6.1.5.5.7.3.4", servers[] = "1.3.6.1.5.5.7.3.1";

    (void)state;
    assert_true(believed(NULL, false));
    assert_false(believed(NULL, true));
    assert_false(believed(mail, false));
    assert_true(believed(servers, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_to_others),
        cmocka_unit_test(test_race_has_one_winner),
        cmocka_unit_test(test_system_store),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
