/* This process and its host, as the operating system has them. Siblings: process_posix.c, process_windows.c. */
#ifndef MULTISSH_AGENT_PROCESS_H
#define MULTISSH_AGENT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prepares the process, before anything else: broken pipes are errors and no signals, Ctrl-C is not ignored, files are made private, and
 * as many descriptors as the system lets us have; on Windows no dialogue stops it, and no child gets more of it than
 * it is given. */
void process_prepare(void);

/* The arguments in UTF-8; argv[argc] is NULL, and they may be written to. In: what main was given. Returns 0 or a
 * negative errno value. */
int process_args(int *argc, char ***argv);
/* Overwrites text, the end of one of these arguments, there and where the system shows it to others. */
void process_hide(char *text);

/* The signals that the agent acts on: it reads its settings again, ends, or ends with all its sessions. */
#define PROCESS_SIGNALS 3
enum process_action { PROCESS_RELOAD, PROCESS_STOP, PROCESS_STOP_ALL };
struct process_signal {
    int number;
    enum process_action action;
};
extern const struct process_signal process_signals[PROCESS_SIGNALS];

/* Takes the lock file at path, so that one agent uses a state folder; the lock ends with the process. *ret_fd
 * is to be kept open. Returns 0, -EBUSY (another process holds it; *ret_pid is its id, or 0) or another
 * negative errno value. */
int process_lock(const char *path, int *ret_fd, long *ret_pid);
/* Gives it back before the end. */
void process_unlock(int fd);

/* Has the agent that is process pid end; all: as by Ctrl-C, with its sessions. Returns 0 (also when it has ended already)
 * or a negative errno value. */
int process_end(long pid, bool all);

/* The folder for the agent's state when none is given, and in words, for a column of --help. Returns 0 or -ENAMETOOLONG, -ENOENT (no home). */
int process_state_dir(char *out, size_t size);
extern const char process_state_help[];

/* For a process that outlives the one that started it: takes the program's name (it may have been started by another
 * path), and closes what it has inherited but for its standard descriptors. First of all. */
void process_detach(const char *name);
/* Whoever started it has gone: a terminal or a pipe that is its standard error is let go, a file or the journal is
 * not. */
void process_be_alone(void);

/* Gives a child that works for users the limit of descriptors that this process was started with, in place of
 * the one that process_prepare has set. To be called as soon as it runs. */
void process_child_limits(long pid);
/* That limit, and another one in its place; 0: not known, and nothing is changed. */
uint64_t process_given_files(void);
void process_children_files(uint64_t n);

/* May the account that this process runs as have a shell? Then "" is in out, else the account's name. */
bool process_has_shell(char *out, size_t size);

/* Is path a socket of a service that this process may connect to? Never on Windows. */
bool process_socket_usable(const char *path);

#endif
