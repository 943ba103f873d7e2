/* The byte buffer: its maximum, its contents under every order of append and consume. */
#include "cmocka_all.h"

#include "base/buf.h"
#include "portable.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void refuses_beyond_maximum(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 10);
    assert_int_equal(buf_room(&b), 10);
    assert_int_equal(buf_append(&b, "0123456", 7), 0);
    assert_int_equal(buf_append(&b, "abcd", 4), -ENOBUFS);
    assert_int_equal(buf_len(&b), 7);
    assert_int_equal(buf_append_str(&b, "abc"), 0);
    assert_int_equal(buf_append(&b, "x", 1), -ENOBUFS);
    assert_int_equal(buf_room(&b), 0);
    assert_memory_equal(buf_data(&b), "0123456abc", 10);
    assert_int_equal(buf_appendf(&b, "%s", ""), 0);
    assert_int_equal(buf_appendf(&b, "%d", 1), -ENOBUFS);
    assert_string_equal(buf_str(&b), "0123456abc");
    uint8_t *at;
    assert_int_equal(buf_reserve(&b, 1, &at), -ENOBUFS);
    buf_consume(&b, 4);
    assert_int_equal(buf_appendf(&b, "%04d", 42), 0);
    assert_string_equal(buf_str(&b), "456abc0042");
    buf_release(&b);
}

static void a_huge_count_is_refused(void **state)
{
    struct buf b;
    uint8_t *at;
    (void)state;
    buf_init(&b, SIZE_MAX);
    assert_int_equal(buf_append_str(&b, "x"), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &at), -ENOBUFS);
#ifndef MULTISSH_SANITIZED /* whose malloc ends the process instead */
    assert_int_equal(buf_reserve(&b, SIZE_MAX / 2 - 1, &at), -ENOMEM);
#endif
    assert_string_equal(buf_str(&b), "x");
    buf_release(&b);
}

static void reserve_and_commit(void **state)
{
    struct buf b;
    uint8_t *at;
    (void)state;
    buf_init(&b, 5000);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(buf_reserve(&b, 1000, &at), 0);
        memset(at, 'a' + i, 1000);
        buf_commit(&b, 700);
        assert_int_equal(buf_len(&b), (size_t)700 * (size_t)(i + 1));
    }
    for (size_t i = 0; i < 3500; i++)
        assert_int_equal(buf_data(&b)[i], 'a' + i / 700);
    buf_truncate(&b, 10);
    assert_string_equal(buf_str(&b), "aaaaaaaaaa");
    buf_truncate(&b, 0);
    assert_int_equal(buf_len(&b), 0);
    buf_release(&b);
}

/* The bytes out are the bytes in, whatever the steps; the buffer is checked against counters. */
static void contents_hold_under_any_steps(void **state)
{
    static const size_t maxima[] = {1, 2, 3, 7, 255, 256, 257, 5000, 70000, 300000};
    (void)state;
    for (size_t m = 0; m < COUNT(maxima); m++) {
        struct buf b;
        uint64_t in = 0, out = 0;
        uint8_t *at;
        buf_init(&b, maxima[m]);
        for (int step = 0; step < 3000; step++) {
            size_t n = (size_t)portable_random() % (maxima[m] + 2);
            if (portable_random() % 2 == 0) {
                int r = buf_reserve(&b, n, &at);
                assert_int_equal(r, n <= maxima[m] - (size_t)(in - out) ? 0 : -ENOBUFS);
                if (r != 0)
                    continue;
                for (size_t i = 0; i < n; i++)
                    at[i] = (uint8_t)((in + i) * 31);
                buf_commit(&b, n);
                in += n;
            } else {
                n = n < buf_len(&b) ? n : buf_len(&b);
                for (size_t i = 0; i < n; i++) {
                    if (buf_data(&b)[i] != (uint8_t)((out + i) * 31))
                        fail_msg("wrong byte at %zu of %zu", i, n);
                }
                buf_consume(&b, n);
                out += n;
            }
            assert_int_equal(buf_len(&b), in - out);
            assert_true(b.cap <= maxima[m] + maxima[m] / 4 + 1);
        }
        buf_release(&b);
    }
}

/* A full buffer fed and drained in small steps must not move all its bytes at each. */
static void small_steps_move_few_bytes(void **state)
{
    const size_t max = 1 << 20, step = 64;
    struct buf b;
    uint8_t *at;
    size_t moves = 0;
    (void)state;
    buf_init(&b, max);
    assert_int_equal(buf_reserve(&b, max, &at), 0);
    memset(at, 'x', max);
    buf_commit(&b, max);
    for (int i = 0; i < 100000; i++) {
        buf_consume(&b, step);
        size_t before = b.start;
        assert_int_equal(buf_reserve(&b, step, &at), 0);
        moves += b.start < before ? 1 : 0;
        memset(at, 'y', step);
        buf_commit(&b, step);
    }
    /* 6.4 MB through: a move for each quarter of the maximum, and one for the growth. */
    assert_in_range(moves, 1, 30);
    buf_release(&b);
}

static void an_emptied_buffer_gives_back(void **state)
{
    struct buf b;
    uint8_t *at;
    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(buf_reserve(&b, 200000, &at), 0);
    buf_commit(&b, 200000);
    buf_consume(&b, 199999);
    assert_true(b.cap >= 200000);
    buf_consume(&b, 1);
    assert_int_equal(b.cap, 0);
    assert_int_equal(buf_append_str(&b, "again"), 0);
    buf_clear(&b);
    assert_true(b.cap > 0);
    buf_release(&b);
    assert_int_equal(b.cap, 0);
    assert_int_equal(buf_room(&b), 1 << 20);
}

static void empty_and_zeroed(void **state)
{
    struct buf b = {0};
    (void)state;
    buf_release(&b);
    buf_wipe(&b);
    assert_int_equal(buf_append(&b, "x", 1), -ENOBUFS);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_string_equal(buf_str(&b), "");
    buf_release(&b);
    buf_init(&b, 5);
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(buf_append_str(&b, "secret"), -ENOBUFS);
    assert_int_equal(buf_append_str(&b, "sesam"), 0);
    buf_wipe(&b);
    assert_int_equal(buf_len(&b), 0);
    assert_null(buf_data(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_beyond_maximum),     cmocka_unit_test(a_huge_count_is_refused),
        cmocka_unit_test(reserve_and_commit),         cmocka_unit_test(contents_hold_under_any_steps),
        cmocka_unit_test(small_steps_move_few_bytes), cmocka_unit_test(an_emptied_buffer_gives_back),
        cmocka_unit_test(empty_and_zeroed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
