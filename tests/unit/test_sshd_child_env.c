/* The environment of a session: what is in it, who wins, and which names a client may set. */
#include "cmocka_all.h"

#include "sshd/account.h"
#include "sshd/child_env.h"
#include <errno.h>
#include <string.h>

static struct account alice = {
    .name = "alice", .home = "/home/alice", .shell = "/bin/zsh", .uid = 1000, .gid = 1000};
static struct account root = {.name = "root", .home = "/root", .shell = "/bin/sh"};

static void expect(const struct child_env *env, const char *name, const char *value)
{
    const char *got = child_env_get(env, name);
    if (value == NULL)
        assert_null(got);
    else if (got == NULL)
        fail_msg("%s is not set", name);
    else
        assert_string_equal(got, value);
}

static void setting(void **state)
{
    struct child_env env = {0};
    char name[16];
    (void)state;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "N%d", i);
        assert_int_equal(child_env_set(&env, name, "first"), 0);
        assert_int_equal(child_env_set(&env, name, "then"), 0);
    }
    assert_int_equal(env.n, 200);
    assert_null(env.list[200]);
    expect(&env, "N7", "then");
    expect(&env, "N", NULL);
    assert_int_equal(child_env_set(&env, "N", "a=b"), 0);
    expect(&env, "N", "a=b");
    expect(&env, "N7", "then");
    assert_int_equal(child_env_set(&env, "", "x"), -EINVAL);
    assert_int_equal(child_env_set(&env, "A=B", "x"), -EINVAL);
    child_env_release(&env);
    assert_null(env.list);
    child_env_release(&env);
}

static void least(void **state)
{
    const struct child_env_facts facts = {.account = &alice};
    struct child_env env;
    (void)state;
    assert_int_equal(child_env_build(&facts, &env), 0);
    expect(&env, "USER", "alice");
    expect(&env, "LOGNAME", "alice");
    expect(&env, "HOME", "/home/alice");
    expect(&env, "SHELL", "/bin/zsh");
    expect(&env, "MAIL", "/var/mail/alice");
    expect(&env, "PATH", "/usr/local/bin:/usr/bin:/bin:/usr/games");
    expect(&env, "SSH_CLIENT", "UNKNOWN 65535 65535");
    expect(&env, "SSH_CONNECTION", "UNKNOWN 65535 UNKNOWN 65535");
    assert_int_equal(env.n, 8);
    child_env_release(&env);
}

static void all(void **state)
{
    const struct child_env_facts facts = {.account = &root,
                                          .tz = "UTC",
                                          .term = "xterm",
                                          .agent_path = "/tmp/ssh-x/agent.1",
                                          .peer = "2001:db8::1",
                                          .peer_port = 4711,
                                          .local = "2001:db8::2",
                                          .local_port = 22,
                                          .tty = "/dev/pts/7",
                                          .original_command = "ls \"-l\""};
    struct child_env env;
    (void)state;
    assert_int_equal(child_env_build(&facts, &env), 0);
    expect(&env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    expect(&env, "TZ", "UTC");
    expect(&env, "TERM", "xterm");
    expect(&env, "SSH_AUTH_SOCK", "/tmp/ssh-x/agent.1");
    expect(&env, "SSH_CLIENT", "2001:db8::1 4711 22");
    expect(&env, "SSH_CONNECTION", "2001:db8::1 4711 2001:db8::2 22");
    expect(&env, "SSH_TTY", "/dev/pts/7");
    expect(&env, "SSH_ORIGINAL_COMMAND", "ls \"-l\"");
    child_env_release(&env);
}

/* The client's, the account's own, the key's, PAM's, the connection's: each wins over those before it. */
static void who_wins(void **state)
{
    char *const key[] = {"HOME=/key", "K=key", "P=key", "SSH_CLIENT=key"};
    char *const pam[] = {
        "P=pam",  "PATH=/pam", "SSH_CONNECTION=pam", "SSH_AUTH_INFO_0=x", "malformed", "=empty",
        "EMPTY=", NULL};
    struct child_env client = {0}, env;
    struct child_env_facts facts = {
        .account = &alice, .client = &client, .key_env = key, .key_env_n = 4, .pam_env = pam};
    (void)state;
    assert_int_equal(child_env_set(&client, "USER", "mallory"), 0);
    assert_int_equal(child_env_set(&client, "K", "client"), 0);
    assert_int_equal(child_env_set(&client, "LANG", "C"), 0);
    assert_int_equal(child_env_build(&facts, &env), 0);
    expect(&env, "USER", "alice");
    expect(&env, "LANG", "C");
    expect(&env, "K", "key");
    expect(&env, "HOME", "/key");
    expect(&env, "P", "pam");
    expect(&env, "PATH", "/pam");
    expect(&env, "EMPTY", "");
    expect(&env, "SSH_AUTH_INFO_0", NULL);
    expect(&env, "SSH_CLIENT", "UNKNOWN 65535 65535");
    expect(&env, "SSH_CONNECTION", "UNKNOWN 65535 UNKNOWN 65535");
    child_env_release(&env);
    child_env_release(&client);
}

static void accepted_names(void **state)
{
    static const char patterns[] = "LANG,LC_*,X?,!LC_SECRET";
    (void)state;
    assert_true(child_env_accepts(patterns, "LANG"));
    assert_true(child_env_accepts(patterns, "LC_"));
    assert_true(child_env_accepts(patterns, "LC_ALL"));
    assert_true(child_env_accepts(patterns, "XY"));
    assert_false(child_env_accepts(patterns, "X"));
    assert_false(child_env_accepts(patterns, "XYZ"));
    assert_false(child_env_accepts(patterns, "lang"));
    assert_false(child_env_accepts(patterns, "LANGUAGE"));
    assert_false(child_env_accepts(patterns, "LD_PRELOAD"));
    assert_false(child_env_accepts(patterns, "LC_SECRET"));
    assert_false(child_env_accepts(patterns, ""));
    assert_false(child_env_accepts("*", "A=B"));
    assert_false(child_env_accepts("", "LANG"));
    assert_false(child_env_accepts(NULL, "LANG"));
    assert_true(child_env_accepts("*a*b*", "xxaxxbxx"));
    assert_false(child_env_accepts("*a*b*", "xxbxxaxx"));
    assert_true(child_env_accepts("A, B", "B"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(setting), cmocka_unit_test(least),
                                       cmocka_unit_test(all), cmocka_unit_test(who_wins),
                                       cmocka_unit_test(accepted_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
