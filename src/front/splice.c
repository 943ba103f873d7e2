/* The bulk path: channel ↔ stream ↔ connections (lines.c).
 *
 * The channel is read by its data hook as far as the stream has room, and the rest stays within the SSH window.
 *
 * libssh opens that window again with every read, however much it still holds; a machine slower than its user would
 * make it hold ever more. So once a read is begun, all that libssh holds is taken: what the stream has no
 * room for goes to the spill, and nothing is read while there is a spill. */
#include "front/splice.h"

#include "base/buf.h"
#include "front/lines.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_SIZE (64u << 10)
#define TURN_BUDGET (256u << 10) /* bytes moved in one direction in one turn */
#define SPILL_MAX (4u << 20)     /* more than libssh holds at once */
#define HANG_UP_MS 10000         /* for what the user sent last to be delivered */
#define OVER_MS 5000             /* for the last frames, and what the user has not read yet */

struct splice {
    struct ssh_loop *loop;
    struct stream *stream;
    struct ssh_chan *chan; /* NULL: not yet, or closed */
    struct lines lines;
    struct buf spill; /* read from the channel, and not in the stream yet */
    bool joined, hung_up, eof_told;
    uint64_t hang_up_at; /* when an unfinished stream is reset */
    uint64_t over_at;    /* when everything that is left is dropped */
};

/* --- the channel --- */

/* Called by the SSH session as data is unpacked. */
static size_t on_data(void *arg, const void *data, size_t n)
{
    struct splice *s = arg;
    size_t room = buf_len(&s->spill) > 0 ? 0 : stream_source_room(s->stream);
    n = n < room ? n : room;
    return n > 0 && stream_source_push(s->stream, data, n) == 0 ? n : 0;
}

void splice_join(struct splice *splice, struct ssh_chan *chan)
{
    splice->chan = chan;
    splice->joined = true;
    ssh_chan_own(chan, splice, on_data);
}

void splice_hang_up(struct splice *splice)
{
    if (splice->hung_up) {
        return;
    }
    splice->hung_up = true;
    splice->hang_up_at = ssh_loop_now(splice->loop) + HANG_UP_MS;
    ssh_chan_close(splice->chan);
    splice->chan = NULL;
    ssh_loop_again(splice->loop);
}

static void from_spill(struct splice *s)
{
    size_t n;
    while ((n = buf_len(&s->spill)) > 0) {
        size_t room = stream_source_room(s->stream);
        n = n < room ? n : room;
        if (n == 0 || stream_source_push(s->stream, buf_data(&s->spill), n) < 0) {
            break;
        }
        buf_consume(&s->spill, n);
    }
}

/* What the data hook left behind when the stream was full. */
static void from_channel(struct splice *s)
{
    bool begun = buf_len(&s->spill) == 0 && stream_source_room(s->stream) > 0;
    while (begun && ssh_chan_unread(s->chan)) {
        uint8_t *at;
        size_t n;
        if (buf_len(&s->spill) == 0 && stream_source_reserve(s->stream, READ_SIZE, &at, &n) == 0) {
            n = ssh_chan_read(s->chan, at, n);
            stream_source_commit(s->stream, n);
        } else if (buf_reserve(&s->spill, READ_SIZE, &at) == 0) {
            n = ssh_chan_read(s->chan, at, READ_SIZE);
            buf_commit(&s->spill, n);
        } else {
            break;
        }
        if (n == 0) {
            break;
        }
    }
}

static void from_user(struct splice *s)
{
    from_spill(s);
    if (s->chan != NULL) {
        from_channel(s);
        if (ssh_chan_closed(s->chan) && !ssh_chan_unread(s->chan)) {
            splice_hang_up(s);
        }
    }
    if (buf_len(&s->spill) == 0 && (s->hung_up || (s->chan != NULL && ssh_chan_eof(s->chan)))) {
        stream_source_eof(s->stream);
    }
}

static void to_channel(struct splice *s)
{
    size_t budget = TURN_BUDGET;
    const uint8_t *at;
    size_t n;
    while ((n = stream_sink_peek(s->stream, &at)) > 0) {
        long wrote = s->chan == NULL ? (long)n : ssh_chan_write(s->chan, at, n, false);
        if (wrote == 0) {
            break;
        }
        if (wrote < 0) {
            splice_hang_up(s);
            continue;
        }
        stream_sink_consumed(s->stream, (size_t)wrote);
        if ((size_t)wrote >= budget) {
            ssh_loop_again(s->loop);
            break;
        }
        budget -= (size_t)wrote;
    }
    if (stream_sink_eof(s->stream) && !s->eof_told) {
        s->eof_told = true;
        if (s->chan != NULL) {
            ssh_chan_end(s->chan);
        }
        stream_sink_eof_delivered(s->stream);
    }
}

/* --- the whole --- */

int splice_new(struct ssh_loop *loop, const struct stream_config *config, struct splice **ret_splice)
{
    struct splice *s = calloc(1, sizeof *s);
    int rc;
    if (s == NULL) {
        return -ENOMEM;
    }
    s->loop = loop;
    s->hang_up_at = s->over_at = SSH_LOOP_NEVER;
    buf_init(&s->spill, SPILL_MAX);
    rc = stream_new(config, ssh_loop_now(loop), &s->stream);
    if (rc < 0) {
        free(s);
        return rc;
    }
    lines_init(&s->lines, loop, s->stream);
    *ret_splice = s;
    return 0;
}

void splice_free(struct splice *splice)
{
    if (splice == NULL) {
        return;
    }
    lines_release(&splice->lines);
    ssh_chan_close(splice->chan);
    buf_wipe(&splice->spill);
    stream_free(splice->stream);
    free(splice);
}

int splice_connect(struct splice *splice, uint32_t epoch, int fd)
{
    return lines_connect(&splice->lines, epoch, fd);
}

bool splice_turn(struct splice *splice)
{
    uint64_t now = ssh_loop_now(splice->loop);
    if (now >= stream_next_tick(splice->stream)) {
        stream_tick(splice->stream, now);
    }
    from_user(splice);
    if (splice->joined) {
        to_channel(splice);
    }
    if (splice->hung_up && now >= splice->hang_up_at) {
        stream_reset(splice->stream, STREAM_CODE_LOCAL, "the user has gone");
    }
    lines_turn(&splice->lines);
    if (stream_state(splice->stream) == STREAM_OPEN) {
        return true;
    }
    if (splice->over_at == SSH_LOOP_NEVER) {
        splice->over_at = now + OVER_MS;
    }
    return (lines_any(&splice->lines) || splice->chan != NULL) && now < splice->over_at;
}

bool splice_drained(const struct splice *splice)
{
    const uint8_t *at;
    return splice->chan != NULL && stream_state(splice->stream) != STREAM_OPEN &&
           stream_sink_peek(splice->stream, &at) == 0;
}

bool splice_failed(const struct splice *splice)
{
    enum stream_state state = stream_state(splice->stream);
    return state != STREAM_OPEN && state != STREAM_DONE;
}

bool splice_open(const struct splice *splice)
{
    return stream_state(splice->stream) == STREAM_OPEN;
}

bool splice_live(const struct splice *splice)
{
    return stream_live(splice->stream) >= 0;
}

bool splice_connected(const struct splice *splice)
{
    return lines_any(&splice->lines);
}

void splice_close(struct splice *splice)
{
    ssh_chan_close(splice->chan);
    splice->chan = NULL;
    ssh_loop_again(splice->loop);
}

uint64_t splice_next_turn(const struct splice *splice)
{
    uint64_t at = stream_next_tick(splice->stream);
    uint64_t lines = lines_next_turn(&splice->lines);
    at = splice->hung_up && splice_open(splice) && splice->hang_up_at < at ? splice->hang_up_at : at;
    at = splice->over_at < at ? splice->over_at : at;
    return lines < at ? lines : at;
}

void splice_reset(struct splice *splice, enum stream_code code, const char *text)
{
    stream_reset(splice->stream, (uint16_t)code, text);
    ssh_loop_again(splice->loop);
}

const char *splice_reason(const struct splice *splice)
{
    return stream_reason(splice->stream);
}

void splice_stats(const struct splice *splice, struct stream_stats *ret_stats)
{
    stream_get_stats(splice->stream, ret_stats);
}
