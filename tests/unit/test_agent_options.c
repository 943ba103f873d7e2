/* What the table of options cannot say by itself. */
#include "cmocka_all.h"

#include "agent/agent_options.h"
#include <errno.h>
#include <string.h>

static int set_and_check(const char *name, const char *text, struct errmsg *err)
{
    struct agent_options o;
    assert_non_null(options_find(agent_options_table, agent_options_count, name));
    assert_int_equal(agent_options_load(&o, "/nonexistent/agent.conf", err), 0);
    int r = options_set(agent_options_table, agent_options_count, &o, name, text, err);
    if (r == 0)
        r = agent_options_check(&o, err);
    agent_options_release(&o);
    return r;
}

static void accepted(void **state)
{
    static const char *const cases[][2] = {
        {"hub", "hub.example.com,192.0.2.1:22"},
        {"pin", "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        {"token", "AAAAAAAAAAAAAAAAAAAAAA"},
        {"name", "web-01"},
        {"ssh", "[::1]:2222"},
        {"proxy", "http://user:secret@proxy:3128"},
        {"labels", "role=web, site=Berlin,empty="},
        {"ssh-mode", "auto"},
        {"ssh-mode", "openssh"},
        {"ssh-mode", "built-in"},
    };
    struct errmsg err = {""};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (set_and_check(cases[i][0], cases[i][1], &err) != 0)
            fail_msg("%s", err.text);
}

static void refused(void **state)
{
    static const char *const cases[][2] = {
        {"hub", "*:22"},
        {"hub", "-x:22"},
        {"hub", "h:0"},
        {"pin", "SHA256:abc"},
        {"token", "AAAA"},
        {"name", "-web"},
        {"name", "a.b"},
        {"ssh", "*"},
        {"ssh", ":22"},
        {"proxy", "https://x:1"},
        {"ssh-mode", "builtin"},
        {"labels", "a"},
        {"labels", "=b"},
        {"labels", "a=b,c d=e"},
        {"labels", "a=1,a=2,a=3,a=4,a=5,a=6,a=7,a=8,a=9,a=1,a=2,a=3,a=4,a=5,a=6,a=7,a=8"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct errmsg err = {""};
        if (set_and_check(cases[i][0], cases[i][1], &err) == 0)
            fail_msg("accepted: %s = %s", cases[i][0], cases[i][1]);
        assert_non_null(strstr(err.text, cases[i][0])); /* says which */
    }
}

static void hubs_and_labels(void **state)
{
    struct agent_options o;
    struct errmsg err;
    struct addr_hostport hp = {"HUB.example.com", 2244}, other = {"hub.example.com", 22};
    (void)state;
    assert_int_equal(agent_options_load(&o, "/nonexistent/agent.conf", &err), 0);
    assert_int_equal(
        options_set(agent_options_table, agent_options_count, &o, "hub", "hub.example.com", &err), 0);
    assert_int_equal(
        options_set(agent_options_table, agent_options_count, &o, "labels", "a=1,b=x=y,a=2", &err), 0);
    assert_true(agent_options_is_hub(&o, &hp));
    assert_false(agent_options_is_hub(&o, &other));
    cJSON *labels = agent_options_labels(&o);
    assert_int_equal(cJSON_GetArraySize(labels), 2);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(labels, "a")), "2");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(labels, "b")), "x=y");
    cJSON_Delete(labels);
    agent_options_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(hubs_and_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
