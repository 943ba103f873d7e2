/* One end (edge) of a resumable stream: an ordered, reliable, bounded byte pipe in both directions that outlives the TCP
 * connections it runs over. Sans-I/O: bytes in, bytes out, the time (ms, monotonic) as an argument; no sockets, timers or callbacks.
 *
 * Four faces: source (bytes from the local side that are to go to the peer), sink (bytes from the peer for the local side),
 * connections (up to STREAM_CONNS at once, one of which, proven and newest, is live), and time.
 *
 * Frames, after the preamble that the hub reads: u8 type | u32 BE payload length | payload. DATA payload 1..65536.
 *   1 RESUME  nonce(32) | received(u64) | window(u32)     first frame in each direction
 *   2 PROOF   HMAC(key, "multissh proof v1" 0x00 | role 'a'/'b' | epoch(u32) | own nonce | peer's nonce | own received | own window)
 *   3 DATA    4 ACK delivered(u64)    5 EOF (empty)    6 PING u64    7 PONG u64    8 RESET code(u16) | text ≤ 200 UTF-8
 * Both edges count sequence: every byte is one, EOF is one. received/ACK count what was *delivered to the sink* (RESUME: what was received in
 * order and kept, delivered or not). Nothing is freed, delivered or acted on, and no DATA is sent, before the peer's PROOF holds on that connection.
 * An unproven or stale connection that misbehaves is closed and changes nothing. A proof with an epoch not above the live connection's is refused.
 *
 * The window is the most that is kept for the peer unacknowledged, and the most the peer may send unacknowledged: min(own, peer's). Default 4 MiB, grown on demand. */
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
#define STREAM_TEXT_MAX 200

struct stream;

struct stream_config {
    char role;                    /* 'a' or 'b' */
    bool dials;                   /* this edge opens connections (b; and a client's a); the other one is given them */
    uint8_t key[TICKET_KEY_SIZE]; /* copied, wiped by stream_free */
    uint32_t window;              /* bytes; 0 = default */
    uint32_t patience_ms;         /* how long to live without a proven connection; 0 = 300,000 */
};

/* Returns 0, -EINVAL, -ENOMEM or -EIO. The stream starts without a connection and its patience runs from now. */
int stream_new(const struct stream_config *config, uint64_t now, struct stream **ret_s);
void stream_free(struct stream *s);

enum stream_state {
    STREAM_OPEN,     /* waiting for a connection, or running */
    STREAM_DONE,     /* both directions ended by EOF, delivered and acknowledged */
    STREAM_RESET_BY_PEER, STREAM_RESET_BY_US, STREAM_LOST /* patience ran out */, STREAM_FAILED /* out of memory, or a proven peer broke the protocol */
};
enum stream_state stream_state(const struct stream *s);
/* For people: why it is no longer open ("" while it is). Valid as long as s. Text from the peer is UTF-8 checked and free of control bytes. */
const char *stream_reason(const struct stream *s);

/* --- source: local bytes for the peer --- */
size_t stream_source_room(const struct stream *s); /* bytes that may be pushed now; 0 = stop reading the source */
/* Room to read into: at least 1, at most stream_source_room bytes, contiguous. Returns 0, -ENOBUFS (no room now), -EPIPE (EOF was pushed or not open) or -ENOMEM. */
int stream_source_reserve(struct stream *s, size_t want, uint8_t **ret_at, size_t *ret_n);
void stream_source_commit(struct stream *s, size_t n);
int stream_source_push(struct stream *s, const void *data, size_t n); /* copies; n ≤ room. Returns as reserve */
void stream_source_eof(struct stream *s);                             /* idempotent */

/* --- sink: the peer's bytes for the local side --- */
size_t stream_sink_peek(const struct stream *s, const uint8_t **ret_at); /* contiguous bytes ready; may be fewer than all */
void stream_sink_consumed(struct stream *s, size_t n);                   /* they were delivered: they will be acknowledged */
bool stream_sink_eof(const struct stream *s);                            /* everything was consumed and the peer sent EOF */
void stream_sink_eof_delivered(struct stream *s);                        /* the local side was told of the EOF: acknowledges it */

/* --- connections --- */
/* A new TCP connection, the preamble dealt with. epoch as in the preamble. Returns its index 0..STREAM_CONNS-1, or -EBUSY (too many unproven), -ESTALE
 * (epoch not above the live one's), -ESHUTDOWN (not open). Its RESUME frame is then to be sent: see stream_output. */
int stream_attach(struct stream *s, uint32_t epoch, uint64_t now);
/* Bytes that came on connection c. Takes them all. Returns 0, or a negative code: close that connection (it is already detached). -EPROTO and
 * -EACCES (bad proof) from an unproven connection leave the stream as it was. */
int stream_input(struct stream *s, int c, const void *data, size_t n, uint64_t now);
/* Up to max_iov pieces to be sent on c, valid until the next call on s other than queries. Returns the number of pieces, 0 when there is nothing to send.
 * stream_sent tells how many bytes were taken (may be fewer). */
struct stream_iov { const void *data; size_t n; };
size_t stream_output(struct stream *s, int c, struct stream_iov *iov, size_t max_iov, uint64_t now);
void stream_sent(struct stream *s, int c, size_t n, uint64_t now);
/* The connection is gone (closed, failed). Idempotent. */
void stream_detach(struct stream *s, int c, uint64_t now);
/* Should this connection be closed by its owner: it was superseded, has timed out unproven, or everything (incl. a RESET or the last ACK) was sent after the end? */
bool stream_wants_close(const struct stream *s, int c);
int stream_live(const struct stream *s); /* index of the proven connection in use, or -1 */
bool stream_ever_live(const struct stream *s); /* some connection was proven at some time */

/* --- for the edge that dials --- */
/* Is a (further) connection wanted now, and with which epoch? True when none is live, or the live one has not answered data or a PING for 3 s; again every 2 s. Having been told true, the caller
 * dials and attaches with that epoch (or drops it); epochs only grow. */
bool stream_wants_dial(struct stream *s, uint64_t now, uint32_t *ret_epoch);

/* --- time --- */
/* When stream_tick is to be called at the latest (ms, monotonic), UINT64_MAX for never. */
uint64_t stream_next_tick(const struct stream *s);
/* PINGs (every 2 s while active: data unacknowledged or awaited), unproven connections older than 10 s, patience. */
void stream_tick(struct stream *s, uint64_t now);

/* Ends the stream at once; RESET(code, text) is sent on the live connection. */
void stream_reset(struct stream *s, uint16_t code, const char *text);

struct stream_stats { uint64_t sent, received; uint32_t resumes; size_t held; /* bytes of memory for both windows */ };
void stream_get_stats(const struct stream *s, struct stream_stats *ret);

#endif
