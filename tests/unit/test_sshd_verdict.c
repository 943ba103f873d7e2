/* What a login may do, and how a refusal is given. */
#include "cmocka_all.h"

#include "sshd/host.h"
#include "sshd/verdict.h"
#include <errno.h>
#include <string.h>

#define ALL (HOST_RIGHT_PTY | HOST_RIGHT_LOCAL_FORWARD | HOST_RIGHT_REMOTE_FORWARD | HOST_RIGHT_AGENT)

static const char key[] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

static const struct sshd_options everything = {.pty = true,
                                               .local_forwarding = true,
                                               .remote_forwarding = true,
                                               .agent_forwarding = true,
                                               .tries_max = 6};

static void keys(void **state)
{
    char by[VERDICT_BY_MAX];
    char long_type[200] = "";
    struct errmsg err;
    (void)state;
    assert_int_equal(verdict_by_key(key, by, &err), 0);
    assert_string_equal(by, "the key ssh-ed25519 SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
    memset(long_type, 'a', sizeof long_type - 1);
    assert_int_equal(verdict_by_key(long_type, by, &err), -EINVAL);
    assert_int_equal(verdict_by_key("ssh-ed25519", by, &err), -EINVAL);
    assert_int_equal(verdict_by_key("ssh-ed25519 AAAA", by, &err), -EINVAL);
    assert_int_equal(verdict_by_key("", by, &err), -EINVAL);
}

/* What took long is not told apart from what took a little longer. */
static void times(void **state)
{
    (void)state;
    assert_int_equal(verdict_due_ms(0), 20);
    assert_int_equal(verdict_due_ms(20), 20);
    assert_int_equal(verdict_due_ms(21), 40);
    assert_int_equal(verdict_due_ms(1000), 1280);
    assert_int_equal(verdict_asks_max(&everything), 32);
}

static void rights(void **state)
{
    struct authkeys_rights none = {0}, no_pty = {.no_pty = true},
                           restricted = {
                               .no_pty = true, .no_port_forwarding = true, .no_agent_forwarding = true};
    struct sshd_options o = everything;
    (void)state;
    assert_int_equal(verdict_rights(&o, &none), ALL);
    assert_int_equal(verdict_rights(&o, &no_pty), ALL & ~HOST_RIGHT_PTY);
    assert_int_equal(verdict_rights(&o, &restricted), 0);
    o.remote_forwarding = false;
    assert_int_equal(verdict_rights(&o, &none), ALL & ~HOST_RIGHT_REMOTE_FORWARD);
    o.pty = o.local_forwarding = o.agent_forwarding = false;
    assert_int_equal(verdict_rights(&o, &none), 0);
}

static void forwards(void **state)
{
    char open_at[] = "127.0.0.1:80", listen_at[] = "localhost:8080", name[300];
    struct authkeys_rights any = {0}, some = {.permit_open = {open_at},
                                              .permit_open_n = 1,
                                              .permit_listen = {listen_at},
                                              .permit_listen_n = 1};
    (void)state;
    assert_null(verdict_connect(ALL, &any, "example.org", 65535));
    assert_non_null(verdict_connect(ALL & ~HOST_RIGHT_LOCAL_FORWARD, &any, "example.org", 80));
    assert_non_null(verdict_connect(ALL, &any, "example.org", 0));
    assert_non_null(verdict_connect(ALL, &any, "example.org", 65536));
    assert_non_null(verdict_connect(ALL, &any, "", 80));
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_non_null(verdict_connect(ALL, &any, name, 80));
    assert_non_null(verdict_listen(ALL, &any, name, 80));
    assert_null(verdict_connect(ALL, &some, "127.0.0.1", 80));
    assert_non_null(verdict_connect(ALL, &some, "127.0.0.1", 81));
    assert_null(verdict_listen(ALL, &any, "", 0));
    assert_non_null(verdict_listen(ALL & ~HOST_RIGHT_REMOTE_FORWARD, &any, "", 0));
    assert_null(verdict_listen(ALL, &some, "localhost", 8080));
    assert_non_null(verdict_listen(ALL, &some, "localhost", 8081));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys), cmocka_unit_test(times),
                                       cmocka_unit_test(rights), cmocka_unit_test(forwards)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
