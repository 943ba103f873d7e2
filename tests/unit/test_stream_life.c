/* A stream's life: handshake, data, half-close, the end, resuming, and the timers. */
#include "test_stream_pair.h"
#include <stdint.h>

struct pair {
    struct stream *a, *b; /* b dials */
    int ca, cb;
    uint64_t now;
};

static void pair_up(struct pair *p, uint32_t window)
{
    uint32_t epoch = 99;

    p->now = 1000;
    p->a = pair_edge('a', false, window, p->now);
    p->b = pair_edge('b', true, window, p->now);
    assert_true(stream_wants_dial(p->b, p->now, &epoch));
    assert_int_equal(epoch, 0);
    p->cb = stream_attach(p->b, epoch, p->now);
    p->ca = stream_attach(p->a, epoch, p->now);
    assert_true(p->ca >= 0 && p->cb >= 0);
    assert_false(stream_ever_live(p->a));
    pair_run(p->a, p->ca, p->b, p->cb, p->now);
    assert_int_equal(stream_live(p->a), p->ca);
    assert_int_equal(stream_live(p->b), p->cb);
    assert_true(stream_ever_live(p->a));
}

/* Loses the live connection and makes another. */
static void pair_again(struct pair *p, uint32_t epoch)
{
    p->ca = stream_attach(p->a, epoch, p->now);
    p->cb = stream_attach(p->b, epoch, p->now);
    assert_true(p->ca >= 0 && p->cb >= 0);
    pair_run(p->a, p->ca, p->b, p->cb, p->now);
    assert_int_equal(stream_live(p->a), p->ca);
    assert_int_equal(stream_live(p->b), p->cb);
}

static void pair_cut(struct pair *p)
{
    stream_detach(p->a, p->ca, p->now);
    stream_detach(p->b, p->cb, p->now);
}

static void pair_down(struct pair *p)
{
    stream_free(p->a);
    stream_free(p->b);
}

static void test_config(void **state)
{
    struct stream_config config = {.role = 'c'};
    struct stream *s = NULL;

    (void)state;
    assert_int_equal(stream_new(&config, 0, &s), -EINVAL);
    config.role = 'a';
    config.window = STREAM_WINDOW_MIN - 1;
    assert_int_equal(stream_new(&config, 0, &s), -EINVAL);
    config.window = STREAM_WINDOW_MAX + 1;
    assert_int_equal(stream_new(&config, 0, &s), -EINVAL);
    assert_null(s);
    stream_free(NULL);
}

static void test_data_both_ways_and_done(void **state)
{
    struct pair p;
    struct stream_stats stats;

    (void)state;
    pair_up(&p, 0);
    pair_push(p.a, "SSH-2.0-x\r\n");
    pair_push(p.b, "hello ");
    pair_push(p.b, "there");
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    pair_expect(p.b, "SSH-2.0-x\r\n");
    pair_expect(p.a, "hello there");
    stream_source_eof(p.a);
    stream_source_eof(p.a);
    assert_int_equal(stream_source_push(p.a, "x", 1), -EPIPE);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    assert_true(stream_sink_eof(p.b));
    assert_false(stream_sink_eof(p.a));
    stream_sink_eof_delivered(p.b);
    pair_push(p.b, "half-closed, still talking");
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    pair_expect(p.a, "half-closed, still talking");
    stream_source_eof(p.b);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    assert_true(stream_sink_eof(p.a));
    assert_int_equal(stream_state(p.a), STREAM_OPEN);
    assert_int_equal(stream_state(p.b), STREAM_OPEN);
    stream_sink_eof_delivered(p.a);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    assert_int_equal(stream_state(p.a), STREAM_DONE);
    assert_int_equal(stream_state(p.b), STREAM_DONE);
    assert_true(stream_wants_close(p.a, p.ca));
    assert_true(stream_wants_close(p.b, p.cb));
    stream_get_stats(p.b, &stats);
    assert_int_equal(stats.sent, 37);
    assert_int_equal(stats.received, 11);
    assert_int_equal(stats.resumes, 0);
    pair_down(&p);
}

/* The EOF waits for what is still in the sink's ring. */
static void test_eof_behind_data(void **state)
{
    struct pair p;

    (void)state;
    pair_up(&p, 0);
    pair_push(p.a, "last words");
    stream_source_eof(p.a);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    assert_false(stream_sink_eof(p.b));
    stream_sink_eof_delivered(p.b); /* too early: means nothing */
    pair_expect(p.b, "last words");
    assert_true(stream_sink_eof(p.b));
    pair_down(&p);
}

static void test_resume_in_mid_frame(void **state)
{
    struct pair p;
    uint8_t wire[64];
    size_t n;
    struct stream_stats stats;

    (void)state;
    pair_up(&p, 0);
    pair_push(p.a, "0123456789abcdef");
    n = pair_take(p.a, p.ca, wire, 13 + 5, p.now); /* the head and five bytes */
    assert_int_equal(n, 18);
    assert_int_equal(stream_input(p.b, p.cb, wire, n, p.now), 0);
    pair_expect(p.b, "01234");
    n = pair_take(p.a, p.ca, wire, 4, p.now); /* these are lost */
    assert_int_equal(n, 4);
    pair_cut(&p);
    assert_int_equal(stream_live(p.a), -1);
    pair_again(&p, 1);
    pair_expect(p.b, "56789abcdef");
    stream_get_stats(p.a, &stats);
    assert_int_equal(stats.resumes, 1);
    assert_int_equal(stats.sent, 16);
    pair_down(&p);
}

/* Data that comes on the old connection after RESUME was sent on the new one is not taken twice. */
static void test_overlap_is_dropped(void **state)
{
    struct pair p;
    int ca, cb, code;

    (void)state;
    pair_up(&p, 0);
    ca = stream_attach(p.a, 1, p.now);
    cb = stream_attach(p.b, 1, p.now);
    pair_push(p.a, "once only");
    pair_move(p.b, cb, p.a, ca, p.now, &code); /* b announces that it has nothing */
    pair_move(p.a, p.ca, p.b, p.cb, p.now, &code);
    pair_expect(p.b, "once only"); /* and then gets it on the old one */
    pair_run(p.a, ca, p.b, cb, p.now);
    assert_int_equal(stream_live(p.b), cb);
    assert_true(stream_wants_close(p.a, p.ca));
    assert_true(stream_wants_close(p.b, p.cb));
    pair_expect(p.b, "");
    pair_push(p.a, "!");
    pair_run(p.a, ca, p.b, cb, p.now);
    pair_expect(p.b, "!");
    pair_down(&p);
}

/* As before, but the old connection also carries the ACK, so the sender has freed what the new RESUME asks
 * for. */
static void test_overlap_already_freed(void **state)
{
    struct pair p;
    int ca, cb, code;
    struct stream_stats stats;

    (void)state;
    pair_up(&p, 0);
    ca = stream_attach(p.a, 1, p.now);
    cb = stream_attach(p.b, 1, p.now);
    pair_push(p.a, "freed");
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    pair_expect(p.b, "freed");
    stream_tick(p.b, p.now + 200);
    pair_move(p.b, p.cb, p.a, p.ca, p.now + 200, &code);
    pair_push(p.a, "next");
    pair_run(p.a, ca, p.b, cb, p.now + 200);
    pair_expect(p.b, "next");
    stream_get_stats(p.a, &stats);
    assert_int_equal(stats.sent, 9);
    assert_int_equal(stream_state(p.a), STREAM_OPEN);
    assert_int_equal(stream_state(p.b), STREAM_OPEN);
    pair_down(&p);
}

/* A frame half sent on the new connection may be acknowledged before it is whole: it was received on the old
 * one. */
static void test_ack_into_a_started_frame(void **state)
{
    struct pair p;
    uint8_t wire[256], part[32];
    size_t n;
    int ca, cb, code;

    (void)state;
    pair_up(&p, 0);
    ca = stream_attach(p.a, 1, p.now);
    cb = stream_attach(p.b, 1, p.now);
    pair_push(p.a, "0123456789");
    pair_move(p.a, p.ca, p.b, p.cb, p.now, &code); /* received, not delivered */
    pair_move(p.b, cb, p.a, ca, p.now, &code);
    pair_move(p.a, ca, p.b, cb, p.now, &code);
    assert_int_equal(stream_live(p.b), cb);
    n = pair_take(p.b, cb, wire, sizeof wire, p.now); /* b's proof */
    assert_int_equal(stream_input(p.a, ca, wire, n, p.now), 0);
    assert_int_equal(stream_live(p.a), ca);
    n = pair_take(p.a, ca, part, 13 + 13 + 3, p.now); /* PONG, PING, and three bytes of the head of DATA */
    assert_int_equal(n, 29);
    pair_expect(p.b, "0123456789");
    stream_tick(p.b, p.now + 300);
    n = pair_take(p.b, cb, wire, sizeof wire, p.now + 300);
    assert_int_equal(stream_input(p.a, ca, wire, n, p.now + 300), 0);      /* the ACK of it all */
    assert_int_equal(stream_source_room(p.a), STREAM_WINDOW_DEFAULT - 10); /* kept for the frame */
    assert_int_equal(stream_input(p.b, cb, part, 29, p.now + 300), 0);
    pair_push(p.a, "abc");
    pair_run(p.a, ca, p.b, cb, p.now + 300);
    pair_expect(p.b, "abc");
    assert_int_equal(stream_state(p.b), STREAM_OPEN);
    pair_down(&p);
}

static void test_window_is_the_smaller_one(void **state)
{
    uint64_t now = 5;
    struct stream *a = pair_edge('a', false, 8192, now), *b = pair_edge('b', true, 4096, now);
    int ca = stream_attach(a, 0, now), cb = stream_attach(b, 0, now);
    static uint8_t bytes[8192];
    const uint8_t *at;
    struct stream_stats stats;
    size_t n;

    (void)state;
    assert_int_equal(stream_source_room(a), 8192);
    assert_int_equal(stream_source_room(b), 4096);
    assert_int_equal(stream_source_push(a, bytes, 8193), -ENOBUFS);
    assert_int_equal(stream_source_push(a, bytes, 8192), 0);
    assert_int_equal(stream_source_room(a), 0);
    pair_run(a, ca, b, cb, now);
    stream_get_stats(b, &stats);
    assert_int_equal(stats.received, 4096);
    assert_true(stats.held <= 2 * 4096);
    /* a quarter of the window is acknowledged at once, less after 200 ms */
    n = stream_sink_peek(b, &at);
    assert_true(n >= 1024);
    stream_sink_consumed(b, 1023);
    pair_run(a, ca, b, cb, now);
    stream_get_stats(b, &stats);
    assert_int_equal(stats.received, 4096);
    assert_int_equal(stream_next_tick(b), now + 200);
    stream_sink_consumed(b, 1);
    pair_run(a, ca, b, cb, now);
    stream_get_stats(b, &stats);
    assert_int_equal(stats.received, 4096 + 1024);
    assert_int_equal(stream_source_room(a), 1024);
    stream_sink_consumed(b, 1);
    stream_tick(b, now + 200);
    pair_run(a, ca, b, cb, now + 200);
    stream_get_stats(b, &stats);
    assert_int_equal(stats.received, 4096 + 1025);
    stream_free(a);
    stream_free(b);
}

/* A stuck sink stops the data and not the PINGs: the connection is not taken for dead. */
static void test_stuck_sink_is_not_a_dead_peer(void **state)
{
    struct pair p;
    uint32_t epoch;
    static uint8_t bytes[4096];

    (void)state;
    pair_up(&p, 4096);
    assert_int_equal(stream_source_push(p.b, bytes, sizeof bytes), 0);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    for (int i = 0; i < 600; i++) {
        p.now += 1000;
        stream_tick(p.a, p.now);
        stream_tick(p.b, p.now);
        pair_run(p.a, p.ca, p.b, p.cb, p.now);
        assert_false(stream_wants_dial(p.b, p.now, &epoch));
    }
    assert_int_equal(stream_state(p.a), STREAM_OPEN);
    assert_int_equal(stream_state(p.b), STREAM_OPEN);
    pair_down(&p);
}

static void test_dial_rules(void **state)
{
    struct pair p;
    uint32_t epoch = 0;

    (void)state;
    pair_up(&p, 0);
    assert_false(stream_wants_dial(p.a, p.now, &epoch)); /* a is given its connections */
    assert_false(stream_wants_dial(p.b, p.now, &epoch));
    p.now += 10000;
    stream_tick(p.b, p.now);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    /* data without an answer: after 3 s, then every 2 s, beside the old one */
    pair_push(p.b, "x");
    pair_take(p.b, p.cb, (uint8_t[64]){0}, 64, p.now);
    assert_false(stream_wants_dial(p.b, p.now + 2999, &epoch));
    assert_int_equal(stream_next_tick(p.b), p.now + 2000); /* a PING first */
    stream_tick(p.b, p.now + 2000);
    assert_int_equal(stream_next_tick(p.b), p.now + 3000);
    assert_true(stream_wants_dial(p.b, p.now + 3000, &epoch));
    assert_int_equal(epoch, 1);
    assert_false(stream_wants_dial(p.b, p.now + 4999, &epoch));
    assert_true(stream_wants_dial(p.b, p.now + 5000, &epoch));
    assert_int_equal(epoch, 2);
    /* lost altogether: 2 s after the last dial, then again */
    stream_detach(p.b, p.cb, p.now + 5100);
    assert_false(stream_wants_dial(p.b, p.now + 6999, &epoch));
    assert_true(stream_wants_dial(p.b, p.now + 7000, &epoch));
    assert_int_equal(epoch, 3);
    pair_down(&p);
}

/* A handshake that makes progress is given time; a new dial would only disturb it. */
static void test_no_dial_over_a_handshake(void **state)
{
    struct stream *a = pair_edge('a', false, 0, 0), *b = pair_edge('b', true, 0, 0);
    uint32_t epoch;
    int ca, cb, code;

    (void)state;
    assert_true(stream_wants_dial(b, 0, &epoch));
    ca = stream_attach(a, epoch, 0);
    cb = stream_attach(b, epoch, 0);
    pair_move(a, ca, b, cb, 1900, &code);
    assert_false(stream_wants_dial(b, 2000, &epoch));
    assert_false(stream_wants_dial(b, 4899, &epoch));
    assert_true(stream_wants_dial(b, 4900, &epoch));
    stream_free(a);
    stream_free(b);
}

/* The network has changed: the live connection has a second to prove itself. */
static void test_probe(void **state)
{
    struct pair p;
    uint32_t epoch = 0;

    (void)state;
    pair_up(&p, 0);
    p.now += 10000;
    stream_tick(p.b, p.now);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    /* it answers */
    stream_probe(p.b, p.now);
    assert_int_equal(stream_next_tick(p.b), p.now + 1000);
    pair_run(p.a, p.ca, p.b, p.cb, p.now + 200);
    assert_false(stream_wants_dial(p.b, p.now + 1500, &epoch));
    /* it does not; being told again does not put it off */
    p.now += 2000;
    stream_probe(p.b, p.now);
    assert_int_equal(pair_take(p.b, p.cb, (uint8_t[64]){0}, 64, p.now), 13);
    stream_probe(p.b, p.now + 600);
    assert_int_equal(stream_silent_since(p.b, p.now + 999), UINT64_MAX);
    assert_false(stream_needs_conn(p.b, p.now + 999));
    assert_false(stream_wants_dial(p.b, p.now + 999, &epoch));
    assert_true(stream_needs_conn(p.b, p.now + 1000));
    assert_true(stream_wants_dial(p.b, p.now + 1000, &epoch));
    assert_int_equal(epoch, 1);
    assert_int_equal(stream_silent_since(p.b, p.now + 3000), p.now);
    /* and again: a dial on the network that was is no reason to wait for 2 s, but for half a one */
    assert_false(stream_wants_dial(p.b, p.now + 1499, &epoch));
    stream_probe(p.b, p.now + 1100);
    stream_probe(p.b, p.now + 1200);
    assert_false(stream_wants_dial(p.b, p.now + 1499, &epoch));
    assert_true(stream_wants_dial(p.b, p.now + 1500, &epoch));
    pair_down(&p);
}

/* What was dialled beside a live connection is of no use when that one answers after all. */
static void test_needs_conn(void **state)
{
    struct pair p;
    uint32_t epoch = 0;

    (void)state;
    pair_up(&p, 0);
    assert_false(stream_needs_conn(p.b, p.now));
    pair_push(p.b, "x");
    pair_take(p.b, p.cb, (uint8_t[64]){0}, 0, p.now);
    p.now += 10000;
    stream_tick(p.b, p.now);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    stream_tick(p.b, p.now + 2000);
    assert_true(pair_take(p.b, p.cb, (uint8_t[64]){0}, 0, p.now + 2000) == 0);
    assert_true(stream_wants_dial(p.b, p.now + 5000, &epoch));
    assert_true(stream_needs_conn(p.b, p.now + 5000));
    pair_run(p.a, p.ca, p.b, p.cb, p.now + 5100);
    assert_false(stream_needs_conn(p.b, p.now + 5100));
    assert_int_equal(stream_silent_since(p.b, p.now + 5100), UINT64_MAX);
    /* none is live */
    stream_detach(p.b, p.cb, p.now + 5200);
    assert_true(stream_needs_conn(p.b, p.now + 5200));
    assert_int_equal(stream_silent_since(p.b, p.now + 5200), p.now + 5200);
    stream_reset(p.b, STREAM_CODE_LOCAL, "");
    assert_false(stream_needs_conn(p.b, p.now + 5300));
    pair_down(&p);
}

/* A path with a round trip of 2.5 s is slow, not dead. */
static void test_slow_is_not_dead(void **state)
{
    struct pair p;
    uint32_t epoch;
    uint8_t ping[64], pong[64];
    size_t n;
    int code;

    (void)state;
    pair_up(&p, 0);
    p.now += 2100;
    stream_tick(p.b, p.now);
    n = pair_take(p.b, p.cb, ping, sizeof ping, p.now);
    assert_int_equal(n, 13);
    p.now += 2500;
    stream_input(p.a, p.ca, ping, n, p.now);
    n = pair_take(p.a, p.ca, pong, sizeof pong, p.now);
    stream_input(p.b, p.cb, pong, n, p.now);
    pair_push(p.b, "x");
    pair_move(p.b, p.cb, p.a, p.ca, p.now, &code);
    assert_false(stream_wants_dial(p.b, p.now + 7499, &epoch));
    assert_true(stream_wants_dial(p.b, p.now + 7500, &epoch));
    pair_down(&p);
}

/* A PING that crossed an outage says nothing of the path: the next outage is noticed as soon as the first, also when
 * there is never a silence in which a PING would be due. */
static void test_an_outage_is_not_a_slow_path(void **state)
{
    struct pair p;
    uint32_t epoch;

    (void)state;
    pair_up(&p, 0);
    p.now += 2100;
    stream_tick(p.b, p.now);
    p.now += 8000; /* it was on its way for so long */
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    assert_false(stream_wants_dial(p.b, p.now, &epoch));
    for (int i = 0; i < 20; i++) {
        p.now += 500;
        pair_push(p.b, "x");
        stream_tick(p.a, p.now);
        stream_tick(p.b, p.now);
        pair_run(p.a, p.ca, p.b, p.cb, p.now);
        pair_expect(p.a, "x");
    }
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    pair_push(p.b, "y");
    pair_take(p.b, p.cb, (uint8_t[64]){0}, 64, p.now);
    assert_false(stream_wants_dial(p.b, p.now + 2999, &epoch));
    assert_true(stream_wants_dial(p.b, p.now + 3000, &epoch));
    pair_down(&p);
}

/* Nothing happens for ten minutes; then the path dies silently, and the dialling edge finds out by itself. */
static void test_idle_notices_death(void **state)
{
    struct pair p;
    uint32_t epoch;
    uint64_t died, pings = 0, tick;
    size_t n;

    (void)state;
    pair_up(&p, 0);
    for (died = p.now + 600000; p.now < died;) {
        tick = stream_next_tick(p.a) < stream_next_tick(p.b) ? stream_next_tick(p.a) : stream_next_tick(p.b);
        assert_true(tick > p.now);
        p.now = tick;
        stream_tick(p.a, p.now);
        stream_tick(p.b, p.now);
        pair_run(p.a, p.ca, p.b, p.cb, p.now);
        pings++;
        assert_false(stream_wants_dial(p.b, p.now, &epoch));
    }
    assert_true(pings < 90);
    died = p.now;
    while (!stream_wants_dial(p.b, p.now, &epoch)) {
        uint8_t lost[64];
        tick = stream_next_tick(p.b);
        assert_true(tick > p.now);
        p.now = tick;
        stream_tick(p.b, p.now);
        while ((n = pair_take(p.b, p.cb, lost, sizeof lost, p.now)) > 0)
            ;
    }
    assert_true(p.now - died <= 33000);
    pair_down(&p);
}

static void test_patience(void **state)
{
    struct pair p;

    (void)state;
    pair_up(&p, 0);
    p.now += 5000;
    stream_detach(p.a, p.ca, p.now);
    assert_int_equal(stream_next_tick(p.a), p.now + 300000);
    stream_tick(p.a, p.now + 299999);
    assert_int_equal(stream_state(p.a), STREAM_OPEN);
    assert_string_equal(stream_reason(p.a), "");
    stream_tick(p.a, p.now + 300000);
    assert_int_equal(stream_state(p.a), STREAM_LOST);
    assert_string_equal(stream_reason(p.a), "nothing was heard from the other end for 300 s");
    assert_int_equal(stream_attach(p.a, 1, p.now), -ESHUTDOWN);
    assert_true(stream_next_tick(p.a) == UINT64_MAX);
    /* a connection that is there but silent is no better */
    for (uint64_t t = p.now; stream_state(p.b) == STREAM_OPEN && t < p.now + 400000;
         t = stream_next_tick(p.b)) {
        uint8_t lost[64];
        uint32_t epoch;
        stream_tick(p.b, t);
        while (pair_take(p.b, p.cb, lost, sizeof lost, t) > 0)
            ;
        stream_wants_dial(p.b, t, &epoch);
    }
    assert_int_equal(stream_state(p.b), STREAM_LOST);
    assert_true(stream_wants_close(p.b, p.cb));
    pair_down(&p);
}

/* The last ACK and DONE are lost with their connection: the edge that was left alone resumes and is told. */
static void test_lost_last_ack(void **state)
{
    struct pair p;
    uint8_t lost[256];
    int code;

    (void)state;
    pair_up(&p, 0);
    stream_source_eof(p.a);
    stream_source_eof(p.b);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    stream_sink_eof_delivered(p.a);
    pair_move(p.a, p.ca, p.b, p.cb, p.now, &code); /* b's EOF is acknowledged */
    stream_sink_eof_delivered(p.b);                /* so b is complete: ACK, DONE */
    assert_true(pair_take(p.b, p.cb, lost, sizeof lost, p.now) > 0);
    pair_cut(&p);
    assert_int_equal(stream_state(p.a), STREAM_OPEN);
    assert_int_equal(stream_state(p.b), STREAM_OPEN);
    p.now += 4000;
    p.ca = stream_attach(p.a, 1, p.now);
    p.cb = stream_attach(p.b, 1, p.now);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    assert_int_equal(stream_state(p.a), STREAM_DONE);
    assert_int_equal(stream_state(p.b), STREAM_DONE);
    pair_down(&p);
}

/* Everything is done and only the peer's DONE is missing: that is no reason to stay for long, or to call it a
 * failure. */
static void test_linger_is_bounded(void **state)
{
    struct pair p;
    int code;

    (void)state;
    pair_up(&p, 0);
    stream_source_eof(p.a);
    stream_source_eof(p.b);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    stream_sink_eof_delivered(p.a);
    pair_move(p.a, p.ca, p.b, p.cb, p.now, &code);
    stream_sink_eof_delivered(p.b);
    pair_cut(&p);
    stream_tick(p.b, p.now + STREAM_LINGER_MS - 1);
    assert_int_equal(stream_state(p.b), STREAM_OPEN);
    stream_tick(p.b, p.now + STREAM_LINGER_MS);
    assert_int_equal(stream_state(p.b), STREAM_DONE);
    stream_tick(p.a, p.now + STREAM_LINGER_MS);
    assert_int_equal(stream_state(p.a), STREAM_OPEN);
    pair_down(&p);
}

static void test_reset(void **state)
{
    struct pair p;
    char text[300];

    (void)state;
    pair_up(&p, 0);
    memset(text, 'x', sizeof text);
    memcpy(text, "gone\n\x1b[31m\xff ä ", 15);
    text[sizeof text - 1] = '\0';
    pair_push(p.a, "never read");
    pair_take(p.a, p.ca, (uint8_t[20]){0}, 14, p.now); /* a DATA frame is half out */
    stream_reset(p.a, STREAM_CODE_LOCAL, text);
    stream_reset(p.a, STREAM_CODE_LOCAL, "again");
    assert_int_equal(stream_state(p.a), STREAM_RESET_BY_US);
    assert_false(stream_wants_close(p.a, p.ca));
    pair_down(&p);

    pair_up(&p, 0);
    stream_reset(p.a, STREAM_CODE_LOCAL, text);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    assert_true(stream_wants_close(p.a, p.ca));
    assert_int_equal(stream_state(p.b), STREAM_RESET_BY_PEER);
    assert_memory_equal(stream_reason(p.b), "gone??[31m? ä x", 15);
    assert_int_equal(strlen(stream_reason(p.b)), STREAM_TEXT_MAX);
    assert_true(stream_wants_close(p.b, p.cb));
    pair_down(&p);

    pair_up(&p, 0); /* behind a frame that is half sent */
    pair_push(p.a, "0123456789");
    uint8_t wire[512];
    size_t n = pair_take(p.a, p.ca, wire, 15, p.now);
    stream_reset(p.a, 7, NULL);
    n += pair_take(p.a, p.ca, wire + n, sizeof wire - n, p.now);
    assert_true(stream_wants_close(p.a, p.ca));
    assert_int_equal(stream_input(p.b, p.cb, wire, n, p.now), 0);
    assert_int_equal(stream_state(p.b), STREAM_RESET_BY_PEER);
    assert_string_equal(stream_reason(p.b), "ended by the other end (code 7)");
    pair_expect(p.b, "0123456789"); /* still there for those who want it */
    pair_down(&p);

    pair_up(&p, 0); /* a connection that takes nothing: not waited for */
    stream_reset(p.a, 7, "x");
    assert_false(stream_wants_close(p.a, p.ca));
    assert_int_equal(stream_next_tick(p.a), p.now + 5000);
    stream_tick(p.a, p.now + 5000);
    assert_true(stream_wants_close(p.a, p.ca));
    pair_down(&p);
}

static void test_memory_comes_back(void **state)
{
    struct pair p;
    static uint8_t bytes[1 << 20];
    const uint8_t *at;
    struct stream_stats stats;
    size_t n;

    (void)state;
    pair_up(&p, 0);
    assert_int_equal(stream_source_push(p.a, bytes, sizeof bytes), 0);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    while ((n = stream_sink_peek(p.b, &at)) > 0)
        stream_sink_consumed(p.b, n);
    pair_run(p.a, p.ca, p.b, p.cb, p.now);
    stream_get_stats(p.a, &stats);
    assert_true(stats.held >= sizeof bytes);
    stream_tick(p.a, p.now + 2000);
    stream_tick(p.b, p.now + 2000);
    stream_get_stats(p.a, &stats);
    assert_int_equal(stats.held, 0);
    stream_get_stats(p.b, &stats);
    assert_int_equal(stats.held, 0);
    assert_true(stream_next_tick(p.a) > p.now + 2000);
    pair_down(&p);
}

/* A bulk transfer costs few ACKs. */
static void test_few_acks(void **state)
{
    struct pair p;
    static uint8_t bytes[65536], wire[1 << 18];
    const uint8_t *at;
    size_t n, acks = 0;

    (void)state;
    pair_up(&p, 0);
    for (int i = 0; i < 1024; i++) { /* 64 MiB */
        assert_int_equal(stream_source_push(p.a, bytes, sizeof bytes), 0);
        n = pair_take(p.a, p.ca, wire, sizeof wire, p.now);
        assert_int_equal(stream_input(p.b, p.cb, wire, n, p.now), 0);
        while ((n = stream_sink_peek(p.b, &at)) > 0)
            stream_sink_consumed(p.b, n);
        n = pair_take(p.b, p.cb, wire, sizeof wire, p.now);
        assert_true(n % 13 == 0);
        acks += n / 13;
        assert_int_equal(stream_input(p.a, p.ca, wire, n, p.now), 0);
    }
    assert_int_equal(acks, 128);
    pair_down(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_data_both_ways_and_done),
        cmocka_unit_test(test_eof_behind_data),
        cmocka_unit_test(test_resume_in_mid_frame),
        cmocka_unit_test(test_overlap_is_dropped),
        cmocka_unit_test(test_overlap_already_freed),
        cmocka_unit_test(test_ack_into_a_started_frame),
        cmocka_unit_test(test_window_is_the_smaller_one),
        cmocka_unit_test(test_stuck_sink_is_not_a_dead_peer),
        cmocka_unit_test(test_dial_rules),
        cmocka_unit_test(test_no_dial_over_a_handshake),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_needs_conn),
        cmocka_unit_test(test_slow_is_not_dead),
        cmocka_unit_test(test_an_outage_is_not_a_slow_path),
        cmocka_unit_test(test_idle_notices_death),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_lost_last_ack),
        cmocka_unit_test(test_linger_is_bounded),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_memory_comes_back),
        cmocka_unit_test(test_few_acks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
