/* HTTP CONNECT: which proxy, the request, and every kind of answer, in any pieces. */
#include "cmocka_all.h"

#include "net/proxy.h"
#include "net/proxy_system.h"
#include "portable.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void urls(void **state)
{
    static const struct {
        const char *url, *host;
        uint16_t port;
        const char *auth;
    } cases[] = {
        {"http://proxy.example:3128", "proxy.example", 3128, ""},
        {"HTTP://proxy.example", "proxy.example", 80, ""},
        {"proxy:8080", "proxy", 8080, ""},
        {"http://10.0.0.1:1/", "10.0.0.1", 1, ""},
        {"http://[2001:db8::1]:3128", "2001:db8::1", 3128, ""},
        {"http://al:secret@proxy:8080/", "proxy", 8080, "YWw6c2VjcmV0"},
        {"http://al:p%40ss%3a@proxy:8080", "proxy", 8080, "YWw6cEBzczo="},
        {"http://a@b:c@d@proxy:8080", "proxy", 8080, "YUBiOmNAZA=="},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct proxy p;
        struct errmsg err;
        if (proxy_choose(cases[i].url, "hub", &p, &err) != 0)
            fail_msg("%s: %s", cases[i].url, err.text);
        assert_true(p.on);
        assert_string_equal(p.at.host, cases[i].host);
        assert_int_equal(p.at.port, cases[i].port);
        assert_string_equal(p.auth, cases[i].auth);
    }
}

static void bad_urls(void **state)
{
    static const char *const bad[] = {"https://proxy:1",  "socks5://p:1",   "http://",
                                      "http://:80",       "http://p:99999", "http://a:%zz@p",
                                      "http://a:%0a@p:1", "http://-x:1",    "http://a:secret@:80",
                                      "http://a%:x@p",    "http://*:80"};
    char url[700];
    struct proxy p;
    struct errmsg err;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (proxy_choose(bad[i], "hub", &p, &err) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_null(strstr(err.text, "secret"));
    }
    snprintf(url, sizeof url, "http://%0300d@p:1", 7);
    assert_int_equal(proxy_choose(url, "hub", &p, &err), -EINVAL);
    assert_int_equal(proxy_choose("none", "hub", &p, &err), 0);
    assert_false(p.on);
    assert_int_equal(proxy_choose(NULL, "hub", &p, &err), 0);
    assert_false(p.on);
}

static void environment(void **state)
{
    struct proxy p;
    struct errmsg err;
    (void)state;
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY",   "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < COUNT(names); i++)
        unsetenv(names[i]);
    assert_int_equal(proxy_choose("env", "hub", &p, &err), 0);
    assert_false(p.on);
    setenv("ALL_PROXY", "http://all:1", 1);
    assert_int_equal(proxy_choose("env", "hub", &p, &err), 0);
    assert_string_equal(p.at.host, "all");
    setenv("https_proxy", "http://https:1", 1);
    setenv("no_proxy", "localhost, .example.org", 1);
    assert_int_equal(proxy_choose("env", "hub.example.com", &p, &err), 0);
    assert_string_equal(p.at.host, "https");
    assert_int_equal(proxy_choose("env", "hub.example.org", &p, &err), 0);
    assert_false(p.on);
}

static void exceptions(void **state)
{
    (void)state;
    assert_true(proxy_excepted("*", "anything"));
    assert_true(proxy_excepted("a,b.c", "b.c"));
    assert_true(proxy_excepted("b.c", "a.B.C"));
    assert_true(proxy_excepted(".b.c", "b.c"));
    assert_false(proxy_excepted("b.c", "ab.c"));
    assert_false(proxy_excepted("", "b.c"));
    assert_false(proxy_excepted(",.,", "b.c"));
    assert_false(proxy_excepted("longer.b.c", "b.c"));
}

static void request(void **state)
{
    struct proxy p = {.on = true, .auth = "YWw6c2VjcmV0"};
    struct addr_hostport to = {"hub.example.com", 2244}, six = {"2001:db8::1", 443};
    struct buf out;
    (void)state;
    buf_init(&out, 1000);
    assert_int_equal(proxy_request(&p, &to, &out), 0);
    const char *text = buf_str(&out);
    assert_ptr_equal(strstr(text, "CONNECT hub.example.com:2244 HTTP/1.1\r\nHost: hub.example.com:2244\r\n"),
                     text);
    assert_non_null(strstr(text, "\r\nProxy-Authorization: Basic YWw6c2VjcmV0\r\n"));
    assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
    buf_clear(&out);
    p.auth[0] = 0;
    assert_int_equal(proxy_request(&p, &six, &out), 0);
    text = buf_str(&out);
    assert_ptr_equal(strstr(text, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"), text);
    assert_null(strstr(text, "Authorization"));
    buf_release(&out);
}

static int answer(const char *text, size_t piece, size_t *ret_used, struct errmsg *err)
{
    struct proxy_answer a = {0};
    size_t len = strlen(text), total = 0;
    int r = 0;
    for (size_t at = 0; at < len && r == 0; at += piece) {
        size_t used = 0, n = len - at < piece ? len - at : piece;
        r = proxy_answer_feed(&a, text + at, n, &used, err);
        total += used;
    }
    *ret_used = total;
    return r;
}

static void answers(void **state)
{
    static const struct {
        const char *text;
        int result;
        size_t used;
        const char *words;
    } cases[] = {
        {"HTTP/1.1 200 Connection established\r\n\r\n", 1, 39, NULL},
        {"HTTP/1.0 200\r\n\r\n", 1, 16, NULL},
        {"HTTP/1.1 204 x\nVia: y\n\nSSH", 1, 23, NULL},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n", 1, 50, NULL},
        {"HTTP/1.1 200 OK\r\nA: b\r\n", 0, 23, NULL},
        {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", -EACCES, 73,
         "407"},
        {"HTTP/1.1 403 Filtered\r\n\r\n", -EACCES, 25, "Filtered"},
        {"HTTP/1.1 503 Service \x1b Unavailable\r\n\r\n", -ECONNREFUSED, 38, "Service . Unavailable"},
        {"HTTP/1.1 302 Found\r\n\r\n", -ECONNREFUSED, 22, "302"},
        {"SSH-2.0-OpenSSH_9.2\r\n", -EPROTO, 21, "HTTP"},
        {"HTTP/1.1 2000 OK\r\n", -EPROTO, 18, NULL},
        {"HTTP/2 200\r\n", -EPROTO, 12, NULL},
        {"\r\n", -EPROTO, 2, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t piece = 1; piece < 80; piece += 13) {
            struct errmsg err = {""};
            size_t used;
            int r = answer(cases[i].text, piece, &used, &err);
            if (r != cases[i].result || (piece == 1 && used != cases[i].used))
                fail_msg("case %zu: %d, %zu bytes, %s", i, r, used, err.text);
            if (cases[i].words != NULL)
                assert_non_null(strstr(err.text, cases[i].words));
        }
    }
}

static void bounded(void **state)
{
    static const char status[] = "HTTP/1.1 200 OK\r\n";
    char junk[PROXY_HEADER_MAX];
    struct proxy_answer a = {0};
    struct errmsg err;
    size_t used;
    (void)state;
    memset(junk, 'x', sizeof junk);
    assert_int_equal(proxy_answer_feed(&a, status, sizeof status - 1, &used, &err), 0);
    assert_int_equal(proxy_answer_feed(&a, junk, sizeof junk - (sizeof status - 1), &used, &err), 0);
    assert_int_equal(proxy_answer_feed(&a, junk, 1, &used, &err), -EPROTO);
}

/* On Windows the system is to be asked; elsewhere there is nobody to ask. */
static void system_setting(void **state)
{
    struct proxy p;
    struct errmsg err = {""};
    (void)state;
    int r = proxy_choose("system", "hub", &p, &err);
    assert_int_equal(r, proxy_system_there ? 0 : -EINVAL);
    assert_int_equal(p.ask, proxy_system_there);
    assert_false(p.on);
    assert_true(proxy_system_there || strstr(err.text, "Windows") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls),           cmocka_unit_test(bad_urls),   cmocka_unit_test(environment),
        cmocka_unit_test(system_setting), cmocka_unit_test(exceptions), cmocka_unit_test(request),
        cmocka_unit_test(answers),        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
