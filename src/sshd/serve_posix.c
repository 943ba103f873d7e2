/* Serving on POSIX systems: a monitor with what root can, and a speaker that has nothing (monitor.h, speaker.h). */
#include "sshd/serve.h"

#include "sshd/identity.h"
#include "sshd/monitor.h"
#include "sshd/speaker.h"
#include "sshd/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char serve_help[] =
    "usage: multissh-sshd --inetd [--peer IP[:PORT]] [--proxy-protocol] [OPTION]...\n"
    "       multissh-sshd --sftp [--read-only]\n"
    "       multissh-sshd --print-host-key | --check [OPTION]...\n"
    "\n"
    "An SSH server for one connection, for machines that run no SSH server. multissh-agent starts it. "
    "Run "
    "as\n"
    "root it lets every account in that may log in, run by anybody else that user alone.\n"
    "\n"
    "--inetd           serves the connection that is descriptor 0\n"
    "--peer IP[:PORT]  where the user comes from, when the connection does not tell\n"
    "--proxy-protocol  a PROXY line (version 1) comes first, and says where the user comes from\n"
    "--state DIR       the folder of sshd.conf and of the host key that is made when /etc/ssh has none\n"
    "                  (default: /var/lib/multissh-sshd for root, else $XDG_STATE_HOME/multissh-sshd or\n"
    "                  ~/.local/state/multissh-sshd)\n"
    "--config FILE     the settings (default: sshd.conf in the state folder, if it is there)\n"
    "--sftp            serves SFTP on descriptors 0 and 1, as who runs it; with --read-only nothing is\n"
    "                  changed\n"
    "--print-host-key  prints the public host key, which is made if there is none\n"
    "--check           checks the settings, shows them and ends\n"
    "--help, --version, --dump-options\n"
    "\n"
    "Settings, in sshd.conf as NAME = VALUE or as options:\n";

/* Descriptors 0, 1 and 2 are there, if only as /dev/null, so that none of ours becomes one of them. */
static void fill_standard(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO) {
        close(fd);
    }
}

int serve_prepare(int *argc, char ***argv, struct errmsg *err)
{
    (void)argc;
    (void)argv;
    (void)err;
    fill_standard();
    (void)signal(SIGPIPE, SIG_IGN);
    return 0;
}

bool serve_apart(int argc, char **argv, int *ret_code)
{
    (void)argc;
    (void)argv;
    (void)ret_code;
    return false;
}

int serve_state_folder(char *out, size_t size, struct errmsg *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n = -1;
    if (geteuid() == 0) {
        n = snprintf(out, size, "/var/lib/multissh-sshd");
    } else if (state != NULL && state[0] == '/') {
        n = snprintf(out, size, "%s/multissh-sshd", state);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(out, size, "%s/.local/state/multissh-sshd", home);
    }
    return n >= 0 && (size_t)n < size
               ? 0
               : errmsg_set(err, -ENOENT, "there is no place for the state: choose a folder with --state");
}

/* --- the connection --- */

static void close_if(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

/* What the speaker says first: does it have a host key? */
struct beginning {
    int rc;
    struct errmsg err;
};

/* The key is loaded here, and never in the process that becomes the monitor: of what the library frees of it a
 * part would be in the memory of every helper, and those are the accounts. */
_Noreturn static void speak(const struct sshd_options *options, const char *state, const struct inetd *inetd,
                            int monitor, int told)
{
    struct hostkey *key = NULL;
    struct beginning begin = {.rc = 0};
    struct speaker_config config = {.options = options,
                                    .connection = inetd->fd,
                                    .monitor = monitor,
                                    .peer = inetd->peer[0] == '\0' ? "an unknown address" : inetd->peer};
    begin.rc = identity_load(options->host_key, state, &key, &begin.err);
    if (write(told, &begin, sizeof begin) != (ssize_t)sizeof begin || begin.rc < 0) {
        _exit(1);
    }
    config.key = key;
    _exit(speaker_run(&config));
}

/* Returns 0 when it began, or a negative errno value with err. */
static int await_beginning(int fd, struct errmsg *err)
{
    struct beginning begin;
    ssize_t n;
    do {
        n = read(fd, &begin, sizeof begin);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof begin) {
        return errmsg_set(err, -ECHILD, "the process that speaks SSH ended before it began");
    }
    *err = begin.err;
    return begin.rc;
}

/* The speaker is the child: who started this waits for the monitor. Returns 0 or a negative errno value with
 * err. */
static int start_speaker(const struct sshd_options *options, const char *state, const struct inetd *inetd,
                         pid_t *ret_pid, int *ret_fd, struct errmsg *err)
{
    int pair[2] = {-1, -1};
    int told[2] = {-1, -1};
    int rc = pipe2(told, O_CLOEXEC) < 0 ? -errno : wire_pair(pair);
    pid_t pid = rc == 0 ? fork() : -1;
    if (pid == 0) {
        close(pair[0]);
        close(told[0]);
        speak(options, state, inetd, pair[1], told[1]);
    }
    if (rc == 0 && pid < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        (void)errmsg_set(err, rc, "cannot start the process that speaks SSH: %s", strerror(-rc));
    }
    close_if(told[1]);
    close_if(pair[1]);
    if (rc == 0) {
        rc = await_beginning(told[0], err);
    }
    close_if(told[0]);
    if (rc < 0) {
        close_if(pair[0]);
        return rc;
    }
    *ret_pid = pid;
    *ret_fd = pair[0];
    return 0;
}

int serve_connection(const struct sshd_options *options, const char *state, const struct inetd *connection,
                     struct errmsg *err)
{
    pid_t speaker = -1;
    int fd = -1;
    int rc = start_speaker(options, state, connection, &speaker, &fd, err);
    close(connection->fd);
    if (rc < 0) {
        return rc;
    }
    const struct monitor_config config = {.options = options,
                                          .speaker_fd = fd,
                                          .speaker = speaker,
                                          .peer = connection->peer[0] == '\0' ? NULL : connection->peer,
                                          .peer_port = connection->peer_port,
                                          .local = connection->local[0] == '\0' ? NULL : connection->local,
                                          .local_port = connection->local_port};
    rc = monitor_run(&config);
    return rc < 0 ? errmsg_set(err, rc, "the monitor ended: %s", strerror(-rc)) : 0;
}
