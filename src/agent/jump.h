/* One jump: a stream between the hub's edge and the machine's SSH server. Shared by jump.c (its life),
 * jump_conn.c (the connections to the hub), jump_target.c (the SSH server's side), jump_target_open.c and
 * jump_builtin.c (how that comes to be) and jumps.c (all of them); nobody else includes it. */
#ifndef MULTISSH_AGENT_JUMP_H
#define MULTISSH_AGENT_JUMP_H

#include "agent/agent.h"
#include "agent/banner.h"
#include "base/printf.h"
#include "net/dialer.h"
#include "stream/stream.h"

/* What is copied when a socket took less than was there. */
#define JUMP_STAGE 16384
/* For the SSH server to answer with its banner; for everything that comes before the answer to the hub. */
#define JUMP_TARGET_MS 10000
#define JUMP_ANSWER_MS 12000
/* A connection on which nothing has come after this may be one that does not get through. */
#define JUMP_RESUME_MS 3000
/* For a connection's TLS handshake. */
#define JUMP_HANDSHAKE_MS 10000
/* For a connection's last words, when the stream is over. */
#define JUMP_FLUSH_MS 2000
/* The SSH server has gone: for the other side to take what is left, and go too. */
#define JUMP_LINGER_MS 30000

struct tls_pipe;

/* A connection of the stream. On the heap; after its close it is nobody's and frees itself. */
struct jump_conn {
    struct jump *jump; /* NULL: closed */
    uint32_t epoch;
    int index; /* in the stream; -1: not attached yet */
    bool tls, proven, suspect, writing, shut;
    bool heard;            /* something fit has come */
    uint64_t opened_at;    /* or when the TLS handshake began */
    uint64_t close_at;     /* not 0: the stream is over; the last words are on their way, until then */
    struct dialer *dialer; /* while it is being opened */
    uv_tcp_t *tcp;         /* plain */
    struct tls_pipe *pipe; /* in TLS */
    uv_write_t write;
    uv_shutdown_t shutdown;
    size_t stage_n;
    char *stage; /* JUMP_STAGE bytes */
};

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
    size_t stage_n;
    char *stage;
};

struct jump {
    struct agent *agent;
    struct jump *next, **at; /* in jumps */
    uint64_t id;
    unsigned generation; /* of the control connection that asked */
    bool answered, hub_reached, over;
    char stream_id[2 * TICKET_ID_SIZE + 1];
    char ticket[TICKET_TEXT_MAX];
    uint8_t key[TICKET_KEY_SIZE];
    char user[NAMES_USER_MAX + 1], source[64];
    uint16_t source_port; /* 0: not known */
    bool elsewhere;       /* streams go to `to` and not where the control connection went */
    struct addr_hostport to;
    struct stream *stream;
    struct jump_conn *conns[STREAM_CONNS];
    struct jump_target target;
    bool next_tls, plain_failed, plain_worked;
    uv_timer_t timer;
    uint64_t timer_at; /* 0: not armed */
    uint64_t started, answered_at;
    unsigned open; /* handles not closed yet */
};

struct jump_request {
    uint64_t id;
    char stream_id[2 * TICKET_ID_SIZE + 1];
    const char *ticket, *user, *source;
    uint16_t source_port;
    uint8_t key[TICKET_KEY_SIZE];
    const struct addr_hostport *to; /* NULL: where the control connection went */
    uint32_t window, patience_ms;
};

/* jump.c */
/* Begins a jump and puts it at the front of the list. Returns 0 or a negative code. */
int jump_new(struct agent *a, struct jump **list, const struct jump_request *request);
/* Moves what can be moved and looks at what is due. To be called after everything that happens; it may end
 * the jump, which stays valid until the next turn of the loop. */
void jump_turn(struct jump *j);
/* It cannot be had: tells the hub, unless it was answered, and ends it. */
void jump_fail(struct jump *j, const char *code, const char *fmt, ...) LIKE_PRINTF(3, 4);
/* Frees it when it is over and its handles are closed. */
void jump_unref(struct jump *j);
/* One of the two things that `dialled` stands for has come true. */
void jump_answer(struct jump *j);
/* Ends it now. Idempotent. */
void jump_end(struct jump *j);

/* jump_conn_open.c */
/* Opens one more; when it fails the stream will want another. */
void jump_conn_open(struct jump *j, uint32_t epoch, uint64_t now);

/* jump_conn.c */
/* The other side, or the network, ended it. */
void jump_conn_lost(struct jump_conn *c, const char *words);
/* It came to nothing. Where the way is to be found out, the next one goes the other way. */
void jump_conn_note_failure(struct jump_conn *c);
/* Fills the stage, behind what is there, with output of the stream and has it written when the socket takes
 * it. Returns 0 or a negative code. */
int jump_conn_stage(struct jump_conn *c, uint64_t now);
/* Bytes came. */
void jump_conn_take(struct jump_conn *c, const void *data, size_t n);
/* Begins to read a plain one. Returns 0 or a negative code. */
int jump_conn_read(struct jump_conn *c);
/* Only for one that never had a socket. */
void jump_conn_free(struct jump_conn *c);
/* Sends what is to be sent; closes it when the stream wants that. */
void jump_conn_pump(struct jump_conn *c, uint64_t now);
void jump_conn_close(struct jump_conn *c, uint64_t now);
/* When it is to be looked at; UINT64_MAX: never. */
uint64_t jump_conn_due(const struct jump_conn *c);

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
