/* How a connection of a stream comes to be: the way to the hub, TLS where it is wanted, the preamble. */
#include "agent/jump.h"

#include "base/clock.h"
#include "net/tls_pipe.h"
#include "stream/preamble.h"
#include <stdlib.h>
#include <string.h>

#define TLS_PLAIN_MAX (160u * 1024)

/* The way is open: announces it to the stream. Returns the preamble's length in text, or a negative code. */
static int attach(struct jump_conn *c, char *text, size_t size, uint64_t now)
{
    struct jump *j = c->jump;
    struct preamble p = {.edge = 'b', .epoch = c->epoch};
    memcpy(p.ticket, j->ticket, sizeof p.ticket);
    int n = preamble_sign(&p, j->key);
    if (n == 0)
        n = preamble_format(&p, text, size);
    int r = n < 0 ? n : stream_attach(j->stream, c->epoch, now);
    crypto_wipe(&p, sizeof p);
    if (r < 0)
        return r;
    c->index = r;
    c->opened_at = now;
    j->hub_reached = true;
    jump_answer(j);
    return n;
}

static void opened_plain(struct jump_conn *c)
{
    uint64_t now = clock_now_ms();
    struct jump *j = c->jump;
    c->stage = malloc(JUMP_STAGE);
    int n = c->stage != NULL ? attach(c, c->stage, JUMP_STAGE, now) : UV_ENOMEM;
    if (n >= 0) {
        c->stage_n = (size_t)n;
        n = jump_conn_stage(c, now);
    }
    if (n == 0)
        n = jump_conn_read(c);
    if (n < 0)
        jump_conn_close(c, now);
    jump_turn(j);
}

static void on_tls_ready(void *arg)
{
    struct jump_conn *c = arg;
    struct jump *j = c->jump;
    char text[PREAMBLE_MAX + 1];
    uint64_t now = clock_now_ms();
    int n = attach(c, text, sizeof text, now);
    if (n > 0)
        n = tls_pipe_write(c->pipe, text, (size_t)n);
    crypto_wipe(text, sizeof text);
    if (n < 0)
        jump_conn_close(c, now);
    jump_turn(j);
}

static void on_tls_input(void *arg, struct buf *plain)
{
    struct jump_conn *c = arg;
    size_t n = buf_len(plain);
    if (c->index >= 0)
        jump_conn_take(c, buf_data(plain), n);
    buf_consume(plain, n);
}

static void on_tls_drained(void *arg)
{
    struct jump_conn *c = arg;
    jump_turn(c->jump);
}

/* A stream that cannot be had before the answer is told to the user. */
static void open_failed(struct jump_conn *c, const char *words)
{
    struct jump *j = c->jump;
    jump_conn_close(c, clock_now_ms());
    bool others = false;
    for (size_t i = 0; i < STREAM_CONNS; i++)
        others = others || j->conns[i] != NULL;
    if (!j->hub_reached && !j->answered && !others)
        jump_fail(j, "hub-unreachable", "the machine cannot open a second connection to the hub: %s", words);
    else
        jump_turn(j);
}

static void on_tls_ended(void *arg, int status, const char *words)
{
    struct jump_conn *c = arg;
    (void)status;
    if (c->index >= 0) {
        jump_conn_lost(c, words);
        return;
    }
    jump_conn_note_failure(c);
    open_failed(c, words);
}

static const struct tls_pipe_calls tls_calls = {
    .ready = on_tls_ready, .input = on_tls_input, .drained = on_tls_drained, .ended = on_tls_ended};

static void on_dialed(void *arg, int status, uv_tcp_t *tcp, const char *words)
{
    struct jump_conn *c = arg;
    struct session_trust trust;
    char host[sizeof c->jump->to.host];
    if (status != 0) {
        open_failed(c, words);
        return;
    }
    dialer_free(c->dialer);
    c->dialer = NULL;
    if (!c->tls) {
        c->tcp = tcp;
        tcp->data = c;
        opened_plain(c);
        return;
    }
    memcpy(host, c->jump->elsewhere ? c->jump->to.host : c->jump->agent->hub.to.host, sizeof host);
    agent_trust(c->jump->agent, host, &trust);
    int r = tls_pipe_new(tcp, c->jump->agent->stream_ctx, TLS_ALPN_STREAM, &trust, TLS_PLAIN_MAX, &tls_calls,
                         c, &c->pipe);
    if (r != 0) {
        uv_close((uv_handle_t *)tcp, (uv_close_cb)free);
        open_failed(c, strerror(-r));
        return;
    }
    c->opened_at = clock_now_ms();
    jump_turn(c->jump);
}

/* A place for one more; when all are taken, that of the oldest one that is still being opened. */
static struct jump_conn **place(struct jump *j, uint64_t now)
{
    struct jump_conn **oldest = NULL;
    for (size_t i = 0; i < STREAM_CONNS; i++) {
        if (j->conns[i] == NULL)
            return &j->conns[i];
        if (j->conns[i]->index < 0 && (oldest == NULL || j->conns[i]->epoch < (*oldest)->epoch))
            oldest = &j->conns[i];
    }
    if (oldest != NULL)
        jump_conn_close(*oldest, now);
    return oldest;
}

void jump_conn_open(struct jump *j, uint32_t epoch, uint64_t now)
{
    struct agent *a = j->agent;
    struct proxy proxy;
    struct jump_conn **at = place(j, now), *c;
    struct dialer_config config = {.loop = a->loop, .proxy = &proxy, .to = j->elsewhere ? j->to : a->hub.to};
    if (at == NULL || (c = calloc(1, sizeof *c)) == NULL)
        return; /* the stream will want another one */
    if (!j->elsewhere && a->hub.at.ss_family != 0)
        config.fixed = (const struct sockaddr *)&a->hub.at;
    c->jump = j;
    c->index = -1;
    c->epoch = epoch;
    c->tls = a->opt.streams == AGENT_STREAMS_TLS || (a->opt.streams == AGENT_STREAMS_AUTO && j->next_tls);
    int r = agent_proxy(a, config.to.host, &proxy, NULL);
    if (r == 0)
        r = dialer_new(&config, on_dialed, c, &c->dialer);
    crypto_wipe(&proxy, sizeof proxy);
    if (r != 0) {
        jump_conn_free(c);
        return;
    }
    *at = c;
    dialer_next(c->dialer);
}
