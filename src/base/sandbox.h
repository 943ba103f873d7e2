/* Takes from this process what it will not need again. sandbox_linux.c uses seccomp (libseccomp) and rlimits.
 */
#ifndef MULTISSH_BASE_SANDBOX_H
#define MULTISSH_BASE_SANDBOX_H

/* After this call the process can only use descriptors that it holds or is sent over a Unix socket it holds:
 * read, write, poll, accept, memory, time, random bytes, exit. No files by name, no new sockets, no programs,
 * no signals to others, no core dump, not dumpable, no new privileges, no growing of files (but of the log,
 * when standard error is a file). Other system calls fail with EPERM: load keys, resolve names and listen
 * before. In sanitizer builds the filter is not loaded (the sanitizers need more), the limits are. Returns 0
 * or a negative errno value: the caller must then end the process, not go on unconfined; -ENOSYS where the
 * kernel has no seccomp. */
int sandbox_enter(void);

#define SANDBOX_TERMINAL_SIZE 1u /* TIOCSWINSZ, on a terminal that it holds */
#define SANDBOX_SPLICE 2u        /* splice(2) between descriptors that it holds */
/* The same, and what the SANDBOX_ bits in allow name on top. */
int sandbox_enter_with(unsigned allow);

/* The same in two steps, for a process that forks others: what is costly is done once. Returns 0 or a negative errno
 * value. */
struct sandbox;
int sandbox_make(unsigned allow, struct sandbox **ret_sandbox);
void sandbox_free(struct sandbox *sandbox); /* NULL-safe */
/* Closes it around the calling process, as sandbox_enter does. */
int sandbox_close(const struct sandbox *sandbox);

#endif
