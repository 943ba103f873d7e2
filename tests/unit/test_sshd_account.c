/* Accounts of this system, StrictModes, and keys read by a helper. */
#include "cmocka_all.h"

#include "hub_keys_samples.h"
#include "sshd/account.h"
#include "sshd/login.h"
#include "sshd/strict.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- finding and checking: this process's own account, and what every system has --- */

static struct account *me(void)
{
    struct account *account = NULL;
    struct errmsg err;
    struct passwd *pw = getpwuid(geteuid());
    if (pw == NULL)
        skip(); /* a container that runs this as a uid without a name */
    assert_int_equal(account_find(pw->pw_name, &account, &err), 0);
    return account;
}

static void found(void **state)
{
    (void)state;
    struct account *account = me();
    struct passwd *pw = getpwuid(geteuid());
    assert_string_equal(account->name, pw->pw_name);
    assert_string_equal(account->home, pw->pw_dir);
    assert_int_equal(account->uid, pw->pw_uid);
    assert_int_equal(account->gid, pw->pw_gid);
    assert_true(account->shell[0] != '\0');
    account_free(account);
    account_free(NULL);
}

static void not_found(void **state)
{
    (void)state;
    static const char *const names[] = {
        "", "no-such-account-here", "../root", "-root", "root:x", "root ", ".", "..", "a\nb"};
    char longest[400];
    struct account *account = NULL;
    struct errmsg err;
    for (size_t i = 0; i < COUNT(names); i++) {
        err.text[0] = '\0';
        assert_int_equal(account_find(names[i], &account, &err), -ENOENT);
        assert_true(err.text[0] != '\0');
    }
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(account_find(longest, &account, &err), -ENOENT);
    assert_null(account);
}

static void nobody_else_without_root(void **state)
{
    (void)state;
    struct account *account = NULL;
    struct errmsg err;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
            _exit(2);
        _exit(account_find("root", &account, &err) == -EPERM &&
                      strstr(err.text, "lets in nobody else") != NULL
                  ? 0
                  : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void lists_of_accounts(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        bool in;
    } cases[] = {
        {"tester", true},
        {"test*", true},
        {"*", true},
        {"t?ster", true},
        {"Tester", false},
        {"other", false},
        {"other,tester", true},
        {"*,!tester", false},
        {"!tester", false},
        {"!other,*", true},
        {" other , tester ", true},
        {"testers", false},
        {"", false},
    };
    struct account account = {
        .name = (char[]){"tester"}, .home = (char[]){"/"}, .shell = (char[]){"/bin/sh"}, .uid = 12345};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sshd_options options = {.allow_users = (char *)(uintptr_t)cases[i].list};
        struct errmsg err = {""};
        int rc = account_check(&account, &options, &err);
        if ((rc == 0) != cases[i].in)
            fail_msg("allow-users = %s: %d, %s", cases[i].list, rc, err.text);
        if (!cases[i].in)
            assert_string_equal(err.text,
                                "tester is not among the accounts that may log in here (allow-users)");
    }
}

static void lists_of_groups(void **state)
{
    (void)state;
    /* An account that is in no group of the system but that of its gid: root's, which every system has. */
    struct account account = {.name = (char[]){"no-such-account-here"},
                              .home = (char[]){"/"},
                              .shell = (char[]){"/bin/sh"},
                              .uid = 12345};
    static const struct {
        const char *list, *why;
    } cases[] = {{"root", NULL},
                 {"adm,r*t", NULL},
                 {"adm", "is in no group of allow-groups"},
                 {"*,!root", "is in a group that allow-groups excludes"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sshd_options options = {.allow_groups = (char *)(uintptr_t)cases[i].list};
        struct errmsg err = {""};
        int rc = account_check(&account, &options, &err);
        assert_int_equal(rc, cases[i].why == NULL ? 0 : -EACCES);
        if (cases[i].why != NULL)
            assert_non_null(strstr(err.text, cases[i].why));
    }
}

static void root_may_be_kept_out(void **state)
{
    (void)state;
    struct account account = {.name = (char[]){"root"}, .home = (char[]){"/"}, .shell = (char[]){"/bin/sh"}};
    struct sshd_options options = {.root_login = SSHD_ROOT_NO};
    struct errmsg err = {""};
    assert_int_equal(account_check(&account, &options, &err), -EACCES);
    assert_string_equal(err.text, "root may not log in here (root-login = no)");
}

static void shells(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"/usr/sbin/nologin", "not an account to log in with"},
        {"/bin/false", "not an account to log in with"},
        {"/no/such/shell", "No such file"},
        {"bash", "not an absolute path"},
        {"/etc", "cannot be executed"},
        {"/etc/passwd", "cannot be executed"},
    };
    struct sshd_options options = {0};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct account account = {.name = (char[]){"tester"},
                                  .home = (char[]){"/"},
                                  .shell = (char *)(uintptr_t)cases[i][0],
                                  .uid = 12345};
        struct errmsg err = {""};
        assert_int_equal(account_check(&account, &options, &err), -EACCES);
        assert_non_null(strstr(err.text, cases[i][1]));
    }
}

static void becoming(void **state)
{
    (void)state;
    struct account other = {.name = (char[]){"nobody"}, .uid = 65534, .gid = 65534};
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool privileged = account_privileged();
        int rc = account_become(&other);
        if (!privileged)
            _exit(rc == (geteuid() == 65534 ? 0 : -EPERM) ? 0 : 1);
        gid_t groups[64];
        int n = getgroups(64, groups);
        bool no_root = getuid() == 65534 && getgid() == 65534 && setuid(0) != 0 && setgid(0) != 0;
        for (int i = 0; i < n; i++)
            no_root = no_root && groups[i] != 0;
        _exit(rc == 0 && no_root && account_become(&other) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* --- files of an account whose home is a folder of the test --- */

struct world {
    char home[64];
    struct account account;
    struct sshd_options options;
    struct authkeys_rights rights;
    struct errmsg err;
};

static void write_keys(const struct world *w, const char *name, const char *text, mode_t mode)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", w->home, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void set_mode(const struct world *w, const char *name, mode_t mode)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", w->home, name);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct account *account = me();
    char folder[100];
    snprintf(w->home, sizeof w->home, "/tmp/multissh-test-XXXXXX");
    if (mkdtemp(w->home) == NULL)
        return -1;
    snprintf(folder, sizeof folder, "%s/.ssh", w->home);
    if (mkdir(folder, 0700) != 0)
        return -1;
    w->account = *account;
    free(account->home);
    free(account);
    w->account.home = w->home;
    w->options.authorized_keys = strdup(".ssh/authorized_keys");
    w->options.strict_modes = true;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", w->home, (char *)NULL);
        _exit(127);
    }
    waitpid(child, NULL, 0);
    authkeys_rights_release(&w->rights);
    free(w->options.authorized_keys);
    free(w->account.name);
    free(w->account.shell);
    free(w);
    return 0;
}

static void files_are(struct world *w, const char *paths)
{
    free(w->options.authorized_keys);
    w->options.authorized_keys = strdup(paths);
}

static int ask(struct world *w)
{
    authkeys_rights_release(&w->rights);
    w->err.text[0] = '\0';
    return login_key(&w->account, &w->options, KEY_ED25519, "192.0.2.7", &w->rights, &w->err);
}

static void refused(struct world *w, int code, const char *why)
{
    int rc = ask(w);
    if (rc != code || strstr(w->err.text, why) == NULL)
        fail_msg("%d, %s (not: %s)", rc, w->err.text, why);
}

static void a_key_is_found(void **state)
{
    struct world *w = *state;
    write_keys(w, ".ssh/authorized_keys", "# mine\nno-pty,command=\"id\" " KEY_ED25519 " me\n", 0600);
    assert_int_equal(ask(w), 0);
    assert_true(w->rights.no_pty);
    assert_string_equal(w->rights.command, "id");
    assert_non_null(strstr(w->err.text, "/.ssh/authorized_keys, line 2"));
    write_keys(w, ".ssh/authorized_keys", "from=\"10.0.0.1\" " KEY_ED25519 "\n", 0600);
    refused(w, -EACCES, "/.ssh/authorized_keys, line 1: the key may not be used from 192.0.2.7");
    write_keys(w, ".ssh/authorized_keys", KEY_ED25519_B "\n", 0600);
    refused(w, -ENOENT, "no line of ");
}

static void no_file(void **state)
{
    struct world *w = *state;
    refused(w, -ENOENT, "/.ssh/authorized_keys: No such file");
    files_are(w, " ");
    refused(w, -ENOENT, "names no file");
    files_are(w, "/etc/keys/%x");
    refused(w, -EACCES, "/etc/keys/%x");
    files_are(w, "keys%");
    refused(w, -EACCES, "keys%");
}

static void several_files(void **state)
{
    struct world *w = *state;
    char name[300], paths[400];
    write_keys(w, ".ssh/authorized_keys", KEY_ED25519_B "\n", 0600);
    snprintf(name, sizeof name, "keys %% of %s", w->account.name);
    name[4] = name[6] = name[9] = '_'; /* no blanks: they separate */
    write_keys(w, name, "no-pty " KEY_ED25519 "\n", 0600);
    files_are(w, ".ssh/authorized_keys\t nothing/here  %h/keys_%%_of_%u ");
    assert_int_equal(ask(w), 0);
    assert_true(w->rights.no_pty);
    snprintf(paths, sizeof paths, "%s/keys_%%%%_of_%%u", w->home);
    files_are(w, paths);
    assert_int_equal(ask(w), 0);
    /* The first file whose line lets it in counts, whatever is in the one before. */
    write_keys(w, ".ssh/authorized_keys", "nonsense " KEY_ED25519 "\n", 0600);
    files_are(w, ".ssh/authorized_keys nothing/here");
    refused(w, -EACCES, "\"nonsense\" is not known");
    files_are(w, "nothing/here .ssh/authorized_keys");
    refused(w, -EACCES, "\"nonsense\" is not known");
    files_are(w, ".ssh/authorized_keys keys_%%_of_%u");
    assert_int_equal(ask(w), 0);
}

static void modes(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *name;
        mode_t bad, good;
    } cases[] = {{".ssh/authorized_keys", 0620, 0644},
                 {".ssh/authorized_keys", 0602, 0600},
                 {".ssh", 0770, 0755},
                 {".ssh", 0703, 0700},
                 {"", 0720, 0755},
                 {"", 0777, 0711}};
    write_keys(w, ".ssh/authorized_keys", KEY_ED25519 "\n", 0600);
    for (size_t i = 0; i < COUNT(cases); i++) {
        char why[300];
        set_mode(w, cases[i].name, cases[i].bad);
        snprintf(why, sizeof why, "can be written by others (mode %04o): chmod go-w %s%s%s",
                 (unsigned)cases[i].bad, w->home, cases[i].name[0] != '\0' ? "/" : "", cases[i].name);
        refused(w, -EACCES, why);
        w->options.strict_modes = false;
        assert_int_equal(ask(w), 0);
        w->options.strict_modes = true;
        set_mode(w, cases[i].name, cases[i].good);
        assert_int_equal(ask(w), 0);
    }
}

static void what_is_no_file(void **state)
{
    struct world *w = *state;
    char path[300];
    snprintf(path, sizeof path, "%s/.ssh/authorized_keys", w->home);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused(w, -EACCES, "is not a regular file"); /* and does not hang */
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    refused(w, -EACCES, "is not a regular file");
    rmdir(path);
    assert_int_equal(symlink("authorized_keys", path), 0);
    refused(w, -EACCES, "symbolic links");
    unlink(path);
    /* A link to a file of its own counts; the folders of the file it leads to are looked at. */
    assert_int_equal(symlink("../keys", path), 0);
    write_keys(w, "keys", KEY_ED25519 "\n", 0600);
    assert_int_equal(ask(w), 0);
    set_mode(w, "keys", 0666);
    refused(w, -EACCES, "/keys can be written by others");
}

static void outside_the_home(void **state)
{
    struct world *w = *state;
    char home[100], paths[200];
    write_keys(w, "keys", KEY_ED25519 "\n", 0600);
    snprintf(home, sizeof home, "%s/.ssh", w->home);
    w->account.home =
        home; /* what is above the home counts for a file that is not in it: /tmp, which all can write to */
    snprintf(paths, sizeof paths, "%s/keys", w->home);
    files_are(w, paths);
    refused(w, -EACCES, "/tmp can be written by others");
    w->account.home = w->home;
}

static void too_large(void **state)
{
    struct world *w = *state;
    char path[300];
    write_keys(w, ".ssh/authorized_keys", KEY_ED25519 "\n", 0600);
    snprintf(path, sizeof path, "%s/.ssh/authorized_keys", w->home);
    assert_int_equal(truncate(path, AUTHKEYS_TEXT_MAX), 0);
    assert_int_equal(ask(w), 0);
    assert_int_equal(truncate(path, AUTHKEYS_TEXT_MAX + 1), 0);
    refused(w, -EACCES, "larger than 4 MiB");
}

static void as_the_account(void **state)
{
    struct world *w = *state;
    char path[300];
    if (geteuid() != 0)
        skip(); /* there is nobody else to become */
    write_keys(w, ".ssh/authorized_keys", KEY_ED25519 "\n", 0600);
    w->account.uid = w->account.gid = 65534;
    refused(w, -EACCES, "Permission denied"); /* the home is root's and closed */
    assert_int_equal(chmod(w->home, 0755), 0);
    set_mode(w, ".ssh", 0755);
    set_mode(w, ".ssh/authorized_keys", 0644);
    assert_int_equal(ask(w), 0); /* root's file in root's folder is to be believed */
    snprintf(path, sizeof path, "%s/.ssh/authorized_keys", w->home);
    assert_int_equal(chown(path, 65533, 65533), 0);
    refused(w, -EACCES, "belongs to uid 65533, neither to the account nor to root");
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(ask(w), 0);
    assert_int_equal(chown(w->home, 65533, 65534), 0);
    refused(w, -EACCES, "belongs to uid 65533");
    assert_int_equal(chown(w->home, 0, 0), 0);
}

/* The names are looked up after the file was opened. */
static void a_file_that_was_replaced(void **state)
{
    struct world *w = *state;
    struct stat st;
    char path[300];
    write_keys(w, "one", "1", 0600);
    write_keys(w, "two", "2", 0600);
    snprintf(path, sizeof path, "%s/one", w->home);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(strict_check(path, &st, w->home, geteuid(), &w->err), 0);
    snprintf(path, sizeof path, "%s/two", w->home);
    assert_int_equal(strict_check(path, &st, w->home, geteuid(), &w->err), -EACCES);
    assert_non_null(strstr(w->err.text, "replaced"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found),
        cmocka_unit_test(not_found),
        cmocka_unit_test(nobody_else_without_root),
        cmocka_unit_test(lists_of_accounts),
        cmocka_unit_test(lists_of_groups),
        cmocka_unit_test(root_may_be_kept_out),
        cmocka_unit_test(shells),
        cmocka_unit_test(becoming),
        cmocka_unit_test_setup_teardown(a_key_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(several_files, setup, teardown),
        cmocka_unit_test_setup_teardown(modes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(outside_the_home, setup, teardown),
        cmocka_unit_test_setup_teardown(too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(as_the_account, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_was_replaced, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
