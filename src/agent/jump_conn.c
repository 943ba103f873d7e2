/* The connections of a stream to the hub, plain or in TLS, several of which may overlap: their bytes and
 * their ends.
 *
 * Output goes from the stream's memory to the socket; only when a socket takes less than is there, a piece of
 * the rest is copied and written when the socket takes it again. */
#include "agent/jump.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/tls_pipe.h"
#include <stdlib.h>
#include <string.h>

#define IOVS 16
#define TLS_PENDING_MAX (128u * 1024) /* ciphertext that waits for the socket before more is made */

void jump_conn_free(struct jump_conn *c)
{
    free(c->stage);
    free(c);
}

static void on_closed(uv_handle_t *handle)
{
    struct jump_conn *c = handle->data;
    free(handle);
    jump_conn_free(c);
}

void jump_conn_note_failure(struct jump_conn *c)
{
    struct jump *j = c->jump;
    if (c->proven || c->suspect)
        return;
    c->suspect = true;
    if (j->agent->opt.streams != AGENT_STREAMS_AUTO)
        return;
    j->next_tls = !c->tls;
    if (!c->tls)
        j->plain_failed = true;
}

void jump_conn_close(struct jump_conn *c, uint64_t now)
{
    struct jump *j = c->jump;
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (j->conns[i] == c)
            j->conns[i] = NULL;
    c->jump = NULL;
    if (c->index >= 0)
        stream_detach(j->stream, c->index, now);
    dialer_free(c->dialer);
    tls_pipe_free(c->pipe);
    if (c->tcp != NULL)
        uv_close((uv_handle_t *)c->tcp, on_closed);
    else
        jump_conn_free(c);
}

void jump_conn_lost(struct jump_conn *c, const char *words)
{
    struct jump *j = c->jump;
    log_debug("%s: connection %u of the stream to the hub ended: %s", j->user, c->epoch, words);
    jump_conn_note_failure(c);
    jump_conn_close(c, clock_now_ms());
    jump_turn(j);
}

/* --- sending --- */

static void on_written(uv_write_t *req, int status)
{
    struct jump_conn *c = req->data;
    c->writing = false;
    c->stage_n = 0;
    if (c->jump == NULL)
        return;
    if (status < 0)
        jump_conn_lost(c, uv_strerror(status));
    else
        jump_turn(c->jump);
}

/* Copies what fits of the output behind what is in the stage, and has it written when the socket takes it. */
int jump_conn_stage(struct jump_conn *c, uint64_t now)
{
    struct stream_iov iov[IOVS];
    struct stream *s = c->jump->stream;
    size_t n, taken;
    if (c->stage == NULL) {
        c->stage = malloc(JUMP_STAGE);
        if (c->stage == NULL)
            return UV_ENOMEM;
    }
    do {
        taken = 0;
        n = stream_output(s, c->index, iov, IOVS, now);
        for (size_t i = 0; i < n && c->stage_n < JUMP_STAGE; i++) {
            size_t part = iov[i].n < JUMP_STAGE - c->stage_n ? iov[i].n : JUMP_STAGE - c->stage_n;
            memcpy(c->stage + c->stage_n, iov[i].data, part);
            c->stage_n += part;
            taken += part;
        }
        stream_sent(s, c->index, taken, now);
    } while (taken > 0 && c->stage_n < JUMP_STAGE);
    uv_buf_t out = uv_buf_init(c->stage, (unsigned)c->stage_n);
    c->write.data = c;
    c->writing = true;
    int r = uv_write(&c->write, (uv_stream_t *)c->tcp, &out, 1, on_written);
    if (r != 0)
        c->writing = false;
    return r;
}

/* Returns 0 or a negative code. */
static int flush_plain(struct jump_conn *c, uint64_t now)
{
    struct stream_iov iov[IOVS];
    uv_buf_t out[IOVS];
    struct stream *s = c->jump->stream;
    size_t n;
    while (!c->writing && (n = stream_output(s, c->index, iov, IOVS, now)) > 0) {
        size_t total = 0;
        for (size_t i = 0; i < n; i++) {
            out[i] = uv_buf_init((char *)(uintptr_t)iov[i].data, (unsigned)iov[i].n);
            total += iov[i].n;
        }
        int r = uv_try_write((uv_stream_t *)c->tcp, out, (unsigned)n);
        if (r < 0 && r != UV_EAGAIN)
            return r;
        size_t taken = r > 0 ? (size_t)r : 0;
        stream_sent(s, c->index, taken, now);
        if (taken < total) {
            r = jump_conn_stage(c, now);
            if (r != 0)
                return r;
        }
    }
    return 0;
}

static int flush_tls(struct jump_conn *c, uint64_t now)
{
    struct stream_iov iov[IOVS];
    struct stream *s = c->jump->stream;
    size_t n;
    while (tls_pipe_pending(c->pipe) < TLS_PENDING_MAX &&
           (n = stream_output(s, c->index, iov, IOVS, now)) > 0) {
        size_t taken = 0;
        for (size_t i = 0; i < n && tls_pipe_pending(c->pipe) < TLS_PENDING_MAX; i++) {
            int r = tls_pipe_write(c->pipe, iov[i].data, iov[i].n);
            if (r != 0)
                return r;
            taken += iov[i].n;
        }
        stream_sent(s, c->index, taken, now);
    }
    return 0;
}

/* What is remembered of a connection that was proven: that it got through. */
static void note_success(struct jump_conn *c)
{
    struct jump *j = c->jump;
    struct agent *a = j->agent;
    c->proven = true;
    j->next_tls = c->tls;
    if (!c->tls)
        j->plain_worked = true;
    if (c->tls && a->opt.streams == AGENT_STREAMS_AUTO && !a->streams_tls && j->plain_failed &&
        !j->plain_worked) {
        a->streams_tls = true;
        log_warn("plain streams do not get through to the hub: sessions go in TLS from now on (streams = tls "
                 "makes it "
                 "permanent)");
    }
}

/* When a connection on which nothing has come may be one that does not get through. The hub joins it only
 * when the jump was answered. */
static uint64_t silent_at(const struct jump_conn *c)
{
    const struct jump *j = c->jump;
    if (c->heard || c->suspect || !j->answered)
        return UINT64_MAX;
    return (c->opened_at > j->answered_at ? c->opened_at : j->answered_at) + JUMP_RESUME_MS;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status;
}

/* The stream is over and its last words are with us or with the socket. Closing over bytes that were not read
 * would reset the connection and take them with it: so it is shut down, and closed when the other side has
 * closed, or after a while. */
static void say_last(struct jump_conn *c, uint64_t now)
{
    if (c->close_at == 0)
        c->close_at = now + JUMP_FLUSH_MS;
    if (c->pipe != NULL || now >= c->close_at) { /* a TLS pipe does the same by itself */
        jump_conn_close(c, now);
        return;
    }
    if (c->writing || c->shut)
        return;
    c->shut = true;
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)c->tcp, on_shutdown) != 0)
        jump_conn_close(c, now);
}

/* The dialer has bounds of its own; the handshake has this one. */
static uint64_t handshake_by(const struct jump_conn *c)
{
    return c->index < 0 && c->pipe != NULL ? c->opened_at + JUMP_HANDSHAKE_MS : UINT64_MAX;
}

static void pump_opening(struct jump_conn *c, uint64_t now)
{
    struct jump *j = c->jump;
    if (now >= handshake_by(c)) {
        log_debug("%s: connection %u of the stream to the hub: no answer to the TLS handshake", j->user,
                  c->epoch);
        jump_conn_note_failure(c);
        jump_conn_close(c, now);
    } else if (stream_state(j->stream) != STREAM_OPEN) {
        jump_conn_close(c, now);
    }
}

void jump_conn_pump(struct jump_conn *c, uint64_t now)
{
    struct jump *j = c->jump;
    if (c->index < 0) {
        pump_opening(c, now);
        return;
    }
    if (!c->proven && stream_live(j->stream) == c->index)
        note_success(c);
    if (now >= silent_at(c))
        jump_conn_note_failure(c);
    int r = c->pipe != NULL ? flush_tls(c, now) : flush_plain(c, now);
    if (r < 0) {
        log_debug("%s: connection %u of the stream to the hub failed: %s", j->user, c->epoch, uv_strerror(r));
        jump_conn_note_failure(c);
        jump_conn_close(c, now);
    } else if (stream_wants_close(j->stream, c->index)) {
        if (stream_state(j->stream) == STREAM_OPEN) /* superseded, or never proven */
            jump_conn_close(c, now);
        else
            say_last(c, now);
    }
}

uint64_t jump_conn_due(const struct jump_conn *c)
{
    if (c->close_at != 0)
        return c->close_at;
    return c->index < 0 ? handshake_by(c) : silent_at(c);
}

/* --- receiving --- */

void jump_conn_take(struct jump_conn *c, const void *data, size_t n)
{
    struct jump *j = c->jump;
    uint64_t now = clock_now_ms();
    if (c->close_at != 0)
        return;
    int r = stream_input(j->stream, c->index, data, n, now);
    if (r != 0) {
        c->index = -1; /* the stream has let go of it */
        jump_conn_lost(c, "what came on it is not fit");
        return;
    }
    c->heard = true;
    jump_turn(j);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct jump_conn *c = handle->data;
    (void)suggested;
    *buf = c->jump != NULL ? uv_buf_init(c->jump->agent->scratch, AGENT_SCRATCH) : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct jump_conn *c = stream->data;
    if (n == 0 || c->jump == NULL)
        return;
    if (n < 0)
        jump_conn_lost(c, n == UV_EOF ? "closed by the other side" : uv_strerror((int)n));
    else
        jump_conn_take(c, buf->base, (size_t)n);
}

int jump_conn_read(struct jump_conn *c)
{
    return uv_read_start((uv_stream_t *)c->tcp, on_alloc, on_read);
}
