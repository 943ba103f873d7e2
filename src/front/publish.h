/* Machines that the user's own client publishes (`ssh -R NAME:PORT:…`): tcpip-forward requests become
 * `publish`. The channels to them are jumps (jump_reach). */
#ifndef MULTISSH_FRONT_PUBLISH_H
#define MULTISSH_FRONT_PUBLISH_H

#include "front/front.h"

void publish_ask(struct front *front, struct ssh_ask *ask);   /* tcpip-forward */
void publish_unask(struct front *front, struct ssh_ask *ask); /* cancel-tcpip-forward */
void publish_result(struct front *front, const cJSON *message);
void publish_turn_all(struct front *front);
/* Between two hubs: machines that were published are published again, before the next hub is asked for the others (see
 * jump.h). */
void publish_hub_lost(struct front *front);
void publish_resume_all(struct front *front);
uint64_t publish_unanswered_after(const struct front *front, uint64_t id);
void publish_ask_again(struct front *front, uint64_t id);
void publish_free_all(struct front *front);

#endif
