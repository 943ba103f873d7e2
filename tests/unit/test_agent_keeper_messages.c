/* What agent and keeper take from each other, and what they do not: requests, settings, sessions. */
#include "cmocka_all.h"

#include "agent/dial.h"
#include "agent/keeper_session.h"
#include "agent/keeper_settings.h"
#include "base/json.h"
#include <string.h>

static cJSON *parse(const char *text)
{
    cJSON *m = NULL;
    if (json_parse(text, strlen(text), 16384, &m) != 0)
        fail_msg("%s", text);
    return m;
}

/* --- dial --- */

static cJSON *a_dial(void)
{
    struct ticket t = {.expiry_s = 1, .machine = "web01", .user = "alice"};
    uint8_t secret[TICKET_SECRET_SIZE] = {1}, key[TICKET_KEY_SIZE];
    char text[TICKET_TEXT_MAX], hex[2 * TICKET_KEY_SIZE + 1];
    memset(t.id, 0xab, sizeof t.id);
    assert_int_equal(ticket_make(secret, &t, text, key), 0);
    crypto_hex_encode(key, sizeof key, hex, sizeof hex);
    cJSON *m = json_new("dial");
    json_add_int(m, "id", 7);
    json_add_str(m, "ticket", text);
    json_add_str(m, "key", hex);
    json_add_str(m, "user", "alice");
    json_add_str(m, "source", "203.0.113.5");
    json_add_int(m, "source_port", 50022);
    json_add_str(m, "to", "[2001:db8::1]:2244");
    json_add_int(m, "window", 65536);
    json_add_int(m, "patience_ms", 60000);
    return m;
}

static void dial_there_and_back(void **state)
{
    struct dial d, again;
    cJSON *m = a_dial(), *copy;
    (void)state;
    assert_null(dial_read(m, &d));
    assert_string_equal(d.stream, "abababababababababababababababab");
    copy = dial_write(&d);
    assert_null(dial_read(copy, &again));
    assert_memory_equal(&d, &again, sizeof d);
    assert_int_equal(again.to.port, 2244);
    assert_int_equal(again.window, 65536);
    cJSON_Delete(m);
    cJSON_Delete(copy);
}

static void dial_refused(void **state)
{
    static const char *const cases[][2] = {
        {"id", "0"},          {"id", "-1"},        {"id", "1e30"},        {"id", "\"7\""},
        {"ticket", "\"\""},   {"ticket", "\"a\""}, {"ticket", "\"A.B\""}, {"ticket", "7"},
        {"key", "\"00\""},    {"key", "null"},     {"user", "\"\""},      {"user", "\"a b\""},
        {"user", "\"../x\""}, {"to", "\"\""},      {"to", "7"},           {"to", "\"h\""},
        {"to", "\"-x:1\""},   {"user", "[\"a\"]"},
    };
    struct dial d;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *m = a_dial(), *value = cJSON_Parse(cases[i][1]);
        assert_true(cJSON_ReplaceItemInObjectCaseSensitive(m, cases[i][0], value));
        if (dial_read(m, &d) == NULL)
            fail_msg("%s %s", cases[i][0], cases[i][1]);
        cJSON_Delete(m);
    }
}

/* --- settings --- */

#define PIN "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define GOOD                                                                                                 \
    "{\"type\":\"settings\",\"hub\":\"hub.test:2244\",\"hub_at\":\"192.0.2.1:2244\",\"streams\":\"tls\","    \
    "\"streams_tls\":true,\"trust\":\"pin\",\"pin\":\"" PIN                                                  \
    "\",\"proxy\":\"none\",\"ssh\":\"127.0.0.1:22\","                                                        \
    "\"server\":\"stand-in\",\"sshd_socket\":\"/run/"                                                        \
    "x\",\"sessions_max\":3,\"orphan_ms\":5000,\"log_level\":"                                               \
    "\"warn\"}"

static void settings_taken(void **state)
{
    struct keeper_settings s, before;
    cJSON *m = parse(GOOD);
    (void)state;
    keeper_settings_init(&s);
    assert_null(keeper_settings_read(m, &s));
    assert_string_equal(s.hub.host, "hub.test");
    assert_int_equal(s.hub_at.ss_family, AF_INET);
    assert_int_equal(s.streams, EDGE_TLS);
    assert_true(s.streams_tls);
    assert_int_equal(s.trust.how, SESSION_TRUST_PIN);
    assert_int_equal(s.server, KEEPER_SERVER_STAND_IN);
    assert_string_equal(s.sshd_socket, "/run/x");
    assert_int_equal(s.sessions_max, 3);
    assert_int_equal(s.orphan_ms, 5000);
    /* The next agent does not know yet where the hub is: what was known stays. */
    before = s;
    cJSON_DeleteItemFromObjectCaseSensitive(m, "hub");
    cJSON_DeleteItemFromObjectCaseSensitive(m, "hub_at");
    assert_null(keeper_settings_read(m, &s));
    assert_memory_equal(&s.hub, &before.hub, sizeof s.hub);
    assert_int_equal(s.hub_at.ss_family, AF_INET);
    /* It is behind a proxy now: the address is not. */
    json_add_str(m, "hub", "hub.test:2244");
    assert_null(keeper_settings_read(m, &s));
    assert_int_equal(s.hub_at.ss_family, 0);
    cJSON_Delete(m);
}

static void settings_refused(void **state)
{
    static const char *const cases[][2] = {
        {"hub", "\"\""},         {"hub", "\"hub\""},       {"hub", "7"},
        {"hub", "\"-x:1\""},     {"hub_at", "\"name:1\""}, {"hub_at", "\"192.0.2.1:0\""},
        {"streams", "\"fast\""}, {"streams", "1"},         {"trust", "\"all\""},
        {"pin", "\"SHA256:x\""}, {"pin", "null"},          {"proxy", "\"ftp://x\""},
        {"ssh", "\"\""},         {"ssh", "\"*:22\""},      {"server", "\"none\""},
        {"server", "[]"},
    };
    struct keeper_settings s, before;
    (void)state;
    keeper_settings_init(&s);
    before = s;
    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *m = parse(GOOD), *value = cJSON_Parse(cases[i][1]);
        assert_true(cJSON_ReplaceItemInObjectCaseSensitive(m, cases[i][0], value));
        if (keeper_settings_read(m, &s) == NULL)
            fail_msg("%s %s", cases[i][0], cases[i][1]);
        assert_memory_equal(&s, &before, sizeof s);
        cJSON_Delete(m);
    }
}

/* --- sessions --- */

static void session_there_and_back(void **state)
{
    struct keeper_session s = {.stream = "0123456789abcdef0123456789abcdef",
                               .user = "alice",
                               .source = "203.0.113.5",
                               .source_port = 5,
                               .state = KEEPER_SESSION_WAITING,
                               .age_ms = 1,
                               .sent = 2,
                               .received = 3,
                               .resumes = 4,
                               .reason = "enough"},
                          again;
    struct buf line;
    cJSON *m = keeper_session_write(&s, "closed");
    (void)state;
    assert_null(keeper_session_read(m, &again));
    assert_memory_equal(&s, &again, sizeof s);
    cJSON_Delete(m);
    s.sent = UINT64_MAX; /* more than a number in JSON holds */
    buf_init(&line, 16384);
    assert_int_equal(json_take(keeper_session_write(&s, "closed"), &line), 0);
    m = parse(buf_str(&line));
    assert_null(keeper_session_read(m, &again));
    assert_true(again.sent == UINT64_C(1) << 53);
    cJSON_Delete(m);
    buf_release(&line);
}

static void session_refused(void **state)
{
    static const char *const cases[] = {
        "{\"type\":\"session\"}",
        "{\"type\":\"session\",\"stream\":\"x\",\"user\":\"alice\"}",
        "{\"type\":\"session\",\"stream\":\"0123456789ABCDEF0123456789ABCDEF\",\"user\":\"alice\"}",
        "{\"type\":\"session\",\"stream\":\"0123456789abcdef0123456789abcdef\",\"user\":\"\"}",
        "{\"type\":\"session\",\"stream\":\"0123456789abcdef0123456789abcdef\",\"user\":7}",
        "{\"type\":\"session\",\"stream\":\"0123456789abcdef0123456789abcdef00\",\"user\":\"alice\"}",
    };
    struct keeper_session s;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *m = parse(cases[i]);
        if (keeper_session_read(m, &s) == NULL)
            fail_msg("%s", cases[i]);
        cJSON_Delete(m);
    }
    /* Numbers that are none, a state and a reason of a later version. */
    cJSON *m =
        parse("{\"type\":\"session\",\"stream\":\"0123456789abcdef0123456789abcdef\",\"user\":\"alice\","
              "\"age_ms\":-1,\"sent\":1e300,\"state\":\"asleep\",\"reason\":[],\"new\":{}}");
    assert_null(keeper_session_read(m, &s));
    assert_int_equal(s.age_ms, 0);
    assert_int_equal(s.sent, 0);
    assert_int_equal(s.state, KEEPER_SESSION_OPEN);
    assert_string_equal(s.reason, "");
    cJSON_Delete(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dial_there_and_back),    cmocka_unit_test(dial_refused),
        cmocka_unit_test(settings_taken),         cmocka_unit_test(settings_refused),
        cmocka_unit_test(session_there_and_back), cmocka_unit_test(session_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
