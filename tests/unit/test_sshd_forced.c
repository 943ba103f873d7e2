/* What a session runs when its key has a command of its own. */
#include "cmocka_all.h"

#include "sshd/forced.h"

struct expected {
    const char *forced;
    enum host_start_kind asked;
    const char *command;
    enum forced_kind kind;
    const char *runs, *original;
    bool read_only;
};

static const struct expected cases[] = {
    {NULL, HOST_SHELL, NULL, FORCED_SHELL, NULL, NULL, false},
    {NULL, HOST_EXEC, "ls", FORCED_COMMAND, "ls", NULL, false},
    {NULL, HOST_SFTP, NULL, FORCED_SFTP, NULL, NULL, false},
    {"backup", HOST_SHELL, NULL, FORCED_COMMAND, "backup", NULL, false},
    {"backup", HOST_EXEC, "ls", FORCED_COMMAND, "backup", "ls", false},
    {"backup", HOST_SFTP, NULL, FORCED_COMMAND, "backup", "internal-sftp", false},
    {"internal-sftp", HOST_SFTP, NULL, FORCED_SFTP, NULL, "internal-sftp", false},
    {"internal-sftp -R", HOST_SFTP, NULL, FORCED_SFTP, NULL, "internal-sftp", true},
    {"internal-sftp\t-f AUTH -l INFO  -R -e", HOST_SFTP, NULL, FORCED_SFTP, NULL, "internal-sftp", true},
    {"internal-sftp", HOST_SHELL, NULL, FORCED_SFTP_ONLY, NULL, NULL, false},
    {"internal-sftp -R", HOST_EXEC, "sh", FORCED_SFTP_ONLY, NULL, "sh", true},
    {"internal-sftp-server", HOST_SFTP, NULL, FORCED_COMMAND, "internal-sftp-server", "internal-sftp", false},
};

static void assert_same(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        assert_ptr_equal(a, b);
    else
        assert_string_equal(a, b);
}

static void choosing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct expected *c = &cases[i];
        struct forced got;
        assert_null(forced_choose(c->forced, c->asked, c->command, &got));
        assert_int_equal(got.kind, c->kind);
        assert_int_equal(got.read_only, c->read_only);
        assert_same(got.original, c->original);
        if (got.kind == FORCED_COMMAND)
            assert_same(got.command, c->runs);
    }
}

/* A restriction that cannot be honoured must not be lost. */
static void unknown_arguments(void **state)
{
    static const char *const lines[] = {"internal-sftp -d /srv", "internal-sftp -P rename",
                                        "internal-sftp -R -x",   "internal-sftp -l",
                                        "internal-sftp -RR",     "internal-sftp something"};
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct forced got;
        assert_non_null(forced_choose(lines[i], HOST_SFTP, NULL, &got));
        assert_non_null(forced_choose(lines[i], HOST_SHELL, NULL, &got));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(choosing), cmocka_unit_test(unknown_arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
