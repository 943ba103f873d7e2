/* The lobby: machines whose connection has come and whose TLS handshake has not begun. A handshake costs a hundred times
 * what a connection does, and when a hub starts all its machines come at once: so few handshakes are in work at a time, the
 * oldest first, and whoever would wait for longer than a machine's patience is told at once when to come again
 * (PROTOCOL.md, "One port"), each at a time of its own. Knows nothing of TLS or messages. */
#ifndef MULTISSH_HUB_LOBBY_H
#define MULTISSH_HUB_LOBBY_H

#include "hub/door.h"
#include <stddef.h>
#include <stdint.h>

struct hub;
struct lobby;

/* Returns 0 or -ENOMEM. */
int lobby_new(struct hub *hub, struct lobby **ret_l);
/* Closes what waits, and l itself in a later turn. NULL-safe. */
void lobby_free(struct lobby *l);
/* A machine's connection, accepted at since (ms, monotonic), for controls_accept. Takes fd in every case and moves slot. */
void lobby_enter(struct lobby *l, int fd, const char *source, uint64_t since, struct door_slot *slot);
/* A connection that cannot be taken now, for why: it is told when to come again. Takes fd in every case. */
void lobby_refuse(struct lobby *l, int fd, const char *source, const char *why);
/* A handshake's place among those in work. Embedded by whoever does it; zeroed: it has none. */
struct lobby_place {
    struct lobby *owner;
    struct lobby_place *next, **at;
    const char *source; /* what it is counted by: the key of its door slot */
    uint64_t since;
};
/* A handshake begins. source stays where it is until lobby_done. */
void lobby_work(struct lobby *l, struct lobby_place *p, const char *source);
/* It is over. Idempotent. */
void lobby_done(struct lobby_place *p);
/* Nobody is let in any more: what waits is closed, and what still comes. */
void lobby_shut(struct lobby *l);
/* How many wait. */
size_t lobby_count(const struct lobby *l);

#endif
