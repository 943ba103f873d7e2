/* A stream's life, its source and its sink. Holds the rings; knows connections only through stream_impl.h. */
#include "stream/stream_impl.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int stream_new(const struct stream_config *config, uint64_t now, struct stream **ret_s)
{
    uint32_t window = config->window ? config->window : STREAM_WINDOW_DEFAULT;
    struct stream *s;

    if ((config->role != 'a' && config->role != 'b') || window < STREAM_WINDOW_MIN ||
        window > STREAM_WINDOW_MAX)
        return -EINVAL;
    s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->role = config->role;
    s->dials = config->dials;
    memcpy(s->key, config->key, sizeof s->key);
    s->window = window;
    s->patience_ms = config->patience_ms ? config->patience_ms : STREAM_PATIENCE_DEFAULT_MS;
    s->state = STREAM_OPEN;
    s->now = s->born = s->activity_at = s->lost_at = now;
    s->live = -1;
    s->epoch_floor = -1;
    s->ack_at = s->await_since = s->probe_at = s->linger_at = s->end_at = STREAM_NEVER;
    ring_init(&s->source, window);
    ring_init(&s->sink, window);
    *ret_s = s;
    return 0;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    ring_release(&s->source);
    ring_release(&s->sink);
    crypto_wipe(s, sizeof *s);
    free(s);
}

void stream_clock(struct stream *s, uint64_t now)
{
    if (now > s->now)
        s->now = now;
}

enum stream_state stream_state(const struct stream *s)
{
    return s->state;
}

const char *stream_reason(const struct stream *s)
{
    return s->reason;
}

void stream_end(struct stream *s, enum stream_state state, const char *fmt, ...)
{
    va_list args;

    if (s->state != STREAM_OPEN)
        return;
    s->state = state;
    s->end_at = s->now;
    va_start(args, fmt);
    vsnprintf(s->reason, sizeof s->reason, fmt, args);
    va_end(args);
    for (int c = 0; c < STREAM_CONNS; c++)
        if (s->conns[c].phase != CONN_FREE && (c != s->live || stream_flushed(s)))
            stream_conn_close(s, c);
}

void stream_fail(struct stream *s, enum stream_code code, const char *why)
{
    if (s->state != STREAM_OPEN)
        return;
    s->reset_due = true;
    s->reset_code = (uint16_t)code;
    snprintf(s->reset_text, sizeof s->reset_text, "%s%s",
             code == STREAM_CODE_PROTOCOL ? "protocol error: " : "", why);
    stream_end(s, STREAM_FAILED, "%s", s->reset_text);
}

void stream_reset(struct stream *s, uint16_t code, const char *text)
{
    if (s->state != STREAM_OPEN)
        return;
    text = text ? text : "";
    frame_clean_text((const uint8_t *)text, strlen(text), s->reset_text, sizeof s->reset_text);
    s->reset_due = true;
    s->reset_code = code;
    stream_end(s, STREAM_RESET_BY_US, "%s", s->reset_text[0] ? s->reset_text : "ended on this side");
}

/* --- source --- */

uint64_t stream_source_end(const struct stream *s)
{
    return s->source_base + ring_len(&s->source);
}

size_t stream_source_room(const struct stream *s)
{
    return s->state != STREAM_OPEN || s->source_eof ? 0 : ring_room(&s->source);
}

int stream_source_reserve(struct stream *s, size_t want, uint8_t **ret_at, size_t *ret_n)
{
    if (s->state != STREAM_OPEN || s->source_eof)
        return -EPIPE;
    return ring_reserve(&s->source, want ? want : 1, ret_at, ret_n);
}

void stream_source_commit(struct stream *s, size_t n)
{
    ring_commit(&s->source, n);
}

uint64_t stream_source_first(const struct stream *s)
{
    return s->source_base;
}

size_t stream_source_place(struct stream *s, uint64_t sequence, uint8_t **ret_at)
{
    const uint8_t *at = NULL;
    size_t n = ring_peek(&s->source, (size_t)(sequence - s->source_base), &at);
    *ret_at = (uint8_t *)(uintptr_t)at;
    return n;
}

bool stream_source_sent(const struct stream *s)
{
    const struct conn *k = s->live >= 0 ? &s->conns[s->live] : NULL;
    return k != NULL && k->plan_n == 0 &&
           (k->out_pos > s->acked ? k->out_pos : s->acked) >= stream_source_end(s);
}

int stream_source_push(struct stream *s, const void *data, size_t n)
{
    if (s->state != STREAM_OPEN || s->source_eof)
        return -EPIPE;
    return ring_write(&s->source, data, n);
}

void stream_source_eof(struct stream *s)
{
    if (s->state == STREAM_OPEN)
        s->source_eof = true;
}

void stream_release_acked(struct stream *s)
{
    uint64_t to = s->acked, end = stream_source_end(s);

    if (s->live >= 0 && s->conns[s->live].plan_n > 0 && s->conns[s->live].plan[0].sequence < to)
        to = s->conns[s->live].plan[0].sequence;
    if (to > end)
        to = end; /* the EOF takes no room */
    if (to > s->source_base) {
        ring_consume(&s->source, (size_t)(to - s->source_base));
        s->source_base = to;
    }
}

/* --- sink --- */

size_t stream_sink_peek(const struct stream *s, const uint8_t **ret_at)
{
    return ring_peek(&s->sink, 0, ret_at);
}

/* How much may be delivered before an ACK is sent at once: the peer must be able to go on, and one ACK serves
 * much. */
static uint64_t stream_ack_quantum(const struct stream *s)
{
    uint32_t window = s->window < s->peer_window ? s->window : s->peer_window, quantum = window / 4;
    return quantum < STREAM_ACK_QUANTUM_MAX ? quantum : STREAM_ACK_QUANTUM_MAX;
}

void stream_sink_consumed(struct stream *s, size_t n)
{
    if (n > ring_len(&s->sink))
        n = ring_len(&s->sink);
    if (n == 0)
        return;
    ring_consume(&s->sink, n);
    s->delivered += n;
    if (s->delivered - s->ack_sent >= stream_ack_quantum(s))
        s->ack_due = true;
    else if (s->ack_at == STREAM_NEVER)
        s->ack_at = s->now + STREAM_ACK_DELAY_MS;
}

uint64_t stream_sink_end(const struct stream *s)
{
    return s->peer_eof ? s->eof_sequence : s->received;
}

size_t stream_sink_place(struct stream *s, uint64_t sequence, uint8_t **ret_at)
{
    const uint8_t *at = NULL;
    size_t n = ring_peek(&s->sink, (size_t)(sequence - s->delivered), &at);
    *ret_at = (uint8_t *)(uintptr_t)at;
    return n;
}

bool stream_sink_eof(const struct stream *s)
{
    return s->peer_eof && ring_len(&s->sink) == 0;
}

void stream_sink_eof_delivered(struct stream *s)
{
    if (!stream_sink_eof(s) || s->delivered > s->eof_sequence)
        return;
    s->delivered = s->eof_sequence + 1;
    s->ack_due = true;
    stream_check_complete(s);
}

bool stream_complete(const struct stream *s)
{
    return s->source_eof && s->acked == stream_source_end(s) + 1 && s->peer_eof &&
           s->delivered == s->eof_sequence + 1;
}

void stream_check_complete(struct stream *s)
{
    if (s->state != STREAM_OPEN || s->linger_at != STREAM_NEVER || !stream_complete(s))
        return;
    s->linger_at = s->now + STREAM_LINGER_MS;
    s->done_due = true;
}

/* --- queries --- */

int stream_live(const struct stream *s)
{
    return s->live;
}

uint64_t stream_round_trip(const struct stream *s)
{
    return s->round_trip;
}

bool stream_ever_live(const struct stream *s)
{
    return s->proofs > 0;
}

void stream_get_stats(const struct stream *s, struct stream_stats *ret)
{
    uint64_t end = stream_source_end(s);

    ret->sent = s->sent_max < end ? s->sent_max : end;
    ret->received = s->peer_eof ? s->eof_sequence : s->received;
    ret->resumes = s->proofs > 0 ? s->proofs - 1 : 0;
    ret->held = ring_held(&s->source) + ring_held(&s->sink);
}
