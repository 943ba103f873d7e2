/* Two real TLS sessions joined by memory: who is let in, who is refused, and that the reasons are told. */
#include "tls/session.h"

#include "base/clock.h"
#include "portable.h"
#include "tls/keys.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A hub's keys, those of another hub, and an agent's. */
static EVP_PKEY *ca_key, *leaf_key, *other_ca_key, *agent_key, *rsa_key;
static X509 *ca, *leaf, *other_ca, *agent;
static uint8_t ca_pin[CRYPTO_HASH_SIZE], other_pin[CRYPTO_HASH_SIZE], agent_pin[CRYPTO_HASH_SIZE];

static int setup(void **state)
{
    (void)state;
    ca_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    leaf_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    other_ca_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    agent_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    rsa_key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    return keys_self_sign(ca_key, "hub CA", 1, &ca) || keys_self_sign(other_ca_key, "hub CA", 1, &other_ca) ||
           keys_sign_leaf(leaf_key, ca_key, ca, "hub.example.com", &leaf) ||
           keys_self_sign(agent_key, "agent", 0, &agent) || keys_pin(ca, ca_pin) ||
           keys_pin(other_ca, other_pin) || keys_pin(agent, agent_pin);
}

static int teardown(void **state)
{
    (void)state;
    X509_free(ca);
    X509_free(leaf);
    X509_free(other_ca);
    X509_free(agent);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(leaf_key);
    EVP_PKEY_free(other_ca_key);
    EVP_PKEY_free(agent_key);
    EVP_PKEY_free(rsa_key);
    return 0;
}

/* One side of a connection, and what happened to it. */
struct side {
    struct session *s;
    struct buf plain;
    int rc;
    struct errmsg err;
};

struct pair {
    struct side server, client;
};

static struct session_trust pinned(const uint8_t pin[CRYPTO_HASH_SIZE])
{
    struct session_trust trust = {.how = SESSION_TRUST_PIN};

    memcpy(trust.pin, pin, CRYPTO_HASH_SIZE);
    return trust;
}

/* Takes both contexts over. */
static void pair_init(struct pair *p, SSL_CTX *server, SSL_CTX *client, const char *alpn,
                      struct session_trust trust)
{
    memset(p, 0, sizeof(*p));
    buf_init(&p->server.plain, 1 << 20);
    buf_init(&p->client.plain, 1 << 20);
    assert_int_equal(session_new_server(server, &p->server.s), 0);
    assert_int_equal(session_new_client(client, alpn, &trust, &p->client.s), 0);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

static void pair_release(struct pair *p)
{
    session_free(p->server.s);
    session_free(p->client.s);
    buf_release(&p->server.plain);
    buf_release(&p->client.plain);
    assert_int_equal(ERR_peek_error(), 0); /* nothing is left for the next session to stumble over */
}

/* Carries what from wants to send to to, step bytes at a time. Returns whether there was any. */
static bool carry(struct side *from, struct side *to, size_t step)
{
    struct buf wire;
    bool any = false;

    buf_init(&wire, step);
    while (session_output_len(from->s) > 0) {
        struct errmsg err = {""};
        int rc;

        any = true;
        assert_int_equal(session_output(from->s, &wire), 0);
        rc = session_input(to->s, buf_data(&wire), buf_len(&wire), &to->plain, &err);
        assert_int_equal(ERR_peek_error(), 0);
        if (rc < 0 && to->rc == 0) {
            to->rc = rc;
            to->err = err;
        }
        buf_clear(&wire);
    }
    buf_release(&wire);
    return any;
}

static void settle(struct pair *p, size_t step)
{
    bool any = true;

    while (any) {
        any = carry(&p->client, &p->server, step);
        any = carry(&p->server, &p->client, step) || any;
    }
}

static SSL_CTX *hub_ctx(bool ask_client)
{
    SSL_CTX *ctx = NULL;

    assert_int_equal(session_server_ctx(leaf, leaf_key, ca, ask_client, &ctx), 0);
    return ctx;
}

static SSL_CTX *agent_ctx(void)
{
    SSL_CTX *ctx = NULL;

    assert_int_equal(session_client_ctx(agent, agent_key, &ctx), 0);
    return ctx;
}

static SSL_CTX *stranger_ctx(void)
{
    SSL_CTX *ctx = NULL;

    assert_int_equal(session_client_ctx(NULL, NULL, &ctx), 0);
    return ctx;
}

static void expect_text(const struct side *side, int rc, const char *part)
{
    assert_int_equal(side->rc, rc);
    if (!strstr(side->err.text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, side->err.text);
}

/* Runs a handshake that the client must end, and returns its reason in p->client.err. */
static void expect_client_refuses(SSL_CTX *server, struct session_trust trust, const char *part)
{
    struct pair p;
    uint8_t pin[CRYPTO_HASH_SIZE];

    pair_init(&p, server, agent_ctx(), TLS_ALPN_CONTROL, trust);
    settle(&p, 16384);
    assert_false(session_ready(p.client.s));
    assert_false(session_ready(p.server.s));
    expect_text(&p.client, -EPROTO, part);
    expect_text(&p.server, -EPROTO, "the client ended the TLS connection"); /* the alert came over */
    assert_int_equal(session_peer_pin(p.client.s, pin), -ENOENT);
    assert_int_equal(session_write(p.client.s, "x", 1), -EPROTO);
    pair_release(&p);
}

static void expect_server_refuses(SSL_CTX *server, SSL_CTX *client, const char *part, const char *told)
{
    struct pair p;
    uint8_t pin[CRYPTO_HASH_SIZE];

    pair_init(&p, server, client, TLS_ALPN_CONTROL, pinned(ca_pin));
    settle(&p, 16384);
    assert_false(session_ready(p.server.s));
    expect_text(&p.server, -EPROTO, part);
    expect_text(&p.client, -EPROTO, told);
    assert_int_equal(session_peer_pin(p.server.s, pin), -ENOENT);
    pair_release(&p);
}

static void check_talk(struct pair *p, size_t step)
{
    uint8_t pin[CRYPTO_HASH_SIZE];

    settle(p, step);
    assert_int_equal(p->server.rc, 0);
    assert_int_equal(p->client.rc, 0);
    assert_true(session_ready(p->server.s) && session_ready(p->client.s));
    assert_int_equal(session_peer_pin(p->server.s, pin), 0);
    assert_memory_equal(pin, agent_pin, sizeof(pin));
    assert_int_equal(session_peer_pin(p->client.s, pin), 0);
    assert_memory_equal(pin, ca_pin, sizeof(pin));
    assert_string_equal(session_alpn(p->server.s), TLS_ALPN_CONTROL);
    assert_string_equal(session_alpn(p->client.s), TLS_ALPN_CONTROL);
    assert_int_equal(session_write(p->client.s, "hello", 5), 0);
    assert_int_equal(session_write(p->server.s, "welcome", 7), 0);
    settle(p, step);
    assert_int_equal(buf_len(&p->server.plain), 5);
    assert_memory_equal(buf_data(&p->server.plain), "hello", 5);
    assert_int_equal(buf_len(&p->client.plain), 7);
    assert_memory_equal(buf_data(&p->client.plain), "welcome", 7);
}

static void test_handshake_in_any_pieces(void **state)
{
    static const size_t steps[] = {1, 2, 3, 5, 100, 1000, 100000};
    struct pair p;

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        pair_init(&p, hub_ctx(true), agent_ctx(), TLS_ALPN_CONTROL, pinned(ca_pin));
        assert_int_equal(session_write(p.client.s, "early", 5), -EAGAIN);
        assert_string_equal(session_alpn(p.client.s), "");
        check_talk(&p, steps[i]);
        pair_release(&p);
    }
}

static void test_first_contact_learns_the_pin(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, hub_ctx(true), agent_ctx(), TLS_ALPN_CONTROL,
              (struct session_trust){.how = SESSION_TRUST_ANY});
    check_talk(&p, 1000);
    pair_release(&p);
}

static void test_streams_need_no_client_certificate(void **state)
{
    struct pair p;
    uint8_t pin[CRYPTO_HASH_SIZE];

    (void)state;
    pair_init(&p, hub_ctx(false), stranger_ctx(), TLS_ALPN_STREAM, pinned(ca_pin));
    settle(&p, 1000);
    assert_true(session_ready(p.server.s) && session_ready(p.client.s));
    assert_string_equal(session_alpn(p.server.s), TLS_ALPN_STREAM);
    assert_int_equal(session_peer_pin(p.server.s, pin), -ENOENT);
    pair_release(&p);
}

static void test_pin_mismatch(void **state)
{
    (void)state;
    expect_client_refuses(hub_ctx(true), pinned(other_pin), "is not the one that the invitation named");
}

/* The pinned CA's certificate is public: sending it along must not help. */
static void test_pinned_ca_did_not_sign_the_leaf(void **state)
{
    SSL_CTX *ctx = NULL;
    X509 *forged = NULL, *self = NULL;

    (void)state;
    assert_int_equal(keys_sign_leaf(leaf_key, other_ca_key, other_ca, "hub.example.com", &forged), 0);
    assert_int_equal(session_server_ctx(forged, leaf_key, ca, true, &ctx), 0);
    expect_client_refuses(ctx, pinned(ca_pin), "is not signed by the CA");
    assert_int_equal(session_server_ctx(forged, leaf_key, ca, true, &ctx), 0);
    expect_client_refuses(ctx, (struct session_trust){.how = SESSION_TRUST_ANY}, "is not signed by the CA");

    /* the leaf is accepted by another CA in the chain, the pinned one is there too */
    assert_int_equal(session_server_ctx(forged, leaf_key, other_ca, true, &ctx), 0);
    assert_int_equal(SSL_CTX_add1_chain_cert(ctx, ca), 1);
    expect_client_refuses(ctx, pinned(ca_pin), "is not signed by the CA");

    /* a self-signed leaf beside the CA */
    assert_int_equal(keys_self_sign(leaf_key, "hub.example.com", 0, &self), 0);
    assert_int_equal(session_server_ctx(self, leaf_key, ca, true, &ctx), 0);
    expect_client_refuses(ctx, pinned(ca_pin), "not a server certificate signed by a hub's CA");
    X509_free(self);

    /* a leaf that is a CA itself and vouches for itself */
    assert_int_equal(keys_self_sign(leaf_key, "hub.example.com", 1, &self), 0);
    assert_int_equal(session_server_ctx(self, leaf_key, self, true, &ctx), 0);
    expect_client_refuses(ctx, (struct session_trust){.how = SESSION_TRUST_ANY}, "is this a multiSSH hub?");
    X509_free(self);
    X509_free(forged);
}

/* The CA's own certificate as the leaf is not what a hub shows, even when it holds the key. */
static void test_ca_is_no_leaf(void **state)
{
    SSL_CTX *ctx = NULL;

    (void)state;
    assert_int_equal(session_server_ctx(ca, ca_key, ca, true, &ctx), 0);
    expect_client_refuses(ctx, pinned(ca_pin), "is this a multiSSH hub?");
}

/* Nor is a certificate made for something else, though the right CA signed it: a CA below it, a client's. */
static void test_leaf_must_be_a_servers(void **state)
{
    (void)state;
    for (int below = 0; below < 2; below++) {
        SSL_CTX *ctx = NULL;
        X509 *cert = NULL;

        assert_int_equal(keys_self_sign(leaf_key, "hub.example.com", below, &cert), 0);
        assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(ca)), 1);
        assert_true(X509_sign(cert, ca_key, NULL) > 0);
        assert_int_equal(session_server_ctx(cert, leaf_key, ca, true, &ctx), 0);
        expect_client_refuses(ctx, pinned(ca_pin), "is this a multiSSH hub?");
        X509_free(cert);
    }
}

/* A certificate that is not marked as a CA's signs nothing, though its key did. */
static void test_signer_must_be_a_ca(void **state)
{
    SSL_CTX *ctx = NULL;
    X509 *plain = NULL;

    (void)state;
    assert_int_equal(keys_self_sign(ca_key, "hub CA", 0, &plain), 0);
    assert_int_equal(session_server_ctx(leaf, leaf_key, plain, true, &ctx), 0);
    expect_client_refuses(ctx, pinned(ca_pin), "no CA's among them");
    X509_free(plain);
}

static void test_leaf_alone(void **state)
{
    SSL_CTX *ctx = hub_ctx(true);

    (void)state;
    assert_int_equal(SSL_CTX_clear_chain_certs(ctx), 1);
    expect_client_refuses(ctx, pinned(ca_pin), "no CA's among them");
}

static void test_server_ctx_checks_the_key(void **state)
{
    SSL_CTX *ctx = NULL;

    (void)state;
    assert_int_equal(session_server_ctx(leaf, ca_key, ca, true, &ctx), -EINVAL);
    assert_int_equal(session_client_ctx(agent, NULL, &ctx), -EINVAL);
    assert_int_equal(session_client_ctx(agent, ca_key, &ctx), -EINVAL);
    assert_null(ctx);
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_client_without_certificate(void **state)
{
    (void)state;
    expect_server_refuses(hub_ctx(true), stranger_ctx(), "the client sent no certificate",
                          "the hub ended the TLS connection");
}

/* A certificate for key, signed by signer, as another program might make it. */
static X509 *foreign_cert(EVP_PKEY *key, EVP_PKEY *signer, const EVP_MD *md)
{
    X509 *cert = X509_new();

    assert_non_null(cert);
    assert_true(X509_set_version(cert, X509_VERSION_3) && ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
                X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
                X509_gmtime_adj(X509_getm_notAfter(cert), 3600) &&
                X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                           (const unsigned char *)"foreign", -1, -1, 0) &&
                X509_set_issuer_name(cert, X509_get_subject_name(cert)) && X509_set_pubkey(cert, key));
    assert_true(X509_sign(cert, signer, md) > 0);
    return cert;
}

static void test_client_with_rsa(void **state)
{
    X509 *cert = foreign_cert(rsa_key, rsa_key, EVP_sha256());
    SSL_CTX *ctx = NULL;

    (void)state;
    assert_int_equal(session_client_ctx(cert, rsa_key, &ctx), 0);
    expect_server_refuses(hub_ctx(true), ctx, "does not carry an Ed25519 key",
                          "the hub ended the TLS connection");
    X509_free(cert);
}

static void test_client_not_self_signed(void **state)
{
    X509 *cert = foreign_cert(agent_key, other_ca_key, NULL);
    SSL_CTX *ctx = NULL;

    (void)state;
    assert_int_equal(session_client_ctx(cert, agent_key, &ctx), 0);
    expect_server_refuses(hub_ctx(true), ctx, "is not signed by its own key",
                          "the hub ended the TLS connection");
    assert_int_equal(session_client_ctx(agent, agent_key, &ctx), 0);
    assert_int_equal(SSL_CTX_add1_chain_cert(ctx, ca), 1);
    expect_server_refuses(hub_ctx(true), ctx, "a chain of 2", "the hub ended the TLS connection");
    X509_free(cert);
}

static void test_expired_certificates_are_fine(void **state)
{
    X509 *cert = foreign_cert(agent_key, agent_key, NULL);
    SSL_CTX *ctx = NULL;
    struct pair p;

    (void)state;
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), -1800));
    assert_true(X509_sign(cert, agent_key, NULL) > 0);
    assert_int_equal(session_client_ctx(cert, agent_key, &ctx), 0);
    pair_init(&p, hub_ctx(true), ctx, TLS_ALPN_CONTROL, pinned(ca_pin));
    check_talk(&p, 1000);
    pair_release(&p);
    X509_free(cert);
}

static void test_tls12_is_refused(void **state)
{
    SSL_CTX *client = agent_ctx(), *server = hub_ctx(true);

    (void)state;
    assert_int_equal(SSL_CTX_set_min_proto_version(client, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION), 1);
    expect_server_refuses(server, client, "does not speak TLS 1.3", "does not speak TLS 1.3");

    server = hub_ctx(true);
    assert_int_equal(SSL_CTX_set_min_proto_version(server, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION), 1);
    expect_server_refuses(server, agent_ctx(), "does not speak TLS 1.3", "does not speak TLS 1.3");
}

/* A client of OpenSSL's own, with any ALPN list, against our server. Returns what the server says. */
static int foreign_client(const unsigned char *alpn, unsigned n, struct errmsg *err, const char **ret_alpn)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *to_server = BIO_new(BIO_s_mem()), *to_client = BIO_new(BIO_s_mem());
    SSL_CTX *server = hub_ctx(false);
    struct session *s = NULL;
    struct buf wire, plain;
    int rc = 0;

    buf_init(&wire, 65536);
    buf_init(&plain, 65536);
    assert_int_equal(session_new_server(server, &s), 0);
    if (n > 0)
        assert_int_equal(SSL_set_alpn_protos(ssl, alpn, n), 0);
    SSL_set_bio(ssl, to_client, to_server);
    SSL_set_connect_state(ssl);
    for (int i = 0; i < 10 && rc == 0; i++) {
        unsigned char bytes[8192];
        int got;

        (void)SSL_do_handshake(ssl);
        ERR_clear_error();
        got = BIO_read(to_server, bytes, sizeof(bytes));
        if (got > 0)
            rc = session_input(s, bytes, (size_t)got, &plain, err);
        assert_int_equal(session_output(s, &wire), 0);
        if (buf_len(&wire) > 0)
            assert_int_equal(BIO_write(to_client, buf_data(&wire), (int)buf_len(&wire)), (int)buf_len(&wire));
        buf_clear(&wire);
    }
    *ret_alpn = strcmp(session_alpn(s), TLS_ALPN_CONTROL) == 0  ? TLS_ALPN_CONTROL
                : strcmp(session_alpn(s), TLS_ALPN_STREAM) == 0 ? TLS_ALPN_STREAM
                                                                : "";
    session_free(s);
    buf_release(&wire);
    buf_release(&plain);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    SSL_CTX_free(server);
    return rc;
}

static void test_alpn_at_the_server(void **state)
{
    static const unsigned char http[] = "\x08http/1.1",
                               prefix[] = "\x12multissh-control/2\x11multissh-control/",
                               both[] = "\x02h2\x11multissh-stream/1\x12multissh-control/1";
    struct errmsg err = {""};
    const char *alpn;

    (void)state;
    assert_int_equal(foreign_client(NULL, 0, &err, &alpn), -EPROTO);
    assert_non_null(strstr(err.text, "no protocol that is known here"));
    assert_int_equal(foreign_client(http, sizeof(http) - 1, &err, &alpn), -EPROTO);
    assert_non_null(strstr(err.text, "no protocol that is known here"));
    assert_int_equal(foreign_client(prefix, sizeof(prefix) - 1, &err, &alpn), -EPROTO);
    assert_string_equal(alpn, "");
    assert_int_equal(foreign_client(both, sizeof(both) - 1, &err, &alpn), 0);
    assert_string_equal(alpn, TLS_ALPN_STREAM);
}

static int choose_first(SSL *ssl, const unsigned char **name, unsigned char *n, const unsigned char *list,
                        unsigned int list_n, void *arg)
{
    (void)ssl;
    (void)list_n;
    if (arg) {
        *name = list + 1;
        *n = list[0];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static void test_alpn_at_the_client(void **state)
{
    SSL_CTX *server = hub_ctx(true);
    struct session_trust trust = pinned(ca_pin);
    struct session *s = NULL;
    struct pair p;

    (void)state;
    SSL_CTX_set_alpn_select_cb(server, choose_first,
                               NULL); /* a server that ignores ALPN, as a web server may */
    pair_init(&p, server, agent_ctx(), TLS_ALPN_CONTROL, trust);
    settle(&p, 16384);
    assert_false(session_ready(p.client.s));
    expect_text(&p.client, -EPROTO, "agreed to no multiSSH protocol");
    assert_int_equal(session_write(p.client.s, "secret", 6), -EPROTO);
    pair_release(&p);

    server = agent_ctx();
    assert_int_equal(session_new_client(server, "http/1.1", &trust, &s), -EINVAL);
    assert_int_equal(session_new_client(server, TLS_ALPN_CONTROL,
                                        &(struct session_trust){.how = SESSION_TRUST_SYSTEM}, &s),
                     -EINVAL);
    assert_null(s);
    SSL_CTX_free(server);
}

static void test_system_trust(void **state)
{
    char dir[256], bundle[300];
    struct session_trust trust = {.how = SESSION_TRUST_SYSTEM, .name = "hub.example.com"};
    X509 *by_ip = NULL;
    SSL_CTX *ctx = NULL;
    struct pair p;

    (void)state;
    assert_int_equal(portable_folder(dir, sizeof(dir)), 0);
    snprintf(bundle, sizeof(bundle), "%s/bundle", dir);
    assert_int_equal(setenv("SSL_CERT_FILE", bundle, 1), 0);
    assert_int_equal(setenv("SSL_CERT_DIR", "/nonexistent", 1), 0);
    assert_int_equal(keys_cert_save(bundle, other_ca), 0);
    expect_client_refuses(hub_ctx(true), trust, "this system trusts");

    assert_int_equal(keys_cert_save(bundle, ca), 0);
    pair_init(&p, hub_ctx(true), agent_ctx(), TLS_ALPN_CONTROL, trust);
    check_talk(&p, 1000);
    pair_release(&p);
    trust.name = "hub.example.org";
    expect_client_refuses(hub_ctx(true), trust, "ostname mismatch");
    trust.name = "192.0.2.1";
    expect_client_refuses(hub_ctx(true), trust, "IP address mismatch");
    assert_int_equal(keys_sign_leaf(leaf_key, ca_key, ca, "192.0.2.1", &by_ip), 0);
    assert_int_equal(session_server_ctx(by_ip, leaf_key, ca, true, &ctx), 0);
    pair_init(&p, ctx, agent_ctx(), TLS_ALPN_CONTROL, trust);
    check_talk(&p, 1000);
    pair_release(&p);
    X509_free(by_ip);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    assert_int_equal(portable_remove(dir), 0);
}

/* --- resumption --- */

static const uint8_t resume_secret[CRYPTO_HASH_SIZE] = "what the hub keeps over restarts";

static SSL_CTX *resuming_hub_ctx(const uint8_t secret[CRYPTO_HASH_SIZE])
{
    SSL_CTX *ctx = hub_ctx(true);

    assert_int_equal(session_server_resumes(ctx, secret), 0);
    return ctx;
}

/* One session between the two contexts, which stay; whoever's key it is, the hub knows it. */
static bool meet(SSL_CTX *server, SSL_CTX *client, struct session_trust trust,
                 struct session_ticket *ret_ticket)
{
    struct pair p;
    bool resumed;

    SSL_CTX_up_ref(server);
    SSL_CTX_up_ref(client);
    pair_init(&p, server, client, TLS_ALPN_CONTROL, trust);
    check_talk(&p, 1000);
    resumed = session_resumed(p.client.s);
    assert_int_equal(session_resumed(p.server.s), resumed);
    if (ret_ticket) {
        assert_int_equal(session_ticket_make(p.server.s, clock_wall_s(), 60, ret_ticket), 0);
        session_ticket_keep(p.client.s, ret_ticket, 60);
    }
    pair_release(&p);
    return resumed;
}

static void test_resumes(void **state)
{
    SSL_CTX *server = resuming_hub_ctx(resume_secret), *client = agent_ctx();
    struct session_trust any = {.how = SESSION_TRUST_ANY};
    struct session_ticket t, later;

    (void)state;
    assert_false(meet(server, client, pinned(ca_pin), NULL));
    assert_false(meet(server, client, any, &t));
    assert_true(
        meet(server, client, pinned(ca_pin), NULL)); /* seen at the first contact, then pinned: the same CA */
    assert_true(meet(server, client, pinned(ca_pin), &later));
    assert_memory_not_equal(t.ticket, later.ticket, t.n);
    assert_memory_not_equal(t.key, later.key, sizeof(t.key));
    assert_true(meet(server, client, any, NULL));
    SSL_CTX_free(server);
    server = resuming_hub_ctx(resume_secret); /* the hub was started anew */
    assert_true(meet(server, client, pinned(ca_pin), NULL));
    SSL_CTX_free(server);
    server = resuming_hub_ctx(other_pin); /* its secret was replaced */
    assert_false(meet(server, client, pinned(ca_pin), NULL));
    SSL_CTX_free(server);
    server = hub_ctx(true); /* it does not resume at all */
    assert_false(meet(server, client, pinned(ca_pin), NULL));
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

/* What the hub knows of who resumes is whom it gave the ticket to, and not what the client has become. */
static void test_a_ticket_is_its_owner(void **state)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    SSL_CTX *server = resuming_hub_ctx(resume_secret), *client = agent_ctx(), *thief = NULL;
    struct session_ticket t;
    struct pair p;
    X509 *cert = NULL;
    uint8_t pin[CRYPTO_HASH_SIZE];

    (void)state;
    assert_int_equal(keys_self_sign(key, "thief", 0, &cert), 0);
    assert_int_equal(session_client_ctx(cert, key, &thief), 0);
    assert_false(meet(server, client, pinned(ca_pin), &t));
    t.key[7] ^= 1; /* the ticket travels in the clear: without its secret it is worth nothing */
    for (int i = 0; i < 2; i++) {
        SSL_CTX_up_ref(server);
        SSL_CTX_up_ref(thief);
        pair_init(&p, server, thief, TLS_ALPN_CONTROL, pinned(ca_pin));
        settle(&p, 1000);
        if (i == 0) {
            assert_int_equal(p.server.rc, 0);
            session_ticket_keep(p.client.s, &t, 60);
        } else {
            assert_int_equal(p.server.rc, -EPROTO);
            assert_false(session_ready(p.server.s));
            assert_int_equal(session_peer_pin(p.server.s, pin), -ENOENT);
        }
        pair_release(&p);
    }
    /* It is not offered again: the next one is a full handshake, as the key that is there. */
    SSL_CTX_up_ref(server);
    SSL_CTX_up_ref(thief);
    pair_init(&p, server, thief, TLS_ALPN_CONTROL, pinned(ca_pin));
    settle(&p, 1000);
    assert_true(session_ready(p.server.s) && !session_resumed(p.server.s));
    assert_int_equal(session_peer_pin(p.server.s, pin), 0);
    assert_memory_not_equal(pin, agent_pin, sizeof(pin));
    pair_release(&p);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    SSL_CTX_free(thief);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void test_what_is_not_resumed(void **state)
{
    SSL_CTX *server = resuming_hub_ctx(resume_secret), *client = agent_ctx();
    struct session_ticket t;
    struct pair p;

    (void)state;
    assert_false(meet(server, client, pinned(ca_pin), &t));
    /* Another hub is wanted than the one that gave the ticket: its certificates are to be seen. */
    SSL_CTX_up_ref(server);
    SSL_CTX_up_ref(client);
    pair_init(&p, server, client, TLS_ALPN_CONTROL, pinned(other_pin));
    settle(&p, 1000);
    expect_text(&p.client, -EPROTO, "is not the one that the invitation named");
    pair_release(&p);
    assert_true(meet(server, client, pinned(ca_pin), &t));
    /* Streams are not. */
    SSL_CTX_up_ref(server);
    SSL_CTX_up_ref(client);
    pair_init(&p, server, client, TLS_ALPN_STREAM, pinned(ca_pin));
    settle(&p, 1000);
    assert_true(session_ready(p.client.s) && !session_resumed(p.client.s));
    /* Nor what has expired, on either side. */
    assert_int_equal(session_ticket_make(p.client.s, 0, 1, &t), -EINVAL); /* a client makes none */
    assert_int_equal(session_ticket_make(p.server.s, clock_wall_s() - 100, 50, &t), 0);
    session_ticket_keep(p.client.s, &t, 60);
    assert_false(meet(server, client, pinned(ca_pin), NULL));
    assert_int_equal(session_ticket_make(p.server.s, clock_wall_s(), 60, &t), 0);
    session_ticket_keep(p.client.s, &t, 0);
    assert_false(meet(server, client, pinned(ca_pin), NULL));
    /* Nor without end: seven days after the key has signed, it has to sign again. */
    assert_int_equal(session_ticket_make(p.server.s, clock_wall_s() + SESSION_RESUMES_S + 1, 60, &t), -ETIME);
    assert_int_equal(session_ticket_make(p.server.s, clock_wall_s() + SESSION_RESUMES_S - 60, 1000000, &t),
                     0);
    assert_int_equal(session_ticket_make(p.server.s, clock_wall_s(), 60, &t), 0);
    /* A ticket with one bit changed is none, and no fault. */
    for (size_t i = 0; i < t.n; i += 9) {
        t.ticket[i] ^= 4;
        session_ticket_keep(p.client.s, &t, 60);
        assert_false(meet(server, client, pinned(ca_pin), NULL));
        t.ticket[i] ^= 4;
    }
    pair_release(&p);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

/* With the system's authorities, they are asked again: nothing lasts longer than they would let it. */
static void test_resumes_with_system_trust(void **state)
{
    SSL_CTX *server = resuming_hub_ctx(resume_secret), *client = agent_ctx();
    struct session_trust trust = {.how = SESSION_TRUST_SYSTEM, .name = "hub.example.com"};
    struct session_ticket t;
    char dir[256], bundle[300];
    struct pair p;

    (void)state;
    assert_int_equal(portable_folder(dir, sizeof(dir)), 0);
    snprintf(bundle, sizeof(bundle), "%s/bundle", dir);
    assert_int_equal(setenv("SSL_CERT_FILE", bundle, 1), 0);
    assert_int_equal(setenv("SSL_CERT_DIR", "/nonexistent", 1), 0);
    assert_int_equal(keys_cert_save(bundle, ca), 0);
    assert_false(meet(server, client, trust, &t));
    assert_true(meet(server, client, trust, &t));
    assert_true(meet(server, client, trust, NULL)); /* the chain is remembered over a resumed session, too */
    assert_false(meet(server, client, pinned(ca_pin), NULL)); /* a pin wants to see for itself */
    assert_int_equal(keys_cert_save(bundle, other_ca), 0);    /* the authority is not trusted any more */
    SSL_CTX_up_ref(server);
    SSL_CTX_up_ref(client);
    pair_init(&p, server, client, TLS_ALPN_CONTROL, trust);
    settle(&p, 1000);
    assert_false(session_ready(p.client.s) || session_ready(p.server.s));
    expect_text(&p.client, -EPROTO, "this system trusts");
    pair_release(&p);
    assert_int_equal(keys_cert_save(bundle, ca), 0);
    assert_true(meet(server, client, trust, NULL));
    trust.name = "hub.example.org"; /* another hub's name */
    SSL_CTX_up_ref(server);
    SSL_CTX_up_ref(client);
    pair_init(&p, server, client, TLS_ALPN_CONTROL, trust);
    settle(&p, 1000);
    expect_text(&p.client, -EPROTO, "ostname mismatch");
    pair_release(&p);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    assert_int_equal(portable_remove(dir), 0);
}

/* --- a hub that is busy --- */

static void test_busy(void **state)
{
    static const char line[] = "MULTISSH/1 busy retry_ms=2500\n", other[] = "MULTISSH/1 refused x\n";
    struct session_trust trust = pinned(ca_pin);
    struct session *s = NULL;
    struct errmsg err;
    struct buf plain;

    (void)state;
    buf_init(&plain, 65536);
    for (size_t step = 1; step < sizeof(line); step++) {
        SSL_CTX *client = agent_ctx();
        int rc = 0;

        assert_int_equal(session_new_client(client, TLS_ALPN_CONTROL, &trust, &s), 0);
        for (size_t i = 0; i < sizeof(line) - 1 && rc == 0; i += step) {
            assert_int_equal(session_busy_ms(s), 0);
            rc = session_input(s, line + i, sizeof(line) - 1 - i < step ? sizeof(line) - 1 - i : step, &plain,
                               &err);
        }
        assert_int_equal(rc, -EBUSY);
        assert_int_equal(session_busy_ms(s), 2500);
        assert_int_equal(session_input(s, "x", 1, &plain, &err), -EBUSY);
        session_free(s);
        SSL_CTX_free(client);
    }
    {
        SSL_CTX *client = agent_ctx();

        assert_int_equal(session_new_client(client, TLS_ALPN_CONTROL, &trust, &s), 0);
        assert_int_equal(session_input(s, other, sizeof(other) - 1, &plain, &err), -EPROTO);
        assert_int_equal(session_busy_ms(s), 0);
        session_free(s);
        SSL_CTX_free(client);
    }
    buf_release(&plain);
}

static void test_half_close_and_end(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, hub_ctx(true), agent_ctx(), TLS_ALPN_CONTROL, pinned(ca_pin));
    session_close(p.client.s); /* before the handshake: nothing */
    check_talk(&p, 1000);
    assert_int_equal(session_write(p.client.s, "last", 4), 0);
    session_close(p.client.s);
    session_close(p.client.s);
    assert_int_equal(session_write(p.client.s, "more", 4), -EPROTO);
    settle(&p, 100000);
    assert_int_equal(p.server.rc, -ECONNRESET);
    assert_int_equal(buf_len(&p.server.plain), 9); /* what came before the end is there */
    assert_int_equal(session_input(p.server.s, "x", 1, &p.server.plain, NULL), -ECONNRESET);

    assert_int_equal(session_write(p.server.s, "answer", 6), 0); /* the other direction lives */
    settle(&p, 100000);
    assert_int_equal(p.client.rc, 0);
    assert_int_equal(buf_len(&p.client.plain), 13);
    session_close(p.server.s);
    settle(&p, 100000);
    assert_int_equal(p.client.rc, -ECONNRESET);
    pair_release(&p);
}

static void test_bulk_and_bounds(void **state)
{
    enum { SIZE = 300000 };
    uint8_t *data = malloc(SIZE);
    struct pair p;
    struct buf wire, little, all;
    int rc = 0;

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    pair_init(&p, hub_ctx(true), agent_ctx(), TLS_ALPN_CONTROL, pinned(ca_pin));
    check_talk(&p, 1000);
    assert_int_equal(session_write(p.server.s, data, SIZE), 0);
    assert_true(session_output_len(p.server.s) > SIZE);

    buf_init(&wire, 1 << 20);
    buf_init(&little, 1000);
    buf_init(&all, 1 << 20);
    assert_int_equal(session_output(p.server.s, &wire), 0);
    assert_int_equal(session_output_len(p.server.s), 0);
    rc = session_input(p.client.s, buf_data(&wire), buf_len(&wire), &little, NULL);
    while (rc == -ENOBUFS) { /* a reader with little room loses nothing */
        assert_int_equal(buf_len(&little), 1000);
        assert_int_equal(buf_append(&all, buf_data(&little), buf_len(&little)), 0);
        buf_clear(&little);
        rc = session_input(p.client.s, NULL, 0, &little, NULL);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(buf_append(&all, buf_data(&little), buf_len(&little)), 0);
    assert_int_equal(buf_len(&all), SIZE);
    assert_memory_equal(buf_data(&all), data, SIZE);

    rc = 0; /* a writer that does not look is stopped, and what it wrote before stays whole */
    for (int i = 0; i < 100 && rc == 0; i++)
        rc = session_write(p.client.s, data, SIZE);
    assert_int_equal(rc, -ENOBUFS);
    assert_true(session_output_len(p.client.s) <= 16u << 20);
    buf_release(&p.server.plain);
    buf_init(&p.server.plain, 32u << 20);
    settle(&p, 100000);
    assert_int_equal(p.server.rc, 0);
    assert_int_equal(buf_len(&p.server.plain) % SIZE, 0);
    assert_true(buf_len(&p.server.plain) / SIZE > 50);
    assert_int_equal(session_write(p.client.s, data, SIZE), 0);
    buf_release(&wire);
    buf_release(&little);
    buf_release(&all);
    free(data);
    pair_release(&p);
}

static void test_garbage(void **state)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: hub\r\n\r\n", ssh[] = "SSH-2.0-OpenSSH_9.2\r\n";
    struct pair p;
    struct buf wire;
    struct errmsg err = {""};

    (void)state;
    pair_init(&p, hub_ctx(true), agent_ctx(), TLS_ALPN_CONTROL, pinned(ca_pin));
    assert_int_equal(session_input(p.server.s, http, sizeof(http) - 1, &p.server.plain, &err), -EPROTO);
    assert_non_null(strstr(err.text, "is not TLS"));
    assert_int_equal(session_input(p.client.s, ssh, sizeof(ssh) - 1, &p.client.plain, &err), -EPROTO);
    assert_non_null(strstr(err.text, "is not TLS; is the port right"));
    assert_int_equal(session_input(p.client.s, ssh, sizeof(ssh) - 1, &p.client.plain, &err), -EPROTO);
    assert_non_null(strstr(err.text, "had failed before"));
    pair_release(&p);

    /* a flipped bit in the middle of a session: what came before is kept, nothing after it is believed */
    pair_init(&p, hub_ctx(true), agent_ctx(), TLS_ALPN_CONTROL, pinned(ca_pin));
    check_talk(&p, 1000);
    buf_init(&wire, 65536);
    assert_int_equal(session_write(p.client.s, "good", 4), 0);
    assert_int_equal(session_write(p.client.s, "evil", 4), 0);
    assert_int_equal(session_output(p.client.s, &wire), 0);
    ((uint8_t *)(uintptr_t)buf_data(&wire))[buf_len(&wire) - 1] ^= 1;
    assert_int_equal(session_input(p.server.s, buf_data(&wire), buf_len(&wire), &p.server.plain, &err),
                     -EPROTO);
    assert_int_equal(buf_len(&p.server.plain), 9);
    assert_true(session_output_len(p.server.s) > 0); /* an alert */
    assert_int_equal(session_write(p.server.s, "x", 1), -EPROTO);
    buf_release(&wire);
    pair_release(&p);
}

/* Every byte of the first flight changed: never a crash, never a session that is ready without the other
 * side. */
static void test_mutated_first_flight(void **state)
{
    SSL_CTX *server = hub_ctx(true), *client = agent_ctx();
    struct session_trust trust = pinned(ca_pin);
    struct session *c = NULL, *s = NULL;
    struct buf hello, plain;

    (void)state;
    buf_init(&hello, 65536);
    buf_init(&plain, 65536);
    assert_int_equal(session_new_client(client, TLS_ALPN_CONTROL, &trust, &c), 0);
    assert_int_equal(session_output(c, &hello), 0);
    assert_true(buf_len(&hello) > 100);
    for (size_t i = 0; i < buf_len(&hello); i++) {
        uint8_t *at = (uint8_t *)(uintptr_t)buf_data(&hello) + i, was = *at;
        int rc;

        *at ^= (uint8_t)(1u << (i % 8));
        assert_int_equal(session_new_server(server, &s), 0);
        rc = session_input(s, buf_data(&hello), buf_len(&hello), &plain, NULL);
        assert_true(rc == 0 || rc == -EPROTO);
        assert_false(session_ready(s));
        assert_int_equal(ERR_peek_error(), 0);
        session_free(s);
        *at = was;
    }
    session_free(c);
    session_free(NULL);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    buf_release(&hello);
    buf_release(&plain);
}

/* A peer that asks for new keys again and again, and reads none of the answers, must not fill our memory. */
static void test_key_updates_without_end(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method()), *server = hub_ctx(false);
    static const unsigned char alpn[] = "\x11multissh-stream/1";
    SSL *ssl = SSL_new(ctx);
    BIO *to_server = BIO_new(BIO_s_mem()), *to_client = BIO_new(BIO_s_mem());
    struct session *s = NULL;
    struct buf wire, plain;
    struct errmsg err = {""};
    int rc = 0, rounds;

    (void)state;
    buf_init(&wire, 65536);
    buf_init(&plain, 65536);
    assert_int_equal(session_new_server(server, &s), 0);
    assert_int_equal(SSL_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1), 0);
    SSL_set_bio(ssl, to_client, to_server);
    SSL_set_connect_state(ssl);
    for (rounds = 0; rounds < 20000 && rc == 0; rounds++) {
        unsigned char bytes[8192];
        int got;

        if (!session_ready(s)) {
            (void)SSL_do_handshake(ssl);
        } else {
            assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
            (void)SSL_do_handshake(ssl);
        }
        ERR_clear_error();
        got = BIO_read(to_server, bytes, sizeof(bytes));
        if (got > 0)
            rc = session_input(s, bytes, (size_t)got, &plain, &err);
        if (!session_ready(s)) {
            assert_int_equal(session_output(s, &wire), 0);
            assert_int_equal(BIO_write(to_client, buf_data(&wire), (int)buf_len(&wire)), (int)buf_len(&wire));
            buf_clear(&wire);
        }
    }
    assert_int_equal(rc, -EPROTO);
    assert_true(rounds > 100); /* a few are in order */
    assert_true(session_output_len(s) < 100000);
    assert_non_null(strstr(err.text, "without reading the answers"));
    session_free(s);
    buf_release(&wire);
    buf_release(&plain);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    SSL_CTX_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_in_any_pieces),
        cmocka_unit_test(test_first_contact_learns_the_pin),
        cmocka_unit_test(test_streams_need_no_client_certificate),
        cmocka_unit_test(test_pin_mismatch),
        cmocka_unit_test(test_pinned_ca_did_not_sign_the_leaf),
        cmocka_unit_test(test_ca_is_no_leaf),
        cmocka_unit_test(test_leaf_must_be_a_servers),
        cmocka_unit_test(test_signer_must_be_a_ca),
        cmocka_unit_test(test_leaf_alone),
        cmocka_unit_test(test_server_ctx_checks_the_key),
        cmocka_unit_test(test_client_without_certificate),
        cmocka_unit_test(test_client_with_rsa),
        cmocka_unit_test(test_client_not_self_signed),
        cmocka_unit_test(test_expired_certificates_are_fine),
        cmocka_unit_test(test_tls12_is_refused),
        cmocka_unit_test(test_alpn_at_the_server),
        cmocka_unit_test(test_alpn_at_the_client),
        cmocka_unit_test(test_system_trust),
        cmocka_unit_test(test_resumes),
        cmocka_unit_test(test_a_ticket_is_its_owner),
        cmocka_unit_test(test_what_is_not_resumed),
        cmocka_unit_test(test_resumes_with_system_trust),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_half_close_and_end),
        cmocka_unit_test(test_bulk_and_bounds),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_mutated_first_flight),
        cmocka_unit_test(test_key_updates_without_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
