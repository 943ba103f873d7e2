/* What the hub is told of a host: the hash of its id, and this host's own. */
#include "cmocka_all.h"

#include "agent/host.h"
#include <stdio.h>
#include <string.h>

static void ids(void **state)
{
    (void)state;
    assert_true(host_id_ok("0123456789abcdef"));
    assert_true(host_id_ok("C2A1B7E0-0000-4000-8000-00C0FFEE0000"));
    assert_false(host_id_ok(""));
    assert_false(host_id_ok("0123456789abcde"));
    assert_false(host_id_ok("uninitialized-machine"));
}

/* The hub knows a machine by this: it must stay the same in all versions and on all systems. */
static void hashes(void **state)
{
    struct host h = {.machine_id = ""};
    char long_id[2 * HOST_ID_MAX];
    (void)state;
    host_set_machine_id(&h, "0123456789abcdef0123456789abcdef");
    assert_string_equal(h.machine_id, "1c53f7f22546bba2df34b456a7a8f778d2f09e112719ec19feae187a45dd73b4");
    h.machine_id[0] = 0;
    host_set_machine_id(&h, "uninitialized");
    assert_string_equal(h.machine_id, "");
    memset(long_id, 'a', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = 0;
    host_set_machine_id(&h, long_id);
    assert_string_equal(h.machine_id, "");
}

static void this_host(void **state)
{
    struct host h, again;
    (void)state;
    host_read(&h);
    host_read(&again);
    assert_true(strcmp(h.os, "linux") == 0 || strcmp(h.os, "windows") == 0);
    assert_true(strlen(h.arch) > 0);
    assert_true(h.machine_id[0] == 0 || strlen(h.machine_id) == sizeof h.machine_id - 1);
    assert_true(h.boot_id[0] == 0 || host_id_ok(h.boot_id));
    assert_string_equal(h.machine_id, again.machine_id);
    assert_true(strlen(host_ssh_folder()) > 0);
}

static void keyscan(void **state)
{
    char path[512] = "";
    (void)state;
    host_ssh_keyscan(path, sizeof path);
    assert_non_null(strstr(path, "ssh-keyscan"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids), cmocka_unit_test(hashes),
                                       cmocka_unit_test(this_host), cmocka_unit_test(keyscan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
