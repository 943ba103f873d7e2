/* The option of the built-in server's socket, where there is one. */
#include "cmocka_all.h"

#include "agent/agent_options.h"
#include <errno.h>
#include <string.h>

static int set_and_check(const char *text, struct errmsg *err)
{
    struct agent_options o;
    assert_int_equal(agent_options_load(&o, "/nonexistent/agent.conf", err), 0);
    int r = options_set(agent_options_table, agent_options_count, &o, "sshd-socket", text, err);
    if (r == 0)
        r = agent_options_check(&o, err);
    agent_options_release(&o);
    return r;
}

static void sockets(void **state)
{
    static const char *const good[] = {"/run/somewhere/socket", "none"};
    static const char longest[] =
        "/a/path/that/is/longer/than/what/the/address/of/a/unix/socket/can/hold/with/a/neighbour/called/"
        "host-key/0123456789";
    static const char *const bad[] = {"", "run/socket", longest};
    struct errmsg err = {""};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_int_equal(set_and_check(good[i], &err), 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        err.text[0] = '\0';
        assert_true(set_and_check(bad[i], &err) < 0);
        assert_non_null(strstr(err.text, "sshd-socket"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sockets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
