/* The listening sockets: takes connections in and hands each to the door. Decides nothing about them. */
#ifndef MULTISSH_HUB_LISTENER_H
#define MULTISSH_HUB_LISTENER_H

#include "base/errmsg.h"
#include <stdint.h>

struct hub;
struct listener;

/* Listens on the sockets that were passed to the hub (hub->passed, taken), or else on every address of the option
 * `listen`. Whoever comes waits in the backlog until listener_begin. Returns 0 or a negative code with err filled. */
int listener_new(struct hub *hub, struct listener **ret_l, struct errmsg *err);
/* From now on connections are taken in. */
void listener_begin(struct listener *l);
/* Stops listening; a socket that was passed stays open where it came from. NULL-safe. */
void listener_free(struct listener *l);
/* The port of the first socket. */
uint16_t listener_port(const struct listener *l);

#endif
