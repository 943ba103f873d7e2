/* The door: what a fresh connection is, decided by looking at its first bytes without taking them
 * (PROTOCOL.md, "One port"), and how many connections that nobody has vouched for there may be. Speaks no
 * protocol itself. */
#ifndef MULTISSH_HUB_DOOR_H
#define MULTISSH_HUB_DOOR_H

#include "stream/preamble.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hub;
struct door;

/* A place among the unauthenticated connections. Moves with the connection until somebody vouches for it. */
struct door_slot {
    bool held;
    char key[47];
};
/* Gives the place back; idempotent. */
void door_slot_release(struct door *d, struct door_slot *s);
/* Makes *to the holder of what from held. */
void door_slot_move(struct door_slot *from, struct door_slot *to);

int door_new(struct hub *hub, struct door **ret_d);
/* Closes what still waits. */
void door_free(struct door *d);

/* A fresh connection from source (an IP). Takes fd in every case; over a limit it is told to come again
 * (lobby.h) and closed, with a line in the log. */
void door_enter(struct door *d, int fd, const char *source, uint16_t port);
/* The inner side of a TLS stream, from a relay: only a preamble is taken from it. Takes fd in every case, and
 * moves slot. */
void door_enter_relayed(struct door *d, int fd, const char *source, uint16_t port, struct door_slot *slot);
/* Those that have not spoken yet, which most users have not, get a front at once: it outlives the hub. */
void door_let_users_in(struct door *d);
/* No more of them: everything that waits is closed, and what still comes. */
void door_shut(struct door *d);
size_t door_unauthenticated(const struct door *d);

enum door_kind {
    DOOR_MORE,    /* cannot tell yet */
    DOOR_USER,    /* SSH */
    DOOR_CONTROL, /* TLS for the hub itself */
    DOOR_RELAY,   /* TLS around a stream */
    DOOR_STREAM,  /* a plain stream; its preamble is ret_preamble, *ret_n bytes long */
    DOOR_STRANGER,
};
/* Looks at the first n bytes. DOOR_MORE: *ret_n is the number of bytes worth waking up for (> n); n = 0 is
 * always DOOR_MORE. */
enum door_kind door_classify(const uint8_t *data, size_t n, size_t *ret_n, struct preamble *ret_preamble);

#endif
