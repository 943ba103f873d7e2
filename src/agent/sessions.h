/* The commands `sessions` and `stop`: they talk to the keepers of a state folder themselves, whether an agent runs or not. */
#ifndef MULTISSH_AGENT_SESSIONS_H
#define MULTISSH_AGENT_SESSIONS_H

#include "base/errmsg.h"
#include <stdbool.h>

struct agent;

/* Prints the sessions. Returns 0, or a negative errno code with err filled: also when some could not be asked for. */
int sessions_show(struct agent *a, struct errmsg *err);
/* Has the agent of the state folder end, if one runs, and waits for it; all: its sessions, too, and those of earlier agents.
 * Says in a line on standard output what was done. Returns 0 or a negative errno code with err filled. */
int sessions_stop(struct agent *a, bool all, struct errmsg *err);
/* Ends all sessions of the state folder, where no agent runs any more. Returns 0 with how many they were, or a negative
 * errno code with err filled. */
int sessions_end(struct agent *a, size_t *ret_n, struct errmsg *err);

#endif
