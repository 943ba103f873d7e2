/* The inside of an edge, for edge*.c alone.
 *
 * edge.c       its life, and the turn: who is called when
 * edge_open.c  how a connection comes to be: the way, TLS, the preamble
 * edge_conn.c  a connection's bytes and its end
 * edge_stash.c    bytes of the source that stay in the kernel
 * edge_through.c  bytes of the sink that go through it */
#ifndef MULTISSH_NET_EDGE_PRIVATE_H
#define MULTISSH_NET_EDGE_PRIVATE_H

#include "base/errmsg.h"
#include "base/pace.h"
#include "net/dialer.h"
#include "net/edge.h"
#include "stream/preamble.h"

/* What is copied when a socket took less than was there: just enough to hear of it when it takes more. */
#define EDGE_STAGE 4096
/* A connection on which nothing has come after this may be one that does not get through. */
#define EDGE_SILENT_MS 3000
/* So many plain connections in a row that came to nothing make one in TLS be tried. */
#define EDGE_FAILURES 2
/* For a connection's TLS handshake. */
#define EDGE_HANDSHAKE_MS 10000
/* For a connection's last words, when the stream is over. */
#define EDGE_FLUSH_MS 2000

struct stash;
struct tls_pipe;

/* A way that a connection took. */
struct edge_path {
    struct addr_hostport to;
    struct proxy proxy;
    struct sockaddr_storage at; /* of the first hop; family 0: there is none */
};

/* A connection. On the heap; after its close it is nobody's and frees itself. */
struct edge_conn {
    struct edge *edge; /* NULL: closed */
    uint32_t epoch;
    int index; /* in the stream; -1: not attached yet */
    bool tls, proven, suspect, writing, shut;
    bool ended;            /* the end, or an error, is to be read */
    bool heard;            /* something of the other edge has come */
    struct pace pace;      /* plain */
    uint64_t opened_at;    /* or when the TLS handshake began */
    uint64_t close_at;     /* not 0: the stream is over; the last words are on their way, until then */
    struct dialer *dialer; /* while it is being opened */
    struct edge_path path;
    struct session_trust trust;
    uv_tcp_t *tcp;         /* plain */
    struct tls_pipe *pipe; /* in TLS */
    uv_write_t write;
    uv_shutdown_t shutdown;
    size_t stage_n, line_n;
    char *stage; /* EDGE_STAGE bytes, while it is needed */
    char *line;  /* PREAMBLE_MAX bytes: what may become a refusal */
};

struct edge {
    uv_loop_t *loop;
    uv_timer_t timer;
    uint64_t timer_at; /* 0: not armed */
    const struct edge_calls *calls;
    void *arg;
    struct stream *stream;
    struct edge_conn *conns[STREAM_CONNS];
    char role, ticket[TICKET_TEXT_MAX], label[EDGE_LABEL_MAX];
    uint8_t key[TICKET_KEY_SIZE];
    SSL_CTX *tls;
    char *scratch;
    unsigned tries;          /* since a connection was proven */
    struct edge_path proven; /* of the last one that was */
    bool is_auto;            /* the way said so, the last time */
    bool tls_first, next_tls, plain_failed, plain_worked;
    unsigned plain_failures;        /* in a row */
    bool opened, failed, needs_tls; /* the owner is to be told */
    bool told_opened, told_needs_tls;
    struct stash *stash;   /* NULL: all of the source is in memory */
    bool no_stash;         /* it has turned out not to be worth while */
    bool no_through;       /* there are no pipes to be had */
    bool bulk;             /* edge_follow */
    struct stash *through; /* bytes of the sink, within a turn */
    bool passes;           /* edge_pass */
    bool again;            /* the owner is to be called in a turn of its own */
    bool running, over, freed;
    bool expected; /* edge_expect */
    uint64_t expected_at;
    enum stream_state told; /* the state at the last `turn` */
    struct errmsg words;    /* what happened to the last connection that failed */
};

/* edge.c */
/* Something happened: to be called from the loop's callbacks alone, for it calls the owner. e may be freed by then. */
void edge_turn(struct edge *e);

/* edge_open.c */
/* Opens one more; when it fails the stream will want another. */
void edge_conn_open(struct edge *e, uint32_t epoch, uint64_t now);
/* A preamble of the connection, signed. Returns 0 or a negative code. */
int edge_conn_preamble(const struct edge_conn *c, struct preamble *ret_p);

/* edge_stash.c */
/* Sends pieces of the stream's output on c, which is plain and has the socket fd. Returns how many bytes it took, -EAGAIN or another
 * negative code. */
long edge_stash_send(struct edge_conn *c, int fd, const struct stream_iov *iov, size_t n);
/* Copies up to size bytes of them out, which count as sent from then on. Returns how many. */
size_t edge_stash_copy(struct edge_conn *c, const struct stream_iov *iov, size_t n, char *out, size_t size);
/* Reads all that is in s into its places in the stream's memory. Returns false when that cannot be done: the stream is reset. */
bool edge_stash_fill(struct edge *e, struct stash *s,
                     size_t (*place)(struct stream *stream, uint64_t sequence, uint8_t **ret_at));
/* Has all of the source in memory. Resets the stream when that cannot be done. */
void edge_stash_recall(struct edge *e);
/* Forgets what has arrived; cheap. */
void edge_stash_look(struct edge *e);

/* edge_through.c */
/* Whether what comes on c next is to go through. */
bool edge_through_wanted(struct edge_conn *c);
/* Reads from c, whose socket is fd: payload into the pipe, all else into the stream. Returns how many bytes. The owner's turn follows. */
size_t edge_through_read(struct edge_conn *c, int fd, uint64_t now);
/* What the owner has not taken of it is read into memory. */
void edge_through_rest(struct edge *e);

/* edge_conn.c */
/* Closes it because it failed; the owner is told in the next turn. */
void edge_conn_fail(struct edge_conn *c, const char *words, uint64_t now);
/* Fills the stage, behind what is there, with output of the stream and has it written when the socket takes it. Returns
 * 0 or a negative code. */
int edge_conn_stage(struct edge_conn *c, uint64_t now);
/* Bytes came. */
void edge_conn_take(struct edge_conn *c, const void *data, size_t n);
/* Begins to read a plain one. Returns 0 or a negative code. */
int edge_conn_read(struct edge_conn *c);
/* Sends what is to be sent; closes it when the stream wants that. */
void edge_conn_pump(struct edge_conn *c, uint64_t now);
void edge_conn_close(struct edge_conn *c, uint64_t now);
/* Only for one that never had a socket. */
void edge_conn_free(struct edge_conn *c);
/* When it is to be looked at; UINT64_MAX: never. */
uint64_t edge_conn_due(const struct edge_conn *c);

#endif
