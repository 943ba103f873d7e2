/* The picker without a terminal: what is shown and chosen, and what the bytes of a terminal mean. */
#include "cmocka_all.h"

#include "client/keys.h"
#include "client/pick.h"
#include "portable.h"
#include <stdlib.h>
#include <string.h>

static struct machine *many(size_t n)
{
    struct machine *m = calloc(n, sizeof *m);
    assert_non_null(m);
    for (size_t i = 0; i < n; i++) {
        snprintf(m[i].name, sizeof m[i].name, "web%05u", (unsigned)i);
        snprintf(m[i].os, sizeof m[i].os, "%s",
                 i % 2 ? "Debian"
                       : "gr\xc3\xb6\xc3\x9f"
                         "er");
    }
    return m;
}

static void type(struct pick *p, const char *text)
{
    for (; *text != 0; text++)
        pick_type(p, text, 1);
}

static void filters(void **state)
{
    struct machines all = {many(1000), 1000};
    struct pick p;
    (void)state;
    assert_int_equal(pick_init(&p, &all), 0);
    assert_int_equal(p.n, 1000);
    type(&p, "WEB0012");
    assert_int_equal(p.n, 10);
    assert_string_equal(pick_chosen(&p)->name, "web00120");
    type(&p, " deb");
    assert_int_equal(p.n, 5);
    pick_move(&p, 2);
    assert_string_equal(pick_chosen(&p)->name, "web00125");
    pick_erase_word(&p);
    assert_string_equal(p.filter, "WEB0012 ");
    assert_string_equal(pick_chosen(&p)->name, "web00125"); /* stays */
    pick_erase_all(&p);
    assert_int_equal(p.n, 1000);
    pick_type(&p, "\xc3\xb6", 2);
    assert_int_equal(p.n, 500);
    type(&p, "nothing");
    assert_int_equal(p.n, 0);
    assert_null(pick_chosen(&p));
    pick_move(&p, 1);
    pick_fit(&p, 5);
    for (int i = 0; i < 7; i++)
        pick_erase(&p);
    assert_string_equal(p.filter, "\xc3\xb6");
    pick_erase(&p);
    assert_string_equal(p.filter, "");
    pick_erase(&p);
    pick_erase_word(&p);
    /* It is bounded, and never ends within a character. */
    for (int i = 0; i < PICK_FILTER_MAX; i++)
        pick_type(&p, "\xe2\x82\xac", 3);
    assert_int_equal(strlen(p.filter), PICK_FILTER_MAX / 3 * 3);
    pick_release(&p);
    free(all.item);
}

static void windows(void **state)
{
    struct machines all = {many(100), 100};
    struct pick p;
    (void)state;
    assert_int_equal(pick_init(&p, &all), 0);
    pick_move(&p, 9);
    pick_fit(&p, 10);
    assert_int_equal(p.top, 0);
    pick_move(&p, 1);
    pick_fit(&p, 10);
    assert_int_equal(p.top, 1);
    pick_move(&p, 1000);
    pick_fit(&p, 10);
    assert_int_equal(p.at, 99);
    assert_int_equal(p.top, 90);
    pick_fit(&p, 1);
    assert_int_equal(p.top, 99);
    pick_fit(&p, 1000);
    assert_int_equal(p.top, 0);
    pick_move(&p, -1000);
    pick_fit(&p, 0);
    assert_int_equal(p.at, 0);
    /* Whatever is done, the chosen one is in the window. */
    for (int i = 0; i < 20000; i++) {
        unsigned long what = portable_random() % 7;
        size_t rows = 1 + portable_random() % 30;
        if (what == 0)
            pick_type(&p, &"0123456789w "[portable_random() % 12], 1);
        else if (what == 1)
            pick_erase(&p);
        else
            pick_move(&p, (long)(portable_random() % 41) - 20);
        pick_fit(&p, rows);
        assert_true(p.n == 0 || (p.at < p.n && p.at >= p.top && p.at < p.top + rows));
        assert_true(p.top == 0 || p.top + rows <= p.n);
    }
    pick_release(&p);
    free(all.item);
}

static void expect(const char *bytes, enum key key)
{
    struct keys k = {0};
    enum key got = KEY_NONE;
    for (size_t i = 0; bytes[i] != 0; i++) {
        assert_int_equal(got, KEY_NONE);
        got = keys_feed(&k, (unsigned char)bytes[i]);
    }
    assert_int_equal(got, key);
    assert_false(keys_waiting(&k));
}

static void keys(void **state)
{
    struct keys k = {0};
    (void)state;
    expect("\x1b[A", KEY_UP);
    expect("\x1bOB", KEY_DOWN);
    expect("\x1b[5~", KEY_PAGE_UP);
    expect("\x1b[6~", KEY_PAGE_DOWN);
    expect("\x1b[1;5C", KEY_OTHER);
    expect("\x1bx", KEY_OTHER);
    expect("\x1b\x1b", KEY_ESCAPE);
    expect("\r", KEY_ENTER);
    expect("\t", KEY_TAB);
    expect("\x7f", KEY_BACKSPACE);
    expect("\x06", KEY_CONTROL);
    expect("a", KEY_CHARACTER);
    expect("\xc3\xb6", KEY_CHARACTER);
    expect("\xf0\x9f\x98\x80", KEY_CHARACTER);
    expect("\xc2\x9b", KEY_OTHER); /* a C1 control */
    expect("\xe2\x80\xa8", KEY_OTHER);
    assert_int_equal(keys_feed(&k, 0x1b), KEY_NONE);
    assert_true(keys_waiting(&k));
    assert_int_equal(keys_idle(&k), KEY_ESCAPE);
    assert_int_equal(keys_idle(&k), KEY_NONE);
    /* A character that is cut short does not swallow the next one. */
    assert_int_equal(keys_feed(&k, 0xc3), KEY_NONE);
    assert_int_equal(keys_feed(&k, 'a'), KEY_CHARACTER);
    assert_string_equal(k.text, "a");
    /* Anything at all. */
    for (int i = 0; i < 200000; i++) {
        enum key key = keys_feed(&k, (unsigned char)portable_random());
        assert_true(key != KEY_CHARACTER || (k.text_n > 0 && k.text_n < sizeof k.text));
        if (portable_random() % 5 == 0)
            keys_idle(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters),
        cmocka_unit_test(windows),
        cmocka_unit_test(keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
