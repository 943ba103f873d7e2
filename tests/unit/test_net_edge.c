/* Edges of streams with real sockets on loopback: two of them, joined by a listener that may behave badly. */
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

static uint8_t pattern(char role, uint64_t at)
{
    return (uint8_t)((at * 2654435761u >> 11) ^ (unsigned)role);
}

static void drop(struct side *s)
{
    CALL(edge_free(s->e));
    s->e = NULL;
}

static int on_way(void *arg, struct edge_way *way)
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

static SSL_CTX *on_tls(void *arg)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    s->tls++;
    return client_ctx;
}

static void move(struct side *s)
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

static void on_turn(void *arg)
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

static void on_opened(void *arg)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    s->opened++;
    if (s->freed_in == FREED_IN_OPENED)
        drop(s);
}

static void on_failed(void *arg, const char *words)
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

static void on_refused(void *arg, bool final, const char *text)
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

static void on_needs_tls(void *arg)
{
    struct side *s = arg;
    assert_int_equal(in_calls, 0);
    s->needs_tls++;
}

static void on_closed(void *arg)
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

static void begin(struct side *s, char role, bool tls_first)
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

static void on_alarm(uv_timer_t *timer)
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

static int setup(void **state)
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

static int teardown(void **state)
{
    (void)state;
    pairing_stop(&hub);
    uv_close((uv_handle_t *)&alarm_timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    SSL_CTX_free(client_ctx);
    return uv_loop_close(&loop); /* nothing is left open */
}

static void finish(struct side *a, struct side *b)
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

static void bytes_both_ways(void **state)
{
    struct side a = {.total = 8u << 20}, b = {.total = 5u << 20};
    (void)state;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    finish(&a, &b);
    assert_int_equal(a.refused + b.refused + a.failed + b.failed + a.needs_tls + b.needs_tls, 0);
    assert_int_equal(hub.in_tls, 0);
}

/* What is pushed and taken outside of the callbacks moves by edge_poke. */
static void poked(void **state)
{
    struct side a = {.keeps_open = true}, b = {.keeps_open = true};
    (void)state;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(stream_live(edge_stream(a.e)) >= 0 && stream_live(edge_stream(b.e)) >= 0);
    assert_int_equal(edge_trouble_since(a.e), 0);
    a.total = 100000;
    move(&a);
    CALL(edge_poke(a.e));
    RUN_UNTIL(b.got == a.total);
    a.keeps_open = b.keeps_open = false;
    move(&a);
    move(&b);
    CALL(edge_poke(a.e));
    CALL(edge_poke(b.e));
    finish(&a, &b);
}

static void cut_and_resumed(void **state)
{
    struct side a = {.total = 40u << 20}, b = {.total = 40u << 20};
    struct stream_stats stats;
    uint64_t next = 1u << 20;
    (void)state;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    for (int i = 0; i < 3; i++, next += 5u << 20) {
        RUN_UNTIL(a.got > next && b.got > 0);
        pairing_cut(&hub);
    }
    RUN_UNTIL(a.got == b.total && b.got == a.total);
    stream_get_stats(edge_stream(a.e), &stats);
    assert_int_equal(stats.resumes, 3);
    finish(&a, &b);
}

/* A connection is there and nothing passes: both dial beside it. */
static void stalled(void **state)
{
    struct side a = {.total = 20u << 20}, b = {.total = 20u << 20};
    (void)state;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(a.got > 1u << 20);
    pairing_stall(&hub);
    finish(&a, &b);
    assert_true(hub.joined >= 2);
    assert_int_equal(a.failed + b.failed, 0);
}

/* Who is told that the network has changed finds out sooner: the other one's 3 s begin at the same time. */
static void network_changed(void **state)
{
    struct side a = {.keeps_open = true, .total = 1}, b = {.keeps_open = true, .total = 1};
    (void)state;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(a.got == 1 && b.got == 1 && edge_trouble_since(a.e) == 0 && edge_trouble_since(b.e) == 0);
    unsigned ways = b.ways;
    pairing_stall(&hub);
    a.total = b.total = 2;
    move(&a);
    move(&b);
    CALL(edge_poke(a.e));
    CALL(edge_poke(b.e));
    CALL(edge_network_changed(b.e));
    RUN_UNTIL(b.ways > ways);
    assert_int_equal(a.ways, 1);
    a.keeps_open = b.keeps_open = false;
    finish(&a, &b);
}

/* With nothing live, a change of the network makes it dial although it just has. */
static void network_back(void **state)
{
    struct side a = {.keeps_open = true};
    (void)state;
    hub.joins_nobody = true;
    begin(&a, 'a', false);
    RUN_UNTIL(hub.named == 1);
    uint64_t first = clock_now_ms();
    CALL(edge_network_changed(a.e));
    RUN_UNTIL(a.ways == 2);
    if (clock_now_ms() - first >= 2000) /* a machine that was busy for so long proves nothing */
        print_message("too slow to tell\n");
    drop(&a);
}

static void refused_finally(void **state)
{
    struct side a = {.total = 10}, b = {.total = 10, .freed_in = FREED_IN_REFUSED};
    (void)state;
    hub.refusals = 2;
    hub.refuse_finally = hub.refuse_slowly = true;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(a.closed && b.e == NULL);
    assert_int_equal(a.refused + b.refused, 2);
    assert_true(a.final && b.final);
    assert_string_equal(a.words, "the test will not have it");
    assert_int_equal(a.failed + b.failed, 0);
    assert_int_equal(a.ways, 1);
    drop(&a);
}

/* A session that runs is refused when it wants to go on. */
static void refused_in_the_middle(void **state)
{
    struct side a = {.total = 60u << 20}, b = {.total = 60u << 20};
    (void)state;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(a.got > 1u << 20);
    hub.refusals = 100;
    hub.refuse_finally = true;
    pairing_cut(&hub);
    RUN_UNTIL(a.closed && b.closed);
    assert_int_equal(a.refused + b.refused, 2);
    assert_string_equal(stream_reason(edge_stream(b.e)), "the test will not have it");
    drop(&a);
    drop(&b);
}

static void refused_for_now(void **state)
{
    struct side a = {.total = 1000}, b = {.total = 1000};
    (void)state;
    hub.refusals = 2;
    hub.refuse_edge = "a";
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    finish(&a, &b);
    assert_int_equal(a.refused, 2);
    assert_int_equal(b.refused, 0);
    assert_false(a.final);
    assert_int_equal(hub.in_tls, 0); /* the way was not at fault */
}

/* A refusal that does not come from the hub is a broken connection, and no more. */
static void refused_by_a_stranger(void **state)
{
    struct side a = {.total = 1000, .streams = EDGE_PLAIN}, b = {.total = 1000, .streams = EDGE_PLAIN};
    (void)state;
    hub.refusals = 2;
    hub.refuse_edge = "a";
    hub.refuse_finally = hub.refuse_forged = true;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    finish(&a, &b);
    assert_int_equal(a.refused + b.refused, 0);
    assert_int_equal(a.failed, 2);
    assert_string_equal(a.words, "what came on it is not fit");
}

static void in_tls(void **state)
{
    struct side a = {.total = 3u << 20, .streams = EDGE_TLS}, b = {.total = 5u << 20, .streams = EDGE_PLAIN};
    (void)state;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(b.got > 1u << 20);
    pairing_cut(&hub);
    finish(&a, &b);
    assert_int_equal(hub.in_tls, 2);
    assert_int_equal(a.needs_tls, 0); /* it was told to */
    assert_int_equal(a.tls, 1);
    assert_int_equal(b.tls, 0);
}

/* A firewall that lets only TLS through, by closing. */
static void plain_is_closed(void **state)
{
    struct side a = {.total = 1000}, b = {.total = 1000};
    (void)state;
    hub.plain = PAIRING_RESETS;
    begin(&a, 'a', false);
    begin(&b, 'b', true); /* knows it already */
    finish(&a, &b);
    assert_int_equal(a.needs_tls, 1);
    assert_int_equal(a.ways, 3);
    assert_int_equal(b.needs_tls, 0);
    assert_int_equal(b.failed, 0);
}

/* A hub that is restarted closes what it has not joined yet, and has taught nobody anything. */
static void closed_once(void **state)
{
    struct side a = {.total = 1000}, b = {.total = 1000};
    (void)state;
    begin(&a, 'a', false);
    RUN_UNTIL(hub.named == 1);
    pairing_cut(&hub);
    begin(&b, 'b', false);
    finish(&a, &b);
    assert_int_equal(a.failed, 1);
    assert_int_equal(hub.in_tls + a.needs_tls, 0);
}

/* And by silence, which says something once the hub has no reason to let anybody wait. */
static void plain_is_swallowed(void **state)
{
    struct side a = {.total = 1000}, b = {.total = 1000};
    (void)state;
    hub.plain = PAIRING_SWALLOWS;
    begin(&a, 'a', false);
    begin(&b, 'b', true);
    RUN_UNTIL(a.ways == 3 && b.opened);
    assert_int_equal(hub.in_tls_of[0], 0); /* it goes on in plain */
    CALL(edge_expect(a.e));
    CALL(edge_expect(a.e));
    finish(&a, &b);
    assert_int_equal(a.needs_tls, 1);
    assert_int_equal(b.needs_tls, 0);
    assert_int_equal(hub.in_tls, hub.in_tls_of[0] + hub.in_tls_of[1]);
    assert_true(hub.in_tls_of[0] > 0);
}

static void not_the_hub(void **state)
{
    struct side a = {.streams = EDGE_TLS, .freed_in = FREED_IN_FAILED};
    (void)state;
    hub.pin[0] ^= 1;
    begin(&a, 'a', false);
    RUN_UNTIL(a.e == NULL);
    assert_int_equal(a.opened, 0);
    assert_int_equal(hub.named, 0);
    assert_true(a.words[0] != 0);
}

/* Nobody is there, then somebody is. */
static void nobody_there(void **state)
{
    struct side a = {.total = 1000}, b = {.total = 1000};
    (void)state;
    pairing_deafen(&hub);
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(a.failed == 2 && b.failed == 2);
    assert_non_null(strstr(a.words, "127.0.0.1"));
    assert_int_equal(a.opened, 0);
    pairing_listen(&hub);
    finish(&a, &b);
    assert_int_equal(hub.in_tls, 0);
}

static void no_way(void **state)
{
    struct side a = {.no_way = UV_EINVAL, .total = 1}, b = {.total = 1};
    (void)state;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(a.failed == 2);
    assert_string_equal(a.words, uv_strerror(UV_EINVAL));
    a.no_way = 0;
    finish(&a, &b);
}

/* An address that is known is used in place of the name. */
static void known_address(void **state)
{
    struct side a = {.total = 1, .to = {.host = "hub.invalid", .port = 1}}, b = {.total = 1};
    (void)state;
    assert_int_equal(uv_ip4_addr("127.0.0.1", hub.port, (struct sockaddr_in *)(void *)&a.at), 0);
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    finish(&a, &b);
    assert_int_equal(a.ways, 1);
}

/* The hub cannot be reached any more, and its name cannot be looked up, until both end. */
static void address_that_worked(void **state)
{
    struct side a = {.total = 30u << 20, .to = {.host = "hub.invalid", .port = 1}}, b = {.total = 1u << 20};
    (void)state;
    assert_int_equal(uv_ip4_addr("127.0.0.1", hub.port, (struct sockaddr_in *)(void *)&a.at), 0);
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(b.got > 1u << 20);
    memset(&a.at, 0, sizeof a.at);
    pairing_deafen(&hub);
    pairing_cut(&hub);
    unsigned ways = a.ways;
    RUN_UNTIL(a.ways == ways + 2);
    pairing_listen(&hub);
    finish(&a, &b);
    assert_in_range(a.ways, ways + 3, ways + 5);
}

static void reset_by_owner(void **state)
{
    struct side a = {.total = 1u << 20, .keeps_open = true}, b = {.total = 1u << 20, .keeps_open = true};
    (void)state;
    begin(&a, 'a', false);
    begin(&b, 'b', false);
    RUN_UNTIL(a.got == b.total && b.got == a.total);
    stream_reset(edge_stream(a.e), STREAM_CODE_KILLED, "enough");
    CALL(edge_poke(a.e));
    assert_int_equal(a.closed, 0);
    RUN_UNTIL(a.closed && b.closed);
    assert_int_equal(stream_state(edge_stream(b.e)), STREAM_RESET_BY_PEER);
    assert_non_null(strstr(stream_reason(edge_stream(b.e)), "enough"));
    drop(&a);
    drop(&b);
}

/* Before there was any connection. */
static void reset_at_once(void **state)
{
    struct side a = {.freed_in = FREED_IN_CLOSED};
    (void)state;
    begin(&a, 'a', false);
    stream_reset(edge_stream(a.e), STREAM_CODE_LOCAL, "never mind");
    CALL(edge_poke(a.e));
    RUN_UNTIL(a.e == NULL);
    assert_int_equal(a.ways + a.opened + a.failed, 0);
}

static void freed_in_callbacks(void **state)
{
    static const enum freed_in cases[] = {FREED_IN_OPENED, FREED_IN_TURN, FREED_IN_CLOSED};
    (void)state;
    for (size_t i = 0; i < COUNT(cases) * 2; i++) {
        enum edge_streams streams = i < COUNT(cases) ? EDGE_PLAIN : EDGE_TLS;
        struct side a = {.total = 300000, .freed_in = cases[i % COUNT(cases)], .streams = streams},
                    b = {.total = 300000, .streams = streams};
        hub.named = 0;
        begin(&a, 'a', false);
        begin(&b, 'b', false);
        RUN_UNTIL(a.e == NULL);
        drop(&b);
        RUN_UNTIL(hub.legs == NULL);
    }
}

static void what_cannot_be(void **state)
{
    struct edge_config config = {
        .loop = &loop, .stream = {.role = 'x'}, .ticket = ticket, .scratch = scratch};
    struct edge *e = NULL;
    char longer[TICKET_TEXT_MAX + 1];
    (void)state;
    assert_int_equal(edge_new(&config, &calls, NULL, &e), -EINVAL);
    config.stream.role = 'a';
    config.stream.window = 1;
    assert_int_equal(edge_new(&config, &calls, NULL, &e), -EINVAL);
    config.stream.window = 0;
    config.ticket = "no ticket";
    assert_int_equal(edge_new(&config, &calls, NULL, &e), -EINVAL);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    config.ticket = longer;
    assert_int_equal(edge_new(&config, &calls, NULL, &e), -EINVAL);
    assert_null(e);
    edge_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_both_ways),
        TEST(poked),
        TEST(cut_and_resumed),
        TEST(stalled),
        TEST(network_changed),
        TEST(network_back),
        TEST(refused_finally),
        TEST(refused_in_the_middle),
        TEST(refused_for_now),
        TEST(refused_by_a_stranger),
        TEST(in_tls),
        TEST(plain_is_closed),
        TEST(closed_once),
        TEST(plain_is_swallowed),
        TEST(not_the_hub),
        TEST(nobody_there),
        TEST(no_way),
        TEST(known_address),
        TEST(address_that_worked),
        TEST(reset_by_owner),
        TEST(reset_at_once),
        TEST(freed_in_callbacks),
        TEST(what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
