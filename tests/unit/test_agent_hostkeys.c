/* Host keys as ssh-keyscan and key files write them. */
#include "cmocka_all.h"

#include "agent/hostkeys.h"
#include "base/crypto.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "type base64" of a key with n bytes behind its type. */
static void make_key(const char *type, size_t n, unsigned seed, char *out, size_t size)
{
    uint8_t blob[4000] = {0};
    size_t len = strlen(type);
    blob[3] = (uint8_t)len;
    memcpy(blob + 4, type, len);
    memset(blob + 4 + len, (int)seed, n);
    int at = snprintf(out, size, "%s ", type);
    assert_true(crypto_b64_encode(blob, 4 + len + n, out + at, size - (size_t)at) > 0);
}

static void parses(void **state)
{
    char ed[200], rsa[900], text[4000];
    struct hostkeys k = {0}, other = {0};
    (void)state;
    make_key("ssh-ed25519", 36, 1, ed, sizeof ed);
    make_key("ssh-rsa", 500, 2, rsa, sizeof rsa);
    int n = snprintf(text, sizeof text,
                     "# 127.0.0.1:22 SSH-2.0-x\n127.0.0.1 %s\n[h]:22 %s comment\r\n127.0.0.1 %s\n\nshort\n",
                     ed, rsa, ed);
    assert_int_equal(hostkeys_parse(&k, text, (size_t)n, true), 0);
    assert_int_equal(k.n, 2);
    assert_string_equal(k.key[0], ed);
    assert_string_equal(k.key[1], rsa);
    n = snprintf(text, sizeof text, "%s root@host", rsa);
    assert_int_equal(hostkeys_parse(&other, text, (size_t)n, false), 0);
    assert_int_equal(other.n, 1);
    assert_string_equal(other.key[0], rsa);
    assert_false(hostkeys_same(&k, &other));
    n = snprintf(text, sizeof text, "%s\n", ed);
    assert_int_equal(hostkeys_parse(&other, text, (size_t)n, false), 0);
    assert_true(hostkeys_same(&k, &other)); /* in another order */
    hostkeys_release(&k);
    hostkeys_release(&other);
}

static void leaves_out(void **state)
{
    char ed[200], lie[200], text[1000];
    struct hostkeys k = {0};
    (void)state;
    make_key("ssh-ed25519", 36, 1, ed, sizeof ed);
    make_key("ssh-dss", 36, 1, lie, sizeof lie);
    int n = snprintf(text, sizeof text,
                     "h %s\nh ssh-ed25519 %s\nh ssh-ed25519 AAAA\nh ssh-ed25519 %.20s*\nh ssh-ed25519\n", lie,
                     lie + 8, ed + 12);
    assert_int_equal(hostkeys_parse(&k, text, (size_t)n, true), 0);
    assert_int_equal(k.n, 0);
    hostkeys_release(&k);
}

static void bounded(void **state)
{
    struct hostkeys k = {0};
    char line[6000], text[7000];
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        make_key("ssh-ed25519", 36, i, line, sizeof line);
        int n = snprintf(text, sizeof text, "h %s\n", line);
        assert_int_equal(hostkeys_parse(&k, text, (size_t)n, true), 0);
    }
    assert_int_equal(k.n, HOSTKEYS_MAX);
    hostkeys_release(&k);
    make_key("ssh-rsa", 3000, 1, line, sizeof line); /* one too large */
    int n = snprintf(text, sizeof text, "h %s\n", line);
    assert_int_equal(hostkeys_parse(&k, text, (size_t)n, true), 0);
    assert_int_equal(k.n, 0);
    size_t total = 0;
    for (unsigned i = 0; i < 8; i++) { /* too large together */
        make_key("ssh-rsa", 1000, i, line, sizeof line);
        n = snprintf(text, sizeof text, "h %s\n", line);
        assert_int_equal(hostkeys_parse(&k, text, (size_t)n, true), 0);
    }
    for (unsigned i = 0; i < k.n; i++)
        total += strlen(k.key[i]);
    assert_in_range(total, 1, HOSTKEYS_TOTAL_MAX);
    assert_int_equal(k.n, 3);
    hostkeys_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parses), cmocka_unit_test(leaves_out),
                                       cmocka_unit_test(bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
