/* All the jumps of this agent: takes the hub's requests at the door, finds, counts, ends. */
#ifndef MULTISSH_AGENT_JUMPS_H
#define MULTISSH_AGENT_JUMPS_H

#include <cjson/cJSON.h>
#include <stddef.h>

struct agent;
struct jumps;

/* Returns 0 or -ENOMEM. */
int jumps_new(struct agent *a, struct jumps **ret_j);
/* Only when jumps_count is 0. NULL-safe. */
void jumps_free(struct jumps *j);

/* The hub asks for a jump. What cannot be had is answered with `failed`. Returns NULL, or why the control
 * connection is to be closed: a request that cannot even be answered. */
const char *jumps_dial(struct jumps *j, const cJSON *message);
/* The stream (hex) was killed at the hub. Unknown ones are ignored: it may have ended by itself. */
void jumps_hangup(struct jumps *j, const char *stream, const char *reason);
/* The control connection is gone: what it asked for and was not answered is given up. Streams live on. */
void jumps_uplink_lost(struct jumps *j);
/* Ends all with a reason for the other side; they take a moment to say it. */
void jumps_reset_all(struct jumps *j, const char *reason);
/* Ends all, now. */
void jumps_end_all(struct jumps *j);
size_t jumps_count(const struct jumps *j);

#endif
