/* Session channels: `ssh hub [COMMAND]` becomes the hub's `exec`, and its `output` and `exit` what the user
 * reads. */
#ifndef MULTISSH_FRONT_COMMAND_H
#define MULTISSH_FRONT_COMMAND_H

#include "front/front.h"

void command_open(struct front *front, struct ssh_ask *ask); /* a session channel */
void command_request(struct front *front,
                     struct ssh_ask *ask); /* pty, env, shell, exec, subsystem … on one */
void command_output(struct front *front, const cJSON *message);
void command_exit(struct front *front, const cJSON *message);

void command_turn_all(struct front *front);
/* Between two hubs: a command that has said nothing yet is asked for again (see jump.h); one that has ends. */
void command_hub_lost(struct front *front);
uint64_t command_unanswered_after(const struct front *front, uint64_t id);
void command_ask_again(struct front *front, uint64_t id);
void command_free_all(struct front *front);

#endif
