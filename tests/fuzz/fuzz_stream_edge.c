/* An edge under a peer that has the key and says anything at all, in any pieces, while strangers knock:
 * nothing breaks, memory stays within the windows, unproven connections change nothing. The input is a list
 * of one-byte commands and their bytes. */
#include "stream/frame.h"
#include "stream/stream.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
    const uint8_t *at;
    size_t n;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static uint8_t next(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->at++;
}

/* Sends out at most max bytes; the first n go to out. */
static size_t drain(struct stream *s, int c, uint8_t *out, size_t size, size_t max, uint64_t now)
{
    struct stream_iov iov[5];
    size_t count = stream_output(s, c, iov, 5, now), used = 0, kept = 0;

    for (size_t i = 0; i < count && used < max; i++) {
        size_t part = iov[i].n < max - used ? iov[i].n : max - used;
        size_t keep = part < size - kept ? part : size - kept;
        if (keep > 0)
            memcpy(out + kept, iov[i].data, keep);
        kept += keep;
        used += part;
    }
    stream_sent(s, c, used, now);
    return kept;
}

/* A connection proven with the key; its received is what the fuzzer says. Returns the index or a negative
 * code. */
static int prove(struct stream *s, const uint8_t key[TICKET_KEY_SIZE], uint32_t epoch, uint64_t received,
                 uint64_t now)
{
    struct frame_resume mine = {.epoch = epoch, .received = received, .window = STREAM_WINDOW_MIN};
    uint8_t theirs[FRAME_HEAD + FRAME_RESUME_SIZE], payload[FRAME_RESUME_SIZE], proof[FRAME_PROOF_SIZE];
    uint8_t frames[2 * FRAME_HEAD + FRAME_RESUME_SIZE + FRAME_PROOF_SIZE];
    static const char label[] = "multissh proof v1";
    size_t n;
    int c = stream_attach(s, epoch, now), r;

    if (c < 0)
        return c;
    require(drain(s, c, theirs, sizeof theirs, SIZE_MAX, now) == sizeof theirs);
    frame_resume_encode(&mine, payload);
    n = frame_put(frames, FRAME_RESUME, payload, sizeof payload);
    const struct crypto_piece pieces[] = {
        {label, sizeof label}, {"b", 1}, {payload, sizeof payload}, {theirs + FRAME_HEAD, FRAME_RESUME_SIZE}};
    require(crypto_hmac(key, TICKET_KEY_SIZE, pieces, 4, proof) == 0);
    n += frame_put(frames + n, FRAME_PROOF, proof, sizeof proof);
    r = stream_input(s, c, frames, n, now);
    require(r == 0 && (stream_live(s) == c || stream_state(s) == STREAM_FAILED));
    return c;
}

static void stranger(struct stream *s, struct input *in, uint32_t epoch, uint64_t now)
{
    struct stream_stats before, after;
    size_t n = next(in);
    int live = stream_live(s), c = stream_attach(s, epoch, now), r;

    if (c < 0)
        return;
    if (n > in->n)
        n = in->n;
    stream_get_stats(s, &before);
    r = stream_input(s, c, in->at, n, now);
    in->at += n;
    in->n -= n;
    stream_get_stats(s, &after);
    require(stream_live(s) == live && stream_state(s) == STREAM_OPEN);
    require(before.sent == after.sent && before.received == after.received && before.held == after.held);
    if (r == 0)
        stream_detach(s, c, now);
}

static void consume(struct stream *s, size_t max)
{
    const uint8_t *at;
    size_t n = stream_sink_peek(s, &at);

    stream_sink_consumed(s, n < max ? n : max);
    if (stream_sink_eof(s))
        stream_sink_eof_delivered(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct stream_config config = {.role = 'a', .key = {9}, .window = STREAM_WINDOW_MIN};
    struct input in = {data, n};
    uint64_t now = 1000;
    uint32_t epoch = 0, dialled;
    struct stream *s;
    struct stream_stats stats;
    uint8_t scratch[256];

    config.dials = next(&in) & 1;
    if (stream_new(&config, now, &s) < 0)
        return 0;
    while (in.n > 0 && stream_state(s) == STREAM_OPEN) {
        size_t arg;
        switch (next(&in) % 8) {
        case 0:
        case 1:
            arg = next(&in);
            arg = arg < in.n ? arg : in.n;
            if (stream_live(s) >= 0)
                require(stream_input(s, stream_live(s), in.at, arg, now) == 0);
            in.at += arg;
            in.n -= arg;
            break;
        case 2:
            stranger(s, &in, epoch + 1, now);
            break;
        case 3:
            if (stream_live(s) >= 0 && (next(&in) & 1))
                stream_detach(s, stream_live(s), now);
            prove(s, config.key, ++epoch, next(&in), now);
            for (int c = 0; c < STREAM_CONNS; c++)
                if (stream_wants_close(s, c) && c != stream_live(s))
                    stream_detach(s, c, now);
            break;
        case 4:
            consume(s, next(&in));
            break;
        case 5:
            arg = next(&in);
            if (arg == 255)
                stream_source_eof(s);
            else if (arg <= stream_source_room(s))
                stream_source_push(s, data, arg < n ? arg : n);
            break;
        case 6:
            if (stream_live(s) >= 0)
                drain(s, stream_live(s), scratch, 0, next(&in), now);
            break;
        case 7:
            now += (uint64_t)next(&in) * 50;
            stream_tick(s, now);
            if (stream_wants_dial(s, now, &dialled))
                require(config.dials);
            require(stream_state(s) != STREAM_OPEN || stream_next_tick(s) > now);
            break;
        }
        stream_get_stats(s, &stats);
        require(stats.held <= 2 * STREAM_WINDOW_MIN);
    }
    if (stream_state(s) != STREAM_OPEN)
        require(stream_reason(s)[0] != '\0');
    if (stream_live(s) >= 0)
        while (drain(s, stream_live(s), scratch, sizeof scratch, SIZE_MAX, now) > 0)
            ;
    stream_free(s);
    return 0;
}
