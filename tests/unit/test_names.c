/* Names and patterns. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "base/names.h"
#include "portable.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *repeat(const char *unit, size_t times)
{
    size_t n = strlen(unit);
    char *out = malloc(n * times + 1);
    for (size_t i = 0; i < times; i++)
        memcpy(out + i * n, unit, n);
    out[n * times] = '\0';
    return out;
}

static void machine_names(void **state)
{
    static const char *const good[] = {"a",
                                       "web01",
                                       "WEB-01",
                                       "a_b",
                                       "0",
                                       "a--b",
                                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"};
    static const char *const bad[] = {"",
                                      "-a",
                                      "a-",
                                      "_a",
                                      "a_",
                                      "a.b",
                                      "a b",
                                      "a\n",
                                      "a/b",
                                      "..",
                                      "w\xc3\xa4",
                                      "a\x1b",
                                      "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"};
    (void)state;
    assert_int_equal(strlen(good[6]), 63);
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(names_machine_ok(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(names_machine_ok(bad[i]));
}

static void user_and_host_names(void **state)
{
    char *sixty_four = repeat("u", 64), *sixty_five = repeat("u", 65);
    char *longest = repeat("h", 253), *too_long = repeat("h", 254);
    (void)state;
    assert_true(names_user_ok("alice"));
    assert_true(names_user_ok("alice.b+c@example.com"));
    assert_true(names_user_ok(sixty_four));
    assert_false(names_user_ok(sixty_five));
    assert_false(names_user_ok(""));
    assert_false(names_user_ok("-oProxyCommand=x"));
    assert_false(names_user_ok("a b"));
    assert_false(names_user_ok("a\nb"));
    assert_true(names_host_ok("example.com"));
    assert_true(names_host_ok("::1"));
    assert_true(names_host_ok(longest));
    assert_false(names_host_ok(too_long));
    assert_false(names_host_ok(""));
    assert_false(names_host_ok("-x"));
    assert_false(names_host_ok("a b"));
    assert_false(names_host_ok("a;b"));
    free(sixty_four);
    free(sixty_five);
    free(longest);
    free(too_long);
}

static void from_host(void **state)
{
    static const char *const cases[][2] = {
        {"web01.example.com", "web01"}, {"WEB", "WEB"},   {"-a-.x", "a"},
        {"m\xc3\xa4x box", "mxbox"},    {"_a_b_", "a_b"},
    };
    static const char *const bad[] = {"", ".com", "---", "\xc3\xa4", "__._"};
    char out[NAMES_MACHINE_MAX + 1], small[4];
    char *long_name = repeat("n", 100);
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(names_from_host(cases[i][0], out, sizeof out), 0);
        assert_string_equal(out, cases[i][1]);
        assert_true(names_machine_ok(out));
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(names_from_host(bad[i], out, sizeof out), -EINVAL);
    assert_int_equal(names_from_host(long_name, out, sizeof out), 0);
    assert_int_equal(strlen(out), 63);
    assert_int_equal(names_from_host("ab-cd", small, sizeof small), 0);
    assert_string_equal(small, "ab");
    free(long_name);
}

static void same(void **state)
{
    (void)state;
    assert_true(names_same("Web01", "wEB01"));
    assert_false(names_same("web01", "web011"));
    assert_false(names_same("web011", "web01"));
    assert_false(names_same("a[", "a{"));
    assert_true(names_same("", ""));
}

static void patterns(void **state)
{
    static const char *const yes[][2] = {
        {"web01", "web01"},
        {"web01", "WEB*"},
        {"web01", "*"},
        {"web01", "w?b0?"},
        {"web01", "*0*"},
        {"web01", "*1"},
        {"", "*"},
        {"", ""},
        {"", "***"},
        {"aXbXc", "a*x*c"},
        {"aab", "*ab"},
        {"abab", "*ab"},
        {"mississippi", "m*iss*ip*i"},
        {"a*b", "a*b"},
        {"aaaa", "a*a*a*a"},
    };
    static const char *const no[][2] = {
        {"web01", "web0"}, {"web01", "web011"}, {"web01", "?"}, {"", "?"},     {"web01", ""},
        {"web01", "*2"},   {"aaa", "a*a*a*a"},  {"ab", "a?b"},  {"abc", "*b"}, {"mississippi", "m*iss*ipp?x"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(yes); i++)
        assert_true(names_match(yes[i][0], yes[i][1]));
    for (size_t i = 0; i < COUNT(no); i++)
        assert_false(names_match(no[i][0], no[i][1]));
}

/* The plain definition, exponential, for short texts. */
static bool reference(const char *name, const char *pattern)
{
    if (*pattern == '\0')
        return *name == '\0';
    if (*pattern == '*')
        return reference(name, pattern + 1) || (*name != '\0' && reference(name + 1, pattern));
    return *name != '\0' && (*pattern == '?' || *pattern == *name) && reference(name + 1, pattern + 1);
}

static void agrees_with_the_definition(void **state)
{
    static const char letters[] = "ab*?";
    char name[6], pattern[6];
    size_t matched = 0;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        size_t name_n = (size_t)portable_random() % sizeof name,
               pattern_n = (size_t)portable_random() % sizeof pattern;
        for (size_t k = 0; k < name_n; k++)
            name[k] = letters[portable_random() % 2];
        for (size_t k = 0; k < pattern_n; k++)
            pattern[k] = letters[portable_random() % 4];
        name[name_n] = pattern[pattern_n] = '\0';
        if (names_match(name, pattern) != reference(name, pattern))
            fail_msg("%s %s", name, pattern);
        matched += names_match(name, pattern) ? 1 : 0;
    }
    assert_in_range(matched, 10000, 190000);
}

static void hostile_patterns_take_no_time(void **state)
{
    char *name = repeat("a", 2000), *pattern = repeat("*a", 500);
    char hostile[1002];
    (void)state;
    snprintf(hostile, sizeof hostile, "%sb", pattern);
    uint64_t before = clock_now_ms();
    assert_false(names_match(name, hostile));
    assert_true(names_match(name, pattern));
    assert_in_range(clock_now_ms() - before, 0, 2000); /* a backtracking matcher would not return */
    free(name);
    free(pattern);
}

static void lists(void **state)
{
    char *at_most = repeat("abcdefg,", 128), *beyond = repeat("abcdefgh,", 128);
    (void)state;
    assert_true(names_match_list("web01", "db*,web*"));
    assert_false(names_match_list("web09", "web*,!web09"));
    assert_false(names_match_list("web09", "!web09,web*"));
    assert_true(names_match_list("web08", "!web09,web*"));
    assert_false(names_match_list("web01", "!db*"));
    assert_false(names_match_list("web01", ""));
    assert_false(names_match_list("", ",,"));
    assert_false(names_match_list("", "!"));
    assert_true(names_match_list("a", ",,a"));
    assert_true(names_list_ok("web-*,!web-9,d?"));
    assert_true(names_list_ok("*"));
    at_most[1023] = '\0';
    assert_true(names_list_ok(at_most));
    assert_false(names_list_ok(beyond));
    static const char *const bad[] = {"",    ",",   "a,",  ",a", "a,,b", "!",       "a,!",
                                      "!!a", "a b", "a.b", "a!", "a\"",  "\xc3\xa4"};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(names_list_ok(bad[i]));
    free(at_most);
    free(beyond);
}

static void case_told_apart(void **state)
{
    (void)state;
    assert_int_equal(names_judge_exact("LANG", "LANG,LC_*"), 1);
    assert_int_equal(names_judge_exact("lang", "LANG,LC_*"), 0);
    assert_int_equal(names_judge_exact("LC_ALL", " LC_* , !LC_ALL\t"), -1);
    assert_int_equal(names_judge_exact("domain users", "wheel, domain users"), 1);
    assert_int_equal(names_judge_exact("domain", "domain users"), 0);
    assert_int_equal(names_judge_exact("a", ""), 0);
    assert_int_equal(names_judge_exact("a", " , ,"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machine_names),
        cmocka_unit_test(user_and_host_names),
        cmocka_unit_test(from_host),
        cmocka_unit_test(same),
        cmocka_unit_test(patterns),
        cmocka_unit_test(agrees_with_the_definition),
        cmocka_unit_test(hostile_patterns_take_no_time),
        cmocka_unit_test(lists),
        cmocka_unit_test(case_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
