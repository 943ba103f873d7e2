/* authorized_keys: lines, options, conditions, forwarding, and rights as bytes. */
#include "cmocka_all.h"

#include "base/buf.h"
#include "hub_keys_samples.h"
#include "sshd/authkeys.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY KEY_ED25519
#define OTHER KEY_P256
#define NOW 1000000 /* 1970-01-12T13:46:40Z */
#define BASE64 "AAAAC3NzaC1lZDI1NTE5AAAAIIvWIgFZzigAuJOgq554ycQq5W0dKxs+p9wbuxkQeF6G" /* of KEY */

struct found {
    int code;
    struct authkeys_rights rights;
    unsigned line;
    struct errmsg err;
};

static struct found find_as(const char *text, size_t n, const char *key, const char *ip)
{
    struct found f = {0};
    f.code = authkeys_find(text, n, key, ip, NOW, &f.rights, &f.line, &f.err);
    return f;
}

static struct found find(const char *text)
{
    return find_as(text, strlen(text), KEY, "192.0.2.7");
}

static struct found find_options(const char *options)
{
    char text[20000];
    snprintf(text, sizeof text, "%s " KEY " somebody\n", options);
    return find(text);
}

static void accepted(const char *options)
{
    struct found f = find_options(options);
    if (f.code != 0)
        fail_msg("%s: %s", options, f.err.text);
    authkeys_rights_release(&f.rights);
}

static void refused(const char *options, const char *why)
{
    struct found f = find_options(options);
    if (f.code != -EACCES || strstr(f.err.text, why) == NULL || strstr(f.err.text, "line 1: ") != f.err.text)
        fail_msg("%s: %d, %s", options, f.code, f.err.text);
}

/* --- lines --- */

static void lines_without_options(void **state)
{
    (void)state;
    static const char *const texts[] = {
        KEY,
        KEY "\n",
        KEY " a comment\n",
        "  \t" KEY "\t\tcomment\r\n",
        KEY "\r\n",
        "ssh-ed25519 \t " BASE64 "\n",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct found f = find(texts[i]);
        struct authkeys_rights none = {0};
        assert_int_equal(f.code, 0);
        assert_int_equal(f.line, 1);
        assert_memory_equal(&f.rights, &none, sizeof none);
        authkeys_rights_release(&f.rights);
    }
}

static void every_key_type(void **state)
{
    (void)state;
    static const char *const keys[] = {KEY_ED25519, KEY_P256,       KEY_P384,   KEY_P521,
                                       KEY_RSA2048, KEY_SK_ED25519, KEY_SK_P256};
    for (size_t i = 0; i < COUNT(keys); i++) {
        char text[2000];
        snprintf(text, sizeof text, "# a comment\n\n%s\nno-touch-required %s x\n", KEY_ED25519_B, keys[i]);
        struct found f = find_as(text, strlen(text), keys[i], NULL);
        assert_int_equal(f.code, 0);
        assert_int_equal(f.line, 4);
        authkeys_rights_release(&f.rights);
    }
}

static void not_in_it(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\n\n",
        "# " KEY "\n",
        "  #" KEY,
        OTHER "\n",
        OTHER " " KEY "\n", /* a comment that is a key */
        KEY "A\n",
        "ecdsa-sha2-nistp256 " BASE64 "\n",
        "ssh-ed25519",
        "command=\"" KEY "\"",
        "no-pty\n" BASE64,
        "no-pty ssh-ed25519\n",
        "x" KEY,
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct found f = find(texts[i]);
        if (f.code != -ENOENT)
            fail_msg("%s: %d, %s", texts[i], f.code, f.err.text);
    }
    assert_int_equal(find_as(KEY, strlen(KEY), "ssh-ed25519", NULL).code, -ENOENT);
    assert_int_equal(find_as(KEY, strlen(KEY), "ssh-ed25519 ", NULL).code, -ENOENT);
    assert_int_equal(find_as(KEY, strlen(KEY), "", NULL).code, -ENOENT);
}

static void the_first_line_that_holds(void **state)
{
    (void)state;
    struct found f = find("nonsense " KEY "\n"
                          "from=\"10.0.0.0/8\" " KEY "\n"
                          "expiry-time=\"19700102Z\" " KEY "\n"
                          "command=\"third\" " KEY "\n"
                          "command=\"fourth\" " KEY "\n");
    assert_int_equal(f.code, 0);
    assert_int_equal(f.line, 4);
    assert_string_equal(f.rights.command, "third");
    authkeys_rights_release(&f.rights);

    f = find(OTHER "\nfrom=\"10.0.0.0/8\" " KEY "\nnonsense " KEY "\n");
    assert_int_equal(f.code, -EACCES);
    assert_non_null(
        strstr(f.err.text, "line 2: the key may not be used from 192.0.2.7 (from=\"10.0.0.0/8\")"));
}

static void lines_that_cannot_be_read(void **state)
{
    (void)state;
    char text[AUTHKEYS_LINE_MAX + 500];
    static const char with_nul[] = "no-pty " KEY " a\0b\n";
    struct found f = find("command=\"x " KEY "\n");
    assert_int_equal(f.code, -EACCES);
    assert_string_equal(f.err.text, "line 1: a double quote is not closed");

    f = find_as(with_nul, sizeof with_nul - 1, KEY, NULL);
    assert_int_equal(f.code, -EACCES);
    assert_non_null(strstr(f.err.text, "NUL"));

    memset(text, 'c', sizeof text);
    memcpy(text, KEY " ", strlen(KEY) + 1);
    assert_int_equal(find_as(text, AUTHKEYS_LINE_MAX, KEY, NULL).code, 0);
    f = find_as(text, AUTHKEYS_LINE_MAX + 1, KEY, NULL);
    assert_int_equal(f.code, -EACCES);
    assert_non_null(strstr(f.err.text, "longer than 16384"));
    text[AUTHKEYS_LINE_MAX] = '\n';
    assert_int_equal(find_as(text, AUTHKEYS_LINE_MAX + 1, KEY, NULL).code, 0);
}

static void a_large_file(void **state)
{
    (void)state;
    size_t n = AUTHKEYS_TEXT_MAX;
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, '\n', n + 1);
    memcpy(text + n - strlen(KEY), KEY, strlen(KEY));
    struct found f = find_as(text, n, KEY, NULL);
    assert_int_equal(f.code, 0);
    assert_int_equal(f.line, n - strlen(KEY) + 1);
    assert_int_equal(find_as(text, n + 1, KEY, NULL).code, -EACCES);
    free(text);
}

/* --- options --- */

static void words(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        bool no_pty, no_port, no_agent, no_rc;
    } cases[] = {
        {"no-pty", true, false, false, false},
        {"No-PTY,NO-port-FORWARDING", true, true, false, false},
        {"no-agent-forwarding,no-user-rc", false, false, true, true},
        {"no-X11-forwarding,X11-forwarding,no-touch-required,no-verify-required", false, false, false, false},
        {"restrict", true, true, true, true},
        {"RESTRICT,pty", false, true, true, true},
        {"pty,restrict", true, true, true, true},
        {"restrict,port-forwarding,agent-forwarding,user-rc", true, false, false, false},
        {"no-pty,pty", false, false, false, false},
        {"pty,no-pty", true, false, false, false},
        {",no-pty,,no-user-rc,", true, false, false, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct found f = find_options(cases[i].options);
        assert_int_equal(f.code, 0);
        assert_int_equal(f.rights.no_pty, cases[i].no_pty);
        assert_int_equal(f.rights.no_port_forwarding, cases[i].no_port);
        assert_int_equal(f.rights.no_agent_forwarding, cases[i].no_agent);
        assert_int_equal(f.rights.no_user_rc, cases[i].no_rc);
        authkeys_rights_release(&f.rights);
    }
}

static void options_that_refuse(void **state)
{
    (void)state;
    static const char *const unknown[] = {
        "cert-authority",
        "principals=\"a\"",
        "tunnel=\"0\"",
        "verify-required",
        "touch-required",
        "no-restrict",
        "ptyx",
        "no-no-pty",
        "nopty",
        "=",
        "=\"x\"",
        "\"x\"",
        "restrict,frobnicate",
        "permit-everything=\"yes\"",
        "no-command",
        "a-name-that-is-longer-than-any-option-there-is",
    };
    for (size_t i = 0; i < COUNT(unknown); i++)
        refused(unknown[i], "is not known or not supported here");
    refused("pty=\"yes\"", "after the option pty a comma or a blank");
    refused("command=\"a\"\"b\"", "after the option command a comma or a blank");
    refused("command=\"a\"no-pty", "after the option command a comma or a blank");
    refused("command", "command needs a value");
    refused("from,no-pty", "from needs a value");
    refused("command=ls", "needs its value in double quotes");
    refused("command=\"a\\\\\"", "a double quote is not closed"); /* no backslash escapes a backslash */
    refused("command=", "needs its value in double quotes");
    refused("command=\"a\",command=\"a\"", "command= is given twice");
    refused("from=\"192.0.2.7\",from=\"192.0.2.7\"", "from= is given twice");
    refused("environment=\"A\"", "is not NAME=VALUE");
    refused("environment=\"=b\"", "is not NAME=VALUE");
    refused("environment=\"1A=b\"", "is not NAME=VALUE");
    refused("environment=\"A-B=c\"", "is not NAME=VALUE");
    refused("environment=\"A B=c\"", "is not NAME=VALUE");
    refused("expiry-time=\"tomorrow\"", "is not a time");
    refused("expiry-time=\"20261301\"", "is not a time");
    refused("expiry-time=\"19700101Z\"", "is not a time");
    refused("from=\"10.0.0.1/8\"", "is not a list");
    refused("from=\"10.0.0.0/33\"", "is not a list");
    refused("from=\"192.0.2.7,\"", "is not a list");
    refused("from=\"\"", "is not a list");
}

static void commands(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"command=\"ls -l\"", "ls -l"},
        {"command=\"\"", ""},
        {"COMMAND=\"echo \\\"a b\\\", 'c'\\n \\\\ \"", "echo \"a b\", 'c'\\n \\\\ "},
        {"no-pty,command=\"a, b\",no-user-rc", "a, b"},
        {"command=\"# not a comment " KEY "\"", "# not a comment " KEY},
        {"command=\"\xff\x01\t\"", "\xff\x01\t"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct found f = find_options(cases[i][0]);
        assert_int_equal(f.code, 0);
        assert_non_null(f.rights.command);
        assert_string_equal(f.rights.command, cases[i][1]);
        authkeys_rights_release(&f.rights);
    }
}

static void environments(void **state)
{
    (void)state;
    struct found f = find_options(
        "environment=\"A=1\",environment=\"_b2=\",environment=\"A=2\",Environment=\"AB=x=\\\"y\\\"\"");
    assert_int_equal(f.code, 0);
    assert_int_equal(f.rights.env_n, 3);
    assert_string_equal(f.rights.env[0], "A=1"); /* the first one counts */
    assert_string_equal(f.rights.env[1], "_b2=");
    assert_string_equal(f.rights.env[2], "AB=x=\"y\"");
    authkeys_rights_release(&f.rights);

    char options[4000] = "no-pty";
    for (int i = 0; i < AUTHKEYS_ENV_MAX; i++)
        snprintf(options + strlen(options), sizeof options - strlen(options), ",environment=\"V%d=x\"", i);
    accepted(options);
    snprintf(options + strlen(options), sizeof options - strlen(options), ",environment=\"ONE_MORE=x\"");
    refused(options, "environment= is given more than 64 times");
}

/* --- conditions --- */

static void expiry(void **state)
{
    (void)state;
    accepted("expiry-time=\"19700112134640Z\"");
    refused("expiry-time=\"19700112134639Z\"", "the key has expired (expiry-time=, 1970-01-12T13:46:39Z)");
    refused("expiry-time=\"197001121346Z\"", "has expired");
    accepted("expiry-time=\"19700113Z\"");
    accepted("expiry-time=\"20991231\"");
    refused("expiry-time=\"20991231\",expiry-time=\"19700110Z\"", "has expired"); /* the earlier one counts */
    refused("expiry-time=\"19700110Z\",expiry-time=\"20991231\"", "has expired");
    struct found f = find_options("expiry-time=\"19700113Z\"");
    assert_int_equal(f.rights.expiry_s, 12 * 86400);
    authkeys_rights_release(&f.rights);
}

static void from_where(void **state)
{
    (void)state;
    static const struct {
        const char *list, *ip;
        bool in;
    } cases[] = {
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.8", "192.0.2.7", false},
        {"192.0.2.0/24", "192.0.2.7", true},
        {"192.0.2.*", "192.0.2.7", true},
        {"192.0.2.?", "192.0.2.77", false},
        {"*", "192.0.2.7", true},
        {"*,!192.0.2.7", "192.0.2.7", false},
        {"!192.0.2.0/24,*", "192.0.2.7", false},
        {"!192.0.2.7", "192.0.2.8", false}, /* a negation alone lets nobody in */
        {"*.example.com,192.0.2.0/24", "192.0.2.7", true},
        {"!*.example.com,192.0.2.0/24", "192.0.2.7", true},
        {"2001:db8::/32", "2001:db8:1::7", true},
        {"2001:db8::/32", "2001:db9::7", false},
        {"192.0.2.0/24", "::ffff:192.0.2.7", true},
        {"192.0.2.7", "not an address", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[400];
        snprintf(text, sizeof text, "from=\"%s\" " KEY, cases[i].list);
        struct found f = find_as(text, strlen(text), KEY, cases[i].ip);
        if (f.code != (cases[i].in ? 0 : -EACCES))
            fail_msg("%s from %s: %d, %s", cases[i].list, cases[i].ip, f.code, f.err.text);
        authkeys_rights_release(&f.rights);
    }
    refused("from=\"*.example.com\"", "has nothing but host names, and addresses are not looked up");
    refused("from=\"web01,!*.de,face.b00c\"", "has nothing but host names");
    refused("from=\"*.example.com,10.*\"", "the key may not be used from 192.0.2.7");
    refused("from=\"::1\"", "the key may not be used from 192.0.2.7");
    struct found f = find_as("from=\"*\" " KEY, strlen("from=\"*\" " KEY), KEY, NULL);
    assert_int_equal(f.code, -EACCES);
    assert_non_null(strstr(f.err.text, "the user's address is not known"));
}

/* --- forwarding --- */

static bool may_open(const char *options, const char *host, unsigned port)
{
    struct found f = find_options(options);
    assert_int_equal(f.code, 0);
    bool may = authkeys_may_open(&f.rights, host, port);
    authkeys_rights_release(&f.rights);
    return may;
}

static bool may_listen(const char *options, const char *host, unsigned port)
{
    struct found f = find_options(options);
    assert_int_equal(f.code, 0);
    bool may = authkeys_may_listen(&f.rights, host, port);
    authkeys_rights_release(&f.rights);
    return may;
}

static void permit_open(void **state)
{
    (void)state;
    static const struct {
        const char *options, *host;
        unsigned port;
        bool may;
    } cases[] = {
        {"no-pty", "anywhere", 1, true},
        {"no-port-forwarding", "anywhere", 1, false},
        {"no-port-forwarding,permitopen=\"a:1\"", "a", 1, false},
        {"restrict,permitopen=\"a:1\"", "a", 1, false}, /* restrict forbids it all the same, as in OpenSSH */
        {"restrict,port-forwarding,permitopen=\"a:1\"", "a", 1, true},
        {"permitopen=\"localhost:80\"", "localhost", 80, true},
        {"permitopen=\"localhost:80\"", "localhost", 81, false},
        {"permitopen=\"localhost:80\"", "127.0.0.1", 80, false}, /* no look-up */
        {"permitopen=\"localhost/80\"", "localhost", 80, true},
        {"permitopen=\"localhost:*\"", "localhost", 65535, true},
        {"permitopen=\"*:22\"", "anywhere", 22, true},
        {"permitopen=\"*:22\"", "anywhere", 23, false},
        {"permitopen=\"*.example.com:22\"", "a.example.com", 22, false}, /* no patterns */
        {"permitopen=\"[::1]:22\"", "::1", 22, true},
        {"permitopen=\"[2001:db8::1]:*\"", "2001:db8::1", 1, true},
        {"permitopen=\"a:1\",permitopen=\"b:2\"", "b", 2, true},
        {"permitopen=\"a:1\",permitopen=\"b:2\"", "a", 2, false},
        {"permitopen=\"none\"", "none", 1, false},
        {"permitopen=\"none\"", "", 0, false},
        {"permitlisten=\"8080\"", "anywhere", 1, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (may_open(cases[i].options, cases[i].host, cases[i].port) != cases[i].may)
            fail_msg("%s: %s:%u", cases[i].options, cases[i].host, cases[i].port);
    }
    static const char *const bad[] = {"",
                                      "localhost",
                                      "localhost:",
                                      "localhost:0",
                                      "localhost:65536",
                                      "localhost:http",
                                      "::1:22",
                                      "[::1]",
                                      "[::1",
                                      "[::1]22",
                                      "80",
                                      "*",
                                      "a:-1",
                                      "a: 1",
                                      "a:1 "};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char options[100];
        snprintf(options, sizeof options, "permitopen=\"%s\"", bad[i]);
        refused(options, "is not HOST:PORT, HOST:* or none");
    }
}

static void permit_listen(void **state)
{
    (void)state;
    static const struct {
        const char *options, *host;
        unsigned port;
        bool may;
    } cases[] = {
        {"permitopen=\"a:1\"", "localhost", 1, true},
        {"no-port-forwarding", "localhost", 1, false},
        {"permitlisten=\"8080\"", "localhost", 8080, true},
        {"permitlisten=\"8080\"", "", 8080, true},
        {"permitlisten=\"8080\"", "", 8081, false},
        {"permitlisten=\"8080\"", "", 0, false},
        {"permitlisten=\"localhost:8080\"", "localhost", 8080, true},
        {"permitlisten=\"localhost:8080\"", "LOCALHOST", 8080, true},
        {"permitlisten=\"localhost:8080\"", "", 8080, false},
        {"permitlisten=\"10.0.0.*:8080\"", "10.0.0.7", 8080, true},
        {"permitlisten=\"[::1]:8080\"", "::1", 8080, true},
        {"permitlisten=\"*\"", "localhost", 0, true},
        {"permitlisten=\"*:*\"", "0.0.0.0", 1, true},
        {"permitlisten=\"localhost:*\"", "localhost", 0, true},
        {"permitlisten=\"none\"", "localhost", 1, false},
        {"permitlisten=\"none\"", "", 0, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (may_listen(cases[i].options, cases[i].host, cases[i].port) != cases[i].may)
            fail_msg("%s: %s:%u", cases[i].options, cases[i].host, cases[i].port);
    }
    refused("permitlisten=\"localhost\"", "is not [HOST:]PORT, [HOST:]* or none");
    refused("permitlisten=\"localhost/80\"", "is not [HOST:]PORT, [HOST:]* or none");
    refused("permitlisten=\"123456789012345678\"", "is not [HOST:]PORT, [HOST:]* or none");
    refused("permitlisten=\"0\"", "is not [HOST:]PORT, [HOST:]* or none");
    refused("permitlisten=\"\"", "is not [HOST:]PORT, [HOST:]* or none");
}

static void many_permits(void **state)
{
    (void)state;
    static const char *const names[] = {"permitopen", "permitlisten"};
    for (size_t k = 0; k < COUNT(names); k++) {
        char options[4000] = "no-pty", why[100];
        for (unsigned i = 1; i <= AUTHKEYS_PERMIT_MAX; i++)
            snprintf(options + strlen(options), sizeof options - strlen(options), ",%s=\"a:%u\"", names[k],
                     i);
        accepted(options);
        snprintf(options + strlen(options), sizeof options - strlen(options), ",%s=\"a:1\"", names[k]);
        snprintf(why, sizeof why, "%s= is given more than 64 times", names[k]);
        refused(options, why);
    }
}

/* --- as bytes --- */

static const char full[] =
    "restrict,pty,command=\"a \\\"b\\\"\",environment=\"A=1\",environment=\"B=\",permitopen=\"a:1\","
    "permitopen=\"[::1]:*\",permitlisten=\"80\",expiry-time=\"20991231Z\"";

static void there_and_back(void **state)
{
    (void)state;
    static const char *const cases[] = {
        full,         "no-pty",       "no-port-forwarding", "no-agent-forwarding",
        "no-user-rc", "command=\"\"", "permitopen=\"none\""};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct found f = find_options(cases[i]);
        struct authkeys_rights back = {0};
        struct buf one, two;
        buf_init(&one, 100000);
        buf_init(&two, 100000);
        assert_int_equal(authkeys_pack(&f.rights, &one), 0);
        assert_int_equal(authkeys_unpack(buf_data(&one), buf_len(&one), &back), 0);
        assert_int_equal(authkeys_pack(&back, &two), 0);
        assert_int_equal(buf_len(&one), buf_len(&two));
        assert_memory_equal(buf_data(&one), buf_data(&two), buf_len(&one));
        assert_int_equal(back.no_pty, f.rights.no_pty);
        assert_int_equal(back.no_port_forwarding, f.rights.no_port_forwarding);
        assert_int_equal(back.no_agent_forwarding, f.rights.no_agent_forwarding);
        assert_int_equal(back.no_user_rc, f.rights.no_user_rc);
        assert_int_equal(back.expiry_s, f.rights.expiry_s);
        assert_int_equal(back.env_n, f.rights.env_n);
        assert_int_equal(back.permit_open_n, f.rights.permit_open_n);
        assert_int_equal(back.permit_listen_n, f.rights.permit_listen_n);
        assert_int_equal(back.command == NULL, f.rights.command == NULL);
        if (back.command != NULL)
            assert_string_equal(back.command, f.rights.command);
        authkeys_rights_release(&f.rights);
        authkeys_rights_release(&back);
        buf_release(&one);
        buf_release(&two);
    }
}

static void no_room(void **state)
{
    (void)state;
    struct found f = find_options(full);
    struct buf out;
    buf_init(&out, 40);
    assert_int_equal(buf_append_str(&out, "before"), 0);
    assert_int_equal(authkeys_pack(&f.rights, &out), -ENOBUFS);
    assert_int_equal(buf_len(&out), 6); /* nothing was added */
    buf_release(&out);
    authkeys_rights_release(&f.rights);
}

static int unpack(const uint8_t *data, size_t n)
{
    struct authkeys_rights rights = {0};
    uint8_t *exact = malloc(n + 1); /* so that the sanitizer sees a byte too many */
    assert_non_null(exact);
    memcpy(exact, data, n);
    int rc = authkeys_unpack(exact, n, &rights);
    authkeys_rights_release(&rights);
    free(exact);
    return rc;
}

static void hostile_bytes(void **state)
{
    (void)state;
    struct found f = find_options(full);
    struct buf out;
    uint8_t bytes[1000];
    buf_init(&out, sizeof bytes - 1);
    assert_int_equal(authkeys_pack(&f.rights, &out), 0);
    size_t n = buf_len(&out);
    memcpy(bytes, buf_data(&out), n);
    bytes[n] = 0;
    assert_int_equal(unpack(bytes, n), 0);
    assert_int_equal(unpack(bytes, n + 1), -EBADMSG); /* something behind it */
    for (size_t i = 0; i < n; i++)
        assert_int_equal(unpack(bytes, i), -EBADMSG); /* cut anywhere */
    for (size_t i = 0; i < n; i++) {
        uint8_t old = bytes[i];
        for (unsigned k = 0; k < 3; k++) {
            bytes[i] = (uint8_t[]){0xff, 0x00, (uint8_t)(old + 1)}[k];
            (void)unpack(bytes, n); /* no crash, no leak */
        }
        bytes[i] = old;
    }
    /* flags that do not exist; a time before 1970; a command without its flag; a list too long */
    static const struct {
        size_t at;
        uint8_t value;
    } edits[] = {{3, 0x80}, {4, 0x80}, {3, 0x0f}, {12, 0xff}, {15, 0xff}};
    for (size_t i = 0; i < COUNT(edits); i++) {
        uint8_t old = bytes[edits[i].at];
        bytes[edits[i].at] = edits[i].value;
        assert_int_equal(unpack(bytes, n), -EBADMSG);
        bytes[edits[i].at] = old;
    }
    buf_release(&out);
    authkeys_rights_release(&f.rights);
}

/* What only a hostile writer would write: each list is checked again when it is read. */
static void values_are_checked_again(void **state)
{
    (void)state;
    char bad_env[] = "NO VALUE", bad_permit[] = "a:0";
    static const size_t at[] = {offsetof(struct authkeys_rights, env),
                                offsetof(struct authkeys_rights, permit_open),
                                offsetof(struct authkeys_rights, permit_listen)};
    static const size_t count_at[] = {offsetof(struct authkeys_rights, env_n),
                                      offsetof(struct authkeys_rights, permit_open_n),
                                      offsetof(struct authkeys_rights, permit_listen_n)};
    for (size_t i = 0; i < COUNT(at); i++) {
        struct authkeys_rights rights = {0};
        struct buf out;
        *(char **)((char *)&rights + at[i]) = i == 0 ? bad_env : bad_permit;
        *(size_t *)((char *)&rights + count_at[i]) = 1;
        buf_init(&out, 1000);
        assert_int_equal(authkeys_pack(&rights, &out), 0);
        assert_int_equal(unpack(buf_data(&out), buf_len(&out)), -EBADMSG);
        buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_without_options),
        cmocka_unit_test(every_key_type),
        cmocka_unit_test(not_in_it),
        cmocka_unit_test(the_first_line_that_holds),
        cmocka_unit_test(lines_that_cannot_be_read),
        cmocka_unit_test(a_large_file),
        cmocka_unit_test(words),
        cmocka_unit_test(options_that_refuse),
        cmocka_unit_test(commands),
        cmocka_unit_test(environments),
        cmocka_unit_test(expiry),
        cmocka_unit_test(from_where),
        cmocka_unit_test(permit_open),
        cmocka_unit_test(permit_listen),
        cmocka_unit_test(many_permits),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(no_room),
        cmocka_unit_test(hostile_bytes),
        cmocka_unit_test(values_are_checked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
