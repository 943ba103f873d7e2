/* What the hub signs and leaves with a front. */
#include "cmocka_all.h"

#include "hub/voucher.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t secret[TICKET_SECRET_SIZE] = {1, 2, 3};
static char key[] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8";

static struct voucher sample(void)
{
    return (struct voucher){
        .user = "alice", .key = key, .source = "2001:db8::7", .port = 4711, .at_s = 1700000000};
}

static char *made(const struct voucher *v)
{
    char *text = NULL;

    assert_int_equal(voucher_make(secret, v, &text), 0);
    assert_non_null(text);
    return text;
}

static void there_and_back(void **state)
{
    struct voucher in = sample(), out = {.user = ""};
    char *text = made(&in);

    (void)state;
    assert_int_equal(voucher_open(secret, text, &out), 0);
    assert_string_equal(out.user, in.user);
    assert_string_equal(out.key, in.key);
    assert_string_equal(out.source, in.source);
    assert_int_equal(out.port, in.port);
    assert_int_equal(out.at_s, in.at_s);
    voucher_release(&out);
    voucher_release(&out);
    free(text);
}

static void nobody_logged_in(void **state)
{
    struct voucher in = {.source = "192.0.2.7", .port = 1}, out = {.user = "x"};
    char *text = made(&in);

    (void)state;
    assert_int_equal(voucher_open(secret, text, &out), 0);
    assert_string_equal(out.user, "");
    assert_null(out.key);
    voucher_release(&out);
    free(text);
}

static void the_longest_key(void **state)
{
    struct voucher in = sample(), out = {.user = ""};
    char *text = NULL;

    (void)state;
    in.key = malloc(VOUCHER_KEY_MAX + 2);
    assert_non_null(in.key);
    memset(in.key, 'A', VOUCHER_KEY_MAX + 1);
    in.key[VOUCHER_KEY_MAX + 1] = '\0';
    memset(in.user, 'u', NAMES_USER_MAX);
    in.user[NAMES_USER_MAX] = '\0';
    assert_int_equal(voucher_make(secret, &in, &text), -EINVAL);
    in.key[VOUCHER_KEY_MAX] = '\0';
    text = made(&in);
    assert_true(strlen(text) < VOUCHER_TEXT_MAX);
    assert_int_equal(voucher_open(secret, text, &out), 0);
    assert_string_equal(out.key, in.key);
    voucher_release(&out);
    free(in.key);
    free(text);
}

static void unfit(void **state)
{
    struct voucher v = sample();
    char *text = NULL;

    (void)state;
    v.key = NULL;
    assert_int_equal(voucher_make(secret, &v, &text), -EINVAL);
    v = sample();
    v.user[0] = '\0';
    assert_int_equal(voucher_make(secret, &v, &text), -EINVAL);
    v = sample();
    v.source[0] = '\0';
    assert_int_equal(voucher_make(secret, &v, &text), -EINVAL);
    v = sample();
    v.at_s = -1;
    assert_int_equal(voucher_make(secret, &v, &text), -EINVAL);
}

/* Each character changed, one left out, one added, another secret: none is taken, and never by accident. */
static void forged(void **state)
{
    static const uint8_t other[TICKET_SECRET_SIZE] = {1, 2, 4};
    struct voucher in = sample(), out = {.user = ""};
    char *text = made(&in), *copy = NULL;
    size_t n = strlen(text);

    (void)state;
    assert_int_equal(voucher_open(other, text, &out), -EPERM);
    for (size_t i = 0; i < n; i++) {
        char was = text[i];

        text[i] = was == 'A' ? 'B' : 'A';
        if (i == n - 1) /* its last bits may be stray ones */
            assert_true(voucher_open(secret, text, &out) < 0);
        else
            assert_true(voucher_open(secret, text, &out) == -EPERM ||
                        voucher_open(secret, text, &out) == -EINVAL);
        text[i] = was;
    }
    copy = calloc(1, n + 2);
    assert_non_null(copy);
    memcpy(copy, text, n);
    for (size_t i = n; i > 0; i--) {
        copy[i - 1] = '\0';
        assert_true(voucher_open(secret, copy, &out) < 0);
    }
    memcpy(copy, text, n);
    copy[n] = 'A';
    assert_true(voucher_open(secret, copy, &out) < 0);
    assert_int_equal(voucher_open(secret, "", &out), -EINVAL);
    assert_int_equal(voucher_open(secret, ".", &out), -EINVAL);
    free(copy);
    free(text);
}

/* A ticket is signed with the same secret: it is no voucher. */
static void a_ticket_is_none(void **state)
{
    struct ticket t = {.expiry_s = 1, .machine = "web01", .user = "alice"};
    struct voucher out = {.user = ""};
    uint8_t stream_key[TICKET_KEY_SIZE];
    char text[TICKET_TEXT_MAX];

    (void)state;
    assert_int_equal(ticket_make(secret, &t, text, stream_key), 0);
    assert_int_equal(voucher_open(secret, text, &out), -EPERM);
}

static void too_long(void **state)
{
    struct voucher out = {.user = ""};
    char *text = malloc(2 * VOUCHER_TEXT_MAX);

    (void)state;
    assert_non_null(text);
    memset(text, 'A', 2 * VOUCHER_TEXT_MAX - 1);
    text[2 * VOUCHER_TEXT_MAX - 1] = '\0';
    assert_int_equal(voucher_open(secret, text, &out), -EINVAL);
    text[100] = '.';
    assert_int_equal(voucher_open(secret, text, &out), -EINVAL);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),  cmocka_unit_test(nobody_logged_in),
        cmocka_unit_test(the_longest_key), cmocka_unit_test(unfit),
        cmocka_unit_test(forged),          cmocka_unit_test(a_ticket_is_none),
        cmocka_unit_test(too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
