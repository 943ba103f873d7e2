/* Owns the life of one session: its SSL object, its two buffers of ciphertext and what became of the
 * handshake. */
#include "tls/session_private.h"

#include "tls/busy.h"
#include "tls/store.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#define IN_MAX (1u << 20)   /* one call's ciphertext, and what waits because plain was full */
#define OUT_MAX (16u << 20) /* a caller that heeds session_output_len never comes near */
#define RECORD_MAX 16384    /* the longest plaintext of a record, RFC 8446 §5.1 */
#define RECORD_OVERHEAD 64  /* more than a record's header, type byte and tag */
#define ANSWERS_MAX 65536   /* what a peer may make us answer before we could send any of it */

static int new_session(SSL_CTX *ctx, bool server, struct session **ret_s)
{
    struct session *s = OPENSSL_zalloc(sizeof(*s));
    BIO *bio = NULL;
    int rc = -ENOMEM;

    if (!s)
        goto out;
    s->server = server;
    buf_init(&s->wire.in, IN_MAX);
    buf_init(&s->wire.out, OUT_MAX);
    s->ssl = SSL_new(ctx);
    bio = session_bio_new(&s->wire);
    if (!s->ssl || !bio)
        goto out;
    SSL_set_bio(s->ssl, bio, bio); /* owns it now */
    bio = NULL;
    SSL_set_app_data(s->ssl, s);
    if (server)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    *ret_s = s;
    s = NULL;
    rc = 0;
out:
    BIO_free(bio);
    session_free(s);
    ERR_clear_error();
    return rc;
}

int session_new_server(SSL_CTX *ctx, struct session **ret_s)
{
    return new_session(ctx, true, ret_s);
}

/* The system's authorities, read anew for each session: a process that runs for months sees them change. */
static int trust_the_system(SSL *ssl, const char *name)
{
    X509_STORE *store = X509_STORE_new();
    bool ok = store && store_add_system(store) == 0 && SSL_set1_verify_cert_store(ssl, store) == 1;

    X509_STORE_free(store);
    if (!ok)
        return -ENOMEM;
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1)
        return 0;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 ? 0 : -EINVAL;
}

/* Server name indication carries names only, never an address (RFC 6066 §3). */
static bool is_ip(const char *name)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    bool yes = ip != NULL;

    ASN1_OCTET_STRING_free(ip);
    return yes;
}

int session_new_client(SSL_CTX *ctx, const char *alpn, const struct session_trust *trust,
                       struct session **ret_s)
{
    struct session *s = NULL;
    unsigned char list[64];
    size_t n = strlen(alpn);
    const char *name = trust->name && trust->name[0] != '\0' ? trust->name : NULL;
    int rc = -EINVAL;

    if (!session_known_alpn((const unsigned char *)alpn, n) || (trust->how == SESSION_TRUST_SYSTEM && !name))
        goto out;
    rc = new_session(ctx, false, &s);
    if (rc < 0)
        goto out;
    s->trust = *trust;
    s->trust.name = NULL; /* the SSL object has its own copy */
    if (trust->how == SESSION_TRUST_SYSTEM) {
        rc = -ENOMEM;
        s->name = OPENSSL_strdup(name);
        if (!s->name)
            goto out;
    }
    s->alpn = session_known_alpn((const unsigned char *)alpn, n);
    list[0] = (unsigned char)n;
    memcpy(list + 1, alpn, n);
    rc = -ENOMEM;
    if (SSL_set_alpn_protos(s->ssl, list, (unsigned)n + 1) != 0)
        goto out;
    if (name && !is_ip(name) && SSL_set_tlsext_host_name(s->ssl, name) != 1) {
        rc = -EINVAL;
        goto out;
    }
    if (trust->how == SESSION_TRUST_SYSTEM) {
        rc = trust_the_system(s->ssl, name);
        if (rc < 0)
            goto out;
    }
    session_resume_offer(s);
    ERR_clear_error();
    rc = SSL_do_handshake(s->ssl); /* writes the ClientHello, then wants the answer */
    rc = SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_READ ? 0 : -ENOMEM;
    if (rc < 0)
        goto out;
    *ret_s = s;
    s = NULL;
out:
    session_free(s);
    ERR_clear_error();
    return rc;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    session_resume_release(s);
    SSL_free(s->ssl);
    OPENSSL_free(s->name);
    buf_release(&s->wire.in);
    buf_release(&s->wire.out);
    OPENSSL_free(s);
}

/* The words for the first thing that went wrong; the certificate check has found its own. */
static void explain(const struct session *s, unsigned long first, struct errmsg *err)
{
    const char *peer = s->server ? "client" : "hub", *reason = ERR_reason_error_string(first);
    int code = ERR_GET_REASON(first);

    if (s->explained)
        return;
    if (ERR_GET_LIB(first) != ERR_LIB_SSL)
        errmsg_set(err, -EPROTO, "the TLS connection failed: %s", reason ? reason : "no reason given");
    else if (code == SSL_R_WRONG_VERSION_NUMBER || code == SSL_R_HTTP_REQUEST ||
             code == SSL_R_HTTPS_PROXY_REQUEST)
        errmsg_set(err, -EPROTO, "what the %s speaks is not TLS%s", peer,
                   s->server ? "" : "; is the port right, and is there a proxy between?");
    else if (code == SSL_R_UNSUPPORTED_PROTOCOL || code == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
        errmsg_set(err, -EPROTO, "the %s does not speak TLS 1.3", peer);
    else if (code == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        errmsg_set(err, -EPROTO, "the client sent no certificate");
    else if (code == SSL_R_CALLBACK_FAILED || code == SSL_R_NO_APPLICATION_PROTOCOL)
        errmsg_set(err, -EPROTO, "the client asks for no protocol that is known here (ALPN)");
    else if (code == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL)
        errmsg_set(err, -EPROTO, "the hub does not speak %s; is this a multiSSH hub?",
                   s->alpn ? s->alpn : "it");
    else if (code >= SSL_AD_REASON_OFFSET)
        errmsg_set(err, -EPROTO, "the %s ended the TLS connection: %s", peer,
                   reason ? reason : "unknown alert");
    else
        errmsg_set(err, -EPROTO, "the TLS %s with the %s failed: %s", s->ready ? "connection" : "handshake",
                   peer, reason ? reason : "no reason given");
}

/* Ends the session for good. */
static int fail(struct session *s, struct errmsg *err)
{
    unsigned long first = ERR_peek_error();

    session_resume_failed(s);
    if (s->wire.error == -ENOMEM || ERR_GET_REASON(first) == ERR_R_MALLOC_FAILURE)
        s->failed = errmsg_set(err, -ENOMEM, "out of memory in a TLS session");
    else {
        s->failed = -EPROTO;
        explain(s, first, err);
    }
    ERR_clear_error();
    buf_release(&s->wire.in);
    return s->failed;
}

/* Returns 0 when the handshake is done or wants more input. */
static int shake_hands(struct session *s, struct errmsg *err)
{
    const unsigned char *name = NULL;
    const char *agreed;
    unsigned int n = 0;
    int rc;

    rc = SSL_do_handshake(s->ssl);
    if (rc != 1)
        return SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_READ ? 0 : fail(s, err);
    SSL_get0_alpn_selected(s->ssl, &name, &n);
    agreed = n > 0 ? session_known_alpn(name, n) : NULL;
    if (!agreed || (!s->server && agreed != s->alpn)) {
        errmsg_set(err, -EPROTO, "the %s agreed to no multiSSH protocol (ALPN); is it multiSSH?",
                   s->server ? "client" : "hub");
        s->explained = true;
        return fail(s, err);
    }
    if (!session_resume_done(s)) {
        errmsg_set(err, -EPROTO, "the %s resumed a session that nobody knows", s->server ? "client" : "hub");
        s->explained = true;
        return fail(s, err);
    }
    s->alpn = agreed;
    s->ready = true;
    if (!s->server && s->trust.how == SESSION_TRUST_SYSTEM)
        SSL_set0_verify_cert_store(s->ssl, NULL); /* some hundred certificates that nobody asks again */
    return 0;
}

/* What a hub says in place of TLS when it has too much to do. Returns whether the first bytes are such an answer, which may
 * be incomplete. */
static bool is_busy(struct session *s, struct errmsg *err)
{
    int rc = busy_parse((const char *)buf_data(&s->wire.in), buf_len(&s->wire.in), &s->busy_ms);

    if (rc == -EAGAIN)
        return true;
    s->heard = true;
    if (rc != 0)
        return false;
    s->failed = errmsg_set(err, -EBUSY, "the hub has too much to do at the moment");
    buf_release(&s->wire.in);
    return true;
}

/* Decrypts what has come into plain. */
static int read_plain(struct session *s, struct buf *plain, struct errmsg *err)
{
    for (;;) {
        uint8_t *at, one;
        size_t n, room = buf_room(plain);
        int rc =
            SSL_peek_ex(s->ssl, &one, 1, &n); /* opens the next record, so that pending knows its length */

        if (rc != 1) {
            rc = SSL_get_error(s->ssl, rc);
            if (rc == SSL_ERROR_WANT_READ)
                return 0;
            if (rc != SSL_ERROR_ZERO_RETURN)
                return fail(s, err);
            s->peer_ended = true;
            buf_release(&s->wire.in);
            return errmsg_set(err, -ECONNRESET, "the %s ended the TLS connection",
                              s->server ? "client" : "hub");
        }
        if (room == 0)
            return errmsg_set(err, -ENOBUFS, "the %s sent more than may wait here",
                              s->server ? "client" : "hub");
        n = (size_t)SSL_pending(s->ssl);
        if (n > room)
            n = room;
        rc = buf_reserve(plain, n, &at);
        if (rc < 0)
            return s->failed = errmsg_set(err, rc, "out of memory in a TLS session");
        if (SSL_read_ex(s->ssl, at, n, &n) != 1)
            return fail(s, err);
        buf_commit(plain, n);
        if (buf_len(&s->wire.in) == 0 && SSL_has_pending(s->ssl) == 0)
            return 0;
    }
}

int session_input(struct session *s, const void *data, size_t n, struct buf *plain, struct errmsg *err)
{
    size_t before = buf_len(&s->wire.out), after;
    const uint8_t *at = data;
    int rc = 0;

    if (s->failed)
        return errmsg_set(err, s->failed, "the TLS connection had failed before");
    if (s->peer_ended)
        return errmsg_set(err, -ECONNRESET, "the TLS connection had ended before");
    s->err = err;
    do {
        size_t part = buf_room(&s->wire.in) < n ? buf_room(&s->wire.in) : n;

        ERR_clear_error();
        if (part == 0 && n > 0) { /* rc is -ENOBUFS from the turn before, and now bytes are lost */
            s->failed = rc;
            break;
        }
        rc = buf_append(&s->wire.in, at, part);
        if (rc < 0) {
            s->failed = errmsg_set(err, rc, "out of memory in a TLS session");
            break;
        }
        at += part;
        n -= part;
        if (!s->server && !s->heard && buf_len(&s->wire.in) > 0 && is_busy(s, err)) {
            rc = s->failed;
            continue;
        }
        rc = s->ready ? 0 : shake_hands(s, err);
        if (rc == 0 && s->ready)
            rc = read_plain(s, plain, err);
    } while (n > 0 && (rc == 0 || rc == -ENOBUFS));
    ERR_clear_error();
    s->err = NULL;
    if (buf_len(&s->wire.in) == 0)
        buf_release(&s->wire.in); /* an idle session keeps nothing */
    after = buf_len(&s->wire.out);
    s->unsent += after > before ? after - before : 0;
    if (rc == 0 && s->unsent > ANSWERS_MAX) /* KeyUpdate without end, and our answers are not read */
        s->failed = rc =
            errmsg_set(err, -EPROTO, "the %s asks without reading the answers", s->server ? "client" : "hub");
    return rc;
}

int session_write(struct session *s, const void *data, size_t n)
{
    size_t written;

    if (s->failed || s->we_ended)
        return -EPROTO;
    if (!s->ready)
        return -EAGAIN;
    if (n == 0)
        return 0;
    if (n > OUT_MAX || n + (n / RECORD_MAX + 1) * RECORD_OVERHEAD > buf_room(&s->wire.out))
        return -ENOBUFS;
    ERR_clear_error();
    if (SSL_write_ex(s->ssl, data, n, &written) != 1)
        return fail(s, NULL);
    return 0;
}

void session_close(struct session *s)
{
    if (!s->ready || s->failed || s->we_ended)
        return;
    s->we_ended = true;
    ERR_clear_error();
    (void)SSL_shutdown(s->ssl);
    (void)SSL_free_buffers(s->ssl); /* an alert does not give its buffer back */
    ERR_clear_error();
}

int session_output(struct session *s, struct buf *out)
{
    size_t n = buf_len(&s->wire.out);
    int rc;

    if (n > buf_room(out))
        n = buf_room(out);
    rc = n > 0 ? buf_append(out, buf_data(&s->wire.out), n) : 0;
    if (rc < 0)
        return rc;
    buf_consume(&s->wire.out, n);
    if (buf_len(&s->wire.out) == 0) {
        buf_release(&s->wire.out);
        s->unsent = 0;
    }
    return 0;
}

size_t session_output_len(const struct session *s)
{
    return buf_len(&s->wire.out);
}

uint32_t session_busy_ms(const struct session *s)
{
    return s->busy_ms;
}

bool session_ready(const struct session *s)
{
    return s->ready;
}

int session_peer_pin(const struct session *s, uint8_t out[CRYPTO_HASH_SIZE])
{
    if (!s->ready || !s->has_pin)
        return -ENOENT;
    memcpy(out, s->pin, CRYPTO_HASH_SIZE);
    return 0;
}

const char *session_alpn(const struct session *s)
{
    return s->ready ? s->alpn : "";
}
