/* What comes on a connection. Frames of the live one act on the stream; those of the others only on
 * themselves.
 *
 * WHY NOTHING IS LOST OR DOUBLED. Let the sender S and the receiver R be the two edges, seen in one
 * direction. R keeps `received`, which only grows: [0, received) was put into its ring in order, each
 * sequence once. R keeps `delivered` ≤ received, which only grows. S keeps `acked`, the largest ACK seen, so
 * acked ≤ delivered. S keeps every byte of [acked, end), and a frame that is half sent is kept until it is
 * sent whole. On connection c, R announced received_c in its RESUME; received_c ≤ received, now and later.
 * What S sends on c begins at max(received_c, acked as it was then) and goes up; it skips what has been
 * acknowledged meanwhile and nothing else. No gap: claim, every DATA or EOF that R takes from c has sequence
 * ≤ received. The first: both received_c and acked are ≤ received. The next one begins where the last one
 * ended, which R has made ≤ received by taking it, or at an acked, which is ≤ received. TCP keeps the order
 * in c. So R appends exactly at received, and drops what lies below it. No loss: R drops only sequences below
 * received, which it has. S frees only what is acked, which R has delivered. Nothing is missing that S could
 * not send: max(received_c, acked) ≥ acked, and S has everything from acked on. What was under way on an
 * older connection does not matter: if R took it, c brings it again and R drops it; if R did not take it (R
 * ignores older connections from the moment c is proven), c brings it. Progress: once both edges have seen
 * the other's proof on c, S sends from max(received_c, acked) to its end, and R's ACKs on c are the newest
 * there are. The two edges need not switch to c at the same time, nor even both: an edge that switched alone
 * loses c, or the peer's older connection is closed by it; either way a connection with a higher epoch
 * follows, and the argument holds for that one. ACKs never go back: R sends them on the connection that is
 * live for it, S reads the older connection no more once it has switched, and R began to use c only after it
 * had stopped using the older one. R therefore treats a sequence above received, or below the one expected
 * next on c, as a broken peer, never as a loss. */
#include "stream/stream_impl.h"
#include <errno.h>
#include <string.h>

/* Each of these returns NULL, or how the peer broke the protocol. */

static const char *input_data_begins(struct stream *s, struct conn *k, uint64_t sequence, size_t n)
{
    if (sequence < k->in_min || sequence > s->received)
        return "data came out of order";
    if (s->peer_eof && sequence + n > s->eof_sequence)
        return "data came after the end";
    if (sequence + n > s->delivered + s->window)
        return "data came beyond the window";
    k->in_pos = sequence;
    k->in_min = sequence + n;
    return NULL;
}

/* Bytes of the DATA frame that input_data_begins let in. Returns 0 or -ENOMEM. */
static int input_data_bytes(struct stream *s, struct conn *k, const uint8_t *data, size_t n)
{
    uint64_t known = s->received - k->in_pos;
    size_t skip = known < n ? (size_t)known : n;
    int r;

    s->activity_at = s->now;
    k->in_pos += skip;
    if (skip == n)
        return 0;
    r = ring_write(&s->sink, data + skip, n - skip);
    if (r < 0)
        return r;
    s->received += n - skip;
    k->in_pos = s->received;
    return 0;
}

size_t stream_input_due(struct stream *s, int c)
{
    const struct conn *k;
    uint8_t *at;
    size_t places;

    if (s->state != STREAM_OPEN || c < 0 || c != s->live)
        return 0;
    k = &s->conns[c];
    if (k->decoder.left == 0 || k->in_pos != s->received ||
        ring_reserve(&s->sink, ring_room(&s->sink), &at, &places) < 0)
        return 0;
    return k->decoder.left;
}

void stream_input_passed(struct stream *s, int c, size_t n, uint64_t now)
{
    struct conn *k = &s->conns[c];

    stream_clock(s, now);
    stream_answered(s);
    s->activity_at = s->now;
    k->decoder.left -= (uint32_t)n;
    ring_commit(&s->sink, n);
    s->received += n;
    k->in_pos = s->received;
}

static const char *input_eof(struct stream *s, struct conn *k, uint64_t sequence)
{
    if (sequence < k->in_min || sequence != (s->peer_eof ? s->eof_sequence : s->received))
        return "an end came out of order";
    k->in_min = sequence + 1;
    s->activity_at = s->now;
    if (!s->peer_eof) {
        s->peer_eof = true;
        s->eof_sequence = sequence;
        s->received = sequence + 1;
    }
    return NULL;
}

static const char *input_ack(struct stream *s, uint64_t delivered)
{
    if (delivered > s->sent_max)
        return "an acknowledgement came for what was never sent";
    if (delivered < s->acked)
        return "an acknowledgement went back";
    s->acked = delivered;
    stream_release_acked(s);
    stream_check_complete(s);
    return NULL;
}

static void input_ping(struct stream *s, uint64_t value)
{
    s->pong_due = true; /* of many unanswered PINGs the last one is answered: nothing piles up */
    s->pong_value = value;
}

static void input_pong(struct stream *s, uint64_t value)
{
    uint64_t sent_at = s->born + value, trip;

    if (value > s->ping_value || sent_at > s->now)
        return; /* never asked for: means nothing */
    trip = s->now - sent_at;
    if (trip > STREAM_TRIP_MAX_MS)
        trip = STREAM_TRIP_MAX_MS; /* somebody slept, or the path was dead for a while */
    s->round_trip /= 2;
    if (trip > s->round_trip)
        s->round_trip = trip;
}

static void input_reset(struct stream *s, const uint8_t *payload, size_t n)
{
    char text[STREAM_TEXT_MAX + 1];

    frame_clean_text(payload + 2, n - 2, text, sizeof text);
    if (text[0])
        stream_end(s, STREAM_RESET_BY_PEER, "%s", text);
    else
        stream_end(s, STREAM_RESET_BY_PEER, "ended by the other end (code %u)",
                   (unsigned)payload[0] << 8 | payload[1]);
}

static const char *input_done(struct stream *s)
{
    if (!stream_complete(s))
        return "the other end was done too early";
    stream_end(s, STREAM_DONE, "finished");
    return NULL;
}

static const char *input_frame(struct stream *s, struct conn *k, const struct frame_in *in)
{
    /* A PING shows that the peer is there, but not that it hears us. For the edge that cannot dial that is
     * enough. */
    if (in->type != FRAME_PING || !s->dials)
        stream_answered(s);
    switch (in->type) {
    case FRAME_ACK:
        return input_ack(s, frame_get_u64(in->payload));
    case FRAME_EOF:
        return input_eof(s, k, frame_get_u64(in->payload));
    case FRAME_PING:
        input_ping(s, frame_get_u64(in->payload));
        return NULL;
    case FRAME_PONG:
        input_pong(s, frame_get_u64(in->payload));
        return NULL;
    case FRAME_RESET:
        input_reset(s, in->payload, in->n);
        return NULL;
    case FRAME_DONE:
        return input_done(s);
    case FRAME_RESUME:
    case FRAME_PROOF:
    case FRAME_DATA:
        break;
    }
    return "a second handshake came";
}

static void input_live(struct stream *s, struct conn *k, enum frame_event event, const struct frame_in *in)
{
    const char *broken = NULL;

    switch (event) {
    case FRAME_EVENT_WHOLE:
        broken = input_frame(s, k, in);
        break;
    case FRAME_EVENT_DATA:
        broken = input_data_begins(s, k, in->sequence, in->n);
        break;
    case FRAME_EVENT_BYTES:
        stream_answered(s);
        if (input_data_bytes(s, k, in->payload, in->n) < 0)
            stream_fail(s, STREAM_CODE_MEMORY, "out of memory");
        break;
    case FRAME_EVENT_BAD:
        broken = in->why;
        break;
    case FRAME_EVENT_MORE:
        break;
    }
    if (broken)
        stream_fail(s, STREAM_CODE_PROTOCOL, broken);
}

int stream_input(struct stream *s, int c, const void *data, size_t n, uint64_t now)
{
    const uint8_t *at = data;
    struct frame_in in;
    enum frame_event event;
    struct conn *k;
    int r;

    stream_clock(s, now);
    if (c < 0 || c >= STREAM_CONNS || s->conns[c].phase == CONN_FREE)
        return -EINVAL;
    k = &s->conns[c];
    while (s->state == STREAM_OPEN && k->phase != CONN_CLOSING) {
        event = frame_next(&k->decoder, &at, &n, &in);
        if (event == FRAME_EVENT_MORE)
            break;
        if (k->phase == CONN_LIVE) {
            input_live(s, k, event, &in);
            continue;
        }
        r = event == FRAME_EVENT_WHOLE ? stream_conn_handshake(s, c, &in) : -EPROTO;
        if (r < 0) {
            stream_detach(s, c, now);
            return r;
        }
    }
    return 0;
}
