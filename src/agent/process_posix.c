/* The process, on POSIX systems. */
#include "agent/process.h"

#include "base/crypto.h"
#include "base/log_journal.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    struct rlimit files;
    bool files_known;
} given; /* what this process was started with */

void process_prepare(void)
{
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_DFL); /* a shell's background job ignores it, and we would until our handler is there */
    umask(077);
    given.files_known = getrlimit(RLIMIT_NOFILE, &given.files) == 0;
    files = given.files;
    if (given.files_known && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* no harm when it fails */
    }
}

int process_args(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

void process_hide(char *text)
{
    crypto_wipe(text, strlen(text));
}

const struct process_signal process_signals[PROCESS_SIGNALS] = {
    {SIGTERM, PROCESS_STOP}, {SIGINT, PROCESS_STOP_ALL}, {SIGHUP, PROCESS_RELOAD}};

int process_lock(const char *path, int *ret_fd, long *ret_pid)
{
    char text[32] = "";
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    *ret_pid = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_SETLK, &lock) != 0) {
        int r = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
        ssize_t n = read(fd, text, sizeof text - 1);
        if (r == -EBUSY && n > 0)
            *ret_pid = strtol(text, NULL, 10);
        close(fd);
        return r;
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || write(fd, text, (size_t)n) != n) {
        int r = errno != 0 ? -errno : -EIO;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

void process_unlock(int fd)
{
    close(fd);
}

int process_end(long pid, bool all)
{
    return kill((pid_t)pid, all ? SIGINT : SIGTERM) == 0 || errno == ESRCH ? 0 : -errno;
}

const char process_state_help[] = "/var/lib/multissh-agent for root, else $XDG_STATE_HOME/multissh-agent\n"
                                  "             or ~/.local/state/multissh-agent";

int process_state_dir(char *out, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;
    if (geteuid() == 0)
        n = snprintf(out, size, "/var/lib/multissh-agent");
    else if (state != NULL && state[0] == '/')
        n = snprintf(out, size, "%s/multissh-agent", state);
    else if (home != NULL && home[0] == '/')
        n = snprintf(out, size, "%s/.local/state/multissh-agent", home);
    else
        return -ENOENT;
    return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

void process_child_limits(long pid)
{
    if (given.files_known)
        (void)prlimit((pid_t)pid, RLIMIT_NOFILE, &given.files, NULL); /* no harm when it fails */
}

uint64_t process_given_files(void)
{
    return given.files_known && given.files.rlim_cur != RLIM_INFINITY ? given.files.rlim_cur : 0;
}

void process_children_files(uint64_t n)
{
    if (given.files_known && n > 0 && n < given.files.rlim_max)
        given.files.rlim_cur = n;
}

void process_detach(const char *name)
{
    (void)prctl(PR_SET_NAME, name);
    (void)close_range(3, ~0u, 0);
}

void process_be_alone(void)
{
    struct stat st;
    if (log_journal_reads() || fstat(STDERR_FILENO, &st) != 0 || S_ISREG(st.st_mode))
        return;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)dup2(fd, STDERR_FILENO);
        close(fd);
    }
}

bool process_has_shell(char *out, size_t size)
{
    struct passwd entry, *found = NULL;
    char text[4096];
    out[0] = 0;
    if (geteuid() == 0 || getpwuid_r(geteuid(), &entry, text, sizeof text, &found) != 0 || found == NULL)
        return true;
    const char *slash = strrchr(found->pw_shell, '/'), *shell = slash != NULL ? slash + 1 : found->pw_shell;
    if (strcmp(shell, "nologin") != 0 && strcmp(shell, "false") != 0)
        return true;
    snprintf(out, size, "%s", found->pw_name);
    return false;
}

bool process_socket_usable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && access(path, W_OK) == 0;
}
