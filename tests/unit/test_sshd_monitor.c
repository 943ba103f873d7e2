/* The monitor: logins, shells and commands, and what a speaker must not do. Real processes of an ordinary user. */
#include "sshd_monitored.h"

#include "sshd/monitor_private.h"
#include "sshd/sftp.h"
#include <sys/resource.h>

static const unsigned all_rights =
    HOST_RIGHT_PTY | HOST_RIGHT_LOCAL_FORWARD | HOST_RIGHT_REMOTE_FORWARD | HOST_RIGHT_AGENT;

static void keys(void **state)
{
    struct monitored m;
    unsigned rights;
    (void)state;
    monitored_start(&m, "", NULL);
    assert_int_equal(monitored_key(&m, user_name, OTHER_KEY, true, &rights), HOST_NO);
    assert_int_equal(monitored_key(&m, "nobody-has-this-name", KEY, true, &rights), HOST_NO);
    assert_int_equal(monitored_key(&m, user_name, "ssh-ed25519 garbage", true, &rights), HOST_NO);
    assert_int_equal(rights, 0);
    /* That a key would do is no login. */
    assert_int_equal(monitored_key(&m, user_name, KEY, false, &rights), HOST_YES);
    assert_int_equal(rights, 0);
    assert_int_equal(monitored_key(&m, user_name, KEY, true, &rights), HOST_YES);
    assert_int_equal(rights, all_rights);
    monitored_end(&m);
    monitored_start(&m, "restrict,pty", NULL);
    assert_int_equal(monitored_key(&m, user_name, KEY, true, &rights), HOST_YES);
    assert_int_equal(rights, HOST_RIGHT_PTY);
    monitored_end(&m);
}

static void no_groups(struct sshd_options *o)
{
    o->allow_users = strdup("somebody-else");
}

static void proved_but_not_allowed(void **state)
{
    struct monitored m;
    unsigned rights;
    (void)state;
    monitored_start(&m, "", no_groups);
    assert_int_equal(monitored_key(&m, user_name, OTHER_KEY, true, &rights), HOST_NO);
    assert_int_equal(monitored_key(&m, user_name, KEY, true, &rights), HOST_FATAL);
    monitored_ask(&m, 2, HOST_SHELL, false, "");
    monitored_expect_end(&m);
    monitored_end(&m);
}

static void password_without_pam(void **state)
{
    struct monitored m;
    struct message got;
    struct buf out;
    (void)state;
    monitored_start(&m, "", NULL);
    wire_begin(&out, WIRE_PASSWORD, 5);
    wire_put_text(&out, user_name);
    wire_put_text(&out, "secret");
    monitored_send(&m, &out);
    monitored_expect(&m, WIRE_VERDICT, 5, &got);
    assert_int_equal(wire_number(&got.in), HOST_NO);
    monitored_end(&m);
}

/* --- what must not be --- */

static void nothing_before_a_login(void **state)
{
    static const enum wire_type types[] = {WIRE_ENV,    WIRE_START,   WIRE_SIGNAL, WIRE_CLOSE,
                                           WIRE_LISTEN, WIRE_CONNECT, WIRE_AGENT};
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct monitored m;
        monitored_start(&m, "", NULL);
        if (types[i] == WIRE_START)
            monitored_ask(&m, 1, HOST_EXEC, false, "true");
        else
            monitored_say(&m, types[i], 1, NULL);
        monitored_expect_end(&m);
        monitored_end(&m);
    }
}

static void one_login(void **state)
{
    struct monitored m;
    struct buf out;
    (void)state;
    monitored_login(&m, "", NULL);
    wire_begin(&out, WIRE_KEY, 9);
    wire_put_text(&out, user_name);
    wire_put_text(&out, KEY);
    wire_put_number(&out, 1);
    monitored_send(&m, &out);
    monitored_expect_end(&m);
    monitored_end(&m);
}

static void endless_tries(void **state)
{
    struct monitored m;
    struct message got;
    unsigned n = 0;
    (void)state;
    monitored_start(&m, "", NULL);
    do {
        struct buf out;
        wire_begin(&out, WIRE_KEY, n);
        wire_put_text(&out, user_name);
        wire_put_text(&out, "ssh-ed25519 garbage");
        wire_put_number(&out, 0);
        monitored_send(&m, &out);
        n++;
    } while (n < 100 && monitored_take(&m, &got));
    assert_in_range(n, 6, 60);
    monitored_end(&m);
}

static void send_bytes(struct monitored *m, const void *data, size_t n)
{
    assert_int_equal(send(m->fd, data, n, MSG_NOSIGNAL), n);
}

static void malformed_messages(void **state)
{
    static const uint8_t cases[][24] = {
        {8, 0, 0, 0},                                             /* no id */
        {8, 0, 0, 0, 99, 0, 0, 0, 1},                             /* a type that there is not */
        {12, 0, 0, 0, WIRE_START, 0, 0, 0, 1, 0, 0, 0, 1},        /* a START that ends early */
        {12, 0, 0, 0, WIRE_AGENT, 0, 0, 0, 1, 0, 0, 0, 1},        /* bytes too many */
        {13, 0, 0, 0, WIRE_SIGNAL, 0, 0, 0, 1, 0, 0, 0, 9, 'T'},  /* a text longer than the message */
        {13, 0, 0, 0, WIRE_SIGNAL, 0, 0, 0, 1, 0, 0, 0, 1, '\0'}, /* a NUL */
        {8, 0, 0, 0, WIRE_EXITED, 0, 0, 0, 1},                    /* the other direction's */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct monitored m;
        monitored_login(&m, "", NULL);
        send_bytes(&m, cases[i] + 1, i == 0 ? 4 : cases[i][0]);
        monitored_expect_end(&m);
        monitored_end(&m);
    }
}

/* --- children --- */

static void command(void **state)
{
    struct monitored m;
    char out[256], err[256];
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    monitored_begin(&m, 3, HOST_EXEC, false, "cat; echo to stderr >&2; exit 7", fds);
    assert_int_equal(write(fds[0], "to stdin\n", 9), 9);
    assert_int_equal(close(fds[0]), 0);
    read_all(fds[1], out, sizeof out);
    read_all(fds[2], err, sizeof err);
    monitored_expect_exit(&m, 3, 7, "");
    assert_string_equal(out, "to stdin\n");
    assert_string_equal(err, "to stderr\n");
    close_fds(fds + 1, 2);
    assert_int_equal(children_of(m.pid), 1); /* the speaker: no zombie stays */
    monitored_end(&m);
}

static void its_descriptors(void **state)
{
    struct monitored m;
    char out[256];
    (void)state;
    monitored_login(&m, "", NULL);
    monitored_run(&m, 1, HOST_EXEC,
                  "ls -x /proc/$$/fd; umask; grep SigBlk /proc/self/status; "
                  /* Signals 32 and 33 are the C library's own, which posix_spawn leaves ignored. */
                  "echo $((0x$(sed -n 's/^SigIgn:\t//p' /proc/self/status) & ~0x180000000))",
                  0, out, sizeof out);
    assert_string_equal(out, "0  1  2\n0022\nSigBlk:\t0000000000000000\n0\n");
    monitored_end(&m);
}

static void ends_by_signals(void **state)
{
    static const struct {
        const char *command, *name;
    } cases[] = {{"kill -TERM $$", "TERM"},
                 {"kill -KILL $$", "KILL"},
                 {"kill -USR2 $$", "USR2"},
                 {"kill -34 $$", "SIG@openssh.com"}};
    struct monitored m;
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        monitored_begin(&m, i, HOST_EXEC, false, cases[i].command, fds);
        monitored_expect_exit(&m, i, 0, cases[i].name);
        close_fds(fds, 3);
    }
    monitored_end(&m);
}

/* Each is sent by a process, and they may take longer to come than to go. */
static void many_signals(void **state)
{
    struct monitored m;
    char out[8];
    int fds[3];
    unsigned most = 0, before;
    (void)state;
    monitored_login(&m, "", NULL);
    monitored_begin(&m, 1, HOST_EXEC, false, "trap '' USR1; echo up; read line; exit 3", fds);
    await(fds[1]);
    before = children_of(m.pid);
    for (int i = 0; i < 60; i++) {
        for (int k = 0; k < 100; k++)
            monitored_say(&m, WIRE_SIGNAL, 1, "USR1");
        unsigned now = children_of(m.pid);
        most = now > most ? now : most;
    }
    assert_in_range(most, before + 1, before + MONITOR_SIGNALLERS);
    monitored_run(&m, 2, HOST_EXEC, "true", 0, out, sizeof out);
    while (children_of(m.pid) > before)
        ;
    monitored_say(&m, WIRE_SIGNAL, 1, "TERM");
    monitored_expect_exit(&m, 1, 0, "TERM");
    close_fds(fds, 3);
    monitored_end(&m);
}

static void terminal(void **state)
{
    struct monitored m;
    char out[512], tty[64];
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    monitored_begin(&m, 1, HOST_EXEC, true,
                    "stty size </dev/tty; tty; echo $SSH_TTY $TERM; stty -a | grep -o ' iutf8'", fds);
    assert_int_equal(ptsname_r(fds[0], tty, sizeof tty), 0);
    read_all(fds[0], out, sizeof out);
    monitored_expect_exit(&m, 1, 0, "");
    char expected[512];
    (void)snprintf(expected, sizeof expected, "37 91\r\n%s\r\n%s vt100\r\n iutf8\r\n", tty, tty);
    assert_string_equal(out, expected);
    assert_int_equal(close(fds[0]), 0);
    monitored_end(&m);
    monitored_login(&m, "no-pty", NULL);
    monitored_ask(&m, 1, HOST_SHELL, true, "");
    monitored_expect_failed(&m, 1, "no terminal");
    monitored_end(&m);
}

static void login_shell(void **state)
{
    struct monitored m;
    char out[4096];
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    monitored_begin(&m, 1, HOST_SHELL, false, "", fds);
    static const char script[] = "echo \"name $0\"; exit 3\n";
    assert_int_equal(write(fds[0], script, sizeof script - 1), sizeof script - 1);
    assert_int_equal(close(fds[0]), 0);
    read_all(fds[1], out, sizeof out);
    monitored_expect_exit(&m, 1, 3, "");
    const char *name = strstr(out, "name -");
    assert_non_null(name);
    close_fds(fds + 1, 2);
    monitored_end(&m);
}

static void forced_command(void **state)
{
    struct monitored m;
    char out[256];
    (void)state;
    monitored_login(&m, "command=\"echo forced: $SSH_ORIGINAL_COMMAND.\",environment=\"FOO=bar\"", NULL);
    monitored_run(&m, 1, HOST_EXEC, "rm -rf x", 0, out, sizeof out);
    assert_string_equal(out, "forced: rm -rf x.\n");
    monitored_run(&m, 2, HOST_SHELL, "", 0, out, sizeof out);
    assert_string_equal(out, "forced: .\n");
    monitored_run(&m, 3, HOST_SFTP, "", 0, out, sizeof out);
    assert_string_equal(out, "forced: internal-sftp.\n");
    monitored_end(&m);
    monitored_login(&m, "command=\"internal-sftp\"", NULL);
    monitored_run(&m, 1, HOST_EXEC, "id", 1, out, sizeof out);
    assert_string_equal(out, "This service allows sftp connections only.\n");
    monitored_end(&m);
    monitored_login(&m, "command=\"internal-sftp -P rename\"", NULL);
    monitored_ask(&m, 1, HOST_SFTP, false, "");
    monitored_expect_failed(&m, 1, "internal-sftp");
    monitored_end(&m);
}

static void send_variable(struct monitored *m, uint32_t id, const char *name, const char *value)
{
    struct buf out;
    wire_begin(&out, WIRE_ENV, id);
    wire_put_text(&out, name);
    wire_put_text(&out, value);
    monitored_send(m, &out);
}

static void variables(void **state)
{
    struct monitored m;
    char out[256], name[32];
    char *big = malloc(65537);
    (void)state;
    assert_non_null(big);
    memset(big, 'v', 65536);
    big[65536] = '\0';
    monitored_login(&m, "", NULL);
    send_variable(&m, 1, "LC_BIG", big);
    send_variable(&m, 1, "LANG", "C");
    send_variable(&m, 1, "LD_PRELOAD", "/evil");
    send_variable(&m, 1, "lc_small", "x");
    monitored_run(&m, 1, HOST_EXEC, "echo ${#LC_BIG} $LANG [$LD_PRELOAD$lc_small] $SSH_CONNECTION", 0, out,
                  sizeof out);
    assert_string_equal(out, "65536 C [] 192.0.2.1 4711 192.0.2.2 22\n");
    monitored_run(&m, 2, HOST_EXEC, "echo [$LANG]", 0, out, sizeof out);
    assert_string_equal(out, "[]\n"); /* they are of one session alone */
    for (unsigned i = 0; i < 129; i++) {
        (void)snprintf(name, sizeof name, "LC_%u", i);
        send_variable(&m, 3, name, "x");
    }
    monitored_ask(&m, 3, HOST_EXEC, false, "true");
    monitored_expect_failed(&m, 3, "environment");
    for (unsigned i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof name, "LC_%u", i);
        send_variable(&m, 4, name, big);
    }
    monitored_ask(&m, 4, HOST_EXEC, false, "true");
    monitored_expect_failed(&m, 4, "environment");
    monitored_end(&m);
    free(big);
}

static void long_command(void **state)
{
    struct monitored m;
    char out[64];
    char *text = malloc(HOST_COMMAND_MAX + 2);
    (void)state;
    assert_non_null(text);
    memset(text, '#', HOST_COMMAND_MAX + 1);
    memcpy(text, "echo ok ", 8);
    text[HOST_COMMAND_MAX] = '\0';
    monitored_login(&m, "", NULL);
    monitored_run(&m, 1, HOST_EXEC, text, 0, out, sizeof out);
    assert_string_equal(out, "ok\n");
    text[HOST_COMMAND_MAX] = '#';
    text[HOST_COMMAND_MAX + 1] = '\0';
    monitored_ask(&m, 2, HOST_EXEC, false, text);
    monitored_expect_failed(&m, 2, "the command is too long");
    monitored_end(&m);
    free(text);
}

static void two_sessions(struct sshd_options *o)
{
    o->sessions_max = 2;
}

static void too_many_sessions(void **state)
{
    struct monitored m;
    int fds[2][3];
    char out[16];
    (void)state;
    monitored_login(&m, "", two_sessions);
    for (uint32_t i = 0; i < 2; i++)
        monitored_begin(&m, i, HOST_EXEC, false, "cat", fds[i]);
    monitored_ask(&m, 2, HOST_EXEC, false, "echo x");
    monitored_expect_failed(&m, 2, "too many sessions");
    close_fds(fds[0], 3);
    monitored_expect_exit(&m, 0, 0, "");
    monitored_say(&m, WIRE_CLOSE, 0, NULL);
    monitored_run(&m, 3, HOST_EXEC, "echo x", 0, out, sizeof out);
    monitored_ask(&m, 1, HOST_EXEC, false, "echo x"); /* a number that is in use */
    monitored_expect_end(&m);
    close_fds(fds[1], 3);
    monitored_end(&m);
}

/* Leaves the monitor so much of a resource. */
static void starve(const struct monitored *m, __rlimit_resource_t what, rlim_t left, struct rlimit *before)
{
    struct rlimit limit;
    assert_int_equal(prlimit(m->pid, what, NULL, before), 0);
    limit = (struct rlimit){.rlim_cur = left, .rlim_max = before->rlim_max};
    assert_int_equal(prlimit(m->pid, what, &limit, NULL), 0);
}

static void shortages(void **state)
{
    struct monitored m;
    struct rlimit before;
    char out[16];
    (void)state;
    monitored_login(&m, "", NULL);
    starve(&m, RLIMIT_NOFILE, 6, &before);
    monitored_ask(&m, 1, HOST_EXEC, false, "echo x");
    monitored_expect_failed(&m, 1, "Too many open files");
    monitored_ask(&m, 2, HOST_EXEC, true, "echo x");
    monitored_expect_failed(&m, 2, "Too many open files");
    monitored_say(&m, WIRE_AGENT, 3, NULL);
    monitored_expect_failed(&m, 3, "Too many open files");
    assert_int_equal(prlimit(m.pid, RLIMIT_NOFILE, &before, NULL), 0);
    starve(&m, RLIMIT_NPROC, 1, &before);
    monitored_ask(&m, 4, HOST_EXEC, false, "echo x");
    monitored_expect_failed(&m, 4, "Resource temporarily unavailable");
    monitored_say(&m, WIRE_AGENT, 5, NULL);
    monitored_expect_failed(&m, 5, "Resource temporarily unavailable");
    assert_int_equal(prlimit(m.pid, RLIMIT_NPROC, &before, NULL), 0);
    monitored_run(&m, 6, HOST_EXEC, "echo x", 0, out, sizeof out);
    assert_string_equal(out, "x\n");
    monitored_end(&m);
}

static void sftp_session(void **state)
{
    static const uint8_t init[] = {0, 0, 0, 5, 1, 0, 0, 0, 3};
    struct monitored m;
    uint8_t version[9];
    size_t n = 0;
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    monitored_begin(&m, 1, HOST_SFTP, false, "", fds);
    assert_int_equal(write(fds[0], init, sizeof init), sizeof init);
    while (n < sizeof version) {
        await(fds[1]);
        ssize_t got = read(fds[1], version + n, sizeof version - n);
        assert_true(got > 0);
        n += (size_t)got;
    }
    assert_int_equal(version[4], 2);
    assert_int_equal(version[8], 3);
    close_fds(fds, 3);
    monitored_expect_exit(&m, 1, 0, "");
    monitored_end(&m);
}

/* In place of the SFTP server, for keys that may only read: tells which signals came until its input ended. */
static int tell_signals(void)
{
    sigset_t all, came;
    char byte;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    if (write(STDOUT_FILENO, "!", 1) != 1)
        return 1;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    (void)sigpending(&came);
    return printf("%s%s", sigismember(&came, SIGHUP) ? "HUP" : "",
                  sigismember(&came, SIGCONT) ? " CONT" : "") < 0;
}

/* A SIGCONT that nothing stopped needs would undo the stop of a debugger, and of the sanitizers' leak checker. */
static void sftp_is_not_continued(void **state)
{
    struct monitored m;
    char out[64];
    int fds[3];
    (void)state;
    monitored_login(&m, "command=\"internal-sftp -R\"", NULL);
    monitored_begin(&m, 1, HOST_SFTP, false, "", fds);
    await(fds[1]);
    assert_int_equal(read(fds[1], out, 1), 1);
    monitored_say(&m, WIRE_CLOSE, 1, NULL);
    monitored_say(&m, WIRE_AGENT, 2, NULL); /* whatever the answer is, the signals were sent before it */
    struct message got;
    assert_true(monitored_take(&m, &got));
    for (size_t i = 0; i < got.fd_n; i++)
        assert_int_equal(close(got.fds[i]), 0);
    assert_int_equal(close(fds[0]), 0);
    read_all(fds[1], out, sizeof out);
    assert_string_equal(out, "HUP");
    close_fds(fds + 1, 2);
    monitored_end(&m);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),
        cmocka_unit_test(proved_but_not_allowed),
        cmocka_unit_test(password_without_pam),
        cmocka_unit_test(nothing_before_a_login),
        cmocka_unit_test(one_login),
        cmocka_unit_test(endless_tries),
        cmocka_unit_test(malformed_messages),
        cmocka_unit_test(command),
        cmocka_unit_test(its_descriptors),
        cmocka_unit_test(ends_by_signals),
        cmocka_unit_test(many_signals),
        cmocka_unit_test(terminal),
        cmocka_unit_test(login_shell),
        cmocka_unit_test(forced_command),
        cmocka_unit_test(variables),
        cmocka_unit_test(long_command),
        cmocka_unit_test(too_many_sessions),
        cmocka_unit_test(shortages),
        cmocka_unit_test(sftp_session),
        cmocka_unit_test(sftp_is_not_continued),
    };
    /* The monitor starts its own program for sftp, and here that is this one. */
    if (argc > 1 && strcmp(argv[1], "--sftp") == 0)
        return argc > 2 ? tell_signals() : sftp_main(false);
    return cmocka_run_group_tests(tests, monitored_setup, monitored_teardown);
}
