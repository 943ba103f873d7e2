/* Addresses as text: HOST:PORT, sources, lists. */
#include "cmocka_all.h"

#include "base/addr.h"
#include "base/sockaddr.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void accepted(void **state)
{
    static const struct {
        const char *text;
        uint16_t fallback;
        bool any;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"example.com", 2244, false, "example.com", 2244},
        {"example.com:22", 2244, false, "example.com", 22},
        {"1.2.3.4:65535", 0, false, "1.2.3.4", 65535},
        {"[::1]:22", 0, false, "::1", 22},
        {"[2001:db8::1]", 22, false, "2001:db8::1", 22},
        {"::1", 22, false, "::1", 22},
        {"::ffff:1.2.3.4", 22, false, "::ffff:1.2.3.4", 22},
        {"web_1", 22, false, "web_1", 22},
        {"1a", 22, false, "1a", 22},
        {"host.", 22, false, "host.", 22},
        {":22", 0, true, "", 22},
        {"*:22", 0, true, "", 22},
        {"*", 22, true, "", 22},
        {"host:1", 0, true, "host", 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr_hostport hp;
        if (addr_parse(cases[i].text, cases[i].fallback, cases[i].any, &hp) != 0)
            fail_msg("refused: %s", cases[i].text);
        assert_string_equal(hp.host, cases[i].host);
        assert_int_equal(hp.port, cases[i].port);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *text;
        uint16_t fallback;
        bool any;
    } cases[] = {
        {"", 22, false},
        {"", 22, true},
        {"host", 0, false},
        {"host:", 22, false},
        {"host:0", 22, false},
        {"host:65536", 22, false},
        {"host:-1", 22, false},
        {"host:+1", 22, false},
        {"host: 1", 22, false},
        {"host:1x", 22, false},
        {"host:022", 22, false},
        {"host:99999999999", 22, false},
        {":22", 0, false},
        {"*:22", 0, false},
        {"*", 0, true},
        {":", 22, true},
        {"[::1", 22, false},
        {"[::1]22", 22, false},
        {"[::1]:", 22, false},
        {"[1.2.3.4]:22", 22, false},
        {"[]:22", 22, true},
        {"[host]:22", 22, true},
        {"[*]:22", 22, true},
        {"::1::", 22, false},
        {"1:2:3", 22, false},
        {"::1]:22", 22, false},
        {"fe80::1%lo", 22, false},
        {"a b", 22, false},
        {"a\n", 22, false},
        {"-host", 22, false},
        {"1.2.3", 22, false},
        {"1.2.3.256", 22, false},
        {"12345", 22, false},
        {"user@host", 22, false},
        {"h/x", 22, false},
        {"**:22", 0, true},
    };
    struct addr_hostport hp = {.host = "untouched", .port = 7};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (addr_parse(cases[i].text, cases[i].fallback, cases[i].any, &hp) != -EINVAL)
            fail_msg("accepted: %s", cases[i].text);
    }
    assert_string_equal(hp.host, "untouched");
    assert_int_equal(hp.port, 7);

    char name[300];
    memset(name, 'h', sizeof name);
    name[253] = '\0';
    assert_int_equal(addr_parse(name, 22, false, &hp), 0);
    name[253] = 'h';
    name[254] = '\0';
    assert_int_equal(addr_parse(name, 22, false, &hp), -EINVAL);
}

static void formats(void **state)
{
    static const char *const texts[] = {"example.com:22", "1.2.3.4:2244", "[::1]:22", "*:22"};
    struct addr_hostport hp;
    char out[300];
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_equal(addr_parse(texts[i], 0, true, &hp), 0);
        addr_format(&hp, 0, out, sizeof out);
        assert_string_equal(out, texts[i]);
    }
    assert_int_equal(addr_parse("[::1]:22", 0, false, &hp), 0);
    addr_format(&hp, 22, out, sizeof out);
    assert_string_equal(out, "::1");
    assert_int_equal(addr_parse("host:22", 0, false, &hp), 0);
    addr_format(&hp, 22, out, sizeof out);
    assert_string_equal(out, "host");
    addr_format(&hp, 0, out, 5);
    assert_string_equal(out, "host");
}

static void socket_addresses(void **state)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(2244)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(22)};
    struct sockaddr local = {.sa_family = AF_UNIX};
    struct sockaddr other = {.sa_family = AF_UNSPEC};
    char out[64];
    (void)state;
    assert_int_equal(inet_pton(AF_INET, "192.0.2.7", &four.sin_addr), 1);
    addr_ip((struct sockaddr *)&four, out, sizeof out);
    assert_string_equal(out, "192.0.2.7");
    assert_int_equal(addr_port((struct sockaddr *)&four), 2244);
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::7", &six.sin6_addr), 1);
    addr_ip((struct sockaddr *)&six, out, sizeof out);
    assert_string_equal(out, "2001:db8::7");
    assert_int_equal(addr_port((struct sockaddr *)&six), 22);
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &six.sin6_addr), 1);
    addr_ip((struct sockaddr *)&six, out, sizeof out);
    assert_string_equal(out, "192.0.2.7");
    addr_ip(&local, out, sizeof out);
    assert_string_equal(out, "unix");
    assert_int_equal(addr_port(&local), 0);
    addr_ip(&other, out, sizeof out);
    assert_string_equal(out, "?");
}

static void what_is_loopback(void **state)
{
    static const struct {
        const char *ip;
        bool is;
    } cases[] = {
        {"127.0.0.1", true}, {"127.255.3.4", true}, {"126.255.255.255", false}, {"128.0.0.1", false}};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sockaddr_in in = {.sin_family = AF_INET};
        assert_int_equal(inet_pton(AF_INET, cases[i].ip, &in.sin_addr), 1);
        assert_int_equal(addr_is_loopback4((const struct sockaddr *)&in), cases[i].is);
    }
    assert_int_equal(inet_pton(AF_INET6, "::1", &six.sin6_addr), 1);
    assert_false(addr_is_loopback4((const struct sockaddr *)&six));
}

static void lists_match(void **state)
{
    static const char *const yes[][2] = {
        {"10.1.2.3", "10.0.0.0/8"},
        {"10.1.2.3", "192.168.0.0/16,10.1.2.3"},
        {"10.1.2.3", "10.1.*"},
        {"10.1.2.3", "10.?.2.3"},
        {"10.1.2.3", "*"},
        {"10.1.2.3", "0.0.0.0/0"},
        {"10.1.2.3", "10.1.2.3/32"},
        {"10.1.2.3", "*,!10.2.0.0/16"},
        {"::ffff:10.1.2.3", "10.0.0.0/8"},
        {"10.1.2.3", "::ffff:10.1.2.3"},
        {"2001:db8::1", "2001:DB8::/32"},
        {"2001:db8::1", "2001:db8:0:0:0:0:0:1"},
        {"2001:db8:0:0::1", "2001:db8::1"},
        {"2001:db8::1", "2001:db8:*"},
        {"172.16.5.4", "172.16.0.0/12"},
        {"172.31.255.255", "172.16.0.0/12"},
    };
    static const char *const no[][2] = {
        {"11.1.2.3", "10.0.0.0/8"},
        {"172.32.0.0", "172.16.0.0/12"},
        {"10.1.2.3", "*,!10.0.0.0/8"},
        {"10.1.2.3", "!10.1.2.3,*"},
        {"10.1.2.3", "!11.0.0.0/8"},
        {"10.1.2.3", "example.com"},
        {"10.1.2.3", "::/0"},
        {"2001:db8::1", "0.0.0.0/0"},
        {"2001:db9::1", "2001:db8::/32"},
        {"10.1.2.3", ""},
        {"10.1.2.3", "10.1.2.3,"}, /* ill-formed lists match nothing, ... */
        {"10.1.2.3", "*,!10.1.2.3/33"},
        {"10.1.2.3", "10.0.0.1/8"},
        {"unix", "*"}, /* ... nor does what is no address */
        {"", "*"},
        {"10.1.2.3 ", "*"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(yes); i++) {
        if (!addr_match_list(yes[i][0], yes[i][1]))
            fail_msg("%s is not in %s", yes[i][0], yes[i][1]);
    }
    for (size_t i = 0; i < COUNT(no); i++) {
        if (addr_match_list(no[i][0], no[i][1]))
            fail_msg("%s is in %s", no[i][0], no[i][1]);
    }
}

static void lists_are_checked(void **state)
{
    static const char *const good[] = {"10.0.0.0/8", "*",         "a.example.com,!10.1.?.*",
                                       "::/0",       "fe80::/10", "0.0.0.0/0"};
    static const char *const bad[] = {
        "",           ",",           "a,",     "!",      "a,,b", "10.0.0.1/8", "10.0.0.0/33",  "10.0.0.0/",
        "10.0.0.0/x", "10.0.0.0/08", "::/129", "host/8", "a b",  "!!a",        "10.0.0.0/8/8", "/8",
        "fe80::1%lo", "fe80::/8",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(addr_list_ok(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (addr_list_ok(bad[i]))
            fail_msg("well-formed: %s", bad[i]);
    }
    char *text = malloc(5001);
    memset(text, 'a', 5000);
    text[5000] = '\0';
    assert_false(addr_list_ok(text));
    text[300] = '\0';
    assert_false(addr_list_ok(text));
    text[255] = '\0';
    assert_true(addr_list_ok(text));
    free(text);
}

static void source_keys(void **state)
{
    static const char *const cases[][2] = {
        {"192.0.2.7", "192.0.2.7"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
        {"2001:db8:1:2::ffff", "2001:db8:1:2::/64"},
        {"2001:db8:1:3::", "2001:db8:1:3::/64"},
        {"unix", "unix"},
    };
    char out[64];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        addr_source_key(cases[i][0], out, sizeof out);
        assert_string_equal(out, cases[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),    cmocka_unit_test(refused),
        cmocka_unit_test(formats),     cmocka_unit_test(socket_addresses),
        cmocka_unit_test(lists_match), cmocka_unit_test(lists_are_checked),
        cmocka_unit_test(source_keys), cmocka_unit_test(what_is_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
