/* Counts and rates by key. */
#include "cmocka_all.h"

#include "hub/tally.h"
#include <stdio.h>

static int make(void **state)
{
    return tally_new((struct tally **)state);
}

static int clean(void **state)
{
    tally_free(*state);
    return 0;
}

static void test_counts(void **state)
{
    struct tally *t = *state;

    assert_int_equal(tally_count(t, "a"), 0);
    assert_int_equal(tally_enter(t, "a"), 0);
    assert_int_equal(tally_enter(t, "a"), 0);
    assert_int_equal(tally_enter(t, "b"), 0);
    assert_int_equal(tally_count(t, "a"), 2);
    assert_int_equal(tally_total(t), 3);
    tally_leave(t, "a");
    tally_leave(t, "a");
    tally_leave(t, "a"); /* one too many changes nothing */
    tally_leave(t, "nobody");
    assert_int_equal(tally_count(t, "a"), 0);
    assert_int_equal(tally_total(t), 1);
}

static void test_many_keys(void **state)
{
    struct tally *t = *state;
    char key[32];

    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "2001:db8:%x::", (unsigned)i);
        assert_int_equal(tally_enter(t, key), 0);
    }
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "2001:db8:%x::", (unsigned)i);
        assert_int_equal(tally_count(t, key), 1);
        tally_leave(t, key);
        assert_int_equal(tally_count(t, key), 0);
    }
    assert_int_equal(tally_total(t), 0);
}

static void test_move(void **state)
{
    struct tally *t = *state;

    assert_int_equal(tally_enter(t, "old"), 0);
    assert_int_equal(tally_enter(t, "old"), 0);
    assert_int_equal(tally_enter(t, "new"), 0);
    assert_int_equal(tally_move(t, "old", "new"), 0);
    assert_int_equal(tally_count(t, "old"), 0);
    assert_int_equal(tally_count(t, "new"), 3);
    assert_int_equal(tally_move(t, "nothing", "new"), 0);
    assert_int_equal(tally_total(t), 3);
}

static void test_rate(void **state)
{
    struct tally *t = *state;
    uint64_t now = 1000000;

    for (int i = 0; i < 10; i++)
        assert_true(tally_take(t, "a", 10, now));
    assert_false(tally_take(t, "a", 10, now));
    assert_true(tally_take(t, "b", 10, now)); /* another key has its own */
    assert_false(tally_take(t, "a", 10, now + 99));
    assert_true(tally_take(t, "a", 10, now + 100));
    assert_false(tally_take(t, "a", 10, now + 100));
    /* However long the silence: no more than a second's worth. */
    for (int i = 0; i < 10; i++)
        assert_true(tally_take(t, "a", 10, now + 100000));
    assert_false(tally_take(t, "a", 10, now + 100000));
    /* A clock that goes back gives nothing away. */
    assert_false(tally_take(t, "a", 10, now));
}

static void test_sweep_forgets_nothing_that_counts(void **state)
{
    struct tally *t = *state;
    uint64_t now = 5000;

    assert_int_equal(tally_enter(t, "stays"), 0);
    for (int i = 0; i < 3; i++)
        assert_true(tally_take(t, "rate", 3, now));
    tally_sweep(t, now + 500); /* too early: the bucket is not full again */
    assert_true(tally_take(t, "rate", 3, now + 500));
    assert_false(tally_take(t, "rate", 3, now + 500));
    tally_sweep(t, now + 10000);
    assert_int_equal(tally_count(t, "stays"), 1);
    for (int i = 0; i < 3; i++)
        assert_true(tally_take(t, "rate", 3, now + 10000));
    assert_false(tally_take(t, "rate", 3, now + 10000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counts, make, clean),
        cmocka_unit_test_setup_teardown(test_many_keys, make, clean),
        cmocka_unit_test_setup_teardown(test_move, make, clean),
        cmocka_unit_test_setup_teardown(test_rate, make, clean),
        cmocka_unit_test_setup_teardown(test_sweep_forgets_nothing_that_counts, make, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
