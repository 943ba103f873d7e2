/* Shared by joins.c (the connections that come, the switchboard's calls) and joins_life.c (pairing, waiting, ending); nobody else
 * includes it. */
#ifndef MULTISSH_HUB_JOINS_PRIVATE_H
#define MULTISSH_HUB_JOINS_PRIVATE_H

#include "base/log.h"
#include "hub/caller.h"
#include "hub/hashmap.h"
#include "hub/hub.h"
#include "hub/joins.h"
#include "hub/leg.h"
#include "hub/pairs.h"
#include <uv.h>

#define JOIN_CHANNEL 0      /* each has one jump */
#define JOINS_GONE_MAX 1024 /* streams that are remembered to have ended */

enum { JOIN_A, JOIN_B };

struct join {
    struct caller caller; /* first */
    struct joins *all;
    struct join *next, **at;
    struct ticket ticket;
    char text[TICKET_TEXT_MAX]; /* the ticket's */
    uint8_t key[TICKET_KEY_SIZE];
    struct who who;
    uint16_t port;
    bool known;   /* who counts */
    bool placed;  /* its user's address is known */
    bool open;    /* the switchboard has opened it */
    bool over;    /* it has no jump any more; what is left of it ends */
    bool parked;  /* as the switchboard was told */
    bool paired;  /* once at least */
    bool orderly; /* how the last pair ended */
    bool epoch_seen;
    uint32_t epoch; /* the highest one of edge a, once epoch_seen */
    unsigned connections;
    uint64_t connections_second;
    struct leg *legs[2];             /* waiting */
    uint32_t epochs[2];              /* of the pair */
    struct pair *pair;               /* NULL: none stands */
    unsigned draining;               /* pairs whose end has begun, but not come */
    uint64_t paired_at, alone_since; /* alone: no pair stands */
    uint64_t asked_at;               /* when the machine was asked once more; 0: not */
    bool machine_seen;               /* its side has come, or was there, under this hub */
    uint64_t end_by;                 /* over: when its pair is ended by force */
    int64_t started_s;
    uint32_t window, patience_ms;
    uint64_t to_machine, from_machine;
    char reason[PREAMBLE_TEXT_MAX + 1]; /* why the machine's side has ended it; "": it has not */
    uint64_t reason_at, sent,
        received; /* sent, received: as the machine's side counts, when it has ended it */
};

struct joins {
    struct hub *hub;
    struct pairs *pairs;
    struct farewells *farewells;
    struct join *list;
    struct hashmap by_stream;
    size_t n;
    uv_timer_t timer; /* while there is one */
    int64_t began_s;
    uint8_t gone[JOINS_GONE_MAX][TICKET_ID_SIZE];
    unsigned n_gone;
    struct log_limit limit;
};

/* joins.c */
extern const struct caller_ops joins_caller;
struct join *joins_find(const struct joins *js, const uint8_t stream[TICKET_ID_SIZE]);
/* A new one, in the table, without rights or connections. Returns 0 or -ENOMEM. */
int joins_add(struct joins *js, const struct ticket *t, const char *text, const uint8_t *key,
              struct join **ret_p);
/* Has such a stream ended under this hub? */
bool joins_is_gone(const struct joins *js, const uint8_t stream[TICKET_ID_SIZE]);
/* Takes it out of the table; its memory goes in a later turn. */
void joins_remove(struct join *p);

/* The user's rights of the moment, for a connection from source (NULL: not known). Returns 0, -EACCES or -ENOMEM; then p->who is as
 * it was. */
int joins_look_up(struct join *p, const char *source);

/* joins_back.c */
/* A connection of a stream that this hub does not know and that is not new. Takes the descriptor in every case. */
void joins_come_back(struct joins *js, const struct comer *c);
/* pairs_calls.found */
void *joins_found(void *arg, struct pair *pair, const struct pair_facts *f);

/* joins_life.c */
/* A verified connection of edge JOIN_A or JOIN_B. Takes fd in every case. */
void joins_leg(struct join *p, int edge, int fd, uint32_t epoch);
/* The stream is over. Its connections that wait are told the text; a pair that stands is given ms to end by itself. */
void joins_over(struct join *p, const char *text, uint64_t ms);
/* Ends it as a jump too (log and audit), and the machine's side of it. */
void joins_end(struct join *p, const char *reason, uint64_t ms);
void joins_tick(struct join *p, uint64_t now);
extern const struct pairs_calls joins_pairs_calls;

#endif
