/* Machines that the user's own client publishes (`ssh -R NAME:PORT:…`): tcpip-forward requests become
 * `publish`. The channels to them are jumps (jump_reach). */
#ifndef MULTISSH_FRONT_PUBLISH_H
#define MULTISSH_FRONT_PUBLISH_H

#include "front/front.h"

void publish_ask(struct front *front, struct ssh_ask *ask);   /* tcpip-forward */
void publish_unask(struct front *front, struct ssh_ask *ask); /* cancel-tcpip-forward */
void publish_result(struct front *front, const cJSON *message);
void publish_hub_lost(struct front *front);
void publish_free_all(struct front *front);

#endif
