/* `multissh-agent join`: remembers in agent.conf which hub this machine belongs to, and with what it may come
 * in. */
#ifndef MULTISSH_AGENT_JOIN_H
#define MULTISSH_AGENT_JOIN_H

#include "agent/agent.h"

/* target is HOST:PORT[/CODE]. Every flag of the command line is remembered too. The state folder is there and
 * locked. A machine that belongs to another hub stays there unless force. Returns 0 or a negative code with
 * err filled; on error nothing has changed. */
int join_remember(struct agent *a, const char *target, bool force, struct errmsg *err);

#endif
