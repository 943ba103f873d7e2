/* Shared by keepers.c (which there are), keepers_dial.c (the hub's requests) and keepers_said.c (what keepers say); nobody
 * else includes it. */
#ifndef MULTISSH_AGENT_KEEPERS_PRIVATE_H
#define MULTISSH_AGENT_KEEPERS_PRIVATE_H

#include "agent/agent.h"
#include "agent/dial.h"
#include "agent/keeper_call.h"
#include "agent/keeper_session.h"
#include "agent/keeper_untold.h"
#include "agent/keepers.h"
#include "base/log.h"
#include "stream/stream.h"

struct kept_session {
    struct kept_session *next;
    char stream[DIAL_STREAM_TEXT];
    char user[NAMES_USER_MAX + 1], source[DIAL_SOURCE_MAX + 1];
    bool fresh;    /* the keeper has not said all that it keeps, and is not believed yet */
    bool asked;    /* and not answered yet */
    bool answered; /* at least once: it is a session */
    bool hung;     /* the hub does not wait for the answer any more */
    uint64_t id, hub_id, asked_at;
    unsigned generation; /* of the control connection that asked */
};

#define KEEPERS_SESSIONS_MAX 10000 /* of one keeper: one that says more lies */

/* One keeper. */
struct kept {
    struct keepers *keepers;
    struct kept *next;
    struct keeper_place place;
    struct keeper_call *call; /* NULL: to be tried again at again_at */
    struct kept_session *sessions;
    long pid;
    bool ready;
    bool listed;   /* what it keeps is known */
    unsigned said; /* sessions, until then */
    bool drains;   /* it gets no more dials */
    uint64_t again_at, idle_since;
};

struct keepers {
    struct agent *agent;
    struct keeper_untold untold; /* ended when there was no hub to tell */
    struct kept *all, *own;      /* own: gets the dials; NULL: there is none */
    uint64_t last_id;
    keepers_done_fn *done; /* until it was called */
    void *done_arg;
    uint64_t done_by;
    bool ends;
    char end_reason[STREAM_TEXT_MAX + 1];
    uv_timer_t timer;
    struct log_limit refusals, failures; /* the hub can cause as many as it likes */
};

/* keepers.c */
/* The keeper for new sessions. Returns 0 or a negative code with err filled. */
int keepers_own(struct keepers *k, struct kept **ret_kept, struct errmsg *err);
/* Looks at what is due, in a later turn. */
void keepers_wake(struct keepers *k);

/* keepers_said.c */
extern const struct keeper_call_calls keepers_calls;
struct kept_session *keepers_find(const struct kept *kept, const char *stream);
struct kept_session *keepers_find_id(const struct kept *kept, uint64_t id);
void keepers_drop_session(struct kept *kept, struct kept_session *s);
/* It is gone: what it kept is told to the hub, and it is forgotten. */
void keepers_lost(struct kept *kept);

#endif
