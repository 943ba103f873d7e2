/* This process and its host, as the operating system has them. Siblings: process_posix.c, host_linux.c. */
#ifndef MULTISSH_AGENT_PROCESS_H
#define MULTISSH_AGENT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

/* Prepares the process: broken pipes are errors and no signals, files are made private, and as many
 * descriptors as the system lets us have. */
void process_prepare(void);

/* Takes the lock file at path, so that one agent uses a state folder; the lock ends with the process. *ret_fd
 * is to be kept open. Returns 0, -EBUSY (another process holds it; *ret_pid is its id, or 0) or another
 * negative errno value. */
int process_lock(const char *path, int *ret_fd, long *ret_pid);

/* The folder for the agent's state when none is given. Returns 0 or -ENAMETOOLONG, -ENOENT (no home). */
int process_state_dir(char *out, size_t size);

/* Gives a child that works for users the limit of descriptors that this process was started with, in place of
 * the one that process_prepare has set. To be called as soon as it runs. */
void process_child_limits(long pid);

/* May the account that this process runs as have a shell? Then "" is in out, else the account's name. */
bool process_has_shell(char *out, size_t size);

/* Is path a socket that this process may connect to? */
bool process_socket_usable(const char *path);

#endif
