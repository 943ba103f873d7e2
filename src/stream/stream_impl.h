/* The inside of a stream, for stream*.c alone: its state, and the calls between those files.
 *
 * stream.c         life cycle, source, sink, queries
 * stream_conn.c    connections: slots, handshake, which one is live
 * stream_input.c   frames of the live connection
 * stream_output.c  what is to be sent on a connection
 * stream_time.c    timers, dialling */
#ifndef MULTISSH_STREAM_IMPL_H
#define MULTISSH_STREAM_IMPL_H

#include "base/printf.h"
#include "stream/frame.h"
#include "stream/ring.h"
#include "stream/stream.h"

#define STREAM_NEVER UINT64_MAX

#define STREAM_PLAN 8        /* DATA frames offered by one stream_output */
#define STREAM_CTL_SIZE 384u /* bytes of frames that are not DATA, waiting to be sent on one connection */
/* What stream_output adds to them at most: ACK, PONG, PING, DONE, RESET. */
#define STREAM_CTL_ROUND (3u * (FRAME_HEAD + FRAME_U64_SIZE) + FRAME_HEAD + FRAME_HEAD + FRAME_SMALL_MAX)

#define STREAM_ACK_DELAY_MS 200
#define STREAM_ACK_QUANTUM_MAX (512u << 10)
#define STREAM_UNPROVEN_MS 10000
#define STREAM_EVICT_MS 2000
#define STREAM_PING_MIN_MS 2000
#define STREAM_PING_MAX_MS 30000
#define STREAM_ANSWER_MIN_MS 3000
#define STREAM_ANSWER_MAX_MS 15000
#define STREAM_TRIP_MAX_MS (STREAM_ANSWER_MAX_MS / 3)
#define STREAM_DIAL_EVERY_MS 2000
#define STREAM_DIAL_EVERY_A_MS 1700
#define STREAM_PROBE_MS 1000     /* for an answer after a change of the network */
#define STREAM_PROBE_DIAL_MS 500 /* changes of the network make nobody dial more often */
#define STREAM_TRIM_MS 2000
#define STREAM_FLUSH_MS 5000 /* how long the last frames may take after the end */
#define STREAM_PATIENCE_DEFAULT_MS 300000

enum conn_phase {
    CONN_FREE,
    CONN_HELLO,   /* our RESUME is on its way; the peer's has not come */
    CONN_PROVING, /* the peer's RESUME has come, our PROOF is on its way */
    CONN_LIVE,
    CONN_CLOSING, /* of no more use: waits for its owner to detach it */
};

/* A DATA or EOF frame on its way out. */
struct plan_frame {
    uint8_t head[FRAME_DATA_HEAD];
    uint8_t head_off; /* bytes of the head that were sent; > 0: the frame must be finished as announced */
    bool eof;
    uint32_t left;     /* payload still to be sent */
    uint64_t sequence; /* of the next payload byte; of the EOF */
};

struct conn {
    enum conn_phase phase;
    uint32_t own_epoch;
    uint64_t attached_at, resume_at; /* resume_at: when the peer's RESUME came */
    uint8_t own_resume[FRAME_RESUME_SIZE], peer_resume[FRAME_RESUME_SIZE];
    struct frame_decoder decoder;
    uint8_t ctl[STREAM_CTL_SIZE];
    size_t ctl_off, ctl_len;
    /* live only */
    uint64_t out_pos; /* sequence behind the last that was sent, or that the peer said it has */
    uint64_t in_min;  /* the lowest sequence the next DATA or EOF may carry */
    uint64_t in_pos;  /* sequence of the next byte of the DATA frame that is coming in */
    struct plan_frame plan[STREAM_PLAN];
    size_t plan_n;
};

struct stream {
    char role;
    bool dials;
    uint8_t key[TICKET_KEY_SIZE];
    uint32_t window, patience_ms;
    enum stream_state state;
    char reason[STREAM_TEXT_MAX + 56];
    uint64_t now, born, end_at;

    struct conn conns[STREAM_CONNS];
    int live;
    int64_t epoch_floor; /* the highest epoch proven; -1 before */
    uint64_t next_epoch; /* above UINT32_MAX: there is none left */
    uint32_t proofs;
    uint64_t dialed_at, dial_next; /* dial_next: not before then */

    /* to the peer; every sequence below acked is delivered there */
    struct ring source;
    uint64_t source_base; /* sequence of the ring's first byte, ≤ acked */
    uint64_t acked, sent_max;
    uint32_t peer_window;
    bool source_eof;

    /* from the peer: [delivered, received) is in the ring, an EOF not counted */
    struct ring sink;
    uint64_t delivered, received;
    uint64_t eof_sequence; /* valid when peer_eof */
    bool peer_eof;

    /* what the live connection is to be told */
    uint64_t ack_sent, ack_at; /* ack_at: when a delayed ACK is due */
    uint64_t ping_value, pong_value;
    bool ack_due, ping_due, pong_due, done_due, reset_due;
    uint16_t reset_code;
    char reset_text[STREAM_TEXT_MAX + 1];

    /* is the peer there? */
    uint64_t heard_at;    /* the last answer on the live connection */
    uint64_t await_since; /* since when something is unanswered */
    uint64_t probe_at;    /* after a change of the network: until when the live connection is to answer */
    uint64_t ping_at;     /* the last PING */
    uint64_t round_trip;  /* ms, decaying maximum; 0: not known */
    uint64_t activity_at; /* the last byte of data, either way */
    uint64_t lost_at;     /* since when there is no live connection */
    uint64_t linger_at;   /* when a complete stream stops waiting for the peer's DONE */
};

/* --- stream.c --- */
void stream_clock(struct stream *s, uint64_t now);
bool stream_complete(const struct stream *s);
/* To be called when an ACK came or an EOF was delivered: does what is to be done when the stream has become
 * complete. */
void stream_check_complete(struct stream *s);
/* Leaves STREAM_OPEN. Connections that have nothing left to say become CONN_CLOSING. */
void stream_end(struct stream *s, enum stream_state state, const char *fmt, ...) LIKE_PRINTF(3, 4);
/* STREAM_FAILED, and tells the peer. */
void stream_fail(struct stream *s, enum stream_code code, const char *why);
/* Frees what is acknowledged, but for what a frame that is half sent still needs. */
void stream_release_acked(struct stream *s);

/* --- stream_conn.c --- */
void stream_conn_close(struct stream *s, int c); /* → CONN_CLOSING */
void stream_conn_make_room(struct stream *s);
/* One event of a connection that is not proven. Returns 0 or the code for stream_input. */
int stream_conn_handshake(struct stream *s, int c, const struct frame_in *in);

/* --- stream_output.c --- */
/* Is there nothing left to be sent on the live connection after the end? */
bool stream_flushed(const struct stream *s);

/* --- stream_time.c --- */
void stream_arm(struct stream *s);      /* something was sent that wants an answer */
void stream_answered(struct stream *s); /* an answer came on the live connection */
uint64_t stream_answer_ms(const struct stream *s);

#endif
