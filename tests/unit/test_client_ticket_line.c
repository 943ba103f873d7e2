/* The line of a ticket: what is taken, and that nothing else is. */
#include "cmocka_all.h"

#include "client/ticket_line.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define PIN "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define HEAD "MULTISSH-TICKET/1 "
#define REST " port=2244 ticket=AA-_.BB key=" KEY " window=4194304 patience_ms=300000 pin=" PIN
#define GOOD HEAD "machine=web01 host=hub.example.com" REST "\n"

static int parse(const char *text, const char *name, struct ticket_line *t, struct errmsg *err)
{
    /* A copy of that very length, so that reading on is seen. */
    size_t n = strlen(text);
    char *copy = malloc(n + 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    int r = ticket_line_parse(copy, n, name, t, err);
    free(copy);
    return r;
}

static void taken(void **state)
{
    struct ticket_line t;
    struct errmsg err;
    (void)state;
    assert_int_equal(parse(GOOD, "web01", &t, &err), 0);
    assert_string_equal(t.machine, "web01");
    assert_string_equal(t.at.host, "hub.example.com");
    assert_int_equal(t.at.port, 2244);
    assert_string_equal(t.ticket, "AA-_.BB");
    assert_int_equal(t.key[1], 0x11);
    assert_int_equal(t.key[31], 0xff);
    assert_int_equal(t.window, 4194304);
    assert_int_equal(t.patience_ms, 300000);
    ticket_line_wipe(&t);
    assert_int_equal(t.key[31], 0);
    static const char *const names[] = {"WEB01", "web01.hub.example.com", "Web01."};
    for (size_t i = 0; i < COUNT(names); i++)
        assert_int_equal(parse(GOOD, names[i], &t, &err), 0);
    /* Another order, words of later versions, an IPv6 address. */
    assert_int_equal(parse(HEAD "later=1 host=2001:db8::1 machine=web01 x=" REST "\n", "web01", &t, &err), 0);
    assert_string_equal(t.at.host, "2001:db8::1");
}

static void refused(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "said nothing"},
        {"x", "no multiSSH hub"},
        {"MULTISSH-TICKET/2 machine=web01" REST "\n", "no multiSSH hub"},
        {HEAD "machine=web01 host=h" REST, "not one line"},
        {HEAD "machine=web01 host=h" REST "\n\n", "not one line"},
        {HEAD "machine=web01 host=h" REST "\nmore\n", "not one line"},
        {HEAD "\n", "no NAME=VALUE"},
        {HEAD "machine=web01  host=h" REST "\n", "no NAME=VALUE"},
        {HEAD "machine=web01 host=h" REST " \n", "no NAME=VALUE"},
        {HEAD "machine=web01 host=h =x" REST "\n", "no NAME=VALUE"},
        {HEAD "machine=web01 host=h" REST "\r\n", "pin cannot"},
        {HEAD "machine=web01" REST "\n", "no host"},
        {HEAD "machine=web01 host=h host=h" REST "\n", "host twice"},
        {HEAD "machine=web01 host=h" REST " key=" KEY "\n", "key twice"},
        {HEAD "machine=web02 host=h" REST "\n", "for web02, and not for web01"},
        {HEAD "machine=web01. host=h" REST "\n", "machine cannot"},
        {HEAD "machine= host=h" REST "\n", "machine cannot"},
        {HEAD "machine=web01 host=-h" REST "\n", "host cannot"},
        {HEAD "machine=web01 host=h;x" REST "\n", "host cannot"},
        {HEAD "machine=web01 host=" REST "\n", "host cannot"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ticket_line t;
        struct errmsg err = {""};
        if (parse(cases[i].text, "web01", &t, &err) != -EPROTO || strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
        for (size_t k = 0; k < sizeof t.key; k++)
            assert_int_equal(t.key[k], 0);
    }
}

/* One value after the other is spoilt. */
static void values(void **state)
{
    static const struct {
        const char *good, *bad;
    } cases[] = {
        {"port=2244", "port=0"},
        {"port=2244", "port=65536"},
        {"port=2244", "port=02244"},
        {"port=2244", "port=+2244"},
        {"port=2244", "port="},
        {"port=2244", "port=99999999999999999999"},
        {"ticket=AA-_.BB", "ticket="},
        {"ticket=AA-_.BB", "ticket=AA+BB"},
        {"key=0011", "key=00"},
        {"key=0011", "key=0011a"},
        {"key=0011", "key=00g1"},
        {"window=4194304", "window=4095"},
        {"window=4194304", "window=67108865"},
        {"window=4194304", "window=-1"},
        {"patience_ms=300000", "patience_ms=999"},
        {"patience_ms=300000", "patience_ms=604800001"},
        {"pin=SHA256:A", "pin=SHA256:"},
        {"pin=SHA256:A", "pin=SHA1:AAA"},
        {"pin=SHA256:A", "pin=SHA256:="},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[TICKET_LINE_MAX];
        struct ticket_line t;
        struct errmsg err;
        const char *at = strstr(GOOD, cases[i].good);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - GOOD), GOOD, cases[i].bad,
                 at + strlen(cases[i].good));
        if (parse(text, "web01", &t, &err) != -EPROTO || strstr(err.text, "cannot be one") == NULL)
            fail_msg("taken: %s", text);
        assert_null(strstr(err.text, "0011"));
    }
}

static void bounds(void **state)
{
    char text[TICKET_LINE_MAX + 2];
    struct ticket_line t;
    struct errmsg err;
    size_t n = strlen(GOOD) - 1;
    (void)state;
    memcpy(text, GOOD, n);
    memcpy(text + n, " x=", 3);
    memset(text + n + 3, 'y', sizeof text - n - 3);
    text[TICKET_LINE_MAX - 1] = '\n';
    assert_int_equal(ticket_line_parse(text, TICKET_LINE_MAX, "web01", &t, &err), 0);
    text[TICKET_LINE_MAX - 1] = 'y';
    text[TICKET_LINE_MAX] = '\n';
    assert_int_equal(ticket_line_parse(text, TICKET_LINE_MAX + 1, "web01", &t, &err), -EPROTO);
    memcpy(text, GOOD, n + 1);
    text[30] = 0;
    assert_int_equal(ticket_line_parse(text, n + 1, "web01", &t, &err), -EPROTO);
    /* Every beginning of a good one. */
    for (size_t i = 0; i < n + 1; i++)
        assert_int_equal(ticket_line_parse(GOOD, i, "web01", &t, &err), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken),
        cmocka_unit_test(refused),
        cmocka_unit_test(values),
        cmocka_unit_test(bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
