/* Shared by fronts.c (which there are, and their rights), fronts_process.c (the processes), fronts_adopt.c (those of an
 * earlier hub), front.c (the messages) and publications.c (machines published with ssh -R); nobody else includes it. */
#ifndef MULTISSH_HUB_FRONTS_PRIVATE_H
#define MULTISSH_HUB_FRONTS_PRIVATE_H

#include "base/log.h"
#include "hub/berths.h"
#include "hub/caller.h"
#include "hub/execs.h"
#include "hub/fronts.h"
#include "hub/hub.h"
#include "hub/seqpacket.h"
#include "hub/tally.h"
#include <uv.h>

#define FRONTS_PROTOCOL 1
#define FRONTS_END_MS 5000          /* how long a front may take to end by itself, and then after SIGTERM */
#define FRONTS_END_STOPPING_MS 2000 /* the same when all are to end with the hub */
#define FRONTS_ID_MAX (INT64_C(1) << 53)

struct publication;

enum front_state {
    FRONT_ASKED,   /* of an earlier hub: `adopt` was sent */
    FRONT_RESUMES, /* it tells what runs */
    FRONT_RUNS,
    FRONT_UNFIT, /* of another version: it goes on without this hub, which only keeps its process in mind */
};

struct front {
    struct caller caller;          /* first */
    struct front_process *process; /* NULL: ended, or it could not be had */
    uint64_t number;               /* by which its process is asked for */
    bool unborn;                   /* asked for, and nothing heard yet */
    struct fronts *owner;
    struct front *next;
    struct seqpacket *channel;
    struct execs execs;
    struct publication *publications;
    struct door_slot slot;
    struct who who;
    uint64_t started, end_by; /* end_by: when it is no longer asked but made to end; 0 = it need not */
    enum front_state state;
    unsigned auths, resumes, n_taken_up, n_lost;
    uint16_t port;
    bool known;      /* a user is logged in: who counts */
    bool terminated; /* SIGTERM was sent */
    bool gone;       /* the channel is closed */
    bool told_end;
    bool unpublished; /* a publication of it has ended */
    struct log_limit limit;
    char source[64];
    char berth[BERTHS_NAME_MAX + 1];
};

struct fronts {
    struct hub *hub;
    struct front *list;
    size_t n;
    struct tally *rates;
    struct berths *berths;
    struct nursery *nursery;
    struct front_process *processes;
    uint64_t last_number;
    struct taking *taking; /* NULL: the fronts of the last hub were not looked for yet */
    uv_timer_t timer;
    uint64_t looked_s; /* when the rights were last looked up again */
    bool left;         /* the hub ends, and they go on */
    struct log_limit limit;
};

/* fronts.c */
/* A front that speaks over fd (taken in every case), in no process of ours yet. Returns 0 or a negative code. */
int fronts_add(struct fronts *o, int fd, const char *source, uint16_t port, struct front **ret_f);
/* Its channel closed: everything of it ends here, the process is reaped later. */
void fronts_gone(struct front *f, const char *why);
/* The same for one that is not wanted any more: it is told to end, and made to when it does not. */
void fronts_expel(struct front *f, const char *why);
/* The same for one that goes on without this hub. */
void fronts_part(struct front *f);
void fronts_ask_to_end(struct front *f, const char *text);
/* Its user's rights of now, by the key that f->who or (before that) key names. NULL with *ret_why when there are none. */
const struct policy_user *fronts_rights(const struct front *f, const char *user, const char *key,
                                        const char **ret_why);
/* Those in which the user of this name is logged in. */
size_t fronts_of_user(const struct fronts *f, const char *name);

/* fronts_process.c */
int fronts_process_new(struct fronts *o);
void fronts_process_free(struct fronts *o);
/* Has one ready for the first connection. */
void fronts_process_ready(struct fronts *o);
/* Has a process made for f, with the user's socket, its end of the channel and its berth (-1: none), which stay the
 * caller's. Returns 0 or a negative code. */
int fronts_process_start(struct front *f, const int fds[3]);
/* Takes up the process of an earlier hub's front, when pid is one. */
void fronts_process_adopt(struct front *f, pid_t pid);
void fronts_process_let_go(struct front *f);
bool fronts_process_runs(const struct front *f);
/* To be called every second. */
void fronts_process_look(struct fronts *o);
/* What is due: ends what does not end by itself. */
void fronts_process_tick(struct front *f, uint64_t now);

/* fronts_adopt.c */
/* One message of a front that is being taken up. Returns NULL, or why it must be ended. */
const char *fronts_adopt_message(struct front *f, const char *type, const cJSON *message);
/* It is gone before it was taken up, or was told that it is not wanted: nobody waits for it any more. */
void fronts_adopt_settled(struct front *f);
void fronts_adopt_free(struct fronts *o);

/* front.c */
extern const struct seqpacket_calls front_calls;
extern const struct caller_ops front_caller;
void front_start(struct front *f);
void front_end(struct front *f, const char *text);
/* Adds the voucher of the front as it is now. */
void front_add_voucher(const struct front *f, cJSON *m);
void front_kill(struct front *f, uint64_t channel, const char *text);

/* publications.c */
/* `publish` and `unpublish`. Return NULL, or why the front must be ended. */
const char *publications_add(struct front *f, const cJSON *message);
const char *publications_remove(struct front *f, const cJSON *message);
/* `reached` and `reach-failed`. */
const char *publications_answer(struct front *f, const cJSON *message, bool reached);
void publications_gone(struct front *f, const char *why);
/* After a reload: takes back what the user may no longer publish. */
void publications_check(struct front *f);

#endif
