/* One end (edge) of a resumable stream: an ordered, reliable, bounded byte pipe in both directions that
 * outlives the TCP connections it runs over. Sans-I/O: bytes in, bytes out, the time (ms, monotonic) as an
 * argument; no sockets, timers or callbacks. Nothing is logged: stream_reason and the returned codes tell the
 * owner.
 *
 * Four faces: source (bytes from the local side that are to go to the peer), sink (bytes from the peer for
 * the local side), connections (up to STREAM_CONNS at once, one of which, proven and newest, is live), and
 * time.
 *
 * FRAMES, after the preamble that the hub reads: u8 type | u32 payload length | payload; all numbers big-endian.
 *
 *   1 RESUME  nonce(32) | epoch(u32) | received(u64) | window(u32); the first frame in each direction
 *   2 PROOF   HMAC-SHA-256(key, "multissh proof v1" 0x00 | role 'a' or 'b' | payload of the own RESUME | payload of the peer's)
 *   3 DATA    sequence(u64) of its first byte | 1 to 262,144 bytes (more than 65,536 only where round trips are short)
 *   4 ACK     delivered(u64)
 *   5 EOF     sequence(u64) of the EOF itself
 *   6 PING    u64, to be echoed
 *   7 PONG    the last PING's u64
 *   8 RESET   code(u16) | text of at most 200 bytes, UTF-8: the stream is over
 *   9 DONE    (empty) the sender has delivered everything and knows that its peer did: see FINISHING
 *
 * A frame of a known type with a length not given here, a second RESUME or PROOF, and a frame of an unknown type with
 * more than 4,096 bytes of payload break the protocol; smaller frames of unknown types are skipped on a proven
 * connection (room for later versions) and break an unproven one.
 *
 * HANDSHAKE. Each edge sends RESUME at once, its PROOF when it has the peer's RESUME, and anything else only
 * when the peer's PROOF holds. The role in the MAC makes a reflected proof worthless, the two nonces a
 * replayed one; both RESUMEs are covered whole, so nobody between the edges changes an epoch, a position or a
 * window. Before the peer's PROOF holds on a connection, nothing that came on it has any effect, but for the
 * few hundred bytes that the connection itself takes.
 *
 * WHICH CONNECTION IS LIVE. A connection's epoch is the larger of the two that its RESUMEs announce (they
 * differ only when both edges dial; they may not be more than STREAM_EPOCH_LEAP apart). The connection whose
 * proof held last, with an epoch above that of every connection proven before, is live: the older one is
 * closed, what still comes on it is not looked at.
 *
 * SEQUENCE. Every byte is one, and the EOF behind the last byte is one. `received` is how far the announcing
 * edge had everything in order when it sent its RESUME; `delivered` is how far it has handed it to its sink.
 * On a new live connection an edge sends from max(the peer's received, the peer's last ACK) on; the receiver
 * drops what it has already. (stream_input.c proves that this loses and doubles nothing.)
 *
 * WINDOW. An edge keeps at most its window for the peer unacknowledged, and sends at most the peer's window
 * beyond the last ACK: so min(own, peer's) is in flight. EOF takes no room.
 *
 * FINISHING. An edge is complete when its EOF is acknowledged and it has delivered the peer's; it then sends
 * DONE. It is STREAM_DONE when it is complete and the peer's DONE has come, or STREAM_LINGER_MS after it
 * became complete. Until then it is STREAM_OPEN, keeps its connections and dials anew like any other: the
 * last ACK may have been lost with its connection, and the peer that resumes is told again. */
#ifndef MULTISSH_STREAM_STREAM_H
#define MULTISSH_STREAM_STREAM_H

#include "stream/ticket.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_CONNS 4
#define STREAM_WINDOW_DEFAULT (4u << 20)
#define STREAM_WINDOW_MIN 4096u
#define STREAM_WINDOW_MAX (64u << 20)
#define STREAM_TEXT_MAX 200          /* bytes of a RESET's text */
#define STREAM_EPOCH_LEAP (1u << 20) /* so that no stranger on the way makes the edges run out of epochs */
#define STREAM_LINGER_MS 10000
#define STREAM_NEAR_MS 10 /* round trips of a peer that is near */

/* RESET codes. The stream itself sends the first two; the others are for its owners. */
enum stream_code {
    STREAM_CODE_PROTOCOL = 1, /* the peer broke the protocol */
    STREAM_CODE_MEMORY = 2,   /* out of memory */
    STREAM_CODE_LOCAL = 3,    /* the local side (the SSH server, the user's channel) failed or went away */
    STREAM_CODE_KILLED = 4,   /* somebody with the right to do so ended the stream */
};

struct stream;

struct stream_config {
    char role;  /* 'a' or 'b' */
    bool dials; /* this edge opens connections (b; and a client's a); the other one is given them */
    uint8_t key[TICKET_KEY_SIZE]; /* copied, wiped by stream_free */
    uint32_t window;              /* bytes; 0 = default */
    uint32_t patience_ms;         /* how long to live without a proven connection; 0 = 300,000 */
};

/* Returns 0, -EINVAL, -ENOMEM or -EIO. The stream starts without a connection and its patience runs from now.
 */
int stream_new(const struct stream_config *config, uint64_t now, struct stream **ret_s);
void stream_free(struct stream *s);

enum stream_state {
    STREAM_OPEN, /* waiting for a connection, or running */
    STREAM_DONE, /* both directions ended by EOF, delivered and acknowledged */
    STREAM_RESET_BY_PEER,
    STREAM_RESET_BY_US,
    STREAM_LOST /* patience ran out */,
    STREAM_FAILED /* out of memory, or a proven peer broke the protocol */
};
/* Once it is not STREAM_OPEN it never is again. The owner then sends what stream_output still has for the
 * live connection (a RESET or a DONE), closes each connection when stream_wants_close says so (in such a way
 * that unread input does not destroy what is on its way: shutdown, read to the end, close), and frees the
 * stream. What the sink has not taken may still be taken. */
enum stream_state stream_state(const struct stream *s);
/* For people: why it is no longer open ("" while it is, never "" after). Valid as long as s. Text from the
 * peer is valid UTF-8 and free of control characters. */
const char *stream_reason(const struct stream *s);

/* --- source: local bytes for the peer --- */
size_t
stream_source_room(const struct stream *s); /* bytes that may be pushed now; 0 = stop reading the source */
/* Room to read into: at least 1, at most stream_source_room bytes, contiguous. Returns 0, -ENOBUFS (no room
 * now), -EPIPE (EOF was pushed or not open) or -ENOMEM. */
int stream_source_reserve(struct stream *s, size_t want, uint8_t **ret_at, size_t *ret_n);
void stream_source_commit(struct stream *s, size_t n);
/* For an owner that keeps bytes of the source elsewhere: after stream_source_reserve it may commit up to min(want, room)
 * bytes, contiguous or not, that it has not written. Their places in memory are as they were: before anybody looks at what
 * stream_output points at there, it fills them in. */
uint64_t
stream_source_first(const struct stream *s);        /* the sequence of the first byte that is still wanted */
uint64_t stream_source_end(const struct stream *s); /* the sequence behind the last byte */
/* Where the bytes from sequence on (first ≤ sequence < end) belong: returns how many places are contiguous. */
size_t stream_source_place(struct stream *s, uint64_t sequence, uint8_t **ret_at);
bool stream_source_sent(const struct stream *s); /* all of it, on the connection that is live */
int stream_source_push(struct stream *s, const void *data,
                       size_t n);         /* copies; n ≤ room. Returns as reserve */
void stream_source_eof(struct stream *s); /* idempotent */

/* --- sink: the peer's bytes for the local side --- */
size_t stream_sink_peek(const struct stream *s,
                        const uint8_t **ret_at);       /* contiguous bytes ready; may be fewer than all */
void stream_sink_consumed(struct stream *s, size_t n); /* they were delivered: they will be acknowledged */
uint64_t stream_sink_end(const struct stream *s);      /* the sequence behind the last byte that came */
/* Where the bytes from sequence on, which came and were not consumed, belong: returns how many places are contiguous. */
size_t stream_sink_place(struct stream *s, uint64_t sequence, uint8_t **ret_at);
bool stream_sink_eof(const struct stream *s);     /* everything was consumed and the peer sent EOF */
void stream_sink_eof_delivered(struct stream *s); /* the local side was told of the EOF: acknowledges it */

/* --- connections --- */
/* A new connection, the preamble dealt with. epoch as in the preamble. Returns its index 0..STREAM_CONNS-1,
 * -EBUSY (no slot is free; the oldest unproven one is then told to close, when it is 2 s old), -ESTALE (epoch
 * not above that of every connection proven before), -ESHUTDOWN (not open) or -EIO (no random bytes). Its
 * RESUME is then to be sent: see stream_output. The index is the owner's until stream_detach, or until
 * stream_input returns a negative code. */
int stream_attach(struct stream *s, uint32_t epoch, uint64_t now);
/* Bytes that came on connection c, in any pieces. Takes them all. Returns 0, or a negative code: close that
 * connection (it is already detached). -EPROTO (not a handshake), -EACCES (bad proof), -ESTALE (a proof for
 * an epoch that is past), -EIO come from an unproven connection only, and leave the stream as it was. When a
 * proven peer breaks the protocol, or memory runs out, the return is 0 and the state STREAM_FAILED: its RESET
 * is then to be sent. -EINVAL: there is no connection c. */
int stream_input(struct stream *s, int c, const void *data, size_t n, uint64_t now);
/* For an owner that keeps bytes of the sink elsewhere. How many of those that come next on connection c, the live one, are
 * bytes for the sink that it does not have yet; 0: read them, and call stream_input. */
size_t stream_input_due(struct stream *s, int c);
/* So many of them (n ≤ stream_input_due) came, and are with the owner. Their places in the sink are as they were: before anybody looks at what
 * stream_sink_peek points at there, it fills them in. */
void stream_input_passed(struct stream *s, int c, size_t n, uint64_t now);
/* Up to max_iov pieces to be sent on c in this order, valid until the next call on s other than queries.
 * Returns the number of pieces, 0 when there is nothing to send. The next call is stream_sent with the number
 * of bytes taken, which may be fewer, also 0. Ask again until 0 comes back or the connection takes no more.
 * To be called for every connection after any call that changes the stream, and after stream_tick. */
struct stream_iov {
    const void *data;
    size_t n;
    uint64_t sequence; /* of the first byte of the source in it; STREAM_NO_SEQUENCE: it has none */
};
#define STREAM_NO_SEQUENCE UINT64_MAX
size_t stream_output(struct stream *s, int c, struct stream_iov *iov, size_t max_iov, uint64_t now);
void stream_sent(struct stream *s, int c, size_t n, uint64_t now);
/* The connection is gone (closed, failed). Idempotent. */
void stream_detach(struct stream *s, int c, uint64_t now);
/* Should this connection be closed by its owner: it was superseded, has timed out unproven, or everything
 * (incl. a RESET or the last ACK) was sent after the end? */
bool stream_wants_close(const struct stream *s, int c);
int stream_live(const struct stream *s);       /* index of the proven connection in use, or -1 */
bool stream_ever_live(const struct stream *s); /* some connection was proven at some time */
/* Since when there is no live connection, or the live one has not answered for longer than it may; UINT64_MAX: all
 * is well. In the beginning: since stream_new. */
uint64_t stream_silent_since(const struct stream *s, uint64_t now);
uint64_t
stream_round_trip(const struct stream *s); /* of the slowest lately, in ms; 0: less than one, or not known */

/* --- for the edge that dials --- */
/* Is a (further) connection wanted now, and with which epoch? True when none is live (at once), or when the
 * live one has not answered data or a PING for 3 s (longer when its round trips were, up to 15 s); again
 * every 2 s (edge a: 1.7 s), but not while a handshake makes progress. Having been told true, the caller dials and attaches
 * with that epoch, or drops it; epochs only grow. To be called after stream_tick and stream_detach:
 * stream_next_tick counts on it. */
bool stream_wants_dial(struct stream *s, uint64_t now, uint32_t *ret_epoch);
/* Is a connection that has just been opened still of use? Not when the live one has answered meanwhile, or another one's
 * handshake makes progress: then it is to be closed in place of attached. */
bool stream_needs_conn(struct stream *s, uint64_t now);
/* The network has changed. The live connection is sent a PING, and a further one is wanted when it has not answered
 * within a second (longer when its round trips were); the 2 s between dials become half a second once. */
void stream_probe(struct stream *s, uint64_t now);

/* --- time --- */
/* When stream_tick is to be called at the latest (ms, monotonic), UINT64_MAX for never. */
uint64_t stream_next_tick(const struct stream *s);
/* Delayed ACKs (200 ms), PINGs (after 2 s without an answer while data is unacknowledged or was on its way
 * lately, less and less often when the stream is idle, at least every 30 s), unproven connections older than
 * 10 s, patience, lingering, memory of empty buffers. */
void stream_tick(struct stream *s, uint64_t now);

/* Ends the stream at once; RESET(code, text) is sent on the live connection, if there is one. Text is cut and
 * cleaned as needed; NULL is "". Nothing happens when the stream is not open. */
void stream_reset(struct stream *s, uint16_t code, const char *text);

struct stream_stats {
    uint64_t sent;     /* bytes that went out at least once */
    uint64_t received; /* bytes that came in order */
    uint32_t resumes;  /* how often a connection took over from an earlier one */
    size_t held;       /* bytes of memory for both windows */
};
void stream_get_stats(const struct stream *s, struct stream_stats *ret);

#endif
