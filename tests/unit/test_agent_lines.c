/* Lines out of bytes that come in any pieces. */
#include "cmocka_all.h"

#include "agent/lines.h"
#include <errno.h>
#include <string.h>

static void pieces(void **state)
{
    struct buf b;
    const char *line;
    size_t n;
    (void)state;
    buf_init(&b, 100);
    assert_int_equal(lines_next(&b, 10, &line, &n), 0);
    assert_int_equal(buf_append_str(&b, "ab"), 0);
    assert_int_equal(lines_next(&b, 10, &line, &n), 0);
    assert_int_equal(buf_append_str(&b, "c\n\nlast"), 0);
    assert_int_equal(lines_next(&b, 10, &line, &n), 1);
    assert_int_equal(n, 3);
    assert_memory_equal(line, "abc", 3);
    buf_consume(&b, n + 1);
    assert_int_equal(lines_next(&b, 10, &line, &n), 1);
    assert_int_equal(n, 0);
    buf_consume(&b, n + 1);
    assert_int_equal(lines_next(&b, 10, &line, &n), 0);
    buf_release(&b);
}

static void bound(void **state)
{
    struct buf b;
    const char *line;
    size_t n;
    (void)state;
    buf_init(&b, 100);
    assert_int_equal(buf_append_str(&b, "123456789\n"), 0); /* ten bytes with its newline */
    assert_int_equal(lines_next(&b, 10, &line, &n), 1);
    assert_int_equal(lines_next(&b, 9, &line, &n), -EMSGSIZE);
    buf_clear(&b);
    assert_int_equal(buf_append_str(&b, "123456789"), 0);
    assert_int_equal(lines_next(&b, 10, &line, &n), 0);
    assert_int_equal(buf_append_str(&b, "0"), 0); /* whatever follows, it is too long */
    assert_int_equal(lines_next(&b, 10, &line, &n), -EMSGSIZE);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pieces), cmocka_unit_test(bound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
