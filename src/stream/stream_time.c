/* A stream's timers: is the peer there, what is overdue, when to dial. The time comes in as an argument. */
#include "stream/stream_impl.h"

static uint64_t time_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t time_clamp(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

void stream_arm(struct stream *s)
{
    if (s->await_since == STREAM_NEVER)
        s->await_since = s->now;
}

void stream_answered(struct stream *s)
{
    s->heard_at = s->now;
    s->await_since = s->probe_at = STREAM_NEVER;
}

/* How long an answer may take before a fresh connection is tried: a slow path must not be taken for a dead
 * one. */
uint64_t stream_answer_ms(const struct stream *s)
{
    return time_clamp(3 * s->round_trip, STREAM_ANSWER_MIN_MS, STREAM_ANSWER_MAX_MS);
}

static void time_send_ping(struct stream *s)
{
    s->ping_due = true;
    s->ping_value = s->now - s->born;
    s->ping_at = s->now;
    stream_arm(s);
}

/* When the next PING is due on the live connection. While something is under way: 2 s after the last answer
 * or PING. When idle, less and less often: somebody who typed a minute ago is more likely to type now than
 * one who left an hour ago. A round trip so long that a dead path is noticed late may have been that of a PING
 * which crossed an outage: it is measured anew, whatever else is heard. */
static uint64_t time_ping(const struct stream *s)
{
    bool slow = stream_answer_ms(s) > STREAM_ANSWER_MIN_MS;
    uint64_t from = s->heard_at > s->ping_at && !slow ? s->heard_at : s->ping_at, idle;
    bool active = s->await_since != STREAM_NEVER || s->acked < s->sent_max;

    idle = from > s->activity_at ? from - s->activity_at : 0;
    return from +
           (active ? STREAM_PING_MIN_MS : time_clamp(idle / 4, STREAM_PING_MIN_MS, STREAM_PING_MAX_MS));
}

static uint64_t time_patience(const struct stream *s)
{
    uint64_t silent = s->live < 0 ? s->lost_at : s->await_since;

    if (s->linger_at != STREAM_NEVER)
        return s->linger_at;
    return silent == STREAM_NEVER ? STREAM_NEVER : silent + s->patience_ms;
}

static uint64_t time_trim(const struct stream *s)
{
    bool idle = (ring_held(&s->source) > 0 && ring_len(&s->source) == 0) ||
                (ring_held(&s->sink) > 0 && ring_len(&s->sink) == 0);
    return idle ? s->activity_at + STREAM_TRIM_MS : STREAM_NEVER;
}

/* Since when, or from when on, a further connection is of use, if nothing happens meanwhile. */
static uint64_t time_needed(const struct stream *s)
{
    uint64_t at = 0;

    if (s->state != STREAM_OPEN)
        return STREAM_NEVER;
    if (s->live >= 0 && s->await_since == STREAM_NEVER)
        return STREAM_NEVER;
    if (s->live >= 0)
        at = time_min(s->await_since + stream_answer_ms(s), s->probe_at);
    for (int c = 0; c < STREAM_CONNS; c++) {
        const struct conn *k = &s->conns[c];
        if (k->phase == CONN_PROVING && at < k->resume_at + stream_answer_ms(s))
            at = k->resume_at + stream_answer_ms(s);
    }
    return at;
}

static uint64_t time_dial(const struct stream *s)
{
    uint64_t at = s->dials && s->next_epoch <= UINT32_MAX ? time_needed(s) : STREAM_NEVER;

    return at < s->dial_next ? s->dial_next : at;
}

bool stream_needs_conn(struct stream *s, uint64_t now)
{
    stream_clock(s, now);
    return time_needed(s) <= s->now;
}

void stream_probe(struct stream *s, uint64_t now)
{
    stream_clock(s, now);
    if (s->state != STREAM_OPEN)
        return;
    if (s->dial_next > s->now)
        s->dial_next = s->dialed_at + STREAM_PROBE_DIAL_MS;
    if (s->live < 0 || s->probe_at != STREAM_NEVER)
        return;
    s->probe_at = s->now + time_clamp(3 * s->round_trip, STREAM_PROBE_MS, STREAM_ANSWER_MAX_MS);
    time_send_ping(s);
}

uint64_t stream_silent_since(const struct stream *s, uint64_t now)
{
    if (s->live < 0)
        return s->lost_at;
    return s->await_since != STREAM_NEVER && s->await_since + stream_answer_ms(s) <= now ? s->await_since
                                                                                         : STREAM_NEVER;
}

/* Where both edges dial, the hub joins what they dialled and lets go of it when one of them dials anew. Were their
 * pace the same, they could stay in step for ever, each dialling a moment too early for the other. */
static uint64_t time_dial_every(const struct stream *s)
{
    return s->role == 'a' ? STREAM_DIAL_EVERY_A_MS : STREAM_DIAL_EVERY_MS;
}

bool stream_wants_dial(struct stream *s, uint64_t now, uint32_t *ret_epoch)
{
    stream_clock(s, now);
    if (time_dial(s) > s->now)
        return false;
    stream_conn_make_room(s);
    *ret_epoch = (uint32_t)s->next_epoch++;
    s->dialed_at = s->now;
    s->dial_next = s->now + time_dial_every(s);
    return true;
}

uint64_t stream_next_tick(const struct stream *s)
{
    uint64_t at = STREAM_NEVER;
    bool open = s->state == STREAM_OPEN;

    for (int c = 0; c < STREAM_CONNS; c++)
        if (open && (s->conns[c].phase == CONN_HELLO || s->conns[c].phase == CONN_PROVING))
            at = time_min(at, s->conns[c].attached_at + STREAM_UNPROVEN_MS);
    if (!open)
        return s->live >= 0 ? s->end_at + STREAM_FLUSH_MS : STREAM_NEVER;
    at = time_min(at, time_min(time_patience(s), time_min(time_trim(s), time_dial(s))));
    if (s->live >= 0)
        at = time_min(at, time_min(s->ack_at, time_ping(s)));
    return at;
}

void stream_tick(struct stream *s, uint64_t now)
{
    stream_clock(s, now);
    if (s->state != STREAM_OPEN) {
        if (s->live >= 0 && s->now - s->end_at >= STREAM_FLUSH_MS)
            stream_conn_close(s, s->live);
        return;
    }
    for (int c = 0; c < STREAM_CONNS; c++)
        if ((s->conns[c].phase == CONN_HELLO || s->conns[c].phase == CONN_PROVING) &&
            s->now - s->conns[c].attached_at >= STREAM_UNPROVEN_MS)
            stream_conn_close(s, c);
    if (time_patience(s) <= s->now) {
        if (s->linger_at != STREAM_NEVER)
            stream_end(s, STREAM_DONE, "finished");
        else
            stream_end(s, STREAM_LOST, "nothing was heard from the other end for %u s",
                       (unsigned)(s->patience_ms / 1000));
        return;
    }
    if (s->live >= 0 && s->ack_at <= s->now) {
        s->ack_due = true;
        s->ack_at = STREAM_NEVER;
    }
    if (s->live >= 0 && time_ping(s) <= s->now) {
        time_send_ping(s);
    }
    if (time_trim(s) <= s->now) {
        ring_trim(&s->source);
        ring_trim(&s->sink);
    }
}
