/* One jump: a stream between the hub's edge and the machine's SSH server. Shared by jump.c (its life), jump_target.c (the SSH server's side), jump_target_open.c and
 * jump_builtin.c (how that comes to be) and jumps.c (all of them); nobody else includes it. */
#ifndef MULTISSH_AGENT_JUMP_H
#define MULTISSH_AGENT_JUMP_H

#include "agent/banner.h"
#include "agent/dial.h"
#include "agent/keeper.h"
#include "base/pace.h"
#include "base/printf.h"
#include "net/dialer.h"
#include "net/edge.h"
#include "stream/stream.h"

/* What is copied when a socket took less than was there: just enough to hear of it when it takes more. */
#define JUMP_STAGE 4096
/* For the SSH server to answer with its banner; for everything that comes before the answer to the hub. */
#define JUMP_TARGET_MS 10000
#define JUMP_ANSWER_MS 12000
/* The SSH server has gone: for the other side to take what is left, and go too. */
#define JUMP_LINGER_MS 30000

struct jump_child;

/* The side of the SSH server. */
struct jump_target {
    struct dialer *dialer;
    uv_stream_t *stream; /* a connection to the machine's own server, or to the built-in one */
    bool builtin;
    struct jump_child *child; /* the built-in server's process, while it runs */
    char child_end[80];       /* how it ended */
    uv_connect_t connect;
    struct banner banner;
    bool open;
    bool ready; /* its banner was seen */
    bool reading, read_ended, writing, shut;
    bool broken; /* it takes nothing any more: what comes for it is dropped */
    uint64_t broken_at;
    uv_write_t write;
    uv_shutdown_t shutdown;
    size_t stage_n, read_size;
    long unseen; /* what edge_take came to; 0: libuv reads */
    struct pace pace;
    char *stage;
};

struct jump {
    struct keeper *keeper;
    struct jump *next, **at; /* in jumps */
    uint64_t id;             /* of the agent's request; 0: no agent waits for the answer */
    bool answered, failed, hub_reached, over;
    char stream_id[2 * TICKET_ID_SIZE + 1];
    char ticket[TICKET_TEXT_MAX];
    char user[NAMES_USER_MAX + 1], source[64];
    uint16_t source_port; /* 0: not known */
    bool elsewhere;       /* streams go to `to` and not where the control connection went */
    struct addr_hostport to;
    struct edge *edge;     /* NULL: over */
    struct stream *stream; /* the edge's */
    struct jump_target target;
    uv_timer_t timer;
    uint64_t timer_at; /* 0: not armed */
    uint64_t started;
    unsigned open; /* handles not closed yet */
};

/* jump.c */
/* Begins a jump and puts it at the front of the list. Returns 0 or a negative code. */
int jump_new(struct keeper *k, struct jump **list, const struct dial *dial);
/* Moves what can be moved and looks at what is due. To be called after everything that happens; it may end
 * the jump, which stays valid until the next turn of the loop. */
void jump_turn(struct jump *j);
/* What there is to be told of it. */
void jump_describe(const struct jump *j, struct keeper_session *ret_s);
/* It cannot be had: tells the agent, unless it was answered, and ends it. */
void jump_fail(struct jump *j, const char *code, const char *fmt, ...) LIKE_PRINTF(3, 4);
/* Frees it when it is over and its handles are closed. */
void jump_unref(struct jump *j);
/* One of the two things that `dialled` stands for has come true. */
void jump_answer(struct jump *j);
/* Ends it now. Idempotent. */
void jump_end(struct jump *j);
void jump_network_changed(struct jump *j);

/* jump_target_open.c */
/* Begins to get the SSH server that users of this machine reach. */
void jump_target_open(struct jump *j);
/* As part of a sentence: "SSH server at 127.0.0.1:22 of the machine". */
void jump_target_name(const struct jump *j, char *out, size_t size);

/* jump_builtin.c */
/* Gets the built-in one; why: what the machine's own one came to, for the user who gets neither, or NULL. */
void jump_builtin_open(struct jump *j, const char *why);
/* The jump is over: its process ends by itself, and is nobody's. */
void jump_builtin_leave(struct jump *j);

/* jump_target.c */
/* It is open (its first bytes may still be on the way to it): waits for the banner. */
void jump_target_opened(struct jump *j);
void jump_target_pump(struct jump *j);
void jump_target_close(struct jump *j);
/* What answers is no SSH server: gives the jump up with what it said. */
void jump_target_not_ssh(struct jump *j);
/* It closed the connection without a word. */
void jump_target_mute(struct jump *j);
uint64_t jump_target_due(const struct jump *j);

#endif
