/* The authorities that this system trusts: those of Windows' certificate store. */
#include "base/win.h"

#include "tls/store.h"
#include <errno.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wincrypt.h>
/* wincrypt.h has a macro of this name. */
#undef X509_NAME

/* No list of uses: all. */
static bool for_servers(PCCERT_CONTEXT cert)
{
    DWORD n = 0;
    bool found = false;

    if (!CertGetEnhancedKeyUsage(cert, 0, NULL, &n))
        return GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
    CERT_ENHKEY_USAGE *usage = malloc(n);
    if (!usage)
        return false;
    SetLastError(ERROR_SUCCESS);
    if (CertGetEnhancedKeyUsage(cert, 0, usage, &n)) {
        found = usage->cUsageIdentifier == 0 && GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
        for (DWORD i = 0; i < usage->cUsageIdentifier; i++)
            found = found || strcmp(usage->rgpszUsageIdentifier[i], szOID_PKIX_KP_SERVER_AUTH) == 0;
    }
    free(usage);
    return found;
}

/* One that OpenSSL cannot read, or has already, is passed over. */
static void add_one(X509_STORE *store, PCCERT_CONTEXT cert)
{
    const unsigned char *at = cert->pbCertEncoded;
    X509 *x = d2i_X509(NULL, &at, (long)cert->cbCertEncoded);

    if (x)
        (void)X509_STORE_add_cert(store, x);
    X509_free(x);
}

static int add_all(X509_STORE *store, const wchar_t *name, HCERTSTORE disallowed)
{
    HCERTSTORE from = CertOpenSystemStoreW(0, name);
    PCCERT_CONTEXT cert = NULL;

    if (!from)
        return win_errno(GetLastError());
    while ((cert = CertEnumCertificatesInStore(from, cert)) != NULL) {
        PCCERT_CONTEXT refused = disallowed ? CertFindCertificateInStore(disallowed, X509_ASN_ENCODING, 0,
                                                                         CERT_FIND_EXISTING, cert, NULL)
                                            : NULL;

        if (refused)
            CertFreeCertificateContext(refused);
        else if (for_servers(cert))
            add_one(store, cert);
    }
    CertCloseStore(from, 0);
    return 0;
}

/* The intermediate ones help to build a chain; it must still end at one of the roots. */
int store_add_system(X509_STORE *store)
{
    HCERTSTORE disallowed;
    int rc;

    if (X509_STORE_set_default_paths(store) != 1)
        return -ENOMEM;
    disallowed = CertOpenSystemStoreW(0, L"Disallowed");
    rc = add_all(store, L"ROOT", disallowed);
    if (rc == 0)
        rc = add_all(store, L"CA", disallowed);
    if (disallowed)
        CertCloseStore(disallowed, 0);
    ERR_clear_error();
    return rc;
}
