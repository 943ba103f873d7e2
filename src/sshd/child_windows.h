/* A program of a session on Windows: a shell, a command or the SFTP server, on pipes or on a pseudo console.
 *
 * It runs in a job object, which ends with the session: whatever the program started ends with it, also what it left
 * in the background. Everything comes through sockets (base/io.h); the threads behind them belong to this and call
 * nobody back. Windows alone: child_windows.c holds a child's life, child_windows_spawn.c starts the process. */
#ifndef MULTISSH_SSHD_CHILD_WINDOWS_H
#define MULTISSH_SSHD_CHILD_WINDOWS_H

#include "base/errmsg.h"
#include "sshd/host.h"
#include "sshd/logon_windows.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct child;

struct child_spec {
    const struct logon
        *logon; /* NULL or token NULL: as this process' own user. Used during child_start alone. */
    enum host_start_kind kind;
    const char *command; /* HOST_EXEC: UTF-8 */
    bool pty;            /* not with HOST_SFTP */
    const char *term;    /* TERM, with a pty; may be NULL */
    unsigned columns, rows;
    const char *const
        *env; /* NAME=VALUE, env_n of them, a later one wins: put over the account's own environment */
    size_t env_n;
    const char *shell; /* the option: cmd, powershell, pwsh, bash or a path; NULL or "": cmd */
    bool read_only;    /* HOST_SFTP */
};

/* Starts it. ret_fds: standard input, output, error: sockets, non-blocking and the caller's; with a pty all three are
 * the same one. The end of input that is told by closing ret_fds[0] (or io_shut) is passed on; with a pty there is no
 * such thing. The end of output is the end of what every process that holds it wrote.
 * *ret_end: a socket, the caller's: four bytes come on it, the exit code (uint32_t, host order), when the program has
 * ended and everything that it wrote before that has been put into ret_fds[1] and [2] (while another process goes on
 * to write: as much as a pipe holds), then the end; the end alone: the code could not be learnt. On a pseudo console
 * the end of ret_fds[1] comes before the code.
 * Takes some milliseconds. Returns 0 or a negative errno value, and err then has a sentence for the user. */
int child_start(const struct child_spec *spec, struct child **ret_child, int ret_fds[3], int *ret_end,
                struct errmsg *err);

/* The size of its pseudo console; 0 is 80 or 24. Without one, or after the end: nothing. */
void child_resize(struct child *child, unsigned columns, unsigned rows);

/* A signal (RFC 4254 §6.10), name without SIG. INT on a pseudo console is Ctrl-C typed there. INT elsewhere (Windows
 * has no way to type it into a console that one is not attached to), and QUIT, ABRT, HUP, TERM, KILL end the whole
 * tree at once, with the code that a POSIX shell gives such an end: 128 + its number. Others: nothing. */
void child_signal(struct child *child, const char *name);

/* The client has gone, or the session is over: what still runs of the tree is ended. Returns at once; the threads end
 * by themselves when the caller has closed its sockets, too. NULL-safe. */
void child_close(struct child *child);

#endif
