/* How a connection of a stream comes to be: the way to the hub, TLS where it is wanted, the preamble. */
#include "net/edge_private.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "net/tls_pipe.h"
#include <stdlib.h>
#include <string.h>

#define TLS_PLAIN_MAX (160u * 1024)
#define LOOKUP_EVERY 4 /* where an address is known, that of the name is asked for by every fourth try */

int edge_conn_preamble(const struct edge_conn *c, struct preamble *ret_p)
{
    const struct edge *e = c->edge;
    *ret_p = (struct preamble){.edge = e->role, .epoch = c->epoch};
    memcpy(ret_p->ticket, e->ticket, sizeof ret_p->ticket);
    return preamble_sign(ret_p, e->key);
}

/* The way is open: announces it to the stream. Returns the preamble's length in text, or a negative code. */
static int attach(struct edge_conn *c, char *text, size_t size, uint64_t now)
{
    struct edge *e = c->edge;
    struct preamble p;
    int r = edge_conn_preamble(c, &p);
    int n = r == 0 ? preamble_format(&p, text, size) : r;
    r = n < 0 ? n : stream_attach(e->stream, c->epoch, now);
    crypto_wipe(&p, sizeof p);
    if (r < 0)
        return r;
    c->index = r;
    c->opened_at = now;
    e->opened = true;
    return n;
}

/* Several may have been on their way at once. */
static bool is_late(struct edge_conn *c, uint64_t now)
{
    if (stream_needs_conn(c->edge->stream, now))
        return false;
    log_debug("%s: connection %u of the stream is not needed any more", c->edge->label, c->epoch);
    edge_conn_close(c, now);
    return true;
}

static void opened_plain(struct edge_conn *c)
{
    struct edge *e = c->edge;
    uint64_t now = clock_now_ms();
    if (is_late(c, now))
        return;
    c->stage = malloc(EDGE_STAGE);
    int n = c->stage != NULL ? attach(c, c->stage, EDGE_STAGE, now) : UV_ENOMEM;
    if (n >= 0) {
        c->stage_n = (size_t)n;
        n = edge_conn_stage(c, now);
    }
    if (n == 0)
        n = edge_conn_read(c);
    if (n < 0) {
        log_debug("%s: connection %u of the stream could not be used: %s", e->label, c->epoch,
                  uv_strerror(n));
        edge_conn_close(c, now);
    }
}

/* --- in TLS --- */

static void on_tls_ready(void *arg)
{
    struct edge_conn *c = arg;
    struct edge *e = c->edge;
    char text[PREAMBLE_MAX + 1];
    uint64_t now = clock_now_ms();
    if (!is_late(c, now)) {
        int n = attach(c, text, sizeof text, now);
        if (n > 0)
            n = tls_pipe_write(c->pipe, text, (size_t)n);
        if (n < 0)
            edge_conn_close(c, now);
    }
    crypto_wipe(text, sizeof text);
    edge_turn(e);
}

static void on_tls_input(void *arg, struct buf *plain)
{
    struct edge_conn *c = arg;
    size_t n = buf_len(plain);
    if (c->index >= 0)
        edge_conn_take(c, buf_data(plain), n);
    buf_consume(plain, n);
}

static void on_tls_drained(void *arg)
{
    struct edge_conn *c = arg;
    edge_turn(c->edge);
}

static void on_tls_ended(void *arg, int status, const char *words)
{
    struct edge_conn *c = arg;
    struct edge *e = c->edge;
    (void)status;
    edge_conn_fail(c, words, clock_now_ms());
    edge_turn(e);
}

static const struct tls_pipe_calls tls_calls = {
    .ready = on_tls_ready, .input = on_tls_input, .drained = on_tls_drained, .ended = on_tls_ended};

static void begin_tls(struct edge_conn *c, uv_tcp_t *tcp)
{
    struct edge *e = c->edge;
    uint64_t now = clock_now_ms();
    c->trust.name = c->path.to.host;
    int r = tls_pipe_new(tcp, e->tls, TLS_ALPN_STREAM, &c->trust, TLS_PLAIN_MAX, &tls_calls, c, &c->pipe);
    c->opened_at = now;
    if (r != 0) {
        uv_close((uv_handle_t *)tcp, (uv_close_cb)free);
        c->suspect = true; /* as above */
        edge_conn_fail(c, strerror(-r), now);
    }
}

/* --- the way --- */

static void remember_path(struct edge_conn *c)
{
    const struct sockaddr *peer = dialer_peer(c->dialer);
    c->path.proxy = *dialer_proxy(c->dialer);
    memcpy(&c->path.at, peer,
           peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
}

static void on_dialed(void *arg, int status, uv_tcp_t *tcp, const char *words)
{
    struct edge_conn *c = arg;
    struct edge *e = c->edge;
    if (status != 0) {
        c->suspect = true; /* this says nothing of what gets through on a connection */
        edge_conn_fail(c, words, clock_now_ms());
        edge_turn(e);
        return;
    }
    remember_path(c);
    dialer_free(c->dialer);
    c->dialer = NULL;
    if (c->tls) {
        begin_tls(c, tcp);
    } else {
        c->tcp = tcp;
        tcp->data = c;
        opened_plain(c);
    }
    edge_turn(e);
}

static bool same_hub(const struct addr_hostport *a, const struct addr_hostport *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* Where an address is known to be the hub's, names are hardly ever asked for: their servers may be what cannot be
 * reached. Hardly: the hub may have moved. The same goes for the system's proxy. */
static void use_what_is_known(const struct edge *e, struct edge_way *way, struct dialer_config *config,
                              struct addr_hostport *hop)
{
    const struct edge_path *known = same_hub(&e->proven.to, &way->to) ? &e->proven : NULL;
    bool direct = !way->proxy.on && !way->proxy.ask && way->at.ss_family != 0;
    config->first = e->tries;
    if (!direct && (known == NULL || known->at.ss_family == 0))
        return;
    config->first = e->tries / LOOKUP_EVERY;
    if (e->tries % LOOKUP_EVERY == LOOKUP_EVERY - 1)
        return;
    *hop = way->to;
    if (!direct) {
        if (way->proxy.ask)
            way->proxy = known->proxy;
        if (known->proxy.on)
            *hop = known->proxy.at;
    }
    config->fixed = (const struct sockaddr *)(direct ? &way->at : &known->at);
    config->fixed_for = hop;
}

/* Most edges never need it, and it is not small. */
static int get_tls(struct edge *e)
{
    SSL_CTX *tls = e->tls == NULL && e->calls->tls != NULL ? e->calls->tls(e->arg) : NULL;
    if (tls != NULL && SSL_CTX_up_ref(tls) == 1)
        e->tls = tls;
    return e->tls != NULL ? 0 : UV_ENOTSUP;
}

/* Returns 0 or a negative code. */
static int dial(struct edge_conn *c, struct edge_way *way)
{
    struct edge *e = c->edge;
    struct addr_hostport hop;
    struct dialer_config config = {.loop = e->loop, .to = way->to, .proxy = &way->proxy};
    int r = e->calls->way(e->arg, way);
    if (r != 0)
        return r;
    e->is_auto = way->streams == EDGE_AUTO && e->calls->tls != NULL;
    c->tls = way->streams == EDGE_TLS || (e->is_auto && e->next_tls);
    r = c->tls ? get_tls(e) : 0;
    if (r != 0)
        return r;
    c->trust = way->trust;
    c->path.to = config.to = way->to;
    use_what_is_known(e, way, &config, &hop);
    r = dialer_new(&config, on_dialed, c, &c->dialer);
    if (r == 0)
        dialer_next(c->dialer);
    return r;
}

/* A place for one more; when all are taken, that of the oldest one that is still being opened. */
static struct edge_conn **place(struct edge *e, uint64_t now)
{
    struct edge_conn **oldest = NULL;
    for (size_t i = 0; i < STREAM_CONNS; i++) {
        if (e->conns[i] == NULL)
            return &e->conns[i];
        if (e->conns[i]->index < 0 && (oldest == NULL || e->conns[i]->epoch < (*oldest)->epoch))
            oldest = &e->conns[i];
    }
    if (oldest != NULL)
        edge_conn_close(*oldest, now);
    return oldest;
}

void edge_conn_open(struct edge *e, uint32_t epoch, uint64_t now)
{
    struct edge_way way;
    struct edge_conn **at = place(e, now), *c;
    if (at == NULL || (c = calloc(1, sizeof *c)) == NULL)
        return; /* the stream will want another one */
    memset(&way, 0, sizeof way);
    c->edge = e;
    c->index = -1;
    c->epoch = epoch;
    *at = c;
    int r = dial(c, &way);
    crypto_wipe(&way, sizeof way);
    e->tries++;
    if (r == 0)
        return;
    c->suspect = true;
    edge_conn_fail(c, uv_strerror(r), now);
}
