/* Lines of ini files, good and bad. */
#include "cmocka_all.h"

#include "base/ini.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* All of text as "NAME|VALUE" lines with their numbers, and the error that ended it. */
static const char *taken(const char *text)
{
    static char out[2000];
    const char *name, *value;
    struct ini ini;
    size_t n = 0;
    int r;
    ini_init(&ini, text);
    out[0] = '\0';
    while ((r = ini_next(&ini, &name, &value)) > 0)
        n += (size_t)snprintf(out + n, sizeof out - n, "%u:%s|%s\n", ini.line, name, value);
    if (r < 0)
        snprintf(out + n, sizeof out - n, "%u:%s", ini.line,
                 r == -EINVAL  ? "form"
                 : r == -E2BIG ? "long"
                               : "?");
    return out;
}

static void settings(void **state)
{
    (void)state;
    assert_string_equal(taken(""), "");
    assert_string_equal(taken("a = b"), "1:a|b\n");
    assert_string_equal(taken("a=b\n\n \t\nc:d\n"), "1:a|b\n4:c|d\n");
    assert_string_equal(taken("  two words \t=\t some text  \r\n"), "1:two words|some text\n");
    assert_string_equal(taken("a = b = c: d\nx: y = z\n"), "1:a|b = c: d\n2:x|y = z\n");
    assert_string_equal(taken("a =\nb = \n= c\n"), "1:a|\n2:b|\n3:|c\n");
    assert_string_equal(taken("a = \"q\"\n"), "1:a|\"q\"\n");
    assert_string_equal(taken("gr\xc3\xbc\xc3\x9f = \xe2\x82\xac\n"), "1:gr\xc3\xbc\xc3\x9f|\xe2\x82\xac\n");
}

static void comments(void **state)
{
    (void)state;
    assert_string_equal(taken("# a = b\n;c = d\n  # e = f\n\t; g\n"), "");
    assert_string_equal(taken("a = b ; c\nd = e;f\ng = h\t;i ; j\n"), "1:a|b\n2:d|e;f\n3:g|h\n");
    assert_string_equal(taken("a = b # c\nd = ; e\nf =;g\n"), "1:a|b # c\n2:d|\n3:f|;g\n");
    assert_string_equal(taken("a = \n ; b\n"), "1:a|\n");
    /* What stands behind it cannot make a setting of the name. */
    assert_string_equal(taken("a ; = b\n"), "1:form");
}

static void sections(void **state)
{
    (void)state;
    assert_string_equal(taken("[s]\na = b\n[ t u ] # v\n  [w]\r\nc = d\n"), "2:a|b\n5:c|d\n");
    assert_string_equal(taken("[s\na = b\n"), "1:form");
    assert_string_equal(taken("[s ;]\n"), "1:form");
}

static void lines(void **state)
{
    char text[INI_LINE_MAX + 60];
    (void)state;
    assert_string_equal(taken("\xef\xbb\xbf"
                              "a = b\nc = d"),
                        "1:a|b\n2:c|d\n");
    assert_string_equal(taken("\xef\xbb\xbf# a\n"), "");
    assert_string_equal(taken("a = b\n\xef\xbb\xbf"
                              "c = d\n"),
                        "1:a|b\n2:\xef\xbb\xbf"
                        "c|d\n"); /* no mark there */
    assert_string_equal(taken("a = b\r\n\r\nc = d\r\n"), "1:a|b\n3:c|d\n");
    assert_string_equal(taken("a = b\n  more\n"), "1:a|b\n2:form"); /* no line goes on in the next one */
    assert_string_equal(taken("words\na = b\n"), "1:form");
    /* The longest line, whose blanks in front do not count, and one more byte. */
    memset(text, 'x', sizeof text);
    memcpy(text, "\n\t  a = ", 8);
    text[4 + INI_LINE_MAX] = '\n';
    text[5 + INI_LINE_MAX] = '\0';
    assert_int_equal(strlen(taken(text)), strlen("2:a|\n") + INI_LINE_MAX - 4);
    text[4 + INI_LINE_MAX] = 'x';
    assert_string_equal(taken(text), "2:long");
    text[2] = '#';
    assert_string_equal(taken(text), "2:long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings),
        cmocka_unit_test(comments),
        cmocka_unit_test(sections),
        cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
