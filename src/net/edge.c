/* The life of an edge, and its turn: ticks the stream, tells the owner, moves bytes, dials. */
#include "net/edge_private.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "net/stash.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_timer(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    e->timer_at = 0;
    edge_turn(e);
}

static void release(struct edge *e)
{
    stash_free(e->stash);
    stash_free(e->through);
    stream_free(e->stream);
    SSL_CTX_free(e->tls);
    crypto_wipe(e, sizeof *e);
    free(e);
}

static void on_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static bool has_conns(const struct edge *e)
{
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (e->conns[i] != NULL)
            return true;
    return false;
}

static void arm(struct edge *e, uint64_t now)
{
    uint64_t at = stream_next_tick(e->stream), due;
    for (size_t i = 0; i < STREAM_CONNS; i++) {
        due = e->conns[i] != NULL ? edge_conn_due(e->conns[i]) : UINT64_MAX;
        if (due < at)
            at = due;
    }
    if (e->again)
        at = now;
    else if (at <= now)
        at = now + 1; /* not at once: the loop would not go on while a timer arms itself so */
    if (at == UINT64_MAX || (e->timer_at != 0 && e->timer_at <= at))
        return;
    e->timer_at = at;
    uv_timer_start(&e->timer, on_timer, at - now, 0);
}

/* What happened since the owner was called last is told in a turn of its own. */
static void rest(struct edge *e, uint64_t now)
{
    if (stream_state(e->stream) != e->told)
        e->again = true;
    arm(e, now);
}

static void tick(struct edge *e, uint64_t now)
{
    if (now >= stream_next_tick(e->stream))
        stream_tick(e->stream, now);
}

static void pump(struct edge *e, uint64_t now)
{
    edge_stash_look(e);
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (e->conns[i] != NULL)
            edge_conn_pump(e->conns[i], now);
}

/* Each of these may free e, which stays readable until the turn is over. */
static void tell_owner(struct edge *e)
{
    bool failed = e->failed && !has_conns(e) && stream_state(e->stream) == STREAM_OPEN;
    bool opened = e->opened && !e->told_opened, needs_tls = e->needs_tls && !e->told_needs_tls;
    e->again = e->failed = false;
    e->told = stream_state(e->stream);
    if (opened) {
        e->told_opened = true;
        if (e->calls->opened != NULL)
            e->calls->opened(e->arg);
    }
    if (needs_tls && !e->freed) {
        e->told_needs_tls = true;
        if (e->calls->needs_tls != NULL)
            e->calls->needs_tls(e->arg);
    }
    if (failed && !e->freed && e->calls->failed != NULL)
        e->calls->failed(e->arg, e->words.text);
    if (!e->freed)
        e->calls->turn(e->arg);
    edge_through_rest(e);
}

void edge_turn(struct edge *e)
{
    uint64_t now = clock_now_ms();
    uint32_t epoch;
    if (e->freed || e->over)
        return;
    tick(e, now);
    e->running = true;
    tell_owner(e);
    e->running = false;
    if (e->freed)
        return;
    pump(e, now);
    if (stream_state(e->stream) != STREAM_OPEN && e->told != STREAM_OPEN && !has_conns(e)) {
        e->over = true;
        uv_timer_stop(&e->timer);
        e->calls->closed(e->arg);
        return;
    }
    if (stream_wants_dial(e->stream, now, &epoch))
        edge_conn_open(e, epoch, now);
    rest(e, now);
}

void edge_poke(struct edge *e)
{
    uint64_t now = clock_now_ms();
    if (e->freed || e->over || e->running)
        return;
    tick(e, now);
    pump(e, now);
    rest(e, now);
}

/* --- for the owner --- */

static int set_up(struct edge *e, const struct edge_config *config)
{
    struct stream_config stream = config->stream;
    struct preamble p = {.edge = config->stream.role};
    size_t n = strlen(config->ticket);
    if (n >= sizeof e->ticket)
        return -EINVAL;
    memcpy(e->ticket, config->ticket, n + 1);
    memcpy(p.ticket, e->ticket, sizeof p.ticket);
    int r = preamble_sign(&p, stream.key);
    crypto_wipe(&p, sizeof p);
    stream.dials = true;
    if (r == 0)
        r = stream_new(&stream, clock_now_ms(), &e->stream);
    crypto_wipe(&stream, sizeof stream);
    return r;
}

int edge_new(const struct edge_config *config, const struct edge_calls *calls, void *arg, struct edge **ret_e)
{
    struct edge *e = calloc(1, sizeof *e);
    if (e == NULL)
        return -ENOMEM;
    int r = set_up(e, config);
    if (r != 0) {
        release(e);
        return r;
    }
    e->loop = config->loop;
    e->calls = calls;
    e->arg = arg;
    e->role = config->stream.role;
    memcpy(e->key, config->stream.key, sizeof e->key);
    snprintf(e->label, sizeof e->label, "%s", config->label != NULL ? config->label : "stream");
    e->scratch = config->scratch;
    e->tls_first = e->next_tls = config->tls_first;
    e->told = STREAM_OPEN;
    uv_timer_init(e->loop, &e->timer);
    e->timer.data = e;
    e->again = true; /* it dials in its first turn */
    arm(e, clock_now_ms());
    *ret_e = e;
    return 0;
}

void edge_free(struct edge *e)
{
    uint64_t now = clock_now_ms();
    if (e == NULL)
        return;
    e->freed = true;
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (e->conns[i] != NULL)
            edge_conn_close(e->conns[i], now);
    uv_close((uv_handle_t *)&e->timer, on_closed);
}

void edge_follow(struct edge *e, bool bulk)
{
    e->bulk = bulk;
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (e->conns[i] != NULL)
            e->conns[i]->pace.follow = bulk && e->conns[i]->proven;
}

bool edge_bulk(const struct edge *e)
{
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (e->conns[i] != NULL && e->conns[i]->pace.bulk)
            return true;
    return false;
}

struct stream *edge_stream(const struct edge *e)
{
    return e->stream;
}

void edge_expect(struct edge *e)
{
    if (e->expected)
        return;
    e->expected = true;
    e->expected_at = clock_now_ms();
    arm(e, e->expected_at);
}

void edge_network_changed(struct edge *e)
{
    stream_probe(e->stream, clock_now_ms());
    edge_poke(e);
}

uint64_t edge_trouble_since(const struct edge *e)
{
    uint64_t since = stream_silent_since(e->stream, clock_now_ms());
    return stream_state(e->stream) != STREAM_OPEN || since == UINT64_MAX ? 0 : since;
}

const char *edge_last_words(const struct edge *e)
{
    return e->words.text;
}
