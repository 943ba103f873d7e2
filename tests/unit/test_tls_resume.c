/* The tickets of resumption and the line of a busy hub: made, read, and everything else refused. */
#include "cmocka_all.h"

#include "tls/busy.h"
#include "tls/resume.h"
#include <errno.h>
#include <string.h>

static const uint8_t secret[CRYPTO_SEAL_KEY] = "the secret of this hub";
static const struct resume_owner owner = {"somebody's key", 77};

static void tickets(void **state)
{
    uint8_t ticket[RESUME_TICKET_SIZE], key[RESUME_KEY_SIZE], got_key[RESUME_KEY_SIZE];
    struct resume_owner got;
    uint8_t other[CRYPTO_SEAL_KEY] = "the secret of another hub";

    (void)state;
    assert_int_equal(resume_make(secret, &owner, 1000, ticket, key), 0);
    assert_int_equal(resume_open(secret, ticket, sizeof ticket, 999, &got, got_key), 0);
    assert_memory_equal(got.pin, owner.pin, sizeof got.pin);
    assert_int_equal(got.signed_s, 77);
    assert_memory_equal(got_key, key, sizeof key);
    assert_int_equal(resume_open(secret, ticket, sizeof ticket, 1000, &got, got_key), -ETIME);
    assert_int_equal(resume_open(other, ticket, sizeof ticket, 999, &got, got_key), -EBADMSG);
    for (size_t i = 0; i < sizeof ticket; i++) {
        assert_int_equal(resume_open(secret, ticket, i, 999, &got, got_key), -EBADMSG);
        ticket[i] ^= 1;
        assert_int_equal(resume_open(secret, ticket, sizeof ticket, 999, &got, got_key), -EBADMSG);
        ticket[i] ^= 1;
    }
    /* Nobody who listens reads the machine's key out of it. */
    for (size_t i = 0; i + 8 <= sizeof ticket; i++)
        assert_memory_not_equal(ticket + i, owner.pin, 8);
}

static void busy(void **state)
{
    static const char *const wrong[] = {"MULTISSH/1 busy retry_ms=\n",
                                        "MULTISSH/1 busy retry_ms=x\n",
                                        "MULTISSH/1 busy retry_ms=-1\n",
                                        "MULTISSH/1 busy retry_ms=1x\n",
                                        "MULTISSH/1 busy\n",
                                        "MULTISSH/2 busy retry_ms=1\n",
                                        "\x16\x03\x03",
                                        "\n",
                                        "HTTP/1.1 400 Bad Request\r\n",
                                        ("MULTISSH/1 busy retry_ms=1 and so much more that it is no line of "
                                         "this any more, but something else\n")};
    char line[BUSY_LINE_MAX];
    uint32_t ms = 0;
    size_t n = busy_line(2500, line);

    (void)state;
    assert_string_equal(line, "MULTISSH/1 busy retry_ms=2500\n");
    for (size_t i = 0; i < n; i++)
        assert_int_equal(busy_parse(line, i, &ms), -EAGAIN);
    assert_int_equal(busy_parse(line, n, &ms), 0);
    assert_int_equal(ms, 2500);
    assert_int_equal(busy_parse("MULTISSH/1 busy retry_ms=0\n", 27, &ms), 0);
    assert_int_equal(ms, 1);
    assert_int_equal(busy_parse("MULTISSH/1 busy retry_ms=99999999999999 why=x\n", 46, &ms), 0);
    assert_int_equal(ms, BUSY_RETRY_MAX_MS);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (busy_parse(wrong[i], strlen(wrong[i]), &ms) != -EPROTO)
            fail_msg("taken: %s", wrong[i]);
    }
    assert_true(busy_line(UINT32_MAX, line) < sizeof line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tickets), cmocka_unit_test(busy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
