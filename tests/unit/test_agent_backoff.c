/* Waiting times: their bounds, their growth, and that they are not all the same. */
#include "cmocka_all.h"

#include "agent/backoff.h"

static void grows_to_half_a_minute(void **state)
{
    static const uint32_t tops[] = {2000, 3000, 4000, 4000, 4000, 4000, 8000, 16000, 30000, 30000, 30000};
    (void)state;
    struct backoff b = {0};
    for (size_t i = 0; i < COUNT(tops); i++) {
        struct backoff low = b, high = b;
        assert_int_equal(backoff_next(&low, 0), tops[i] / 2);
        assert_int_equal(backoff_next(&high, tops[i] / 2), tops[i]);
        uint32_t ms = backoff_next(&b, 0xdeadbeef);
        assert_in_range(ms, tops[i] / 2, tops[i]);
    }
    backoff_reset(&b);
    assert_in_range(backoff_next(&b, 12345), 1000, 2000);
}

static void what_worked_for_a_moment(void **state)
{
    (void)state;
    struct backoff b = {0};
    backoff_had(&b);
    assert_in_range(backoff_next(&b, 12345), 1000, 2000);
    for (int i = 0; i < 12; i++)
        backoff_next(&b, 7);
    for (uint32_t i = 0; i < 8; i++) {
        backoff_had(&b);
        assert_in_range(backoff_next(&b, i * 2654435761u), 1500, 3000);
    }
}

static void never_under_a_second(void **state)
{
    (void)state;
    struct backoff b = {0};
    for (uint32_t i = 0; i < 1000; i++)
        assert_in_range(backoff_next(&b, i * 2654435761u), BACKOFF_MIN_MS, BACKOFF_MAX_MS);
}

static void what_the_hub_wants(void **state)
{
    (void)state;
    assert_int_equal(backoff_wanted(10000, 0), 10000);
    assert_int_equal(backoff_wanted(10000, 2500), 12500);
    assert_in_range(backoff_wanted(10000, 0xffffffff), 10000, 12500);
    assert_in_range(backoff_wanted(0, 7), 250, 313);
    assert_in_range(backoff_wanted(UINT64_MAX, 7), 3600000, 4500000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_to_half_a_minute),
        cmocka_unit_test(what_worked_for_a_moment),
        cmocka_unit_test(never_under_a_second),
        cmocka_unit_test(what_the_hub_wants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
