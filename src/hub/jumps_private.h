/* Shared by jumps.c (from the request to the end), jumps_answers.c (what links and stream connections say)
 * and jumps_table.c (finding and counting); nobody else includes it. */
#ifndef MULTISSH_HUB_JUMPS_PRIVATE_H
#define MULTISSH_HUB_JUMPS_PRIVATE_H

#include "base/log.h"
#include "hub/caller.h"
#include "hub/hashmap.h"
#include "hub/hub.h"
#include "hub/jumps.h"
#include "hub/tally.h"
#include <uv.h>

/* Connections kept for a jump that still waits for the machine's SSH server. More than one, because a slow
 * way must not be cut for a fresh one: which one is live the proofs show, to edge a. */
#define JUMP_WAITING_MAX 3

struct jump_waiting {
    int fd;
    uint32_t epoch;
};

struct jump {
    struct jump *next, **at; /* in one of the two lists */
    struct caller *caller;
    struct link *link; /* while dialling */
    uint64_t channel, id, started, deadline, connections_second;
    int64_t started_s;
    unsigned connections;
    struct jump_waiting waiting[JUMP_WAITING_MAX]; /* in the order in which they came */
    unsigned n_waiting;
    uint64_t parked_at; /* while parked */
    bool parked, waits; /* waits: for its machine to come back */
    bool open, dialled, redialled, counted_user, counted_machine, counted_caller, epoch_seen;
    uint32_t epoch; /* the highest one of the machine's side, once epoch_seen */
    uint16_t source_port;
    uint32_t window, patience_ms; /* as both edges are told, whatever is read again between */
    char ticket[TICKET_TEXT_MAX];
    uint8_t stream[TICKET_ID_SIZE];
    uint8_t key[TICKET_KEY_SIZE]; /* while dialling */
    char machine[NAMES_MACHINE_MAX + 1], user[NAMES_USER_MAX + 1], source[64];
};

struct jumps {
    struct hub *hub;
    struct jump *dialling, *open;
    size_t n, n_parked;
    uint64_t last_id;
    struct hashmap by_id, by_stream, by_channel;
    struct tally *tally; /* per user, machine and caller */
    uv_timer_t timer;    /* while something is dialling */
    struct farewells *farewells;
    uint64_t began;
    struct log_limit limit;
};

/* jumps_table.c: a jump is in all indexes and in the list `dialling` from add to remove. */
int jumps_table_add(struct jumps *j, struct jump *p); /* 0 or -ENOMEM; then in no index */
void jumps_table_remove(struct jumps *j, struct jump *p);
void jumps_table_opened(struct jumps *j, struct jump *p); /* to the list of the open ones */
struct jump *jumps_table_id(const struct jumps *j, uint64_t id);
struct jump *jumps_table_stream(const struct jumps *j, const uint8_t stream[TICKET_ID_SIZE]);
struct jump *jumps_table_channel(const struct jumps *j, const struct caller *c, uint64_t channel);
unsigned jumps_table_of_user(const struct jumps *j, const char *user);
unsigned jumps_table_of_machine(const struct jumps *j, const char *machine);

/* How many of the machine are parked; sets whether this one is. */
unsigned jumps_table_parked(const struct jumps *j, const char *machine);
void jumps_table_park(struct jumps *j, struct jump *p, bool parked);

/* jumps_kept.c: may a jump wait for m, which is offline? */
bool jumps_may_wait(const struct jumps *j, const struct machine *m);
/* p waits from now on, up to restart-wait after it was asked for. */
void jumps_wait(struct jumps *j, struct jump *p);

/* jumps.c */
void jumps_audit(struct jumps *j, const char *kind, const struct jump *p, const char *text);
/* Ends an open jump: log, audit, memory. */
void jumps_end(struct jumps *j, struct jump *p, const char *reason, uint64_t sent, uint64_t received);
/* Ends it in every case. Returns the code of the store: a kill that is not on disk may not hold. */
int jumps_kill_one(struct jumps *j, struct jump *p, const char *why);
/* So that a killed stream is not taken up again. */
int jumps_kill_note(struct jumps *j, const uint8_t stream[TICKET_ID_SIZE], uint32_t patience_ms);
/* A new jump of c, in no table. Returns 0 or -ENOMEM. */
int jumps_make(struct jumps *j, struct caller *c, uint64_t channel, const char *machine, struct jump **ret_p);
/* Asks l. Returns 0 or a negative code. */
int jumps_dial(struct jumps *j, struct jump *p, struct link *l);
/* The other half is there. Takes fd, and what is waiting, in every case. */
void jumps_join(struct jumps *j, struct jump *p, uint32_t epoch, int fd);
void jumps_close_waiting(struct jump *p);
/* Tells the caller and the log, and ends the jump. */
void jumps_refuse(struct jumps *j, struct jump *p, const char *text);
/* The number under which a link is asked; it says of itself that it was made for this link, so that an
 * invented answer is known without remembering every question. */
uint64_t jumps_dial_id(const struct link *l, uint64_t id);

/* jumps_answers.c */
void jumps_watch(struct jumps *j); /* runs the timer while something is dialling */

#endif
