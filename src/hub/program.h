/* Starts the hub's helper programs (multissh-front, multissh-relay): descriptors 3 and up are theirs,
 * standard error is the hub's, everything else is closed. */
#ifndef MULTISSH_HUB_PROGRAM_H
#define MULTISSH_HUB_PROGRAM_H

#include <uv.h>

#define PROGRAM_FDS_MAX 4

/* Starts the program beside this one. args: NULL-terminated, args[0] its name. fds, which become 3 and up, stay the
 * caller's; n is at most PROGRAM_FDS_MAX.
 * In a session of its own, so that a terminal's Ctrl-C and the end of the hub do not reach it. exited is
 * called in a later turn. Returns 0 or a negative code; in either case process is closed with uv_close. */
int program_start(uv_loop_t *loop, uv_process_t *process, char *const args[], const int *fds, size_t n,
                  uv_exit_cb exited);

/* Runs the program, its standard output thrown away, and waits for it: only before the loop runs. Returns its
 * exit status, or a negative code.
 */
int program_run(char *const args[]);

#endif
