/* What main.c does in another way on each system: the process, its state folder, the connection. Siblings:
 * serve_posix.c, serve_windows.c. */
#ifndef MULTISSH_SSHD_SERVE_H
#define MULTISSH_SSHD_SERVE_H

#include "base/errmsg.h"
#include "sshd/inetd.h"
#include "sshd/sshd_options.h"
#include <stdbool.h>
#include <stddef.h>

/* What --help says above the settings. */
extern const char serve_help[];

/* The process itself, before anything is opened: descriptors, signals, the arguments in UTF-8. Returns 0 or a
 * negative errno value with err filled. */
int serve_prepare(int *argc, char ***argv, struct errmsg *err);

/* A way to run that this system alone has, which programs use among themselves and no person: --console on Windows.
 * Whether it was asked for; *ret_code: the exit code then, for it has run. */
bool serve_apart(int argc, char **argv, int *ret_code);

/* Where the state is when nobody says so. Returns 0 or a negative errno value with err filled. */
int serve_state_folder(char *out, size_t size, struct errmsg *err);

/* Serves the connection, whose descriptor is taken, to its end. state: the folder. Returns 0 or a negative errno value
 * with err filled. */
int serve_connection(const struct sshd_options *options, const char *state, const struct inetd *connection,
                     struct errmsg *err);

#endif
