/* The preamble: what is written is read again, in whatever pieces it comes; strangers are told apart early.
 */
#include "base/crypto.h"
#include "stream/preamble.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants the four headers above first. */
#include <cmocka.h>

#define MAC "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" /* 32 bytes */

static const uint8_t the_key[TICKET_KEY_SIZE] = {1, 2, 3};

static void test_round_trip_in_pieces(void **state)
{
    struct preamble p = {.ticket = "AbC-_9.xyz", .edge = 'b', .epoch = UINT32_MAX}, back;
    char line[PREAMBLE_MAX + 8];
    int n;

    (void)state;
    n = preamble_format(&p, line, sizeof line);
    assert_string_equal(line, "MULTISSH/1 ticket=AbC-_9.xyz edge=b epoch=4294967295 mac=" MAC "\n");
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
    assert_true(parse("MULTISSH/1 epoch=0 edge=a ticket=t.m mac=" MAC "\n") > 0);
    assert_true(parse("MULTISSH/1 ticket=t.m edge=a colour=blue epoch=7 mac=" MAC "\n") > 0);
    assert_true(parse("MULTISSH/1 ticket=t.m edge=a x= epoch=7 mac=" MAC "\n") > 0);
    static const char *const bad[] = {
        "MULTISSH/1 ticket=t.m edge=a mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m epoch=1 mac=" MAC "\n",
        "MULTISSH/1 edge=a epoch=1 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m ticket=t.m edge=a epoch=1 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a edge=a epoch=1 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 epoch=1 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=c epoch=1 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=ab epoch=1 mac=" MAC "\n",
        "MULTISSH/1 ticket= edge=a epoch=1 mac=" MAC "\n",
        "MULTISSH/1 ticket=t/m edge=a epoch=1 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch= mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=-1 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=01 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=4294967296 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=99999999999999999999 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 mac=" MAC " \n",
        "MULTISSH/1 ticket=t.m  edge=a epoch=1 mac=" MAC "\n",
        "MULTISSH/1  ticket=t.m edge=a epoch=1 mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 mac=" MAC "\r\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 word mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 =v mac=" MAC "\n",
        "MULTISSH/1  mac=" MAC "\n",
        "MULTISSH/2 ticket=t.m edge=a epoch=1\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 mac=\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 mac=" MAC "A\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 mac=" MAC " mac=" MAC "\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 mac=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n",
        "MULTISSH/1 ticket=t.m edge=a epoch=1 mac=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/\n",
        "MULTISSH/1 refused final=yes mac=" MAC " text=x\n",
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
    memcpy(flood + 18 + TICKET_TEXT_MAX, " edge=a epoch=1 mac=" MAC "\n", 16 + 5 + 43);
    assert_int_equal(preamble_parse(flood, 18 + TICKET_TEXT_MAX + 16 + 5 + 43, &p), -EPROTO);
}

static void test_signed(void **state)
{
    struct preamble p = {.ticket = "AbC-_9.xyz", .edge = 'b', .epoch = 0x01020304}, back;
    const struct crypto_piece pieces[] = {{"multissh preamble v1\0b\1\2\3\4AbC-_9.xyz", 36}};
    uint8_t mac[CRYPTO_HASH_SIZE], other[TICKET_KEY_SIZE] = {1, 2, 4};
    char line[PREAMBLE_MAX + 1];
    int n;

    (void)state;
    assert_int_equal(preamble_sign(&p, the_key), 0);
    assert_int_equal(crypto_hmac(the_key, sizeof the_key, pieces, 1, mac), 0);
    assert_memory_equal(p.mac, mac, sizeof mac);
    n = preamble_format(&p, line, sizeof line);
    assert_int_equal(preamble_parse(line, (size_t)n, &back), n);
    assert_true(preamble_verify(&back, the_key));
    assert_false(preamble_verify(&back, other));
    back.epoch++;
    assert_false(preamble_verify(&back, the_key));
    back.epoch--;
    back.edge = 'a';
    assert_false(preamble_verify(&back, the_key));
    back.edge = 'b';
    back.ticket[0] = 'a';
    assert_false(preamble_verify(&back, the_key));
    back.ticket[0] = 'A';
    back.mac[31] ^= 1;
    assert_false(preamble_verify(&back, the_key));
    back.mac[31] ^= 1;
    assert_true(preamble_verify(&back, the_key));
    p.edge = 'c';
    assert_int_equal(preamble_sign(&p, the_key), -EINVAL);
    assert_false(preamble_verify(&p, the_key));
}

static void test_refusal(void **state)
{
    static const char *const texts[][2] = {{"killed by alice", "killed by alice"},
                                           {"", ""},
                                           {"text=x final=no", "text=x final=no"},
                                           {"two\nlines\x1b[31m\xff", "two?lines?[31m?"},
                                           {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"}};
    struct preamble p = {.ticket = "t.m", .edge = 'b', .epoch = 7};
    struct preamble_refusal r;
    char line[PREAMBLE_MAX + 8];
    int n;

    (void)state;
    for (size_t i = 0; i < 2 * (sizeof texts / sizeof *texts); i++) {
        n = preamble_refuse_format(&p, the_key, i % 2 == 0, texts[i / 2][0], line, sizeof line);
        assert_true(n > 0 && n <= PREAMBLE_MAX && (size_t)n == strlen(line));
        for (int k = 0; k < n; k++)
            assert_int_equal(preamble_refuse_parse(line, (size_t)k, &p, the_key, &r), -EAGAIN);
        memcpy(line + n, "more", 4);
        assert_int_equal(preamble_refuse_parse(line, (size_t)n + 4, &p, the_key, &r), n);
        assert_int_equal(r.final, i % 2 == 0);
        assert_string_equal(r.text, texts[i / 2][1]);
    }
}

static void test_refusal_for_another(void **state)
{
    struct preamble p = {.ticket = "t.m", .edge = 'b', .epoch = 7}, q;
    uint8_t other[TICKET_KEY_SIZE] = {1, 2, 4};
    struct preamble_refusal r = {.text = "untouched"};
    char line[PREAMBLE_MAX + 1], *at;
    int n;

    (void)state;
    n = preamble_refuse_format(&p, the_key, false, "wait", line, sizeof line);
    assert_int_equal(preamble_refuse_parse(line, (size_t)n, &p, other, &r), -EPERM);
    q = p;
    q.epoch = 8;
    assert_int_equal(preamble_refuse_parse(line, (size_t)n, &q, the_key, &r), -EPERM);
    q = p;
    q.edge = 'a';
    assert_int_equal(preamble_refuse_parse(line, (size_t)n, &q, the_key, &r), -EPERM);
    line[n - 2] = 'x';
    assert_int_equal(preamble_refuse_parse(line, (size_t)n, &p, the_key, &r), -EPERM);
    /* A no that was made a yes. */
    n = preamble_refuse_format(&p, the_key, false, "wait", line, sizeof line);
    at = strstr(line, "final=no ");
    memmove(at + 9 + 1, at + 9, strlen(at + 9) + 1);
    memcpy(at, "final=yes ", 10);
    assert_int_equal(preamble_refuse_parse(line, (size_t)n + 1, &p, the_key, &r), -EPERM);
    assert_string_equal(r.text, "untouched");
    p.edge = 'c';
    assert_int_equal(preamble_refuse_format(&p, the_key, false, "wait", line, sizeof line), -EINVAL);
    p.edge = 'a';
    assert_int_equal(preamble_refuse_format(&p, the_key, false, "wait", line, (size_t)n), -ENOBUFS);
}

static void test_no_refusal(void **state)
{
    static const char *const bad[] = {
        "\1",
        "N",
        "MULTISSH/2",
        "MULTISSH/1 ticket=",
        "MULTISSH/1 refused final=perhaps",
        "MULTISSH/1 refused final=yes text=x\n",
        "MULTISSH/1 refused final=yes mac=" MAC "\n",
        "MULTISSH/1 refused final=yes mac=" MAC "A text=x\n",
        "MULTISSH/1 refused final=yes mac=\n",
        "MULTISSH/1 refused final=yes mac=" MAC " text=\x1b[31m\n",
        "MULTISSH/1 refused final=yes mac=" MAC " text=\xff\n",
        "MULTISSH/1 refused final=yes mac=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/ text=x\n"};
    struct preamble p = {.ticket = "t.m", .edge = 'b', .epoch = 7};
    struct preamble_refusal r;
    char line[PREAMBLE_MAX + 200], text[PREAMBLE_TEXT_MAX + 100];
    int n;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (preamble_refuse_parse(bad[i], strlen(bad[i]), &p, the_key, &r) != -EPROTO)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(preamble_refuse_parse("", 0, &p, the_key, &r), -EAGAIN);
    /* The longest text, and one byte more. */
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    n = preamble_refuse_format(&p, the_key, true, text, line, sizeof line);
    assert_int_equal(preamble_refuse_parse(line, (size_t)n, &p, the_key, &r), n);
    assert_int_equal(strlen(r.text), PREAMBLE_TEXT_MAX);
    memcpy(line + n - 1, "x\n", 3);
    assert_int_equal(preamble_refuse_parse(line, (size_t)n + 1, &p, the_key, &r), -EPROTO);
    /* No end. */
    memset(line + n - 1, 'x', sizeof line - (size_t)n);
    assert_int_equal(preamble_refuse_parse(line, PREAMBLE_MAX - 1, &p, the_key, &r), -EAGAIN);
    assert_int_equal(preamble_refuse_parse(line, sizeof line, &p, the_key, &r), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_in_pieces),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_format_refuses),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_signed),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_refusal_for_another),
        cmocka_unit_test(test_no_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
