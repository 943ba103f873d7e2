/* Frames to bytes and back. Holds at most one small frame; the bytes of DATA are never copied here. */
#include "stream/frame.h"
#include "base/utf8.h"
#include <string.h>

static void put_be(uint8_t *out, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(value >> (8 * (n - 1 - i)));
}

static uint64_t get_be(const uint8_t *p, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

static void put_head(uint8_t *out, enum frame_type type, size_t n)
{
    out[0] = (uint8_t)type;
    put_be(out + 1, n, 4);
}

size_t frame_put(uint8_t *out, enum frame_type type, const void *payload, size_t n)
{
    put_head(out, type, n);
    if (n > 0)
        memcpy(out + FRAME_HEAD, payload, n);
    return FRAME_HEAD + n;
}

size_t frame_put_u64(uint8_t *out, enum frame_type type, uint64_t value)
{
    put_head(out, type, FRAME_U64_SIZE);
    put_be(out + FRAME_HEAD, value, FRAME_U64_SIZE);
    return FRAME_HEAD + FRAME_U64_SIZE;
}

size_t frame_put_data_head(uint8_t *out, uint64_t sequence, size_t n)
{
    put_head(out, FRAME_DATA, 8 + n);
    put_be(out + FRAME_HEAD, sequence, 8);
    return FRAME_DATA_HEAD;
}

size_t frame_put_reset(uint8_t *out, uint16_t code, const char *text)
{
    size_t n = strnlen(text, FRAME_TEXT_MAX);

    put_head(out, FRAME_RESET, 2 + n);
    put_be(out + FRAME_HEAD, code, 2);
    memcpy(out + FRAME_HEAD + 2, text, n);
    return FRAME_HEAD + 2 + n;
}

void frame_resume_encode(const struct frame_resume *r, uint8_t out[FRAME_RESUME_SIZE])
{
    memcpy(out, r->nonce, FRAME_NONCE);
    put_be(out + FRAME_NONCE, r->epoch, 4);
    put_be(out + FRAME_NONCE + 4, r->received, 8);
    put_be(out + FRAME_NONCE + 12, r->window, 4);
}

void frame_resume_decode(const uint8_t payload[FRAME_RESUME_SIZE], struct frame_resume *ret_r)
{
    memcpy(ret_r->nonce, payload, FRAME_NONCE);
    ret_r->epoch = (uint32_t)get_be(payload + FRAME_NONCE, 4);
    ret_r->received = get_be(payload + FRAME_NONCE + 4, 8);
    ret_r->window = (uint32_t)get_be(payload + FRAME_NONCE + 12, 4);
}

uint64_t frame_get_u64(const uint8_t payload[FRAME_U64_SIZE])
{
    return get_be(payload, FRAME_U64_SIZE);
}

void frame_clean_text(const uint8_t *text, size_t n, char *out, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < n;) {
        uint32_t code = 0;
        size_t len = utf8_next((const char *)text + i, n - i, &code), put = len;

        if (len == 0 || utf8_unsafe(code))
            put = 1;
        if (used + put >= size)
            break;
        if (len == 0 || utf8_unsafe(code))
            out[used] = '?';
        else
            memcpy(out + used, text + i, put);
        used += put;
        i += len ? len : 1;
    }
    out[used] = '\0';
}

void frame_decoder_init(struct frame_decoder *d)
{
    d->handshake = true;
    d->have = 0;
    d->need = FRAME_HEAD;
    d->left = 0;
    d->skip = 0;
}

static bool frame_length_ok(uint8_t type, uint32_t n)
{
    switch (type) {
    case FRAME_RESUME:
        return n == FRAME_RESUME_SIZE;
    case FRAME_PROOF:
        return n == FRAME_PROOF_SIZE;
    case FRAME_DATA:
        return n > 8 && n <= 8 + FRAME_DATA_MAX;
    case FRAME_ACK:
    case FRAME_EOF:
    case FRAME_PING:
    case FRAME_PONG:
        return n == FRAME_U64_SIZE;
    case FRAME_RESET:
        return n >= 2 && n <= FRAME_SMALL_MAX;
    case FRAME_DONE:
        return n == 0;
    default:
        return n <= FRAME_UNKNOWN_MAX;
    }
}

/* The five bytes of the head are there: says what is to be collected next. Returns NULL, or what is wrong. */
static const char *frame_begin(struct frame_decoder *d)
{
    uint8_t type = d->buf[0];
    uint32_t n = (uint32_t)get_be(d->buf + 1, 4);

    if (d->handshake && type != FRAME_RESUME && type != FRAME_PROOF)
        return "a frame came before the proof";
    if (!frame_length_ok(type, n))
        return "a frame has an impossible length";
    if (type == FRAME_DATA) {
        d->need = FRAME_DATA_HEAD;
    } else if (type >= FRAME_RESUME && type <= FRAME_DONE) {
        d->need = (uint16_t)(FRAME_HEAD + n);
    } else {
        d->skip = n;
        d->have = 0;
    }
    return NULL;
}

/* Everything that is collected of a frame is there. */
static enum frame_event frame_complete(struct frame_decoder *d, struct frame_in *ret_in)
{
    ret_in->type = (enum frame_type)d->buf[0];
    ret_in->payload = d->buf + FRAME_HEAD;
    ret_in->n = (size_t)d->need - FRAME_HEAD;
    d->have = 0;
    d->need = FRAME_HEAD;
    if (ret_in->type != FRAME_DATA)
        return FRAME_EVENT_WHOLE;
    ret_in->sequence = get_be(d->buf + FRAME_HEAD, 8);
    d->left = (uint32_t)get_be(d->buf + 1, 4) - 8;
    ret_in->n = d->left;
    return FRAME_EVENT_DATA;
}

enum frame_event frame_next(struct frame_decoder *d, const uint8_t **data, size_t *n, struct frame_in *ret_in)
{
    for (;;) {
        size_t take;

        if (d->have == d->need)
            return frame_complete(d, ret_in);
        if (*n == 0)
            return FRAME_EVENT_MORE;
        if (d->left > 0) {
            ret_in->type = FRAME_DATA;
            ret_in->payload = *data;
            ret_in->n = *n < d->left ? *n : d->left;
            d->left -= (uint32_t)ret_in->n;
            *data += ret_in->n;
            *n -= ret_in->n;
            return FRAME_EVENT_BYTES;
        }
        if (d->skip > 0) {
            take = *n < d->skip ? *n : d->skip;
            d->skip -= (uint32_t)take;
            *data += take;
            *n -= take;
            continue;
        }
        take = (size_t)d->need - d->have;
        if (take > *n)
            take = *n;
        memcpy(d->buf + d->have, *data, take);
        d->have = (uint16_t)(d->have + take);
        *data += take;
        *n -= take;
        if (d->have == FRAME_HEAD && d->need == FRAME_HEAD) {
            ret_in->why = frame_begin(d);
            if (ret_in->why)
                return FRAME_EVENT_BAD;
        }
    }
}
