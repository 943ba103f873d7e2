/* Tickets: what a hub makes it opens again; everything else is refused. */
#include "stream/ticket.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants the four headers above first. */
#include <cmocka.h>

static const uint8_t secret[TICKET_SECRET_SIZE] = {1, 2, 3};

static struct ticket sample(const char *machine, const char *user)
{
    struct ticket t = {.expiry_s = 1800000000};

    for (size_t i = 0; i < sizeof t.id; i++)
        t.id[i] = (uint8_t)(i * 17);
    snprintf(t.machine, sizeof t.machine, "%s", machine);
    snprintf(t.user, sizeof t.user, "%s", user);
    return t;
}

static void test_round_trip(void **state)
{
    struct ticket t = sample("web01", "alice"), back;
    uint8_t key[TICKET_KEY_SIZE], key2[TICKET_KEY_SIZE];
    char text[TICKET_TEXT_MAX];

    (void)state;
    assert_int_equal(ticket_make(secret, &t, text, key), 0);
    assert_int_equal(ticket_open(secret, text, &back, key2), 0);
    assert_memory_equal(key, key2, sizeof key);
    assert_memory_equal(t.id, back.id, sizeof t.id);
    assert_int_equal(back.expiry_s, 1800000000);
    assert_string_equal(back.machine, "web01");
    assert_string_equal(back.user, "alice");
    assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."),
                     strlen(text));
}

/* A joined one says by which key it was asked for; the others say nothing, and no byte is left over. */
static void test_the_key_of_the_user(void **state)
{
    struct ticket t = sample("web01", "alice"), back;
    uint8_t key[TICKET_KEY_SIZE], other[TICKET_USER_KEY_SIZE];
    char text[TICKET_TEXT_MAX], plain[TICKET_TEXT_MAX];

    (void)state;
    assert_int_equal(ticket_user_key("ssh-ed25519 AAAA", t.user_key), 0);
    assert_int_equal(ticket_user_key("ssh-ed25519 AAAB", other), 0);
    assert_memory_not_equal(t.user_key, other, sizeof other);
    assert_int_equal(ticket_make(secret, &t, plain, key), 0);
    t.id[0] |= 0x80;
    assert_int_equal(ticket_make(secret, &t, text, key), 0);
    assert_true(strlen(text) > strlen(plain));
    assert_int_equal(ticket_open(secret, text, &back, key), 0);
    assert_memory_equal(back.user_key, t.user_key, sizeof t.user_key);
    assert_int_equal(ticket_open(secret, plain, &back, key), 0);
    memset(other, 0, sizeof other);
    assert_memory_equal(back.user_key, other, sizeof other);
}

static void test_longest_names(void **state)
{
    char machine[NAMES_MACHINE_MAX + 1], user[NAMES_USER_MAX + 1], text[TICKET_TEXT_MAX];
    uint8_t key[TICKET_KEY_SIZE];
    struct ticket t, back;

    (void)state;
    memset(machine, 'm', sizeof machine - 1);
    machine[sizeof machine - 1] = '\0';
    memset(user, 'u', sizeof user - 1);
    user[sizeof user - 1] = '\0';
    t = sample(machine, user);
    t.id[0] |= 0x80;
    t.expiry_s = INT64_MAX;
    assert_int_equal(ticket_make(secret, &t, text, key), 0);
    assert_int_equal(ticket_open(secret, text, &back, key), 0);
    assert_string_equal(back.machine, machine);
    assert_string_equal(back.user, user);
    assert_true(back.expiry_s == INT64_MAX);
}

static void test_bad_input_to_make(void **state)
{
    uint8_t key[TICKET_KEY_SIZE];
    char text[TICKET_TEXT_MAX];
    struct ticket t = sample("", "alice");

    (void)state;
    assert_int_equal(ticket_make(secret, &t, text, key), -EINVAL);
    t = sample("web01", "");
    assert_int_equal(ticket_make(secret, &t, text, key), -EINVAL);
    t = sample("web 01", "alice");
    assert_int_equal(ticket_make(secret, &t, text, key), -EINVAL);
    t = sample("web01", "alice");
    t.expiry_s = -1;
    assert_int_equal(ticket_make(secret, &t, text, key), -EINVAL);
    t = sample("web01", "alice");
    memset(t.machine, 'x', sizeof t.machine);
    assert_int_equal(ticket_make(secret, &t, text, key), -EINVAL);
}

static void test_every_change_is_refused(void **state)
{
    struct ticket t = sample("web01", "alice"), back;
    uint8_t key[TICKET_KEY_SIZE];
    char text[TICKET_TEXT_MAX], other[TICKET_TEXT_MAX];
    size_t n;

    (void)state;
    assert_int_equal(ticket_make(secret, &t, text, key), 0);
    n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        for (const char *c = "Aa0._-=\n"; *c; c++) {
            if (text[i] == *c)
                continue;
            memcpy(other, text, n + 1);
            other[i] = *c;
            assert_true(ticket_open(secret, other, &back, key) < 0);
        }
        memcpy(other, text, i);
        other[i] = '\0';
        assert_int_equal(ticket_open(secret, other, &back, key), -EINVAL);
    }
    memcpy(other, text, n);
    strncpy(other + n, "A", 2);
    assert_int_equal(ticket_open(secret, other, &back, key), -EINVAL);
    memset(other, 'A', sizeof other); /* not even terminated */
    assert_int_equal(ticket_open(secret, other, &back, key), -EINVAL);
}

static void test_another_secret(void **state)
{
    static const uint8_t wrong[TICKET_SECRET_SIZE] = {1, 2, 4};
    struct ticket t = sample("web01", "alice"), back = sample("untouched", "u");
    uint8_t key[TICKET_KEY_SIZE], key2[TICKET_KEY_SIZE];
    char text[TICKET_TEXT_MAX], text2[TICKET_TEXT_MAX];

    (void)state;
    assert_int_equal(ticket_make(secret, &t, text, key), 0);
    assert_int_equal(ticket_open(wrong, text, &back, key2), -EPERM);
    assert_string_equal(back.machine, "untouched");
    assert_int_equal(ticket_make(wrong, &t, text2, key2), 0);
    assert_memory_not_equal(key, key2, sizeof key);
    t.id[0] ^= 1; /* another stream of the same hub has another key */
    assert_int_equal(ticket_make(secret, &t, text2, key2), 0);
    assert_memory_not_equal(key, key2, sizeof key);
}

/* Payloads that carry a true MAC, as a broken hub could make them, are still checked. */
static void test_true_mac_over_nonsense(void **state)
{
    static const char label[] = "multissh ticket v1";
    static const struct {
        const char *payload;
        size_t n;
    } bad[] = {
        {"\2iiiiiiiiiiiiiiii\0\0\0\0\0\0\0\1\1m\1u", 29},   /* version */
        {"\1iiiiiiiiiiiiiiii\0\0\0\0\0\0\0\1\1m\2u", 29},   /* user too long for the rest */
        {"\1iiiiiiiiiiiiiiii\0\0\0\0\0\0\0\1\1m\1ux", 30},  /* trailing byte */
        {"\1iiiiiiiiiiiiiiii\0\0\0\0\0\0\0\1\xffm\1u", 29}, /* machine too long */
        {"\1iiiiiiiiiiiiiiii\xff\0\0\0\0\0\0\1\1m\1u", 29}, /* expiry over INT64_MAX */
        {"\1iiiiiiiiiiiiiiii\0\0\0\0\0\0\0\1\1\0\1u", 29},  /* NUL in a name */
        {"\1iiiiiiiiiiiiiiii\0\0\0\0\0\0\0\1\0\1ux", 29},   /* empty machine */
        {"\1iiiiiiiiiiiiiiii\0\0\0\0\0\0\0\1\2m", 28},      /* cut */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct crypto_piece pieces[] = {{label, sizeof label}, {bad[i].payload, bad[i].n}};
        uint8_t mac[CRYPTO_HASH_SIZE], key[TICKET_KEY_SIZE];
        char text[TICKET_TEXT_MAX];
        struct ticket t;
        int n;

        assert_int_equal(crypto_hmac(secret, sizeof secret, pieces, 2, mac), 0);
        n = crypto_b64url_encode(bad[i].payload, bad[i].n, text, sizeof text);
        assert_true(n > 0);
        text[n++] = '.';
        assert_true(crypto_b64url_encode(mac, sizeof mac, text + n, sizeof text - (size_t)n) > 0);
        assert_int_equal(ticket_open(secret, text, &t, key), -EINVAL);
    }
}

/* The first bit says who edge a is; the rest is random. */
static void test_ids(void **state)
{
    uint8_t id[2][TICKET_ID_SIZE], other[TICKET_ID_SIZE], ever[TICKET_ID_SIZE] = {0};

    (void)state;
    for (int i = 0; i < 64; i++) {
        for (int joined = 0; joined < 2; joined++) {
            assert_int_equal(ticket_id_new(joined, id[joined]), 0);
            assert_int_equal(ticket_id_joined(id[joined]), joined);
            for (size_t k = 0; k < sizeof ever; k++)
                ever[k] |= id[joined][k];
        }
        assert_int_equal(ticket_id_new(true, other), 0);
        assert_memory_not_equal(other, id[1], sizeof other);
    }
    for (size_t k = 0; k < sizeof ever; k++)
        assert_int_equal(ever[k], 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_the_key_of_the_user),
        cmocka_unit_test(test_longest_names),
        cmocka_unit_test(test_bad_input_to_make),
        cmocka_unit_test(test_every_change_is_refused),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_another_secret),
        cmocka_unit_test(test_true_mac_over_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
