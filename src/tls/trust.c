/* Owns the decision whether a peer's certificates show the key that they must show. No sockets, no sessions,
 * no state. */
#include "tls/trust.h"

#include "tls/keys.h"
#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

#define CHAIN_MAX 8 /* certificates in one chain */

static bool is_ed25519(X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);

    return key && EVP_PKEY_is_a(key, "ED25519");
}

int trust_client(X509 *leaf, const STACK_OF(X509) * sent, uint8_t ret_pin[CRYPTO_HASH_SIZE],
                 struct errmsg *err)
{
    if (sk_X509_num(sent) > 1)
        return errmsg_set(err, -EPROTO,
                          "the client sent a chain of %d certificates; one, self-signed, is wanted",
                          sk_X509_num(sent));
    if (!is_ed25519(leaf))
        return errmsg_set(err, -EPROTO, "the client's certificate does not carry an Ed25519 key");
    if (X509_verify(leaf, X509_get0_pubkey(leaf)) != 1)
        return errmsg_set(err, -EPROTO, "the client's certificate is not signed by its own key");
    if (keys_pin(leaf, ret_pin) < 0)
        return errmsg_set(err, -EPROTO, "the client's key cannot be read");
    return 0;
}

/* May this certificate sign others? The handshake proves nothing about it: that its key signed the leaf is
 * what counts. */
static bool is_ca(X509 *cert)
{
    return X509_check_ca(cert) == 1 && (X509_get_key_usage(cert) & KU_KEY_CERT_SIGN) && is_ed25519(cert);
}

static bool is_server_leaf(X509 *cert)
{
    return X509_check_ca(cert) == 0 && (X509_get_extended_key_usage(cert) & XKU_SSL_SERVER);
}

static int refuse_hub(const STACK_OF(X509) * sent, X509 *leaf, const uint8_t *pin, bool any_ca,
                      const uint8_t seen[CRYPTO_HASH_SIZE], bool pinned_ca, struct errmsg *err)
{
    char want[KEYS_FINGERPRINT_TEXT] = "", got[KEYS_FINGERPRINT_TEXT] = "";

    if (!is_server_leaf(leaf))
        return errmsg_set(err, -EPROTO,
                          "the hub's certificate is not a server certificate signed by a hub's CA; "
                          "is this a multiSSH hub?");
    if (!any_ca)
        return errmsg_set(
            err, -EPROTO,
            "the hub sent %d certificate(s) and no CA's among them that could have signed its own; "
            "is this a multiSSH hub?",
            sk_X509_num(sent));
    if (!pin || pinned_ca)
        return errmsg_set(
            err, -EPROTO,
            "the hub's certificate is not signed by the CA whose certificate came with it: the hub's tls "
            "files do not belong together, or somebody stands between");
    keys_pin_text(pin, want);
    keys_pin_text(seen, got);
    return errmsg_set(
        err, -EPROTO,
        "the hub's key is not the one that the invitation named (wanted %s, met %s): this is another hub, "
        "its CA key was replaced, or somebody stands between; if it was replaced, ask for a new invitation",
        want, got);
}

int trust_hub(X509 *leaf, const STACK_OF(X509) * sent, const uint8_t *pin, uint8_t ret_pin[CRYPTO_HASH_SIZE],
              struct errmsg *err)
{
    uint8_t seen[CRYPTO_HASH_SIZE] = {0}, leaf_pin[CRYPTO_HASH_SIZE], one[CRYPTO_HASH_SIZE];
    bool any_ca = false, pinned_ca = false;
    int n = sk_X509_num(sent);

    if (n > CHAIN_MAX)
        return errmsg_set(err, -EPROTO, "the hub sent %d certificates; is this a multiSSH hub?", n);
    if (keys_pin(leaf, leaf_pin) < 0)
        return errmsg_set(err, -EPROTO, "the hub's certificate carries no key that can be read");
    for (int i = 0; i < n && is_server_leaf(leaf); i++) {
        X509 *ca = sk_X509_value(sent, i);

        if (!is_ca(ca) || keys_pin(ca, one) < 0 || crypto_equal(one, leaf_pin, sizeof(one)))
            continue;
        if (!any_ca)
            memcpy(seen, one, sizeof(seen));
        any_ca = true;
        if (pin && !crypto_equal(one, pin, sizeof(one)))
            continue;
        pinned_ca = true;
        if (X509_verify(leaf, X509_get0_pubkey(ca)) == 1) {
            memcpy(ret_pin, one, sizeof(one));
            return 0;
        }
    }
    return refuse_hub(sent, leaf, pin, any_ca, seen, pinned_ca, err);
}

int trust_system(X509_STORE_CTX *store, uint8_t ret_pin[CRYPTO_HASH_SIZE], bool *ret_has_pin,
                 struct errmsg *err)
{
    const STACK_OF(X509) * chain;

    *ret_has_pin = false;
    if (X509_verify_cert(store) != 1)
        return errmsg_set(
            err, -EPROTO,
            "the hub's certificate is not one that this system trusts for that name: %s; to pin the hub's "
            "own key instead, join with an invitation",
            X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    chain = X509_STORE_CTX_get0_chain(store);
    if (sk_X509_num(chain) > 1)
        *ret_has_pin = keys_pin(sk_X509_value(chain, 1), ret_pin) == 0;
    return 0;
}
