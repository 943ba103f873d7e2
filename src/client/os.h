/* What the client needs of the operating system and libuv has not: its preparation, where its settings are, another
 * program in its place. Siblings: os_posix.c, os_windows.c. */
#ifndef MULTISSH_CLIENT_OS_H
#define MULTISSH_CLIENT_OS_H

#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>

/* Prepares the process, before anything else: broken pipes are errors and no signals; on Windows no dialogue stops it,
 * and the console takes UTF-8. */
void os_prepare(void);

/* The arguments in UTF-8; argv[argc] is NULL. In: what main was given. Returns 0 or a negative errno value. */
int os_args(int *argc, char ***argv);

/* The file of settings, and in words, for --help. Returns 0, -ENOENT (no home) or -ENAMETOOLONG. */
int os_config_path(char *out, size_t size);
extern const char os_config_help[];

/* Appends word to a command line that ssh gives to the system's shell, so that it stays one word and ssh expands
 * nothing in it. Returns 0, -EINVAL (it cannot be written so), -ENOBUFS or -ENOMEM. */
int os_quote(const char *word, struct buf *out);

/* Runs argv[0], found as in a shell, in place of this process; where a system cannot do that, beside it, to its end.
 * Returns its exit status, or a negative code of libuv when it cannot be run. */
int os_exec(char **argv);

/* The signal that a process gets when it goes on after it was stopped; 0: there is none. */
extern const int os_continue_signal;

/* Was this process started with the signal ignored (nohup, a job in the background)? Then it stays so. */
bool os_signal_ignored(int number);

/* Makes standard output a descriptor of its own that can be closed, and nowhere of standard output. Returns it, or a
 * negative code of libuv. */
int os_take_output(void);

/* Lets a pipe hold more than a packet or two, where the system can do that: who is woken for bulk data then moves it with fewer calls. */
void os_widen_pipe(int fd);

/* Does a terminal that speaks UTF-8 show what is written? */
bool os_utf8(void);

#endif
