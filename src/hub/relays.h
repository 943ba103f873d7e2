/* The relays: one multissh-relay process for each stream that comes inside TLS. Starts and reaps them; the
 * plain side of each goes through the door again. */
#ifndef MULTISSH_HUB_RELAYS_H
#define MULTISSH_HUB_RELAYS_H

#include "hub/door.h"

struct hub;
struct relays;

int relays_new(struct hub *hub, struct relays **ret_r);
/* Forgets the processes; those that carry a stream go on until it ends. */
void relays_free(struct relays *r);
/* A connection whose ClientHello asked for a stream. Takes fd in every case and moves slot. */
void relays_accept(struct relays *r, int fd, const char *source, uint16_t port, struct door_slot *slot);

#endif
