/* The authorities that this system trusts: where OpenSSL looks for them. */
#include "tls/store.h"

#include <errno.h>

int store_add_system(X509_STORE *store)
{
    return X509_STORE_set_default_paths(store) == 1 ? 0 : -ENOMEM;
}
