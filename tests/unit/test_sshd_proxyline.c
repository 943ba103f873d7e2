/* The PROXY line: what is taken, and what is not. */
#include "cmocka_all.h"

#include "sshd/proxyline.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int parse(const char *text, struct proxyline *ret)
{
    /* Exactly as long, so that a sanitizer sees a read behind it. */
    size_t n = strlen(text);
    char *copy = malloc(n + 1);
    int rc;
    assert_non_null(copy);
    memcpy(copy, text, n);
    rc = proxyline_parse(copy, n, ret);
    free(copy);
    return rc;
}

static void test_tcp4(void **state)
{
    struct proxyline p;
    (void)state;
    assert_int_equal(parse("PROXY TCP4 192.0.2.7 198.51.100.1 40000 22\r\n", &p), 0);
    assert_string_equal(p.peer, "192.0.2.7");
    assert_string_equal(p.local, "198.51.100.1");
    assert_int_equal(p.peer_port, 40000);
    assert_int_equal(p.local_port, 22);
}

static void test_longest(void **state)
{
    struct proxyline p;
    (void)state;
    assert_int_equal(parse("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65534\r\n",
                           &p),
                     0);
    assert_string_equal(p.peer, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_string_equal(p.local, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
    assert_int_equal(p.peer_port, 65535);
    assert_int_equal(p.local_port, 65534);
}

static void test_unknown(void **state)
{
    struct proxyline p;
    (void)state;
    assert_int_equal(parse("PROXY UNKNOWN\r\n", &p), 0);
    assert_string_equal(p.peer, "");
    assert_int_equal(p.peer_port, 0);
    assert_int_equal(parse("PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n", &p), 0);
    assert_string_equal(p.peer, "");
}

static void test_refused(void **state)
{
    static const char *const lines[] = {
        "",
        "\r\n",
        "\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXYUNKNOWN\r\n",
        "proxy UNKNOWN\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000 22\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000 22",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000 22 \r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000 22 1\r\n",
        "PROXY TCP4  192.0.2.7 198.51.100.1 40000 22\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 65536 22\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 -1 22\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 022 22\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 1x 22\r\n",
        "PROXY TCP4 192.0.2 198.51.100.1 1 22\r\n",
        "PROXY TCP4 host 198.51.100.1 1 22\r\n",
        "PROXY TCP4 ::1 ::1 1 22\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 1 22\r\n",
        "PROXY TCP6 ::1%lo ::1 1 22\r\n",
        "PROXY UDP4 192.0.2.7 198.51.100.1 1 22\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    };
    struct proxyline p = {.peer_port = 77};
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        if (parse(lines[i], &p) != -EINVAL) {
            fail_msg("taken: %s", lines[i]);
        }
    }
    assert_int_equal(p.peer_port, 77); /* untouched */
}

static void test_bytes(void **state)
{
    struct proxyline p;
    char line[200];
    (void)state;
    assert_int_equal(proxyline_parse("PROXY UNKNOWN\0\r\n", 16, &p), -EINVAL);
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + PROXYLINE_MAX - 2, "\r\n", 2);
    assert_int_equal(proxyline_parse(line, PROXYLINE_MAX, &p), 0);
    memset(line + 14, 'x', sizeof line - 14);
    memcpy(line + PROXYLINE_MAX - 1, "\r\n", 2);
    assert_int_equal(proxyline_parse(line, PROXYLINE_MAX + 1, &p), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp4),    cmocka_unit_test(test_longest), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
