/* The hub's table of options. */
#include "cmocka_all.h"

#include "hub/hub_options.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void set_defaults(struct hub_options *o)
{
    memset(o, 0, sizeof *o);
    assert_int_equal(options_defaults(hub_options_table, hub_options_count, o), 0);
}

static int set(struct hub_options *o, const char *name, const char *text)
{
    struct errmsg err = {""};
    int rc = options_set(hub_options_table, hub_options_count, o, name, text, &err);
    if (rc < 0)
        assert_true(err.text[0] != '\0');
    return rc;
}

static void defaults(void **state)
{
    (void)state;
    struct hub_options o;
    set_defaults(&o);
    assert_int_equal(o.listen.n, 1);
    assert_string_equal(o.listen.item[0], "*:2244");
    assert_null(o.public_addr);
    assert_null(o.domain);
    assert_string_equal(o.message,
                        "This is a message from the remoteServer. Here are all available localServers:");
    assert_int_equal(o.log_level, 2);
    assert_true(o.admin_over_ssh);
    assert_int_equal(o.unauthenticated_max, 1000);
    assert_int_equal(o.unauthenticated_per_source, 100);
    assert_int_equal(o.fronts_per_second, 100);
    assert_int_equal(o.fronts_per_second_per_source, 30);
    assert_int_equal(o.fronts_max, 2000);
    assert_int_equal(o.login_grace_ms, 60000);
    assert_int_equal(o.login_tries, 6);
    assert_int_equal(o.channels_max, 256);
    assert_int_equal(o.connections_per_user, 500);
    assert_int_equal(o.sessions_per_user, 500);
    assert_int_equal(o.sessions_per_machine, 200);
    assert_int_equal(o.machines_max, 50000);
    assert_int_equal(o.pending_max, 100);
    assert_int_equal(o.pending_ms, 3600000);
    assert_int_equal(o.invitation_ms, 3600000);
    assert_int_equal(o.ping_ms, 15000);
    assert_int_equal(o.dial_timeout_ms, 15000);
    assert_int_equal(o.window, 4 << 20);
    assert_int_equal(o.patience_ms, 300000);
    assert_int_equal(o.restart_wait_ms, 15000);
    assert_int_equal(o.orphan_ms, 3600000);
    assert_int_equal(o.parked_per_machine, 50);
    assert_int_equal(o.parked_max, 2000);
    assert_int_equal(o.front_keepalive_ms, 30000);
    assert_int_equal(o.audit_rows, 100000);
    options_release(hub_options_table, hub_options_count, &o);
}

static void bounds(void **state)
{
    (void)state;
    struct hub_options o;
    set_defaults(&o);
    assert_int_equal(set(&o, "ping-interval", "5s"), 0);
    assert_int_equal(o.ping_ms, 5000);
    assert_int_equal(set(&o, "ping-interval", "60s"), 0);
    assert_true(set(&o, "ping-interval", "4s") < 0);
    assert_true(set(&o, "ping-interval", "61s") < 0);
    assert_true(set(&o, "window", "1K") < 0);
    assert_int_equal(set(&o, "window", "64M"), 0);
    assert_true(set(&o, "window", "65M") < 0);
    assert_true(set(&o, "login-tries", "0") < 0);
    assert_true(set(&o, "sessions-per-user", "-1") < 0);
    assert_true(set(&o, "machines-max", "many") < 0);
    assert_true(set(&o, "log-level", "loud") < 0);
    assert_true(set(&o, "listen", "nowhere:99999") < 0);
    assert_int_equal(set(&o, "no-such-option", "1"), -ENOENT);
    options_release(hub_options_table, hub_options_count, &o);
}

/* Every row can be used: a name once, a help sentence without full stop, a default that its own bounds
 * accept. */
static void rows(void **state)
{
    (void)state;
    struct hub_options o;
    set_defaults(&o);
    for (size_t i = 0; i < hub_options_count; i++) {
        const struct option *row = &hub_options_table[i];
        assert_true(row->help != NULL && strlen(row->help) > 10);
        assert_int_not_equal(row->help[strlen(row->help) - 1], '.');
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(row->name, hub_options_table[k].name);
            assert_int_not_equal(row->offset, hub_options_table[k].offset);
        }
        if (row->fallback != NULL)
            assert_int_equal(set(&o, row->name, row->fallback), 0);
        char *shown = options_show(row, &o);
        assert_non_null(shown);
        free(shown);
    }
    options_release(hub_options_table, hub_options_count, &o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(bounds),
        cmocka_unit_test(rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
