/* The reading of a peeked ClientHello: real ones from OpenSSL whole, in prefixes and cut into records, and
 * bad ones. */
#include "tls/hello.h"

#include "tls/session.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A growing message for the tests that write their own. */
struct bytes {
    uint8_t at[20000];
    size_t n;
};

static void put(struct bytes *b, const void *data, size_t n)
{
    assert_true(b->n + n <= sizeof(b->at));
    memcpy(b->at + b->n, data, n);
    b->n += n;
}

static void put_number(struct bytes *b, size_t value, size_t width)
{
    for (size_t i = width; i-- > 0;) {
        uint8_t one = (uint8_t)(value >> (8 * i));
        put(b, &one, 1);
    }
}

/* hello_alpn on a copy that is exactly as long, so that a read past the end is caught by the sanitizer. */
static int ask(const uint8_t *data, size_t n, size_t *ret_need)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    int rc;

    assert_non_null(copy);
    memcpy(copy, data, n);
    rc = hello_alpn(copy, n, ret_need);
    free(copy);
    return rc;
}

/* Every prefix waits, for more than it has and not for more than there will be; the whole has the answer. */
static void check_prefixes(const uint8_t *data, size_t n, int want)
{
    size_t need, asked = 0;

    for (size_t i = 0; i < n; i++) {
        need = 0;
        assert_int_equal(ask(data, i, &need), -EAGAIN);
        assert_true(need > i && need <= n);
    }
    assert_int_equal(ask(data, n, &need), want);
    for (size_t have = 0; have < n; have = need) { /* asking only when told to gets there too */
        asked++;
        if (ask(data, have, &need) != -EAGAIN)
            break;
    }
    assert_true(asked <= n);
    assert_int_equal(ask(data, n, &need), want);
}

static size_t real_hello(const char *alpn, const char *sni, uint8_t *out, size_t size)
{
    struct session_trust trust = {.how = SESSION_TRUST_ANY, .name = sni};
    struct session *s = NULL;
    SSL_CTX *ctx = NULL;
    struct buf b;
    size_t n;

    buf_init(&b, size);
    assert_int_equal(session_client_ctx(NULL, NULL, &ctx), 0);
    assert_int_equal(session_new_client(ctx, alpn, &trust, &s), 0);
    assert_int_equal(session_output(s, &b), 0);
    assert_int_equal(session_output_len(s), 0);
    n = buf_len(&b);
    assert_true(n > 100);
    memcpy(out, buf_data(&b), n);
    buf_release(&b);
    session_free(s);
    SSL_CTX_free(ctx);
    return n;
}

/* The same handshake bytes in records of at most step bytes. */
static void resplit(const uint8_t *record, size_t n, size_t step, struct bytes *ret)
{
    ret->n = 0;
    for (size_t at = 5; at < n; at += step) {
        size_t part = n - at < step ? n - at : step;

        put(ret, record, 3);
        put_number(ret, part, 2);
        put(ret, record + at, part);
    }
}

static void test_real_hellos(void **state)
{
    uint8_t data[8192];
    size_t n;

    (void)state;
    n = real_hello(TLS_ALPN_CONTROL, NULL, data, sizeof(data));
    check_prefixes(data, n, HELLO_CONTROL);
    n = real_hello(TLS_ALPN_STREAM, "hub.example.com", data, sizeof(data));
    check_prefixes(data, n, HELLO_STREAM);
}

static void test_real_hello_over_many_records(void **state)
{
    static const size_t steps[] = {1, 2, 3, 4, 5, 7, 50, 100, 200};
    static struct bytes split;
    uint8_t data[8192];
    size_t n = real_hello(TLS_ALPN_STREAM, "hub.example.com", data, sizeof(data));

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        resplit(data, n, steps[i], &split);
        check_prefixes(split.at, split.n, HELLO_STREAM);
    }
}

/* A ClientHello with these extensions (whole, with their types and lengths), as one record. */
static void make_hello(struct bytes *b, const uint8_t *extensions, size_t n, size_t session_id,
                       size_t ciphers)
{
    static const uint8_t zeros[32];
    size_t body = 2 + 32 + 1 + session_id + 2 + ciphers + 1 + 1 + 2 + n;

    b->n = 0;
    put(b, "\x16\x03\x01", 3);
    put_number(b, 4 + body, 2);
    put_number(b, 1, 1);
    put_number(b, body, 3);
    put(b, "\x03\x03", 2);
    put(b, zeros, 32);
    put_number(b, session_id, 1);
    for (size_t i = 0; i < session_id; i++)
        put_number(b, 7, 1);
    put_number(b, ciphers, 2);
    for (size_t i = 0; i < ciphers; i++)
        put_number(b, 0x13, 1);
    put(b, "\x01\x00", 2);
    put_number(b, n, 2);
    put(b, extensions, n);
}

static int ask_extensions(const char *extensions, size_t n)
{
    static struct bytes b;
    size_t need;

    make_hello(&b, (const uint8_t *)extensions, n, 32, 4);
    return ask(b.at, b.n, &need);
}

#define STREAM "\x11multissh-stream/1"
#define CONTROL "\x12multissh-control/1"
#define ASK(text) ask_extensions(text, sizeof(text) - 1)

static void test_alpn_lists(void **state)
{
    (void)state;
    assert_int_equal(ASK("\x00\x10\x00\x14\x00\x12" STREAM), HELLO_STREAM);
    assert_int_equal(ASK("\x00\x10\x00\x15\x00\x13" CONTROL), HELLO_CONTROL);
    assert_int_equal(ASK("\x00\x10\x00\x27\x00\x25" CONTROL STREAM), HELLO_CONTROL); /* the first of ours */
    assert_int_equal(ASK("\x00\x10\x00\x27\x00\x25" STREAM CONTROL), HELLO_STREAM);
    assert_int_equal(ASK("\x00\x10\x00\x17\x00\x15\x02h2" STREAM), HELLO_STREAM);
    assert_int_equal(ASK("\xff\x01\x00\x01\x00\x00\x10\x00\x14\x00\x12" STREAM "\x00\x17\x00\x00"),
                     HELLO_STREAM);

    assert_int_equal(ASK(""), -EPROTO);
    assert_int_equal(ASK("\x00\x17\x00\x00"), -EPROTO);                /* no ALPN */
    assert_int_equal(ASK("\x00\x10\x00\x05\x00\x03\x02h2"), -EPROTO);  /* none of ours */
    assert_int_equal(ASK("\x00\x10\x00\x02\x00\x00"), -EPROTO);        /* an empty list */
    assert_int_equal(ASK("\x00\x10\x00\x00"), -EPROTO);                /* no list */
    assert_int_equal(ASK("\x00\x10\x00\x03\x00\x01\x00"), -EPROTO);    /* an empty name */
    assert_int_equal(ASK("\x00\x10\x00\x14\x00\x11" STREAM), -EPROTO); /* list shorter than the extension */
    assert_int_equal(ASK("\x00\x10\x00\x14\x00\x13" STREAM), -EPROTO); /* and longer */
    assert_int_equal(ASK("\x00\x10\x00\x15\x00\x12" STREAM), -EPROTO); /* past the end */
    assert_int_equal(ASK("\x00\x10\xff\xff\x00\x12" STREAM), -EPROTO);
    assert_int_equal(ASK("\x00\x10\x00\x14\x00\x12" STREAM "\x00"),
                     -EPROTO); /* half an extension behind it */
    assert_int_equal(ASK("\x00\x10\x00\x14\x00\x12" STREAM "\x00\x10\x00\x14\x00\x12" STREAM),
                     -EPROTO);                                                 /* twice */
    assert_int_equal(ASK("\x00\x10\x00\x16\x00\x14" STREAM "\x05h"), -EPROTO); /* the last name is cut */
    assert_int_equal(ASK("\x00\x10\x00\x13\x00\x11\x10multissh-stream/"), -EPROTO);
    assert_int_equal(ASK("\x00\x10\x00\x14\x00\x12\x11multissh-stream/2"), -EPROTO);
}

static void test_bodies(void **state)
{
    static const uint8_t alpn[] = "\x00\x10\x00\x14\x00\x12" STREAM;
    static struct bytes b;
    size_t need;

    (void)state;
    make_hello(&b, alpn, sizeof(alpn) - 1, 0, 2);
    check_prefixes(b.at, b.n, HELLO_STREAM);
    make_hello(&b, alpn, sizeof(alpn) - 1, 33, 2);
    assert_int_equal(ask(b.at, b.n, &need), -EPROTO);
    make_hello(&b, alpn, sizeof(alpn) - 1, 32, 3);
    assert_int_equal(ask(b.at, b.n, &need), -EPROTO);
    make_hello(&b, alpn, sizeof(alpn) - 1, 32, 0);
    assert_int_equal(ask(b.at, b.n, &need), -EPROTO);
    make_hello(&b, alpn, sizeof(alpn) - 1, 32, 2);
    b.at[9] = 2; /* legacy_version */
    assert_int_equal(ask(b.at, b.n, &need), -EPROTO);
    make_hello(&b, alpn, sizeof(alpn) - 1, 32, 2);
    put_number(&b, 0, 1); /* what follows the message is none of our business */
    assert_int_equal(ask(b.at, b.n, &need), HELLO_STREAM);
}

static void test_size_limits(void **state)
{
    static struct bytes b, split;
    static uint8_t padded[16000];
    static const char alpn[] = "\x00\x10\x00\x14\x00\x12" STREAM;
    size_t need, fixed = 5 + 4 + 2 + 32 + 1 + 2 + 2 + 2 + 2, room = HELLO_MAX - fixed - (sizeof(alpn) - 1);

    (void)state;
    memcpy(padded, alpn, sizeof(alpn) - 1);
    for (size_t over = 0; over < 2; over++) { /* exactly the maximum, and one more */
        uint8_t *pad = padded + sizeof(alpn) - 1;
        size_t n = room - 4 + over;

        pad[0] = 0;
        pad[1] = 21;
        pad[2] = (uint8_t)(n >> 8);
        pad[3] = (uint8_t)n;
        make_hello(&b, padded, sizeof(alpn) - 1 + 4 + n, 0, 2);
        assert_int_equal(b.n, HELLO_MAX + over);
        assert_int_equal(ask(b.at, b.n, &need), over ? -EPROTO : HELLO_STREAM);
        assert_int_equal(ask(b.at, 100, &need), over ? -EPROTO : -EAGAIN); /* it is told from the start */
    }
    memset(padded + sizeof(alpn) - 1 + 4, 0, sizeof(padded) - sizeof(alpn) - 3);
    make_hello(&b, padded, sizeof(alpn) - 1 + 4 + 7000, 0, 2);
    b.at[b.n - 7000 - 2] = 7000 >> 8;
    b.at[b.n - 7000 - 1] = 7000 & 255;
    assert_int_equal(ask(b.at, b.n, &need), HELLO_STREAM);
    resplit(b.at, b.n, 100, &split);
    assert_true(split.n < HELLO_MAX);
    assert_int_equal(ask(split.at, split.n, &need), HELLO_STREAM);
    resplit(b.at, b.n, 10, &split); /* the record headers take it over the limit */
    assert_true(split.n > HELLO_MAX);
    for (size_t n = 0; n < HELLO_MAX - 100; n += 97)
        assert_int_equal(ask(split.at, n, &need), -EAGAIN);
    assert_int_equal(ask(split.at, HELLO_MAX, &need), -EPROTO);
    assert_int_equal(ask(split.at, split.n, &need), -EPROTO);
}

static void test_garbage_is_refused_at_its_first_bad_byte(void **state)
{
    static const struct {
        const char *data;
        size_t n;
    } bad[] = {
        {"S", 1},
        {"\x15", 1},
        {"\x17", 1},
        {"\x80", 1},
        {"\x16\x02", 2},
        {"\x16\x03\x05", 3},
        {"\x16\x03\x01\x00\x00", 5},     /* an empty record */
        {"\x16\x03\x01\x40\x01", 5},     /* a record over 16,384 bytes */
        {"\x16\x03\x01\x00\xff\x02", 6}, /* not a ClientHello */
        {"\x16\x03\x01\x00\xff\x01\x00\x00\x00", 9},
        {"\x16\x03\x01\x00\xff\x01\x00\x00\x28", 9}, /* too short to be one */
        {"\x16\x03\x01\x00\xff\x01\xff\xff\xff", 9},
        {"\x16\x03\x01\x00\x01\x01\x17", 7}, /* a second record of another type */
    };
    size_t need;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const uint8_t *data = (const uint8_t *)bad[i].data;

        assert_int_equal(ask(data, bad[i].n, &need), -EPROTO);
        if (bad[i].n != 5 && bad[i].n != 9)
            assert_int_equal(ask(data, bad[i].n - 1, &need), -EAGAIN);
    }
}

/* What a shorter prefix was refused or answered, a longer one cannot undo; whatever the bytes are. */
static void check_consistency(const uint8_t *data, size_t n)
{
    int settled = -EAGAIN;
    size_t need;

    for (size_t i = 0; i <= n; i++) {
        int rc = ask(data, i, &need);

        assert_true(rc == HELLO_CONTROL || rc == HELLO_STREAM || rc == -EPROTO || rc == -EAGAIN);
        if (settled != -EAGAIN)
            assert_int_equal(rc, settled);
        if (rc == -EAGAIN)
            assert_true(need > i && need <= HELLO_MAX);
        settled = rc;
    }
}

static void test_mutations(void **state)
{
    static struct bytes split;
    uint8_t data[8192];
    size_t n = real_hello(TLS_ALPN_CONTROL, NULL, data, sizeof(data));
    uint32_t random = 1;

    (void)state;
    resplit(data, n, 60, &split);
    for (size_t i = 0; i < split.n; i++) {
        uint8_t was = split.at[i];

        random = random * 1664525 + 1013904223;
        split.at[i] = (uint8_t)(random >> 24);
        check_consistency(split.at, split.n);
        split.at[i] = was;
    }
    assert_int_equal(ask(split.at, split.n, &n), HELLO_CONTROL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_hellos), cmocka_unit_test(test_real_hello_over_many_records),
        cmocka_unit_test(test_alpn_lists),  cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_size_limits), cmocka_unit_test(test_garbage_is_refused_at_its_first_bad_byte),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
