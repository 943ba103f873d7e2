/* Jumps: channels that are joined with a machine's stream, in both roles. `open` → `opened` or `refused` for
 * a user's direct-tcpip channel; `reach` for a channel to the user's own client, who publishes a machine. */
#ifndef MULTISSH_FRONT_JUMP_H
#define MULTISSH_FRONT_JUMP_H

#include "front/front.h"

/* A direct-tcpip channel: asks the hub. */
void jump_ask(struct front *front, struct ssh_ask *ask);
/* The hub's messages; fd is taken (-1: none came). */
void jump_opened(struct front *front, const cJSON *message, int fd);
void jump_refused(struct front *front, const cJSON *message);
void jump_kill(struct front *front, const cJSON *message);
void jump_connection(struct front *front, const cJSON *message, int fd);
void jump_reach(struct front *front, const cJSON *message, int fd);
/* The user's client has answered to the channel of a reach. */
void jump_reached(struct front *front, struct ssh_chan *chan, int error, const char *why);

void jump_turn_all(struct front *front);
/* Between two hubs: jumps that were not answered wait; the next hub is told of those that run and of those that have
 * ended, then how these ended, and is asked again. */
void jump_hub_lost(struct front *front);
void jump_resume_all(struct front *front);
void jump_close_ended(struct front *front);
uint64_t jump_unanswered_after(const struct front *front,
                               uint64_t id); /* the lowest id above it, or UINT64_MAX */
void jump_ask_again(struct front *front, uint64_t id);
void jump_end_all(struct front *front, const char *text); /* resets every stream */
void jump_free_all(struct front *front);

#endif
