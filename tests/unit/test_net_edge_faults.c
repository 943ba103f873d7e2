/* Edges whose connections are cut, fall silent, or are refused by the hub. */
#include "net_side.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cut_and_resumed), TEST(stalled),
        TEST(network_changed), TEST(network_back),
        TEST(refused_finally), TEST(refused_in_the_middle),
        TEST(refused_for_now), TEST(refused_by_a_stranger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
