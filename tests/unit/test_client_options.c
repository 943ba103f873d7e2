/* What the client is told: settings, where the hub is, the words of ssh; and what it says. */
#include "cmocka_all.h"

#include "client/client_options.h"
#include "client/os.h"
#include "client/progress.h"
#include "client/say.h"
#include "client/ssh.h"
#include "portable.h"
#include <errno.h>
#include <string.h>

static int set_and_check(const char *name, const char *text, struct errmsg *err)
{
    struct client_options o;
    assert_int_equal(client_options_load(&o, NULL, err), 0);
    int r = options_set(client_options_table, client_options_count, &o, name, text, err);
    if (r == 0)
        r = client_options_check(&o, err);
    client_options_release(&o);
    return r;
}

static void settings(void **state)
{
    static const char *const good[][2] = {
        {"hub", "hub"},
        {"hub", "alice@hub.example.com:2244"},
        {"hub", "ssh://a@[::1]:22/"},
        {"at", "[::1]:443"},
        {"at", "hub"},
        {"bind", "::1"},
        {"port", "0"},
        {"streams", "tls"},
    };
    static const char *const bad[][2] = {
        {"hub", "-oProxyCommand=x"},
        {"hub", "a b"},
        {"hub", "h;x"},
        {"hub", "@h"},
        {"hub", "a@-h"},
        {"hub", "h:99999"},
        {"hub", "-l@h"},
        {"ssh", "-x"},
        {"at", "*:1"},
        {"at", "h:0"},
        {"bind", "h"},
        {"bind", "*"},
        {"port", "65536"},
        {"domain", "a b"},
        {"streams", "x"},
        {"progress", "maybe"},
    };
    struct errmsg err = {""};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        if (set_and_check(good[i][0], good[i][1], &err) != 0)
            fail_msg("%s", err.text);
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (set_and_check(bad[i][0], bad[i][1], &err) == 0)
            fail_msg("taken: %s = %s", bad[i][0], bad[i][1]);
        assert_non_null(strstr(err.text, bad[i][0]));
    }
}

static void the_environment(void **state)
{
    struct client_options o, again;
    struct errmsg err;
    (void)state;
    setenv("MULTISSH_HUB", "alice@hub:7", 1);
    setenv("MULTISSH_SSH_CONFIG", "/a b", 1);
    setenv("MULTISSH_PROGRESS", "no", 1);
    assert_int_equal(client_options_load(&o, NULL, &err), 0);
    assert_string_equal(o.hub, "alice@hub:7");
    assert_string_equal(o.ssh_config, "/a b");
    assert_false(o.progress);
    assert_int_equal(options_set(client_options_table, client_options_count, &o, "ssh-config", "", &err), 0);
    assert_int_equal(options_set(client_options_table, client_options_count, &o, "port", "5", &err), 0);
    assert_int_equal(client_options_export(&o), 0);
    assert_int_equal(client_options_load(&again, NULL, &err), 0);
    assert_null(again.ssh_config);
    assert_int_equal(again.port, 5);
    client_options_release(&again);
    client_options_release(&o);
    setenv("MULTISSH_PORT", "x", 1);
    assert_int_not_equal(client_options_load(&o, NULL, &err), 0);
    assert_non_null(strstr(err.text, "MULTISSH_PORT"));
    client_options_release(&o);
    unsetenv("MULTISSH_PORT");
    unsetenv("MULTISSH_HUB");
}

static void destinations(void **state)
{
    struct destination d;
    struct words w = {0};
    (void)state;
    assert_int_equal(destination_parse("ssh://alice@hub.example.com:2244/", &d), 0);
    destination_add(&d, &w);
    static const char *const expected[] = {"-p", "2244", "-l", "alice", "--", "hub.example.com"};
    assert_int_equal(w.n, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_string_equal(w.item[i], expected[i]);
    assert_null(w.item[w.n]);
    words_release(&w);
    assert_int_equal(destination_parse("2001:db8::1", &d), 0);
    assert_int_equal(d.port, 0);
    assert_string_equal(d.host, "2001:db8::1");
    assert_int_equal(destination_parse("[2001:db8::1]:22", &d), 0);
    assert_int_equal(d.port, 22);
}

static void aliases(void **state)
{
    struct client_options o = {.hub = (char *)(uintptr_t) "alice@Hub.example.com:2244"};
    char out[300];
    (void)state;
    client_options_alias(&o, "Web01", out, sizeof out);
    assert_string_equal(out, "web01.hub.example.com");
    client_options_alias(&o, "web01.other", out, sizeof out);
    assert_string_equal(out, "web01.other");
    o.domain = (char *)(uintptr_t) "machines.test";
    client_options_alias(&o, "web01", out, sizeof out);
    assert_string_equal(out, "web01.machines.test");
}

static void words_of_ssh(void **state)
{
    static const struct {
        const char *word[8];
        int at;
    } cases[] = {
        {{"web01"}, 0},
        {{"-v", "web01", "-v"}, 1},
        {{"-p", "22", "web01"}, 2},
        {{"-p22", "web01"}, 1},
        {{"-vp", "22", "web01"}, 2},
        {{"-vvL8080:h:80", "web01"}, 1},
        {{"-o", "A=b", "-4", "--", "web01"}, 4},
        {{"-v"}, 1},
        {{"-p"}, 1},
        {{"--"}, 1},
        {{NULL}, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *argv[9];
        int argc = 0;
        for (; argc < 8 && cases[i].word[argc] != NULL; argc++)
            argv[argc] = (char *)(uintptr_t)cases[i].word[argc];
        argv[argc] = NULL;
        assert_int_equal(ssh_destination(argc, argv), cases[i].at);
    }
}

static void quoted(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 100);
    assert_int_equal(os_quote("C:\\a b\\multissh.exe", &out), 0);
    assert_true(buf_len(&out) > 0);
    buf_clear(&out);
    assert_int_equal(os_quote("a\nb", &out), -EINVAL);
    buf_release(&out);
}

static void lines(void **state)
{
    char out[80], small[6];
    (void)state;
    progress_text("web01", 12345, PROGRESS_RECONNECTING, true, out, sizeof out);
    assert_string_equal(out, "web01: reconnecting (12 s)\xe2\x80\xa6");
    progress_text("web01", 999, PROGRESS_CONNECTING, false, out, sizeof out);
    assert_string_equal(out, "web01: connecting (0 s)...");
    progress_text("web01", 61000, PROGRESS_BACK, true, out, sizeof out);
    assert_string_equal(out, "web01: connected again after 61 s");
    say_clean("a\x1b[2J\xff\xc3\xb6\n", out, sizeof out);
    assert_string_equal(out, "a?[2J?\xc3\xb6?");
    say_clean("1234\xc3\xb6", small, sizeof small);
    assert_string_equal(small, "1234");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings), cmocka_unit_test(the_environment), cmocka_unit_test(destinations),
        cmocka_unit_test(aliases),  cmocka_unit_test(words_of_ssh),    cmocka_unit_test(quoted),
        cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
