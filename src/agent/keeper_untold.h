/* Sessions that have ended while nobody was there to be told: the last ones, up to a bound. */
#ifndef MULTISSH_AGENT_KEEPER_UNTOLD_H
#define MULTISSH_AGENT_KEEPER_UNTOLD_H

#include "agent/keeper_session.h"
#include <stddef.h>

struct keeper_untold {
    struct keeper_session *item; /* item[0] is the oldest; NULL until there is one */
    size_t n, max;
};

/* Takes no memory yet. max: at least 1. */
void keeper_untold_init(struct keeper_untold *u, size_t max);
void keeper_untold_release(struct keeper_untold *u);
/* Copies it, in place of the oldest when there are max; it is forgotten when memory is short. s may be one of item
 * at or behind item[n]. */
void keeper_untold_add(struct keeper_untold *u, const struct keeper_session *s);

#endif
