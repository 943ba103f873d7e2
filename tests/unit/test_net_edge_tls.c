/* Edges and TLS: told to, or found to be the only way through. */
#include "net_side.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_tls), TEST(plain_is_closed), TEST(closed_once), TEST(plain_is_swallowed), TEST(not_the_hub),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
