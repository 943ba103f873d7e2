/* Owners of edges that send a pattern to each other through a pairing listener (net_pairing.h), and check everything that
 * they are told. */
#ifndef MULTISSH_TESTS_NET_SIDE_H
#define MULTISSH_TESTS_NET_SIDE_H

#include "net_pairing.h"

#include "base/clock.h"
#include "net/edge.h"
#include <stdio.h>

#define DEADLINE_MS 60000

static uv_loop_t loop;
static uv_timer_t alarm_timer;
static struct pairing hub;
static char scratch[EDGE_SCRATCH], ticket[TICKET_TEXT_MAX];
static uint8_t key[TICKET_KEY_SIZE];
static SSL_CTX *client_ctx;
static unsigned in_calls; /* of the module that is tested */

/* What frees the edge, as an owner may in any callback. */
enum freed_in {
    FREED_LATER,
    FREED_IN_CLOSED,
    FREED_IN_TURN,
    FREED_IN_REFUSED,
    FREED_IN_FAILED,
    FREED_IN_OPENED
};

/* An owner: sends `total` bytes and the EOF, checks what comes. */
struct side {
    struct edge *e;
    char role;
    enum edge_streams streams;
    struct addr_hostport to;
    struct sockaddr_storage at;
    int no_way;
    uint64_t total, sent, got;
    bool keeps_open; /* no EOF */
    unsigned opened, failed, refused, needs_tls, closed, turns, ways, tls;
    bool final, peer_eof, eof_said;
    char words[300];
    enum freed_in freed_in;
};

#define CALL(x) (in_calls++, (x), in_calls--)

static inline uint8_t pattern(char role, uint64_t at)
{
    return (uint8_t)((at * 2654435761u >> 11) ^ (unsigned)role);
}

static inline void drop(struct side *s)
{
    CALL(edge_free(s->e));
    s->e = NULL;
}

static inline int on_way(void *arg, struct edge_way *way)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    s->ways++;
    if (s->no_way != 0)
        return s->no_way;
    way->to = s->to;
    way->at = s->at;
    way->streams = s->streams;
    way->trust.how = SESSION_TRUST_PIN;
    memcpy(way->trust.pin, hub.pin, sizeof hub.pin);
    return 0;
}

static inline SSL_CTX *on_tls(void *arg)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    s->tls++;
    return client_ctx;
}

static inline void move(struct side *s)
{
    struct stream *stream = edge_stream(s->e);
    const uint8_t *at;
    uint8_t *to;
    size_t n;
    while ((n = stream_sink_peek(stream, &at)) > 0) {
        for (size_t i = 0; i < n; i++)
            if (at[i] != pattern(s->role == 'a' ? 'b' : 'a', s->got + i))
                fail_msg("byte %llu came wrong", (unsigned long long)(s->got + i));
        s->got += n;
        stream_sink_consumed(stream, n);
    }
    if (stream_sink_eof(stream) && !s->peer_eof) {
        s->peer_eof = true;
        stream_sink_eof_delivered(stream);
    }
    while (s->sent < s->total && stream_source_reserve(stream, s->total - s->sent, &to, &n) == 0) {
        if (n > s->total - s->sent)
            n = s->total - s->sent;
        for (size_t i = 0; i < n; i++)
            to[i] = pattern(s->role, s->sent + i);
        stream_source_commit(stream, n);
        s->sent += n;
    }
    if (s->sent == s->total && !s->keeps_open && !s->eof_said) {
        s->eof_said = true;
        stream_source_eof(stream);
    }
}

static inline void on_turn(void *arg)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    assert_int_equal(s->closed, 0);
    s->turns++;
    move(s);
    if (s->freed_in == FREED_IN_TURN && s->got > 0)
        drop(s);
    else
        CALL(edge_poke(s->e)); /* not needed, and harmless */
}

static inline void on_opened(void *arg)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    s->opened++;
    if (s->freed_in == FREED_IN_OPENED)
        drop(s);
}

static inline void on_failed(void *arg, const char *words)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    assert_string_equal(words, edge_last_words(s->e));
    assert_int_not_equal(edge_trouble_since(s->e), 0);
    s->failed++;
    snprintf(s->words, sizeof s->words, "%s", words);
    if (s->freed_in == FREED_IN_FAILED)
        drop(s);
}

static inline void on_refused(void *arg, bool final, const char *text)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    s->refused++;
    s->final = final;
    snprintf(s->words, sizeof s->words, "%s", text);
    if (final) {
        assert_int_equal(stream_state(edge_stream(s->e)), STREAM_RESET_BY_US);
        assert_string_equal(stream_reason(edge_stream(s->e)), text);
    }
    if (s->freed_in == FREED_IN_REFUSED)
        drop(s);
}

static inline void on_needs_tls(void *arg)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    s->needs_tls++;
}

static inline void on_closed(void *arg)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    assert_int_not_equal(stream_state(edge_stream(s->e)), STREAM_OPEN);
    s->closed++;
    if (s->freed_in == FREED_IN_CLOSED)
        drop(s);
}

static const struct edge_calls calls = {.way = on_way,
                                        .tls = on_tls,
                                        .turn = on_turn,
                                        .opened = on_opened,
                                        .failed = on_failed,
                                        .refused = on_refused,
                                        .needs_tls = on_needs_tls,
                                        .closed = on_closed};

static inline void begin(struct side *s, char role, bool tls_first)
{
    struct edge_config config = {.loop = &loop,
                                 .stream = {.role = role, .patience_ms = 30000},
                                 .ticket = ticket,
                                 .tls_first = tls_first,
                                 .scratch = scratch,
                                 .label = role == 'a' ? "edge a" : "edge b"};
    s->role = role;
    if (s->to.host[0] == 0)
        s->to = (struct addr_hostport){.host = "127.0.0.1", .port = hub.port};
    memcpy(config.stream.key, key, sizeof key);
    int r = -1;
    CALL(r = edge_new(&config, &calls, s, &s->e));
    assert_int_equal(r, 0);
    assert_int_equal(stream_state(edge_stream(s->e)), STREAM_OPEN);
    assert_int_not_equal(edge_trouble_since(s->e), 0);
    assert_string_equal(edge_last_words(s->e), "");
}

static inline void on_alarm(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing came of it within %d s", DEADLINE_MS / 1000);
}

#define RUN_UNTIL(condition)                                                                                 \
    do {                                                                                                     \
        uv_timer_start(&alarm_timer, on_alarm, DEADLINE_MS, 0);                                              \
        while (!(condition))                                                                                 \
            uv_run(&loop, UV_RUN_ONCE);                                                                      \
        uv_timer_stop(&alarm_timer);                                                                         \
    } while (0)

static inline int setup(void **state)
{
    struct ticket t = {.id = {1, 2, 3}, .expiry_s = 1, .machine = "web01", .user = "ann"};
    static const uint8_t secret[TICKET_SECRET_SIZE] = {9};
    (void)state;
    uv_loop_init(&loop);
    uv_timer_init(&loop, &alarm_timer);
    in_calls = 0;
    if (ticket_make(secret, &t, ticket, key) != 0 || session_client_ctx(NULL, NULL, &client_ctx) != 0)
        return -1;
    pairing_start(&hub, &loop, key);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    pairing_stop(&hub);
    uv_close((uv_handle_t *)&alarm_timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    SSL_CTX_free(client_ctx);
    return uv_loop_close(&loop); /* nothing is left open */
}

static inline void finish(struct side *a, struct side *b)
{
    struct stream_stats stats;
    RUN_UNTIL(a->closed && b->closed);
    for (int i = 0; i < 2; i++) {
        struct side *s = i == 0 ? a : b, *other = i == 0 ? b : a;
        assert_int_equal(stream_state(edge_stream(s->e)), STREAM_DONE);
        assert_int_equal(s->got, other->total);
        assert_true(s->peer_eof);
        assert_int_equal(s->opened, 1);
        assert_int_equal(edge_trouble_since(s->e), 0);
        stream_get_stats(edge_stream(s->e), &stats);
        assert_int_equal(stats.sent, s->total);
        drop(s);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
