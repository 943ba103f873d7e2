/* The keepers of this machine, as the agent has them: its own, which it starts at the first dial, and those of earlier
 * agents, whose sessions go on. Passes the hub's requests on to them and what they answer back. */
#ifndef MULTISSH_AGENT_KEEPERS_H
#define MULTISSH_AGENT_KEEPERS_H

#include <cjson/cJSON.h>
#include <stddef.h>

struct agent;
struct keepers;

/* Returns 0 or -ENOMEM. */
int keepers_new(struct agent *a, struct keepers **ret_k);
void keepers_free(struct keepers *k); /* NULL-safe; the sessions go on */

/* Looks for those of earlier agents. done is called, in a later turn, when all have said what they keep, or have had the
 * time to. */
typedef void keepers_done_fn(void *arg);
void keepers_adopt(struct keepers *k, keepers_done_fn *done, void *arg);

/* The hub asks for a jump, or asks again when it does not know whether it was answered. What cannot be had is answered with `failed`. Returns NULL, or why the control
 * connection is to be closed: a request that cannot even be answered. */
const char *keepers_dial(struct keepers *k, const cJSON *message);
/* The stream (hex) was killed at the hub. */
void keepers_hangup(struct keepers *k, const char *stream, const char *reason);
/* The hub has welcomed this machine: is told what has ended meanwhile. */
void keepers_welcome(struct keepers *k);
/* The settings, or what is known of the hub or of the SSH server, may have changed. */
void keepers_settings(struct keepers *k);
void keepers_network_changed(struct keepers *k);

/* Sessions, also those that are being opened. */
size_t keepers_sessions(const struct keepers *k);
/* How many keepers there are. */
size_t keepers_count(const struct keepers *k);
/* Has every session end with that reason. Over when keepers_count is 0. */
void keepers_end_all(struct keepers *k, const char *reason);

#endif
