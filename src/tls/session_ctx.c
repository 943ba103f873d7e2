/* Owns the two kinds of contexts and what OpenSSL calls back during a handshake. Whom to trust is decided in
 * trust.c. */
#include "tls/session_private.h"

#include "tls/trust.h"
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#define CLIENT_CERTS_MAX 16384 /* bytes: before a client is known, it gets little memory */

const char *session_known_alpn(const unsigned char *name, size_t n)
{
    static const char *const known[] = {TLS_ALPN_CONTROL, TLS_ALPN_STREAM};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (n == strlen(known[i]) && memcmp(name, known[i], n) == 0)
            return known[i];
    return NULL;
}

/* The client's first protocol that is ours, so that the answer is the same as hello_alpn's. */
static int choose_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_n,
                       const unsigned char *list, unsigned int n, void *arg)
{
    (void)ssl;
    (void)arg;
    for (unsigned int at = 0; at < n && at + 1 + list[at] <= n; at += 1u + list[at]) {
        if (session_known_alpn(list + at + 1, list[at])) {
            *ret_name = list + at + 1;
            *ret_n = list[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* choose_alpn is not called for a client that offers no protocol at all. */
static int require_alpn(SSL *ssl, int *ret_alert, void *arg)
{
    const unsigned char *data;
    size_t n;

    (void)arg;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data, &n) == 1)
        return SSL_CLIENT_HELLO_SUCCESS;
    *ret_alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

static int check_peer(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct session *s = SSL_get_app_data(ssl);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    const STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    int rc;

    (void)arg;
    if (s->server)
        rc = trust_client(leaf, sent, s->pin, s->err);
    else if (s->trust.how == SESSION_TRUST_SYSTEM)
        rc = trust_system(store, s->pin, &s->has_pin, s->err);
    else
        rc = trust_hub(leaf, sent, s->trust.how == SESSION_TRUST_PIN ? s->trust.pin : NULL, s->pin, s->err);
    if (rc < 0) {
        s->explained = true;
        if (X509_STORE_CTX_get_error(store) == X509_V_OK)
            X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return 0;
    }
    if (s->server || s->trust.how != SESSION_TRUST_SYSTEM)
        s->has_pin = true;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static SSL_CTX *new_ctx(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (!ctx)
        return NULL;
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 || SSL_CTX_set_num_tickets(ctx, 0) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_cert_verify_callback(ctx, check_peer, NULL);
    return ctx;
}

int session_server_ctx(X509 *leaf, EVP_PKEY *key, X509 *ca, bool ask_client, SSL_CTX **ret_ctx)
{
    SSL_CTX *ctx = new_ctx(TLS_server_method());
    int rc = -EINVAL;

    if (!ctx || SSL_CTX_use_certificate(ctx, leaf) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1 || SSL_CTX_add1_chain_cert(ctx, ca) != 1)
        goto out;
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    SSL_CTX_set_client_hello_cb(ctx, require_alpn, NULL);
    SSL_CTX_set_max_cert_list(ctx, CLIENT_CERTS_MAX);
    if (ask_client)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    *ret_ctx = ctx;
    ctx = NULL;
    rc = 0;
out:
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

int session_client_ctx(X509 *cert, EVP_PKEY *key, SSL_CTX **ret_ctx)
{
    SSL_CTX *ctx = new_ctx(TLS_client_method());
    int rc = -EINVAL;

    if (!ctx || (cert == NULL) != (key == NULL))
        goto out;
    if (cert && (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
                 SSL_CTX_check_private_key(ctx) != 1))
        goto out;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    *ret_ctx = ctx;
    ctx = NULL;
    rc = 0;
out:
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}
