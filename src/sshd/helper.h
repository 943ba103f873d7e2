/* Forked helpers: short-lived children of the monitor that are the account, and answer over a socket.
 *
 * Whatever touches the account's files, or the network for it, runs in one: the kernel then decides what it
 * may do, and what it parses cannot hurt the monitor. */
#ifndef MULTISSH_SSHD_HELPER_H
#define MULTISSH_SSHD_HELPER_H

#include "sshd/account.h"
#include <sys/types.h>

/* Runs in the child, as the account, in its home if that is there (else /), with SIGPIPE ignored and every
 * descriptor but 0, 1, 2 (/dev/null, /dev/null, the log) and fd closed; returns the exit status. */
typedef int helper_fn(void *arg, int fd);

/* Forks. *ret_fd is the monitor's end of a SOCK_SEQPACKET pair, close-on-exec and non-blocking; the child's is
 * blocking. The caller waits for *ret_pid. Returns 0 or a negative errno value. */
int helper_start(const struct account *account, helper_fn *fn, void *arg, pid_t *ret_pid, int *ret_fd);

/* In the child: one packet of n bytes, with a descriptor or -1. Returns 0 or a negative errno value. */
int helper_say(int fd, const void *data, size_t n, int passed);
/* In the monitor, when fd can be read: one packet of at most size bytes, with the descriptor that came with it
 * (close-on-exec, the caller's) or -1. Returns its length, -EAGAIN, -EPIPE (it ended), -EMSGSIZE, -EMFILE (there was no room for the descriptor) or another
 * negative errno value. The caller reaps. */
long helper_take(int fd, void *out, size_t size, int *ret_passed);
/* In the monitor, from a helper that is asked and awaited: one packet of at most size bytes within timeout_ms.
 * Returns its length, -ETIMEDOUT, -EPIPE (it ended without a word) or another negative errno value. Kills the
 * helper when it failed, and reaps it in every case; closes fd. */
long helper_await(pid_t pid, int fd, int timeout_ms, void *out, size_t size);

#endif
