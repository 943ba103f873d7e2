/* The SSH identification line, in whatever pieces it comes. */
#include "cmocka_all.h"

#include "agent/banner.h"
#include <string.h>

static enum banner_verdict whole(struct banner *b, const char *text)
{
    memset(b, 0, sizeof *b);
    return banner_feed(b, text, strlen(text));
}

static void servers(void **state)
{
    static const char *const good[] = {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH-2.0-x\n",
                                       "SSH-1.99-Cisco\r\n",
                                       "Welcome\r\nto this\n\nSSH-2.0-later\r\nmore bytes \x01\x02"};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct banner b, slow = {0};
        assert_int_equal(whole(&b, good[i]), BANNER_SSH);
        enum banner_verdict v = BANNER_MORE;
        for (const char *p = good[i]; *p != 0; p++) {
            v = banner_feed(&slow, p, 1);
            assert_int_not_equal(v, BANNER_NOT_SSH);
        }
        assert_int_equal(v, BANNER_SSH);
        assert_string_equal(slow.line, b.line);
        assert_int_equal(banner_end(&b), BANNER_SSH);
    }
    struct banner b;
    assert_int_equal(whole(&b, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), BANNER_SSH);
    assert_string_equal(b.line, "SSH-2.0-OpenSSH_9.2p1 Debian-2");
}

static void others(void **state)
{
    struct banner b;
    (void)state;
    assert_int_equal(whole(&b, "SSH-1.5-old\r\n"), BANNER_NOT_SSH);
    assert_int_equal(whole(&b, "SSH-2.0-nearly"), BANNER_MORE);
    assert_int_equal(banner_end(&b), BANNER_NOT_SSH);
    assert_int_equal(whole(&b, ""), BANNER_MORE);
    assert_int_equal(banner_end(&b), BANNER_NOT_SSH);
    assert_string_equal(b.first, "");
    assert_int_equal(whole(&b, "Not allowed at this time\r\n"), BANNER_MORE);
    assert_int_equal(banner_end(&b), BANNER_NOT_SSH);
    assert_string_equal(b.first, "Not allowed at this time");
    assert_int_equal(whole(&b, "220 \x1b[31mftp\x07\r\n"), BANNER_MORE);
    assert_string_equal(b.first, "220 .[31mftp.");
}

static void bounds(void **state)
{
    struct banner b = {0};
    char line[BANNER_LINE_MAX];
    (void)state;
    /* 255 bytes with CR LF are taken, 256 are not */
    memset(line, 'x', sizeof line);
    memcpy(line, "SSH-2.0-", 8);
    line[BANNER_LINE_MAX - 2] = '\r';
    line[BANNER_LINE_MAX - 1] = '\n';
    assert_int_equal(banner_feed(&b, line, sizeof line), BANNER_SSH);
    memset(&b, 0, sizeof b);
    memset(line, 'x', sizeof line);
    assert_int_equal(banner_feed(&b, line, BANNER_LINE_MAX - 1), BANNER_MORE);
    assert_int_equal(banner_feed(&b, "\r", 1), BANNER_NOT_SSH);
    assert_int_equal(strlen(b.first), sizeof b.first - 1);
    /* and lines before it are counted */
    memset(&b, 0, sizeof b);
    for (unsigned i = 1; i < BANNER_LINES_MAX; i++)
        assert_int_equal(banner_feed(&b, "hi\n", 3), BANNER_MORE);
    assert_int_equal(banner_feed(&b, "hi\n", 3), BANNER_NOT_SSH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(servers), cmocka_unit_test(others),
                                       cmocka_unit_test(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
