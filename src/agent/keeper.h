/* The keeper: the process that owns the streams of this machine, their SSH servers' side and the built-in server's
 * processes, and that outlives the agent which started it. It has no control connection and no key of the agent; what
 * it has to know comes from the agent (keeper_settings.h). PROTOCOL.md has what the two say to each other.
 *
 * keeper.c has its life, keeper_peers.c the connections to it, keeper_messages.c what comes on them. */
#ifndef MULTISSH_AGENT_KEEPER_H
#define MULTISSH_AGENT_KEEPER_H

#include "agent/keeper_link.h"
#include "agent/keeper_place.h"
#include "agent/keeper_session.h"
#include "agent/keeper_settings.h"
#include "agent/keeper_untold.h"

struct jumps;
struct keeper_peers;

struct keeper {
    uv_loop_t *loop;
    struct keeper_settings set;
    char state_dir[FS_PATH_MAX]; /* the agent's */
    struct jumps *jumps;
    struct keeper_peers *peers;
    struct keeper_link *agent; /* NULL: none is there */
    SSL_CTX *tls;              /* NULL: none was needed yet */
    char *scratch;             /* EDGE_SCRATCH bytes */
    unsigned children;         /* processes of the built-in SSH server */
    bool placed;               /* place is this process' */
    struct keeper_place place;
    uv_timer_t timer; /* when its life is to be looked at */
    uv_signal_t signals[2];
    unsigned open;               /* of the handles above */
    uint64_t orphan_at;          /* since when there is no agent */
    uint64_t end_at;             /* 0: it goes on; else when the last words have had their time */
    bool drains;                 /* no more dials come */
    struct keeper_untold untold; /* sessions that ended when there was no agent, for the next one */
    bool over;
};

/* Serves the agent that is connected with standard input, and those that come after it, until there is nothing left to
 * be done. Returns 0 or a negative errno code with err filled. */
int keeper_run(const char *state_dir, struct errmsg *err);

/* keeper.c */
/* link is the agent's from now on; list: it is told what there is. */
void keeper_agent_came(struct keeper *k, struct keeper_link *link, bool list);
void keeper_agent_left(struct keeper *k);
/* The settings are new. */
void keeper_set(struct keeper *k);
/* Something ended, or may have: looks, in a later turn, whether it goes on. */
void keeper_look(struct keeper *k);
/* Ends every session with the reason, and then the process. */
void keeper_end(struct keeper *k, const char *reason);

/* For jumps: tells the agent; what there is no agent for goes to the log. */
void keeper_say_dialled(struct keeper *k, uint64_t id);
void keeper_say_failed(struct keeper *k, uint64_t id, const char *code, const char *reason);
void keeper_say_closed(struct keeper *k, const struct keeper_session *s);
/* The machine's SSH server may have changed. */
void keeper_say_look(struct keeper *k);

/* Plain streams do not get through. */
void keeper_needs_tls(struct keeper *k);
/* For streams in TLS; NULL: it cannot be had. */
SSL_CTX *keeper_tls(struct keeper *k);

/* keeper_peers.c */
/* Takes standard input. Returns 0 or a negative errno code. */
int keeper_peers_new(struct keeper *k, struct keeper_peers **ret_p);
/* Listens at k->place. Returns 0 or a negative errno code with err filled. */
int keeper_peers_listen(struct keeper_peers *p, struct errmsg *err);
/* Is somebody there who may still become the agent? */
bool keeper_peers_expected(const struct keeper_peers *p);
void keeper_peers_close(struct keeper_peers *p);
void keeper_peers_free(struct keeper_peers *p); /* behind the loop's end; NULL-safe */

/* keeper_messages.c: acts on one from whom it is believed; agent: it may say everything. Returns NULL, or why the
 * connection is to be closed. */
const char *keeper_message(struct keeper *k, struct keeper_link *from, bool agent, const char *type,
                           const cJSON *m);
/* A `session` for each, then `listed`. */
void keeper_list(struct keeper *k, struct keeper_link *to);

#endif
