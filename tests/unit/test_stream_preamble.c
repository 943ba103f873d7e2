/* The preamble: what is written is read again, in whatever pieces it comes; strangers are told apart early.
 */
#include "stream/preamble.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants the four headers above first. */
#include <cmocka.h>

static void test_round_trip_in_pieces(void **state)
{
    struct preamble p = {.ticket = "AbC-_9.xyz", .edge = 'b', .epoch = UINT32_MAX}, back;
    char line[PREAMBLE_MAX + 8];
    int n;

    (void)state;
    n = preamble_format(&p, line, sizeof line);
    assert_string_equal(line, "MULTISSH/1 ticket=AbC-_9.xyz edge=b epoch=4294967295\n");
    assert_int_equal(n, (int)strlen(line));
    for (int i = 0; i < n; i++)
        assert_int_equal(preamble_parse(line, (size_t)i, &back), -EAGAIN);
    memcpy(line + n, "\1\0\xff", 3); /* the first frame may follow at once */
    assert_int_equal(preamble_parse(line, (size_t)n + 3, &back), n);
    assert_string_equal(back.ticket, p.ticket);
    assert_int_equal(back.edge, 'b');
    assert_true(back.epoch == UINT32_MAX);
}

static void test_longest(void **state)
{
    struct preamble p = {.edge = 'a', .epoch = UINT32_MAX}, back;
    char line[PREAMBLE_MAX + 1];
    int n;

    (void)state;
    memset(p.ticket, 'x', sizeof p.ticket - 1);
    n = preamble_format(&p, line, sizeof line);
    assert_true(n > 0);
    assert_int_equal(preamble_parse(line, (size_t)n, &back), n);
    assert_string_equal(back.ticket, p.ticket);
    assert_int_equal(preamble_format(&p, line, (size_t)n), -ENOBUFS);
}

static void test_format_refuses(void **state)
{
    struct preamble p = {.ticket = "a.b", .edge = 'c'};
    char line[PREAMBLE_MAX + 1];

    (void)state;
    assert_int_equal(preamble_format(&p, line, sizeof line), -EINVAL);
    p.edge = 'a';
    strncpy(p.ticket, "a b", sizeof p.ticket);
    assert_int_equal(preamble_format(&p, line, sizeof line), -EINVAL);
    p.ticket[0] = '\0';
    assert_int_equal(preamble_format(&p, line, sizeof line), -EINVAL);
    memset(p.ticket, 'x', sizeof p.ticket);
    assert_int_equal(preamble_format(&p, line, sizeof line), -EINVAL);
}

static int parse(const char *text)
{
    struct preamble p;
    return preamble_parse(text, strlen(text), &p);
}

static void test_words(void **state)
{
    (void)state;
    assert_true(parse("MULTISSH/1 epoch=0 edge=a ticket=t.m\n") > 0);
    assert_true(parse("MULTISSH/1 ticket=t.m edge=a colour=blue epoch=7\n") > 0);
    assert_true(parse("MULTISSH/1 ticket=t.m edge=a x= epoch=7\n") > 0);
    static const char *const bad[] = {
        "MULTISSH/1 ticket=t.m edge=a\n",
        "MULTISSH/1 ticket=t.m epoch=1\n",
        "MULTISSH/1 edge=a epoch=1\n",
        "MULTISSH/1 ticket=t.m ticket=t.m edge=a epoch=1\n",
        "MULTISSH/1 ticket=t.m edge=a edge=a epoch=1\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 epoch=1\n",
        "MULTISSH/1 ticket=t.m edge=c epoch=1\n",
        "MULTISSH/1 ticket=t.m edge=ab epoch=1\n",
        "MULTISSH/1 ticket= edge=a epoch=1\n",
        "MULTISSH/1 ticket=t/m edge=a epoch=1\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=-1\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=01\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=4294967296\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=99999999999999999999\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 \n",
        "MULTISSH/1 ticket=t.m  edge=a epoch=1\n",
        "MULTISSH/1  ticket=t.m edge=a epoch=1\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1\r\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 word\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 =v\n",
        "MULTISSH/1 \n",
        "MULTISSH/2 ticket=t.m edge=a epoch=1\n",
        "MULTISSH/10 ticket=t.m edge=a epoch=1\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(bad[i]) != -EPROTO)
            fail_msg("accepted: %s", bad[i]);
}

static void test_strangers(void **state)
{
    char flood[PREAMBLE_MAX + 100];
    struct preamble p;

    (void)state;
    assert_int_equal(parse(""), -EAGAIN);
    assert_int_equal(parse("G"), -EPROTO);
    assert_int_equal(parse("MULTISSH\n"), -EPROTO);
    assert_int_equal(parse("MULTISSH/1 \x01"), -EPROTO);
    assert_int_equal(parse("MULTISSH/1 \xc3\xa4"), -EPROTO);
    assert_int_equal(preamble_parse("MULTISSH/1 a\0b", 14, &p), -EPROTO);
    memset(flood, 'x', sizeof flood);
    memcpy(flood, "MULTISSH/1 ", 11);
    assert_int_equal(preamble_parse(flood, PREAMBLE_MAX - 1, &p), -EAGAIN);
    assert_int_equal(preamble_parse(flood, PREAMBLE_MAX, &p), -EPROTO);
    assert_int_equal(preamble_parse(flood, sizeof flood, &p), -EPROTO);
    flood[PREAMBLE_MAX] = '\n';
    assert_int_equal(preamble_parse(flood, sizeof flood, &p), -EPROTO);
    /* a ticket one byte too long */
    memset(flood, 'x', sizeof flood);
    memcpy(flood, "MULTISSH/1 ticket=", 18);
    memcpy(flood + 18 + TICKET_TEXT_MAX, " edge=a epoch=1\n", 16);
    assert_int_equal(preamble_parse(flood, 18 + TICKET_TEXT_MAX + 16, &p), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_in_pieces),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_format_refuses),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
