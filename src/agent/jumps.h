/* All the jumps of a keeper: takes the agent's requests at the door, finds, counts, ends. */
#ifndef MULTISSH_AGENT_JUMPS_H
#define MULTISSH_AGENT_JUMPS_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

struct jumps;
struct keeper;
struct keeper_session;

/* Returns 0 or -ENOMEM. */
int jumps_new(struct keeper *k, struct jumps **ret_j);
/* Only when jumps_count is 0. NULL-safe. */
void jumps_free(struct jumps *j);

/* The agent asks for a jump; again with the same ticket when nobody knows whether its answer has arrived, and then that is
 * the answer. What cannot be had is answered with `failed`. Returns NULL, or why its connection is
 * to be closed: a request that cannot even be answered. */
const char *jumps_dial(struct jumps *j, const cJSON *message);
/* The stream (hex) was killed at the hub. Unknown ones are ignored: it may have ended by itself. */
void jumps_hangup(struct jumps *j, const char *stream, const char *reason);
/* The agent is gone: nobody waits for the answers to what it asked, until the next one asks again. */
void jumps_agent_left(struct jumps *j);
/* What is connected is looked at. */
void jumps_network_changed(struct jumps *j);
/* Ends all with a reason for the other side; they take a moment to say it. */
void jumps_reset_all(struct jumps *j, const char *reason);
/* Ends all, now. */
void jumps_end_all(struct jumps *j);
size_t jumps_count(const struct jumps *j);
typedef void jumps_fn(void *arg, const struct keeper_session *s);
void jumps_each(const struct jumps *j, jumps_fn *fn, void *arg);

#endif
