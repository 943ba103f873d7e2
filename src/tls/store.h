/* The authorities that this system trusts. For src/tls. Siblings: store_posix.c, store_windows.c. */
#ifndef MULTISSH_TLS_STORE_H
#define MULTISSH_TLS_STORE_H

#include <openssl/x509.h>

/* Makes them the store's: those of OpenSSL's own places (SSL_CERT_FILE and SSL_CERT_DIR name others), and on Windows
 * those of its certificate store too, but what it disallows or trusts for other uses than servers. Returns 0 or a
 * negative errno value. */
int store_add_system(X509_STORE *store);

#endif
