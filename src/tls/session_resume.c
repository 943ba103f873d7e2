/* Owns what lets a session begin with a ticket: on a server the callback that opens it, on a client the memory of the
 * last one, which hangs on the context. A resumed session shows no certificates; so the server takes the client's key
 * from the ticket, and the client offers a ticket only where it would trust the hub that gave it. */
#include "tls/session_private.h"

#include "base/clock.h"
#include "tls/resume.h"
#include "tls/trust.h"
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

_Static_assert(RESUME_TICKET_SIZE <= SESSION_TICKET_MAX && RESUME_KEY_SIZE == SESSION_TICKET_KEY,
               "a ticket fits into what carries it");

/* TLS_AES_256_GCM_SHA384: what OpenSSL prefers. Where the two agree on another hash, the handshake is a full one. */
static const unsigned char cipher_id[] = {0x13, 0x02};
static const char cipher_digest[] = "SHA384";

/* What a context remembers: a server its secret, a client the ticket. */
struct session_memory {
    uint8_t secret[CRYPTO_SEAL_KEY];
    struct session_ticket ticket;
    uint64_t expires_ms;
    struct session_trust trust; /* under which the hub that gave it was found good */
    char *name;                 /* SYSTEM: that trust's */
    uint8_t pin[CRYPTO_HASH_SIZE];
    bool has_pin;
    STACK_OF(X509) * chain; /* SYSTEM: to look at it again; the leaf first */
};

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int memory_index = -1;

static void forget(struct session_memory *m)
{
    sk_X509_pop_free(m->chain, X509_free);
    OPENSSL_free(m->name);
    OPENSSL_cleanse(m, sizeof(*m));
}

static void memory_free_cb(void *parent, void *memory, CRYPTO_EX_DATA *data, int index, long number,
                           void *pointer)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)pointer;
    if (memory)
        forget(memory);
    OPENSSL_free(memory);
}

static void make_index(void)
{
    memory_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, memory_free_cb);
}

static struct session_memory *memory_of(const SSL_CTX *ctx)
{
    if (CRYPTO_THREAD_run_once(&once, make_index) != 1 || memory_index < 0)
        return NULL;
    return SSL_CTX_get_ex_data(ctx, memory_index);
}

static int memory_new(SSL_CTX *ctx, struct session_memory **ret_m)
{
    struct session_memory *m = memory_of(ctx);

    if (!m && memory_index >= 0) {
        m = OPENSSL_zalloc(sizeof(*m));
        if (m && SSL_CTX_set_ex_data(ctx, memory_index, m) != 1) {
            OPENSSL_free(m);
            m = NULL;
        }
    }
    *ret_m = m;
    return m ? 0 : -ENOMEM;
}

/* What OpenSSL takes for a pre-shared key. NULL: the handshake is a full one then. */
static SSL_SESSION *psk_new(SSL *ssl, const uint8_t key[RESUME_KEY_SIZE])
{
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, cipher_id);
    SSL_SESSION *psk = cipher ? SSL_SESSION_new() : NULL;

    if (psk && SSL_SESSION_set1_master_key(psk, key, RESUME_KEY_SIZE) == 1 &&
        SSL_SESSION_set_cipher(psk, cipher) == 1 &&
        SSL_SESSION_set_protocol_version(psk, TLS1_3_VERSION) == 1)
        return psk;
    SSL_SESSION_free(psk);
    ERR_clear_error();
    return NULL;
}

/* --- the server's side --- */

/* A ticket that cannot be opened is no fault: the handshake goes on without. */
static int find_cb(SSL *ssl, const unsigned char *identity, size_t n, SSL_SESSION **ret_psk)
{
    const struct session_memory *m = memory_of(SSL_get_SSL_CTX(ssl));
    struct resume_owner owner = {.signed_s = 0};
    uint8_t key[RESUME_KEY_SIZE];

    *ret_psk = NULL;
    if (!m || resume_open(m->secret, identity, n, clock_wall_s(), &owner, key) < 0)
        return 1;
    *ret_psk = psk_new(ssl, key);
    OPENSSL_cleanse(key, sizeof(key));
    /* The key of whom it was given to stays with this secret, whatever else the client offers. */
    if (*ret_psk && SSL_SESSION_set1_ticket_appdata(*ret_psk, &owner, sizeof(owner)) != 1) {
        SSL_SESSION_free(*ret_psk);
        *ret_psk = NULL;
        ERR_clear_error();
    }
    return 1;
}

int session_server_resumes(SSL_CTX *ctx, const uint8_t secret[CRYPTO_HASH_SIZE])
{
    static const unsigned char context[] = "multissh control";
    struct session_memory *m;
    int rc = memory_new(ctx, &m);

    if (rc < 0)
        return rc;
    /* OpenSSL resumes nothing that asks for certificates without such a name. */
    if (SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1) != 1)
        return -ENOMEM;
    memcpy(m->secret, secret, sizeof(m->secret));
    SSL_CTX_set_psk_find_session_callback(ctx, find_cb);
    return 0;
}

int session_ticket_make(const struct session *s, int64_t now_s, uint32_t lifetime_s,
                        struct session_ticket *ret_t)
{
    const struct session_memory *m = memory_of(SSL_get_SSL_CTX(s->ssl));
    int64_t expires_s = now_s + lifetime_s, last_s = s->signed_s + SESSION_RESUMES_S;
    struct resume_owner owner = {.signed_s = s->signed_s};

    if (!m || !s->server || !s->ready || !s->has_pin)
        return -EINVAL;
    if (last_s <= now_s)
        return -ETIME;
    memcpy(owner.pin, s->pin, sizeof(owner.pin));
    ret_t->n = RESUME_TICKET_SIZE;
    return resume_make(m->secret, &owner, expires_s < last_s ? expires_s : last_s, ret_t->ticket, ret_t->key);
}

/* --- the client's side --- */

static int use_cb(SSL *ssl, const EVP_MD *md, const unsigned char **ret_id, size_t *ret_n,
                  SSL_SESSION **ret_psk)
{
    const struct session *s = SSL_get_app_data(ssl);

    *ret_psk = NULL;
    if (!s->offer || (md && !EVP_MD_is_a(md, cipher_digest)))
        return 1;
    *ret_psk = psk_new(ssl, s->offer->key);
    *ret_id = s->offer->ticket;
    *ret_n = s->offer->n;
    return 1;
}

/* Would the system trust that hub today? Its certificate may have run out since, or its authority be gone. */
static bool still_trusted(SSL *ssl, STACK_OF(X509) * chain)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    X509_STORE *store = NULL;
    uint8_t pin[CRYPTO_HASH_SIZE];
    struct errmsg err;
    bool has_pin, yes = false;

    if (check && SSL_get0_verify_cert_store(ssl, &store) == 1 && store && sk_X509_num(chain) > 0 &&
        X509_STORE_CTX_init(check, store, sk_X509_value(chain, 0), chain) == 1 &&
        X509_STORE_CTX_set_default(check, "ssl_server") == 1 &&
        X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(check), SSL_get0_param(ssl)) == 1)
        yes = trust_system(check, pin, &has_pin, &err) == 0;
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return yes;
}

/* Is whoever gave the ticket a hub that this trust would find good? */
static bool fits(const struct session_memory *m, const struct session *s)
{
    if (m->ticket.n == 0 || clock_now_ms() >= m->expires_ms)
        return false;
    if (s->trust.how == SESSION_TRUST_SYSTEM)
        return m->trust.how == SESSION_TRUST_SYSTEM && strcmp(m->name, s->name) == 0 &&
               still_trusted(s->ssl, m->chain);
    if (m->trust.how == SESSION_TRUST_SYSTEM || !m->has_pin)
        return false;
    return s->trust.how == SESSION_TRUST_ANY || crypto_equal(m->pin, s->trust.pin, sizeof(m->pin));
}

void session_resume_offer(struct session *s)
{
    const struct session_memory *m = memory_of(SSL_get_SSL_CTX(s->ssl));

    if (!m || strcmp(s->alpn, TLS_ALPN_CONTROL) != 0 || !fits(m, s))
        return;
    s->chain = m->chain ? X509_chain_up_ref(m->chain) : NULL;
    s->offer = OPENSSL_memdup(&m->ticket, sizeof(m->ticket));
    if (!s->offer || (m->chain && !s->chain)) {
        session_resume_release(s);
        return;
    }
    s->has_offer_pin = m->has_pin;
    memcpy(s->offer_pin, m->pin, sizeof(s->offer_pin));
    SSL_set_psk_use_session_callback(s->ssl, use_cb);
}

void session_resume_release(struct session *s)
{
    if (s->offer)
        OPENSSL_cleanse(s->offer, sizeof(*s->offer));
    OPENSSL_free(s->offer);
    s->offer = NULL;
    sk_X509_pop_free(s->chain, X509_free);
    s->chain = NULL;
}

void session_resume_failed(struct session *s)
{
    struct session_memory *m = s->offer ? memory_of(SSL_get_SSL_CTX(s->ssl)) : NULL;

    if (m)
        forget(m);
}

bool session_resume_done(struct session *s)
{
    struct resume_owner owner;
    void *data = NULL;
    size_t n = 0;

    s->signed_s = clock_wall_s();
    s->resumed = SSL_session_reused(s->ssl) == 1;
    if (s->resumed && s->server) {
        if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(s->ssl), &data, &n) != 1 || n != sizeof(owner))
            return false;
        memcpy(&owner, data, sizeof(owner));
        memcpy(s->pin, owner.pin, sizeof(s->pin));
        s->signed_s = owner.signed_s;
        s->has_pin = true;
    } else if (s->resumed) {
        if (!s->offer)
            return false;
        memcpy(s->pin, s->offer_pin, sizeof(s->pin));
        s->has_pin = s->has_offer_pin;
    }
    if (!s->server && s->trust.how == SESSION_TRUST_SYSTEM && !s->resumed) {
        STACK_OF(X509) *sent = SSL_get_peer_cert_chain(s->ssl);

        sk_X509_pop_free(s->chain, X509_free);
        s->chain = sent ? X509_chain_up_ref(sent) : NULL;
    }
    if (s->offer)
        OPENSSL_cleanse(s->offer, sizeof(*s->offer));
    OPENSSL_free(s->offer);
    s->offer = NULL;
    return true;
}

void session_ticket_keep(struct session *s, const struct session_ticket *t, uint32_t lifetime_s)
{
    SSL_CTX *ctx = SSL_get_SSL_CTX(s->ssl);
    struct session_memory *m;

    if (s->server || !s->ready || t->n == 0 || t->n > sizeof(t->ticket) || memory_new(ctx, &m) < 0)
        return;
    forget(m);
    m->chain = s->chain ? X509_chain_up_ref(s->chain) : NULL;
    m->name = s->name ? OPENSSL_strdup(s->name) : NULL;
    if (s->trust.how == SESSION_TRUST_SYSTEM && (!m->chain || !m->name)) {
        forget(m);
        return;
    }
    m->ticket = *t;
    m->expires_ms = clock_now_ms() + (uint64_t)lifetime_s * 1000;
    m->trust = s->trust;
    m->has_pin = s->has_pin;
    memcpy(m->pin, s->pin, sizeof(m->pin));
}

bool session_resumed(const struct session *s)
{
    return s->ready && s->resumed;
}
