/* A child of the account's: a shell, a command or the SFTP server, on pipes or on a terminal.
 *
 * child.c starts it, child_exec.c is what happens in it until it is another program. Who starts one reaps it. */
#ifndef MULTISSH_SSHD_CHILD_H
#define MULTISSH_SSHD_CHILD_H

#include "sshd/account.h"
#include "sshd/pty.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum child_kind {
    CHILD_SHELL,     /* a login shell */
    CHILD_COMMAND,   /* the shell with -c */
    CHILD_SFTP,      /* this program with --sftp */
    CHILD_SFTP_ONLY, /* tells that only sftp is served here, and ends */
};

#define CHILD_FDS 4 /* standard input, output, error, the log */

struct child_spec {
    const struct account *account;
    enum child_kind kind;
    const char *command;   /* CHILD_COMMAND */
    int program;           /* CHILD_SFTP: a descriptor of this program */
    bool read_only;        /* CHILD_SFTP */
    char *const *env;      /* NULL-terminated */
    const struct pty *pty; /* NULL: pipes */
    /* Unless ~/.hushlogin is there, in this order (Debian's, whose PAM shows the message of the day): words, with
     * motd those files of the message of the day that the words do not have in them, last. words NULL: quiet. */
    const char *words, *last;
    bool motd;
    bool user_rc, system_rc; /* ~/.ssh/rc if it is there, else /etc/ssh/sshrc */
};

/* The ends of its pipes, non-blocking and close-on-exec, the caller's; -1 with a terminal. log: the SFTP
 * server's standard error, which is not for the user (err is then at its end); -1 for others. */
struct child_pipes {
    int in, out, err, log;
};

/* Starts it, in a session and process group of its own. Returns 0 or a negative errno value; what happens
 * behind the fork, it tells on its standard error. */
int child_start(const struct child_spec *spec, pid_t *ret_pid, struct child_pipes *ret_pipes);
void child_pipes_release(struct child_pipes *pipes);

/* In the child, with every signal blocked: becomes what spec says, with fds as 0, 1, 2 and the log (above 2, and
 * closed then). Never returns. */
_Noreturn void child_exec(const struct child_spec *spec, const int fds[CHILD_FDS]);

#endif
