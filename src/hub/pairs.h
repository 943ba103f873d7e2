/* The pairs: one `multissh-relay --pair` process for each stream whose two connections are joined; started, found again after a
 * restart of the hub, spoken to and reaped here (PROTOCOL.md, "Pairs"). Knows nothing of who may use a stream. */
#ifndef MULTISSH_HUB_PAIRS_H
#define MULTISSH_HUB_PAIRS_H

#include "stream/ticket.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hub;
struct pair;
struct pairs;

/* What a pair is told, and tells the next hub. */
struct pair_facts {
    char ticket[TICKET_TEXT_MAX];
    uint32_t epoch_a, epoch_b;
    int64_t started_s; /* of the stream */
    char source[64];   /* of the user's connection */
    uint16_t port;
    uint64_t to_machine, from_machine; /* bytes of the connections, of all pairs of the stream so far */
};

struct pairs_calls {
    /* One side has ended: no more can be joined here; what is on its way still arrives. Once, at most. */
    void (*ending)(void *owner, struct pair *p, const char *reason);
    /* It is over. Once; p is then no longer the owner's. orderly: both sides were closed, and nothing was lost. */
    void (*ended)(void *owner, struct pair *p, const char *reason, bool orderly, uint64_t to_machine,
                  uint64_t from_machine);
    /* A pair of an earlier hub, as it tells of itself: nothing of it is proven. Returns its owner, or NULL: it is ended. */
    void *(*found)(void *arg, struct pair *p, const struct pair_facts *f);
};

/* arg is for found. Looks for those of earlier hubs in the turns that follow. Returns 0 or a negative code. */
int pairs_new(struct hub *hub, const struct pairs_calls *calls, void *arg, struct pairs **ret_p);
/* Lets go of them all: they go on. NULL-safe. */
void pairs_free(struct pairs *ps);
/* Starts one; the descriptors stay the caller's. Returns 0 or a negative code. */
int pairs_start(struct pairs *ps, const struct pair_facts *f, int user_fd, int machine_fd, void *owner,
                struct pair **ret_p);
/* Orders its end. Nothing is called for it any more. */
void pairs_end(struct pair *p);
/* The same for all that are this owner's. */
void pairs_end_of(struct pairs *ps, const void *owner);
/* done is called, in a later turn, when all of earlier hubs have said what they are, or have had time enough. Once in the life of
 * ps. */
typedef void pairs_taken_fn(struct hub *hub);
void pairs_take_up(struct pairs *ps, pairs_taken_fn *done);

#endif
