/* An edge of a stream with real sockets on loopback: its life, and the way to the hub. */
#include "net_side.h"

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

/* Not a millisecond later, which each session would wait. */
static void dials_at_once(void **state)
{
    struct side a = {.freed_in = FREED_LATER};
    (void)state;
    begin(&a, 'a', false);
    assert_int_equal(a.ways, 0);
    assert_int_equal(uv_backend_timeout(&loop), 0);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(a.ways, 1);
    drop(&a);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_both_ways), TEST(dials_at_once),       TEST(poked),
        TEST(reset_by_owner),  TEST(reset_at_once),       TEST(freed_in_callbacks),
        TEST(what_cannot_be),  TEST(nobody_there),        TEST(no_way),
        TEST(known_address),   TEST(address_that_worked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
