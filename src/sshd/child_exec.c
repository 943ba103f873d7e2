/* What happens in a forked child until it is the account's program: who it is, its descriptors, its folder, the
 * words on its terminal, rc files, the execution. What goes wrong is said on standard error, in the words of
 * OpenSSH's server, for scripts know them. Must not log: the log's descriptor is closed. */
#include "base/buf.h"
#include "base/fs.h"
#include "sshd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SH "/bin/sh"
#define USER_RC ".ssh/rc"
#define SYSTEM_RC "/etc/ssh/sshrc"
#define HUSH ".hushlogin"
#define MOTD_MAX (256u << 10)
#define PROGRAM_FD 3

static const char *const motd_files[] = {"/run/motd.dynamic", "/etc/motd"};

static void say(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t sent = write(fd, text, n);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return;
        text += sent;
        n -= (size_t)sent;
    }
}

_Noreturn static void give_up(const char *what, int error)
{
    (void)dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(error));
    _exit(1);
}

static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, &action, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A monitor that is killed cannot hang up on what runs: the kernel then does it, on this process alone. Becoming
 * the account would undo it; fork and set-user-id programs do not pass it on. */
static void end_with(pid_t monitor)
{
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGHUP) == 0 && getppid() != monitor)
        _exit(1);
}

/* 0, 1, 2, the program if one is needed, and nothing else. The SFTP server's standard error is its log: a user of
 * sftp sees nothing of it with OpenSSH either. */
static int take_descriptors(const struct child_spec *spec, const int fds[CHILD_FDS])
{
    bool sftp = spec->kind == CHILD_SFTP;
    if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[sftp ? 3 : 2], 2) < 0)
        return -errno;
    if (!sftp)
        return close_range(3, UINT_MAX, 0) != 0 ? -errno : 0;
    if (spec->program != PROGRAM_FD && dup2(spec->program, PROGRAM_FD) < 0)
        return -errno;
    if (fcntl(PROGRAM_FD, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return close_range(PROGRAM_FD + 1, UINT_MAX, 0) != 0 ? -errno : 0;
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static bool in_home(const struct account *account, const char *name, char *out, size_t size)
{
    return fs_join(out, size, account->home, name) == 0;
}

/* PAM's modules may have shown it already (pam_motd): nobody wants to read it twice. */
static void show_motd(const char *words)
{
    for (size_t i = 0; i < sizeof motd_files / sizeof motd_files[0]; i++) {
        struct buf text;
        buf_init(&text, MOTD_MAX);
        if (fs_read(motd_files[i], &text) == 0) {
            const char *shown = buf_str(&text);
            if (shown != NULL && strstr(words, shown) == NULL)
                say(STDOUT_FILENO, shown, strlen(shown));
        }
        buf_release(&text);
    }
}

static void greet(const struct child_spec *spec)
{
    char hush[FS_PATH_MAX];
    if (spec->words == NULL || (in_home(spec->account, HUSH, hush, sizeof hush) && exists(hush)))
        return;
    say(STDOUT_FILENO, spec->words, strlen(spec->words));
    if (spec->motd)
        show_motd(spec->words);
    say(STDOUT_FILENO, spec->last, strlen(spec->last));
}

static void run_rc(const struct child_spec *spec, const char *shell, const char *command)
{
    char *const argv[] = {(char *)(uintptr_t)shell, (char *)(uintptr_t) "-c", (char *)(uintptr_t)command,
                          NULL};
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        if (null >= 0)
            (void)dup2(null, STDIN_FILENO);
        if (null > STDERR_FILENO)
            (void)close(null);
        execve(shell, argv, spec->env);
        give_up(shell, errno);
    }
    if (pid < 0) {
        (void)dprintf(STDERR_FILENO, "Could not run %s: %s\n", command, strerror(errno));
        return;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static void run_rc_files(const struct child_spec *spec)
{
    char path[FS_PATH_MAX], command[sizeof path + sizeof SH + 1];
    if (spec->user_rc && in_home(spec->account, USER_RC, path, sizeof path) && exists(path)) {
        (void)snprintf(command, sizeof command, SH " %s", path);
        run_rc(spec, spec->account->shell, command);
    } else if (spec->system_rc && exists(SYSTEM_RC)) {
        run_rc(spec, SH, SH " " SYSTEM_RC);
    }
}

_Noreturn static void execute_sftp(const struct child_spec *spec)
{
    char *const argv[] = {(char *)(uintptr_t) "multissh-sshd", (char *)(uintptr_t) "--sftp",
                          spec->read_only ? (char *)(uintptr_t) "--read-only" : NULL, NULL};
    /* By its descriptor: the file may have been replaced by another version, or be out of the account's reach. */
    (void)syscall(SYS_execveat, PROGRAM_FD, "", argv, spec->env, AT_EMPTY_PATH);
    give_up("the SFTP server", errno);
}

_Noreturn static void execute_shell(const struct child_spec *spec)
{
    const char *shell = spec->account->shell;
    const char *slash = strrchr(shell, '/');
    const char *name = slash != NULL ? slash + 1 : shell;
    char login[NAME_MAX + 2];
    char *const command[] = {(char *)(uintptr_t)name, (char *)(uintptr_t) "-c",
                             (char *)(uintptr_t)spec->command, NULL};
    char *const alone[] = {login, NULL};
    int n = snprintf(login, sizeof login, "-%s", name);
    if (spec->kind == CHILD_SHELL && (n < 0 || (size_t)n >= sizeof login))
        give_up(shell, EINVAL);
    execve(shell, spec->kind == CHILD_SHELL ? alone : command, spec->env);
    give_up(shell, errno);
}

_Noreturn void child_exec(const struct child_spec *spec, const int fds[CHILD_FDS])
{
    static const char only[] = "This service allows sftp connections only.\n";
    const pid_t monitor = getppid();
    int r;
    (void)setsid(); /* before a signal can end it: who hangs up on it does so to its group */
    reset_signals();
    if (spec->pty != NULL)
        (void)pty_control(spec->pty->slave); /* without one there is no job control, and the shell says so */
    r = take_descriptors(spec, fds);
    if (r < 0)
        _exit(1);
    r = account_become(spec->account);
    if (r < 0)
        give_up("Cannot become the account", -r);
    end_with(monitor);
    greet(spec);
    if (chdir(spec->account->home) != 0) {
        (void)dprintf(STDERR_FILENO, "Could not chdir to home directory %s: %s\n", spec->account->home,
                      strerror(errno));
        if (chdir("/") != 0)
            give_up("/", errno);
    }
    run_rc_files(spec);
    if (spec->kind == CHILD_SFTP_ONLY) {
        say(STDOUT_FILENO, only, sizeof only - 1);
        _exit(1);
    }
    if (spec->kind == CHILD_SFTP)
        execute_sftp(spec);
    execute_shell(spec);
}
