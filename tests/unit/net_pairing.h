/* A listener on loopback that joins the connections of two edges, as a hub does, and can be told to behave badly. */
#ifndef MULTISSH_TESTS_NET_PAIRING_H
#define MULTISSH_TESTS_NET_PAIRING_H

#include "cmocka_all.h"

#include "base/buf.h"
#include "stream/preamble.h"
#include "tls/keys.h"
#include "tls/session.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define PAIRING_BUF (16u << 20)

enum pairing_plain { PAIRING_TAKES, PAIRING_RESETS, PAIRING_SWALLOWS };

struct pairing {
    uv_loop_t *loop;
    uv_tcp_t *server; /* NULL: it does not listen */
    uint16_t port;
    uint8_t key[TICKET_KEY_SIZE];
    SSL_CTX *tls;
    uint8_t pin[CRYPTO_HASH_SIZE];
    struct leg *legs, *waiting[2];
    /* how it behaves */
    enum pairing_plain plain;
    bool joins_nobody;
    unsigned refusals; /* so many of the next connections are refused */
    bool refuse_finally, refuse_forged, refuse_slowly;
    const char *refuse_edge; /* of these edges */
    /* what it saw */
    unsigned named, joined, in_tls, in_tls_of[2];
    uint32_t epoch[2]; /* the highest one */
};

/* A connection of an edge. */
struct leg {
    struct pairing *p;
    struct leg *next, **at, *other;
    uv_tcp_t tcp;
    struct session *session;
    struct buf in, cipher; /* in: what has come and not gone on */
    bool begun, named, deaf, closing;
    struct preamble preamble;
};

struct leg_write {
    uv_write_t req;
    char *data;
};

static inline void leg_closed(uv_handle_t *handle)
{
    struct leg *l = handle->data;
    session_free(l->session);
    buf_release(&l->in);
    buf_release(&l->cipher);
    free(l);
}

static inline void leg_close(struct leg *l)
{
    if (l->closing)
        return;
    l->closing = true;
    *l->at = l->next;
    if (l->next != NULL)
        l->next->at = l->at;
    for (size_t i = 0; i < 2; i++)
        if (l->p->waiting[i] == l)
            l->p->waiting[i] = NULL;
    uv_close((uv_handle_t *)&l->tcp, leg_closed);
    if (l->other != NULL) {
        l->other->other = NULL;
        leg_close(l->other);
    }
}

static inline void leg_written(uv_write_t *req, int status)
{
    struct leg_write *w = req->data;
    (void)status;
    free(w->data);
    free(w);
}

static inline void leg_write(struct leg *l, const void *data, size_t n)
{
    struct leg_write *w = calloc(1, sizeof *w);
    if (n == 0 || w == NULL) {
        free(w);
        return;
    }
    w->data = malloc(n);
    assert_non_null(w->data);
    memcpy(w->data, data, n);
    w->req.data = w;
    uv_buf_t out = uv_buf_init(w->data, (unsigned)n);
    if (uv_write(&w->req, (uv_stream_t *)&l->tcp, &out, 1, leg_written) != 0)
        leg_written(&w->req, 0);
}

static inline void leg_flush(struct leg *l)
{
    assert_int_equal(session_output(l->session, &l->cipher), 0);
    leg_write(l, buf_data(&l->cipher), buf_len(&l->cipher));
    buf_clear(&l->cipher);
}

static inline void leg_send(struct leg *l, const void *data, size_t n)
{
    if (l->session == NULL) {
        leg_write(l, data, n);
        return;
    }
    assert_int_equal(session_write(l->session, data, n), 0);
    leg_flush(l);
}

static inline void leg_pass_on(struct leg *l)
{
    if (l->other == NULL || l->deaf)
        return;
    leg_send(l->other, buf_data(&l->in), buf_len(&l->in));
    buf_clear(&l->in);
}

static inline bool leg_refused(struct leg *l)
{
    struct pairing *p = l->p;
    char text[PREAMBLE_MAX + 1];
    uint8_t key[TICKET_KEY_SIZE];
    if (p->refusals == 0 || (p->refuse_edge != NULL && strchr(p->refuse_edge, l->preamble.edge) == NULL))
        return false;
    p->refusals--;
    memcpy(key, p->key, sizeof key);
    key[0] ^= p->refuse_forged;
    int n = preamble_refuse_format(&l->preamble, key, p->refuse_finally, "the test will not have it", text,
                                   sizeof text);
    assert_true(n > 0);
    for (int i = 0; i < n; i += p->refuse_slowly ? 1 : n) /* TCP may join them again, or not */
        leg_send(l, text + i, p->refuse_slowly ? 1 : (size_t)n);
    l->deaf = true;
    return true;
}

static inline void leg_take_preamble(struct leg *l)
{
    struct pairing *p = l->p;
    int n = preamble_parse((const char *)buf_data(&l->in), buf_len(&l->in), &l->preamble);
    if (n == -EAGAIN)
        return;
    assert_true(n > 0);
    assert_true(preamble_verify(&l->preamble, p->key));
    buf_consume(&l->in, (size_t)n);
    l->named = true;
    p->named++;
    size_t me = l->preamble.edge == 'b';
    assert_true(p->named == 1 || p->epoch[me] == 0 || l->preamble.epoch != p->epoch[me]); /* taken once */
    p->in_tls_of[me] += l->session != NULL;
    if (l->preamble.epoch > p->epoch[me])
        p->epoch[me] = l->preamble.epoch;
    if (leg_refused(l) || p->joins_nobody)
        return;
    if (p->waiting[me] != NULL)
        leg_close(p->waiting[me]);
    p->waiting[me] = l;
    if (p->waiting[!me] == NULL)
        return;
    l->other = p->waiting[!me];
    l->other->other = l;
    p->waiting[0] = p->waiting[1] = NULL;
    p->joined++;
    leg_pass_on(l);
    leg_pass_on(l->other);
}

static inline void leg_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char space[65536];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(space, sizeof space);
}

static inline void leg_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct leg *l = stream->data;
    struct errmsg err;
    if (n == 0)
        return;
    if (n > 0 && !l->begun) {
        l->begun = true;
        bool tls = buf->base[0] == 0x16;
        if (tls) {
            assert_int_equal(session_new_server(l->p->tls, &l->session), 0);
            l->p->in_tls++;
        }
        l->deaf = !tls && l->p->plain == PAIRING_SWALLOWS;
        if (!tls && l->p->plain == PAIRING_RESETS)
            n = UV_ECONNRESET;
    }
    if (n < 0) {
        leg_close(l);
        return;
    }
    if (l->deaf)
        return;
    if (l->session == NULL) {
        assert_int_equal(buf_append(&l->in, buf->base, (size_t)n), 0);
    } else {
        int r = session_input(l->session, buf->base, (size_t)n, &l->in, &err);
        leg_flush(l);
        if (r != 0) {
            leg_close(l);
            return;
        }
    }
    if (!l->named)
        leg_take_preamble(l);
    else
        leg_pass_on(l);
}

static inline void pairing_accept(uv_stream_t *server, int status)
{
    struct pairing *p = server->data;
    struct leg *l = calloc(1, sizeof *l);
    assert_int_equal(status, 0);
    assert_non_null(l);
    l->p = p;
    buf_init(&l->in, PAIRING_BUF);
    buf_init(&l->cipher, PAIRING_BUF);
    uv_tcp_init(p->loop, &l->tcp);
    l->tcp.data = l;
    l->next = p->legs;
    l->at = &p->legs;
    if (l->next != NULL)
        l->next->at = &l->next;
    p->legs = l;
    if (uv_accept(server, (uv_stream_t *)&l->tcp) != 0 ||
        uv_read_start((uv_stream_t *)&l->tcp, leg_alloc, leg_read) != 0)
        leg_close(l);
}

/* On the port of before, or a free one. */
static inline void pairing_listen(struct pairing *p)
{
    struct sockaddr_storage at;
    int size = sizeof at;
    p->server = calloc(1, sizeof *p->server);
    assert_non_null(p->server);
    uv_tcp_init(p->loop, p->server);
    p->server->data = p;
    assert_int_equal(uv_ip4_addr("127.0.0.1", p->port, (struct sockaddr_in *)(void *)&at), 0);
    assert_int_equal(uv_tcp_bind(p->server, (struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)p->server, 16, pairing_accept), 0);
    assert_int_equal(uv_tcp_getsockname(p->server, (struct sockaddr *)&at, &size), 0);
    p->port = ntohs(((struct sockaddr_in *)(void *)&at)->sin_port);
}

static inline void pairing_deafen(struct pairing *p)
{
    uv_close((uv_handle_t *)p->server, (uv_close_cb)free);
    p->server = NULL;
}

static inline void pairing_start(struct pairing *p, uv_loop_t *loop, const uint8_t key[TICKET_KEY_SIZE])
{
    EVP_PKEY *ca_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
             *leaf_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *ca = NULL, *leaf = NULL;
    memset(p, 0, sizeof *p);
    p->loop = loop;
    memcpy(p->key, key, sizeof p->key);
    assert_int_equal(keys_self_sign(ca_key, "hub CA", 1, &ca), 0);
    assert_int_equal(keys_sign_leaf(leaf_key, ca_key, ca, "localhost", &leaf), 0);
    assert_int_equal(keys_pin(ca, p->pin), 0);
    assert_int_equal(session_server_ctx(leaf, leaf_key, ca, false, &p->tls), 0);
    X509_free(ca);
    X509_free(leaf);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(leaf_key);
    pairing_listen(p);
}

/* Closes every connection. */
static inline void pairing_cut(struct pairing *p)
{
    while (p->legs != NULL)
        leg_close(p->legs);
}

/* Every connection stays, and nothing passes any more. */
static inline void pairing_stall(struct pairing *p)
{
    for (struct leg *l = p->legs; l != NULL; l = l->next)
        l->deaf = true;
}

static inline void pairing_stop(struct pairing *p)
{
    pairing_cut(p);
    if (p->server != NULL)
        pairing_deafen(p);
    SSL_CTX_free(p->tls);
}

#endif
