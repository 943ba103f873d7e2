/* What goes out on a connection: first the frame that is half sent, then ACK, PING and their like, then new
 * DATA.
 *
 * Nothing is copied: the pieces point at heads in the connection and at bytes in the source ring. A frame
 * that has not been begun is forgotten and planned anew each time, so frames are as full, and ACKs as fresh,
 * as they can be. */
#include "stream/stream_impl.h"
#include <string.h>

static bool conn_started(const struct conn *k)
{
    return k->plan_n > 0 && k->plan[0].head_off > 0;
}

/* Forgets the frames of which no byte has been sent. */
static void conn_unplan(struct stream *s, struct conn *k)
{
    size_t keep = conn_started(k) ? 1 : 0;

    if (k->plan_n > keep) {
        k->plan_n = keep;
        stream_release_acked(s);
    }
}

/* The sequence that the next new frame begins with. */
static uint64_t conn_next_sequence(const struct stream *s, const struct conn *k)
{
    uint64_t next = k->out_pos;

    if (k->plan_n > 0) {
        const struct plan_frame *last = &k->plan[k->plan_n - 1];
        next = last->sequence + last->left + (last->eof ? 1 : 0);
    }
    return next > s->acked ? next : s->acked;
}

/* A frame that has begun holds up the ACKs and PONGs behind it: over a slow line for long. */
static size_t conn_frame_max(const struct stream *s)
{
    return s->round_trip > STREAM_NEAR_MS ? FRAME_DATA_FAR : FRAME_DATA_MAX;
}

/* Adds the next DATA or EOF frame to the plan; false when there is none to be sent now. */
static bool conn_plan_next(const struct stream *s, struct conn *k)
{
    uint64_t next = conn_next_sequence(s, k), end = stream_source_end(s), limit = s->acked + s->peer_window,
             n;
    struct plan_frame *f = &k->plan[k->plan_n];

    if (k->plan_n == STREAM_PLAN)
        return false;
    if (next == end && s->source_eof) {
        *f = (struct plan_frame){.eof = true, .sequence = end};
        frame_put_u64(f->head, FRAME_EOF, end);
        k->plan_n++;
        return true;
    }
    if (limit > end)
        limit = end;
    if (next >= limit)
        return false;
    n = limit - next < conn_frame_max(s) ? limit - next : conn_frame_max(s);
    *f = (struct plan_frame){.sequence = next, .left = (uint32_t)n};
    frame_put_data_head(f->head, next, (size_t)n);
    k->plan_n++;
    return true;
}

/* Writes what is due into the connection's buffer of small frames, ACK before DONE. */
static void conn_fill_ctl(struct stream *s, struct conn *k)
{
    if (k->ctl_off == k->ctl_len)
        k->ctl_off = k->ctl_len = 0;
    if (STREAM_CTL_SIZE - k->ctl_len < STREAM_CTL_ROUND)
        return; /* later: what is due stays due */
    if (s->state == STREAM_OPEN || s->state == STREAM_DONE) {
        if (s->ack_due) {
            k->ctl_len += frame_put_u64(k->ctl + k->ctl_len, FRAME_ACK, s->delivered);
            s->ack_sent = s->delivered;
            s->ack_due = false;
            s->ack_at = STREAM_NEVER;
        }
        if (s->pong_due)
            k->ctl_len += frame_put_u64(k->ctl + k->ctl_len, FRAME_PONG, s->pong_value);
        if (s->ping_due)
            k->ctl_len += frame_put_u64(k->ctl + k->ctl_len, FRAME_PING, s->ping_value);
        if (s->done_due)
            k->ctl_len += frame_put(k->ctl + k->ctl_len, FRAME_DONE, NULL, 0);
    } else if (s->reset_due) {
        k->ctl_len += frame_put_reset(k->ctl + k->ctl_len, s->reset_code, s->reset_text);
    }
    s->pong_due = s->ping_due = s->done_due = s->reset_due = false;
}

/* The pieces that are being gathered. */
struct pieces {
    struct stream_iov *iov;
    size_t n, max;
};

static bool pieces_add(struct pieces *p, const void *data, size_t n, uint64_t sequence)
{
    if (n == 0)
        return true;
    if (p->n == p->max)
        return false;
    p->iov[p->n++] = (struct stream_iov){data, n, sequence};
    return true;
}

static bool pieces_add_frame(struct pieces *p, const struct stream *s, const struct plan_frame *f)
{
    size_t offset = (size_t)(f->sequence - s->source_base), left = f->left, part;
    const uint8_t *at;

    if (!pieces_add(p, f->head + f->head_off, FRAME_DATA_HEAD - f->head_off, STREAM_NO_SEQUENCE))
        return false;
    while (left > 0) {
        part = ring_peek(&s->source, offset, &at);
        if (part > left)
            part = left;
        if (!pieces_add(p, at, part, s->source_base + offset))
            return false;
        offset += part;
        left -= part;
    }
    return true;
}

size_t stream_output(struct stream *s, int c, struct stream_iov *iov, size_t max_iov, uint64_t now)
{
    struct pieces p = {iov, 0, max_iov};
    struct conn *k;

    stream_clock(s, now);
    if (c < 0 || c >= STREAM_CONNS)
        return 0;
    k = &s->conns[c];
    if (k->phase == CONN_FREE || k->phase == CONN_CLOSING)
        return 0;
    conn_unplan(s, k);
    if (conn_started(k) && !pieces_add_frame(&p, s, &k->plan[0]))
        return p.n;
    if (k->phase == CONN_LIVE) {
        bool more = s->state == STREAM_OPEN && conn_plan_next(s, k);

        if (s->delivered > s->ack_sent && (more || s->ping_due || s->pong_due))
            s->ack_due = true; /* it costs no packet of its own */
        conn_fill_ctl(s, k);
        if (!pieces_add(&p, k->ctl + k->ctl_off, k->ctl_len - k->ctl_off, STREAM_NO_SEQUENCE))
            return p.n;
        while (more && pieces_add_frame(&p, s, &k->plan[k->plan_n - 1]))
            more = conn_plan_next(s, k);
        return p.n;
    }
    pieces_add(&p, k->ctl + k->ctl_off, k->ctl_len - k->ctl_off, STREAM_NO_SEQUENCE);
    return p.n;
}

/* n bytes went out, the first frame of the plan first. Returns how many of them were not of that frame. */
static size_t conn_sent_frame(struct stream *s, struct conn *k, size_t n)
{
    struct plan_frame *f = &k->plan[0];
    size_t head = FRAME_DATA_HEAD - (size_t)f->head_off, part;

    if (head > n)
        head = n;
    f->head_off = (uint8_t)(f->head_off + head);
    n -= head;
    part = f->left < n ? f->left : n;
    f->left -= (uint32_t)part;
    f->sequence += part;
    n -= part;
    if (f->head_off == FRAME_DATA_HEAD && f->left == 0) {
        if (f->eof)
            f->sequence++;
        k->out_pos = f->sequence;
        if (k->out_pos > s->sent_max)
            s->sent_max = k->out_pos;
        k->plan_n--;
        memmove(k->plan, k->plan + 1, k->plan_n * sizeof *k->plan);
    } else if (!f->eof && f->sequence > s->sent_max) {
        s->sent_max = f->sequence;
    }
    s->activity_at = s->now;
    stream_arm(s);
    return n;
}

void stream_sent(struct stream *s, int c, size_t n, uint64_t now)
{
    struct conn *k;
    size_t part;

    stream_clock(s, now);
    if (c < 0 || c >= STREAM_CONNS)
        return;
    k = &s->conns[c];
    if (k->phase == CONN_FREE || k->phase == CONN_CLOSING)
        return;
    if (n > 0 && conn_started(k))
        n = conn_sent_frame(s, k, n);
    part = k->ctl_len - k->ctl_off < n ? k->ctl_len - k->ctl_off : n;
    k->ctl_off += part;
    n -= part;
    while (n > 0 && k->plan_n > 0)
        n = conn_sent_frame(s, k, n);
    conn_unplan(s, k);
    stream_release_acked(s);
}

bool stream_flushed(const struct stream *s)
{
    const struct conn *k;

    if (s->live < 0)
        return true;
    k = &s->conns[s->live];
    if (s->state == STREAM_RESET_BY_PEER || s->state == STREAM_LOST)
        return true;
    return !s->reset_due && !s->done_due && k->ctl_off == k->ctl_len && !conn_started(k);
}
