/* Shared by fronts.c (the processes), front.c (the messages) and publications.c (machines published with ssh
 * -R); nobody else includes it. */
#ifndef MULTISSH_HUB_FRONTS_PRIVATE_H
#define MULTISSH_HUB_FRONTS_PRIVATE_H

#include "base/log.h"
#include "hub/caller.h"
#include "hub/execs.h"
#include "hub/fronts.h"
#include "hub/hub.h"
#include "hub/seqpacket.h"
#include "hub/tally.h"
#include <uv.h>

struct publication;

struct front {
    struct caller caller;  /* first */
    uv_process_t *process; /* NULL: reaped, or it is somebody else's child */
    struct fronts *owner;
    struct front *next;
    struct seqpacket *channel;
    struct execs execs;
    struct publication *publications;
    struct door_slot slot;
    struct who who;
    uint64_t started, end_by; /* end_by: when it is no longer asked but made to end; 0 = it need not */
    unsigned auths;
    uint16_t port;
    bool known;      /* a user is logged in: who counts */
    bool terminated; /* SIGTERM was sent */
    bool gone;       /* the channel is closed */
    bool told_end;
    struct log_limit limit;
    char source[64];
};

struct fronts {
    struct hub *hub;
    struct front *list;
    size_t n;
    struct tally *rates;
    uv_timer_t timer;
    uint64_t looked_s; /* when the rights were last looked up again */
    struct log_limit limit;
};

/* fronts.c: a front that breaks the rules, or whose channel closed: everything of it ends here, the process
 * is reaped later. */
void fronts_gone(struct front *f, const char *why);

/* Those in which the user of this name is logged in. */
size_t fronts_of_user(const struct fronts *f, const char *name);

/* front.c */
extern const struct seqpacket_calls front_calls;
extern const struct caller_ops front_caller;
void front_start(struct front *f);
void front_end(struct front *f, const char *text);

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
