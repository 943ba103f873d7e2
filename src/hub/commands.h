/* The commands: one table, two doors (`ssh hub COMMAND`, and `multissh-hub COMMAND` on the hub's own socket).
 */
#ifndef MULTISSH_HUB_COMMANDS_H
#define MULTISSH_HUB_COMMANDS_H

#include "base/buf.h"
#include "hub/who.h"
#include <stdbool.h>

struct hub;

#define COMMANDS_OUTPUT_MAX (64u << 20)

struct commands_result {
    struct buf out, err; /* what to print; lines end in \n (the front makes CR LF of it on a terminal) */
    int status;          /* 0 done, 1 refused or failed, 2 usage */
};

/* Runs one command line (at most 4,096 bytes; words separated by blanks, single and double quotes and
 * backslash as in sh). "" is the bare `ssh hub`. columns: width of the terminal, 0 = none. Fills ret
 * (initialised here; release with commands_result_release). Returns 0 or -ENOMEM. */
int commands_run(struct hub *hub, const struct who *w, const char *line, unsigned columns,
                 struct commands_result *ret);
void commands_result_release(struct commands_result *r);

#endif
