/* HOST:PORT/CODE, and fingerprints. */
#include "cmocka_all.h"

#include "agent/join_code.h"
#include "tls/keys.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void make_code(char out[80], uint8_t raw[48])
{
    for (int i = 0; i < 48; i++)
        raw[i] = (uint8_t)(i * 7 + 3);
    assert_int_equal(crypto_b64url_encode(raw, 48, out, 80), 64);
}

static void invited(void **state)
{
    char code_text[80], text[400];
    uint8_t raw[48];
    struct join_code code;
    struct errmsg err = {""};
    (void)state;
    make_code(code_text, raw);
    snprintf(text, sizeof text, "hub.example.com:443/%s", code_text);
    assert_int_equal(join_code_parse(text, &code, &err), 0);
    assert_true(code.invited);
    assert_string_equal(code.hub.host, "hub.example.com");
    assert_int_equal(code.hub.port, 443);
    assert_memory_equal(code.token, raw, 16);
    assert_memory_equal(code.pin, raw + 16, 32);

    snprintf(text, sizeof text, "[2001:db8::1]/%s", code_text);
    assert_int_equal(join_code_parse(text, &code, &err), 0);
    assert_string_equal(code.hub.host, "2001:db8::1");
    assert_int_equal(code.hub.port, JOIN_CODE_PORT);
}

static void not_invited(void **state)
{
    struct join_code code;
    struct errmsg err = {""};
    (void)state;
    assert_int_equal(join_code_parse("hub", &code, &err), 0);
    assert_false(code.invited);
    assert_int_equal(code.hub.port, JOIN_CODE_PORT);
}

static void refused(void **state)
{
    static const char short_code[] = "hub:22/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    static const char padded_code[] =
        "hub:22/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    static const char long_code[] =
        "hub:22/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    static const char *const bad[] = {"",           "/",    "hub:0x16", "hub:70000", "hub:22/",
                                      "hub:22/abc", "*:22", ":22",      "a b:22",    "-oProxy:22",
                                      "h\x01:22",   "hub:", short_code, padded_code, long_code};
    char code_text[80], text[900];
    uint8_t raw[48];
    struct join_code code;
    struct errmsg err;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        err.text[0] = 0;
        if (join_code_parse(bad[i], &code, &err) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_true(err.text[0] != 0);
    }
    make_code(code_text, raw);
    code_text[20] = '+'; /* of the other base64 */
    snprintf(text, sizeof text, "hub:22/%s", code_text);
    assert_int_equal(join_code_parse(text, &code, &err), -EINVAL);
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(join_code_parse(text, &code, &err), -EINVAL);
}

static void pins(void **state)
{
    uint8_t pin[CRYPTO_HASH_SIZE], back[CRYPTO_HASH_SIZE];
    char text[KEYS_FINGERPRINT_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof pin; i++)
        pin[i] = (uint8_t)(251 - i * 5);
    keys_pin_text(pin, text);
    assert_int_equal(strlen(text), JOIN_CODE_PIN_CHARS);
    assert_int_equal(join_code_parse_pin(text, back), 0);
    assert_memory_equal(pin, back, sizeof pin);
    assert_int_equal(join_code_parse_pin(text + 1, back), -EINVAL);
    text[KEYS_FINGERPRINT_TEXT - 3] = 0;
    assert_int_equal(join_code_parse_pin(text, back), -EINVAL);
    assert_int_equal(join_code_parse_pin("SHA256:!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!", back),
                     -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(invited),
        cmocka_unit_test(not_invited),
        cmocka_unit_test(refused),
        cmocka_unit_test(pins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
