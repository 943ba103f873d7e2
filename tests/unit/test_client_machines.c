/* The list of machines, as a hub prints it and as it never would; and what a person answers to it. */
#include "cmocka_all.h"

#include "client/machines.h"
#include "client/menu.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int parse(const char *text, struct machines *m, struct errmsg *err)
{
    size_t n = strlen(text);
    char *copy = malloc(n + 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    int r = machines_parse(copy, n, m, err);
    free(copy);
    return r;
}

static void lists(void **state)
{
    struct machines m;
    struct errmsg err;
    (void)state;
    assert_int_equal(parse("[\n]\n", &m, &err), 0);
    assert_int_equal(m.n, 0);
    machines_release(&m);
    assert_int_equal(
        parse(
            "[\n{\"name\":\"a\",\"online\":false,\"labels\":{\"x\":\"}]\\\"\"}},\n"
            "{\"name\":\"7\",\"online\":true,\"since\":\"2026-11-22T12:46:00Z\",\"os\":\"Debian\\u001b[2J\","
            "\"host_keys\":[\"[\",\"{\"]}\n]\n",
            &m, &err),
        0);
    assert_int_equal(m.n, 2);
    assert_string_equal(m.item[0].name, "7"); /* online first */
    assert_string_equal(m.item[0].os, "Debian?[2J");
    assert_true(m.item[0].since_s == 1795351560);
    assert_string_equal(m.item[1].name, "a");
    char since[64];
    machines_since(&m.item[0], 1795351560 + 840, since, sizeof since);
    assert_string_equal(since, "online 14 min");
    machines_since(&m.item[0], 0, since, sizeof since); /* the hub's clock is ahead */
    assert_string_equal(since, "online 0 s");
    machines_since(&m.item[1], 0, since, sizeof since);
    assert_string_equal(since, "offline");

    const char *name = NULL;
    bool forward = false;
    assert_int_equal(menu_answer(&m, "2", &name, &forward), 0);
    assert_string_equal(name, "a");
    assert_int_equal(menu_answer(&m, "7", &name, &forward), 0); /* a name goes before a number */
    assert_string_equal(name, "7");
    assert_int_equal(menu_answer(&m, "f A", &name, &forward), 0);
    assert_true(forward);
    assert_string_equal(name, "a");
    static const char *const wrong[] = {"", "0", "3", "99999999999", "-1", "b", "1 2", "f ", "a b"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(menu_answer(&m, wrong[i], &name, &forward), -EINVAL);
    machines_release(&m);
}

static void no_lists(void **state)
{
    static const char *const cases[] = {
        "",
        "x",
        "[",
        "]",
        "{}",
        "[]x",
        "[{}]",
        "[1]",
        "[{\"name\":\"a\"}",
        "[{\"name\":\"a\"},]",
        "[{\"name\":\"a\"} {\"name\":\"b\"}]",
        "[{\"name\":\"-a\"}]",
        "[{\"name\":\"a b\"}]",
        "[{\"name\":1}]",
        "[{\"name\":\"a\",\"name\":\"b\"}]",
        "[{\"name\":\"a\\u0000\"}]",
        "[{\"name\":\"a]",
        "[[{\"name\":\"a\"}]]",
        "[{\"name\":\"a\"}}]",
        "[\"\\",
        "[{\"\\",
        "hello\n[]",
    };
    struct machines m;
    struct errmsg err;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (parse(cases[i], &m, &err) != -EPROTO)
            fail_msg("taken: %s", cases[i]);
        assert_int_equal(m.n, 0);
    }
}

static void times(void **state)
{
    (void)state;
    assert_true(machines_time("1970-01-01T00:00:00Z") == 0);
    assert_true(machines_time("1970-01-02T00:00:01Z") == 86401);
    assert_true(machines_time("2000-02-29T12:00:00Z") == 951825600);
    assert_true(machines_time("2000-03-01T00:00:00Z") == 951868800);
    assert_true(machines_time("2026-11-22T12:46:00Z") == 1795351560);
    static const char *const wrong[] = {"",
                                        "2026-11-22",
                                        "2026-11-22T12:46:00",
                                        "2026-13-22T12:46:00Z",
                                        "2026-11-22 12:46:00Z",
                                        "2026-11-22T12:46:00+1",
                                        "1969-12-31T23:59:59Z",
                                        "x026-11-22T12:46:00Z"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_true(machines_time(wrong[i]) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(no_lists),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
