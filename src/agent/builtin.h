/* The built-in SSH server, multissh-sshd, as seen from the agent: can it be had, as a service behind a Unix
 * socket or by starting the program, and what is its host key. The connections to it are jump_builtin.c's. */
#ifndef MULTISSH_AGENT_BUILTIN_H
#define MULTISSH_AGENT_BUILTIN_H

#include "agent/hostkeys.h"
#include "base/fs.h"
#include <stdbool.h>

#define BUILTIN_WORDS_MAX 300

struct agent;
struct builtin;

/* An answer has come, or a new one that differs. Never called from within a call of this module. */
typedef void builtin_changed_fn(void *arg);
/* Returns 0 or -ENOMEM. */
int builtin_new(struct agent *a, builtin_changed_fn *changed, void *arg, struct builtin **ret_b);
void builtin_free(struct builtin *b); /* NULL-safe */

/* While it may be wanted it is looked at, first at once. What was known is forgotten when that begins. */
void builtin_watch(struct builtin *b, bool on);
/* The options have changed: asked anew. */
void builtin_restart(struct builtin *b);
/* A jump did not get it: asked anew at the next look. */
void builtin_soon(struct builtin *b);

/* Has the first answer come? */
bool builtin_known(const struct builtin *b);
bool builtin_there(const struct builtin *b);
/* Why it is not there, as part of a sentence; "". */
const char *builtin_words(const struct builtin *b);
const struct hostkeys *builtin_hostkeys(const struct builtin *b);

/* How it is reached now: the socket of its service when the option's path (which may be NULL) is one, or NULL. */
const char *builtin_socket(const char *path);
/* The program and its state folder, in the agent's. Returns 0 or -ENAMETOOLONG. */
int builtin_program(const char *state_dir, char program[FS_PATH_MAX], char state[FS_PATH_MAX]);
/* Is the account that the agent runs as one that nobody can log in to? Then the program is of no use; *words
 * (BUILTIN_WORDS_MAX) says so. */
bool builtin_useless(char *words);

#endif
