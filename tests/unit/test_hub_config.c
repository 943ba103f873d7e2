/* The command line taken apart, and the two files behind it. */
#include "cmocka_all.h"

#include "base/fs.h"
#include "hub/config.h"
#include "hub_keys_samples.h"
#include "hub_scratch.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 24

struct bench {
    struct scratch scratch;
    struct config c;
    struct hub_options opt;
    struct errmsg err;
    char conf[128], users[128];
};

static int make(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    assert_non_null(b);
    scratch_make(&b->scratch);
    (void)snprintf(b->conf, sizeof b->conf, "%s/hub.conf", b->scratch.folder);
    (void)snprintf(b->users, sizeof b->users, "%s/authorized_users", b->scratch.folder);
    *state = b;
    return 0;
}

static int clean(void **state)
{
    struct bench *b = *state;

    config_release(&b->c);
    options_release(hub_options_table, hub_options_count, &b->opt);
    unlink(b->conf);
    unlink(b->users);
    scratch_remove(&b->scratch);
    free(b);
    return 0;
}

/* The words up to NULL as a command line of multissh-hub. */
static int parse(struct bench *b, const char *const *words)
{
    char *argv[WORDS_MAX] = {"multissh-hub"};
    int argc = 1;

    for (; *words != NULL; words++)
        argv[argc++] = (char *)*words;
    config_release(&b->c);
    return config_init(&b->c, argc, argv, &b->err);
}

#define PARSE(b, ...) parse(b, (const char *const[]){__VA_ARGS__, NULL})

static int read_options(struct bench *b)
{
    options_release(hub_options_table, hub_options_count, &b->opt);
    memset(&b->opt, 0, sizeof b->opt);
    return config_options(&b->c, &b->opt, &b->err);
}

static void put(const char *path, const char *text)
{
    assert_int_equal(fs_write_atomic(path, text, strlen(text), 0600), 0);
}

static void test_words(void **state)
{
    struct bench *b = *state;

    assert_int_equal(PARSE(b, "--state", "/x/y", "list", "-l", "web-*"), 0);
    assert_string_equal(b->c.state_dir, "/x/y");
    assert_string_equal(b->c.file, "/x/y/hub.conf");
    assert_string_equal(b->c.users, "/x/y/authorized_users");
    assert_int_equal(b->c.n_command, 3);
    assert_string_equal(b->c.command[0], "list");
    assert_string_equal(b->c.command[1], "-l");
    assert_int_equal(PARSE(b, "--state=/x/y", "--config=/etc/h.conf", "invite", "--uses", "3"), 0);
    assert_string_equal(b->c.state_dir, "/x/y");
    assert_string_equal(b->c.file, "/etc/h.conf");
    assert_true(b->c.file_given);
    assert_int_equal(b->c.n_command, 3);
    assert_string_equal(b->c.command[1], "--uses"); /* is the command's, not ours */
    assert_int_equal(PARSE(b, "--state", "/x", "--check"), 0);
    assert_string_equal(b->c.action, "check");
    assert_int_equal(PARSE(b, "-h"), 0);
    assert_string_equal(b->c.action, "help");
    assert_int_equal(PARSE(b, "--state"), -EINVAL);
    assert_int_equal(PARSE(b, "--no-such-option", "x"), -EINVAL);
    assert_non_null(strstr(b->err.text, "no-such-option"));
}

static void test_listen_among_others(void **state)
{
    struct bench *b = *state;

    assert_int_equal(PARSE(b, "--listen", "127.0.0.1:1001", "--state", b->scratch.folder,
                           "--listen=[::1]:1002", "--domain", "d.test"),
                     0);
    assert_int_equal(b->c.n_command, 0);
    assert_int_equal(read_options(b), 0);
    assert_int_equal(b->opt.listen.n, 2);
    assert_string_equal(b->opt.listen.item[0], "127.0.0.1:1001");
    assert_string_equal(b->opt.listen.item[1], "[::1]:1002");
    assert_string_equal(b->opt.domain, "d.test");
}

static void test_the_file_and_the_flags(void **state)
{
    struct bench *b = *state;

    assert_int_equal(PARSE(b, "--state", b->scratch.folder, "--login-grace", "9s"), 0);
    assert_int_equal(read_options(b), 0); /* no file is no error */
    assert_int_equal(b->opt.login_grace_ms, 9000);
    put(b->conf, "login-grace = 5s\nfronts-max = 7\nlisten = 127.0.0.1:9\n");
    assert_int_equal(read_options(b), 0);
    assert_int_equal(b->opt.login_grace_ms, 9000); /* the flag wins */
    assert_int_equal(b->opt.fronts_max, 7);
    assert_string_equal(b->opt.listen.item[0], "127.0.0.1:9");
    put(b->conf, "fronts-max = 7\nno-such = 1\n");
    assert_true(read_options(b) < 0);
    assert_non_null(strstr(b->err.text, "hub.conf:2"));
    put(b->conf, "public = not a host\n");
    assert_true(read_options(b) < 0);
    assert_non_null(strstr(b->err.text, "public"));
    put(b->conf, "domain = -x.test\n");
    assert_true(read_options(b) < 0);
    assert_non_null(strstr(b->err.text, "domain"));
    assert_int_equal(PARSE(b, "--state", b->scratch.folder, "--config", "/nonexistent/hub.conf"), 0);
    assert_int_equal(read_options(b), -ENOENT); /* one that was named must be there */
}

static void test_users(void **state)
{
    struct bench *b = *state;
    struct policy *p = NULL;
    struct buf lines;
    char want[200];

    buf_init(&lines, 4096);
    assert_int_equal(PARSE(b, "--state", b->scratch.folder), 0);
    assert_int_equal(config_policy(&b->c, &lines, &p, &b->err), -ENOENT);
    assert_non_null(strstr(b->err.text, b->users));
    put(b->users, "alice machines=\"*\" " KEY_ED25519 "\n\nbroken line\nbob " KEY_P256 "\n");
    assert_int_equal(config_policy(&b->c, &lines, &p, &b->err), 0);
    assert_int_equal(policy_count(p), 2);
    (void)snprintf(want, sizeof want, "%s:3: ", b->users);
    assert_int_equal(strncmp(buf_str(&lines), want, strlen(want)), 0);
    policy_free(p);
    buf_release(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_words, make, clean),
        cmocka_unit_test_setup_teardown(test_listen_among_others, make, clean),
        cmocka_unit_test_setup_teardown(test_the_file_and_the_flags, make, clean),
        cmocka_unit_test_setup_teardown(test_users, make, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
