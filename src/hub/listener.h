/* The listening sockets: takes connections in and hands each to the door. Decides nothing about them. */
#ifndef MULTISSH_HUB_LISTENER_H
#define MULTISSH_HUB_LISTENER_H

#include "base/errmsg.h"
#include <stdint.h>

struct hub;
struct listener;

/* Listens on every address of the option `listen`. Returns 0 or a negative code with err filled. */
int listener_new(struct hub *hub, struct listener **ret_l, struct errmsg *err);
/* Stops listening. NULL-safe. */
void listener_free(struct listener *l);
/* The port of the first socket. */
uint16_t listener_port(const struct listener *l);

#endif
