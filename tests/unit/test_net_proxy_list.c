/* Windows' lists of proxies and of exceptions from them. */
#include "cmocka_all.h"

#include "net/proxy_list.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void picks(void **state)
{
    static const struct {
        const char *list, *found; /* NULL: none */
    } cases[] = {
        {"proxy:8080", "proxy:8080"},
        {"http://proxy:8080", "http://proxy:8080"},
        {"http=a:80;https=b:8080;ftp=c:21;socks=d:1080", "b:8080"},
        {"HTTPS=b:8080", "b:8080"},
        {"http=a:80 https=b:8080", "b:8080"},
        {"one:1;two:2", "one:1"},
        {"one:1;https=two:2", "two:2"},
        {" ;; \t one:1 ; ", "one:1"},
        {"http=a:80;socks=d:1080", NULL},
        {"", NULL},
        {" ; ", NULL},
        {"https=", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[64] = "?";
        int r = proxy_list_pick(cases[i].list, out, sizeof out);
        if (cases[i].found == NULL ? r != -ENOENT : r != 0 || strcmp(out, cases[i].found) != 0)
            fail_msg("'%s' gave %d, '%s'", cases[i].list, r, out);
    }
}

static void too_long(void **state)
{
    char list[400], out[16];
    (void)state;
    assert_int_equal(proxy_list_pick("a-long-name.example:3128", out, sizeof out), -ENAMETOOLONG);
    snprintf(list, sizeof list, "%0350d;short:1", 0); /* over any name's length: not looked at */
    assert_int_equal(proxy_list_pick(list, out, sizeof out), 0);
    assert_string_equal(out, "short:1");
}

static bool bypassed(const char *list, const char *host, uint16_t port)
{
    struct addr_hostport to = {.port = port};
    snprintf(to.host, sizeof to.host, "%s", host);
    return proxy_list_bypasses(list, &to);
}

static void exceptions(void **state)
{
    (void)state;
    assert_false(bypassed(NULL, "hub.example.com", 443));
    assert_false(bypassed("", "hub.example.com", 443));
    assert_true(bypassed("*.example.com", "hub.example.com", 443));
    assert_true(bypassed("*.EXAMPLE.com", "Hub.example.COM", 443));
    assert_false(bypassed("*.example.com", "example.com", 443));
    assert_false(bypassed("example.com", "hub.example.com", 443));
    assert_true(bypassed("a;b hub.example.com,c", "hub.example.com", 443));
    assert_true(bypassed("https://hub.example.com", "hub.example.com", 443));
    assert_true(bypassed("hub.example.com:443", "hub.example.com", 443));
    assert_false(bypassed("hub.example.com:80", "hub.example.com", 443));
    assert_true(bypassed("192.168.*", "192.168.1.5", 22));
    assert_false(bypassed("192.168.*", "192.169.1.5", 22));
    assert_true(bypassed("[2001:db8::1]:22", "2001:db8::1", 22));
    assert_false(bypassed("[2001:db8::1]:23", "2001:db8::1", 22));
    assert_true(bypassed("2001:db8::1", "2001:db8::1", 22));
    assert_true(bypassed("*", "anything", 1));
    assert_false(bypassed("://;[];:", "hub", 1));
}

static void names_without_a_dot(void **state)
{
    (void)state;
    assert_true(bypassed("<local>", "hub", 22));
    assert_true(bypassed("*.corp;<LOCAL>", "hub", 22));
    assert_false(bypassed("<local>", "hub.corp", 22));
    assert_false(bypassed("<local>", "2001:db8::1", 22));
    assert_false(bypassed("", "hub", 22));
}

/* A machine's own hub is reached without a proxy, unless somebody says that he means it. */
static void this_host(void **state)
{
    static const char *const hosts[] = {"localhost", "hub.localhost", "127.0.0.1", "127.1.2.3", "::1"};
    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        assert_true(bypassed(NULL, hosts[i], 22));
        assert_false(bypassed("<-loopback>", hosts[i], 22));
        assert_false(bypassed("<local>;<-loopback>", hosts[i], 22));
        assert_true(bypassed("<-loopback>;127.*;*local*;::1", hosts[i], 22));
    }
    assert_false(bypassed("", "127.0.0.1.example.com", 22));
    assert_false(bypassed("", "128.0.0.1", 22));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(picks), cmocka_unit_test(too_long),
                                       cmocka_unit_test(exceptions), cmocka_unit_test(names_without_a_dot),
                                       cmocka_unit_test(this_host)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
