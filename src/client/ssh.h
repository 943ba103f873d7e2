/* The user's ssh in place of this program: with a machine (`multissh ssh`), or with the hub (`multissh list`). */
#ifndef MULTISSH_CLIENT_SSH_H
#define MULTISSH_CLIENT_SSH_H

#include "client/client_options.h"

/* args: as of ssh itself, options of ssh's first: [OPTION]... [USER@]NAME [COMMAND]... Does not return when ssh takes the
 * place of this process; else its exit status, or -1 with err filled. */
int ssh_run(const struct client_options *o, int argc, char **argv, struct errmsg *err);
/* `list` with its arguments, at the hub. Returns likewise. */
int ssh_list(const struct client_options *o, int argc, char **argv, struct errmsg *err);

/* The index of the destination in args of ssh; argc when there is none. */
int ssh_destination(int argc, char **argv);
/* Adds what ssh needs for the machine: the way, and under which name its host keys are kept. program: this one's path.
 * Returns 0 or a negative code with err filled. */
int ssh_way(const struct client_options *o, const char *program, const char *name, struct words *w,
            struct errmsg *err);

#endif
