/* UTF-8: what is a character, what may be shown, where text may be cut. */
#include "cmocka_all.h"

#include "base/utf8.h"
#include <stdio.h>
#include <string.h>

static size_t encode(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00 >> len & 0xff) | code);
    return len;
}

static void every_code_point(void **state)
{
    char text[4];
    uint32_t code = 0;
    (void)state;
    for (uint32_t c = 0; c < 0x120000; c++) {
        size_t n = encode(c, text);
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        size_t want = surrogate || c > 0x10ffff ? 0 : n;
        if (utf8_next(text, n, &code) != want || (want > 0 && code != c))
            fail_msg("U+%04X", (unsigned)c);
        for (size_t cut = 0; cut < n; cut++)
            assert_int_equal(utf8_next(text, cut, &code), 0);
    }
}

static void invalid_forms(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xfe",
        "\xff",
        "\xc3\x28",
        "\xe2\x28\xa1",
        "\xe2\x82\x28",
        "\xed\xa0\x80",
        "ok\xc3",
        "ok\xf0\x9f\x98",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(utf8_ok(bad[i], strlen(bad[i])));
    assert_true(utf8_ok("", 0));
    assert_true(utf8_ok("a\0b", 3));
    assert_true(utf8_ok("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", 15));
}

static void unsafe_characters(void **state)
{
    static const uint32_t unsafe[] = {0,    0x07,   0x0a,   0x1b,   0x7f,   0x80,  0x9b,
                                      0x9f, 0x2028, 0x2029, 0x202e, 0x2066, 0x200f};
    static const uint32_t safe[] = {' ', '~', 0xa0, 0xe4, 0x20ac, 0x200d, 0x1f600};
    (void)state;
    for (size_t i = 0; i < COUNT(unsafe); i++)
        assert_true(utf8_unsafe(unsafe[i]));
    for (size_t i = 0; i < COUNT(safe); i++)
        assert_false(utf8_unsafe(safe[i]));
}

static void cuts_at_characters(void **state)
{
    const char *text = "a\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t at[] = {0, 1, 1, 1, 4, 4, 4, 4, 8, 9};
    (void)state;
    for (size_t max = 0; max < COUNT(at); max++)
        assert_int_equal(utf8_cut(text, 9, max), at[max]);
    assert_int_equal(utf8_cut(text, 9, 100), 9);
    assert_int_equal(utf8_cut("\x80\x80\x80\x80\x80", 5, 3), 3); /* no character there to keep whole */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(invalid_forms),
        cmocka_unit_test(unsafe_characters),
        cmocka_unit_test(cuts_at_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
