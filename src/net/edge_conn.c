/* The connections of a stream to the hub, plain or in TLS, several of which may overlap: their bytes and their ends.
 *
 * Output goes from the stream's memory to the socket; only when a socket takes less than is there, a piece of the rest
 * is copied and written when the socket takes it again. */
#include "net/edge_private.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "net/tls_pipe.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IOVS 16
#define TLS_PENDING_MAX (128u * 1024) /* ciphertext that waits for the socket before more is made */

void edge_conn_free(struct edge_conn *c)
{
    crypto_wipe(&c->path, sizeof c->path);
    free(c->stage);
    free(c->line);
    free(c);
}

static void on_closed(uv_handle_t *handle)
{
    struct edge_conn *c = handle->data;
    free(handle);
    edge_conn_free(c);
}

/* It came to nothing. Where the way is to be found out, the next one goes the other way. A plain connection that was
 * closed once says little: a hub that is restarted does that, or one whose other edge dials anew. */
static void note_failure(struct edge_conn *c, unsigned weight)
{
    struct edge *e = c->edge;
    if (c->proven || c->suspect)
        return;
    c->suspect = true;
    if (!e->is_auto)
        return;
    if (!c->tls)
        e->plain_failures += weight;
    e->next_tls = !c->tls && e->plain_failures >= EDGE_FAILURES;
    if (e->next_tls && !c->heard)
        e->plain_failed = true;
}

void edge_conn_close(struct edge_conn *c, uint64_t now)
{
    struct edge *e = c->edge;
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (e->conns[i] == c)
            e->conns[i] = NULL;
    c->edge = NULL;
    e->again = true; /* what the owner knows of the connections is no longer so */
    if (c->index >= 0)
        stream_detach(e->stream, c->index, now);
    dialer_free(c->dialer);
    c->dialer = NULL;
    tls_pipe_free(c->pipe);
    c->pipe = NULL;
    if (c->tcp != NULL)
        uv_close((uv_handle_t *)c->tcp, on_closed);
    else
        edge_conn_free(c);
}

/* Has a newer one been announced to the hub, which closes this one then? */
static bool is_replaced(const struct edge_conn *c)
{
    const struct edge *e = c->edge;
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (e->conns[i] != NULL && e->conns[i]->index >= 0 && e->conns[i]->epoch > c->epoch)
            return true;
    return false;
}

void edge_conn_fail(struct edge_conn *c, const char *words, uint64_t now)
{
    struct edge *e = c->edge;
    log_debug("%s: connection %u of the stream to the hub: %s", e->label, c->epoch, words);
    errmsg_set(&e->words, 0, "%s", words);
    if (!is_replaced(c))
        note_failure(c, 1);
    edge_conn_close(c, now);
    e->failed = true;
}

/* --- sending --- */

static void on_written(uv_write_t *req, int status)
{
    struct edge_conn *c = req->data;
    struct edge *e = c->edge;
    c->writing = false;
    c->stage_n = 0;
    free(c->stage); /* most connections are idle for most of the time */
    c->stage = NULL;
    if (e == NULL)
        return;
    if (status < 0)
        edge_conn_fail(c, uv_strerror(status), clock_now_ms());
    edge_turn(e);
}

/* Copies what fits of the output behind what is in the stage, and has it written when the socket takes it. */
int edge_conn_stage(struct edge_conn *c, uint64_t now)
{
    struct stream_iov iov[IOVS];
    struct stream *s = c->edge->stream;
    size_t n, taken;
    if (c->stage == NULL) {
        c->stage = malloc(EDGE_STAGE);
        if (c->stage == NULL)
            return UV_ENOMEM;
    }
    do {
        n = stream_output(s, c->index, iov, IOVS, now);
        taken = edge_stash_copy(c, iov, n, c->stage + c->stage_n, EDGE_STAGE - c->stage_n);
        c->stage_n += taken;
        stream_sent(s, c->index, taken, now);
    } while (taken > 0 && c->stage_n < EDGE_STAGE);
    uv_buf_t out = uv_buf_init(c->stage, (unsigned)c->stage_n);
    c->write.data = c;
    c->writing = true;
    int r = uv_write(&c->write, (uv_stream_t *)c->tcp, &out, 1, on_written);
    if (r != 0)
        c->writing = false;
    return r;
}

/* Of a plain one. */
static int socket_of(const struct edge_conn *c)
{
    uv_os_fd_t fd;
    return uv_fileno((const uv_handle_t *)c->tcp, &fd) == 0 ? (int)(intptr_t)fd : -1;
}

/* Returns how many bytes the socket took, UV_EAGAIN or another negative code. */
static long send_plain(struct edge_conn *c, const struct stream_iov *iov, size_t n)
{
    uv_buf_t out[IOVS];
    if (c->edge->stash != NULL)
        return edge_stash_send(c, socket_of(c), iov, n);
    for (size_t i = 0; i < n; i++)
        out[i] = uv_buf_init((char *)(uintptr_t)iov[i].data, (unsigned)iov[i].n);
    return uv_try_write((uv_stream_t *)c->tcp, out, (unsigned)n);
}

/* Returns 0 or a negative code. */
static int flush_plain(struct edge_conn *c, uint64_t now)
{
    struct stream_iov iov[IOVS];
    struct stream *s = c->edge->stream;
    size_t n;
    while (!c->writing && (n = stream_output(s, c->index, iov, IOVS, now)) > 0) {
        size_t total = 0;
        for (size_t i = 0; i < n; i++)
            total += iov[i].n;
        int r = (int)send_plain(c, iov, n);
        if (r < 0 && r != UV_EAGAIN)
            return r;
        size_t taken = r > 0 ? (size_t)r : 0;
        stream_sent(s, c->index, taken, now);
        if (taken < total) {
            r = edge_conn_stage(c, now);
            if (r != 0)
                return r;
        }
    }
    return 0;
}

static int flush_tls(struct edge_conn *c, uint64_t now)
{
    struct stream_iov iov[IOVS];
    struct stream *s = c->edge->stream;
    size_t n;
    edge_stash_recall(c->edge);
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

/* It got through: remembered is how. */
static void note_success(struct edge_conn *c)
{
    struct edge *e = c->edge;
    e->next_tls = c->tls;
    if (c->tls)
        return;
    e->plain_worked = true;
    e->plain_failures = 0;
}

static void note_proven(struct edge_conn *c)
{
    struct edge *e = c->edge;
    c->proven = true;
    e->tries = 0;
    e->proven = c->path;
    note_success(c);
    if (c->tls && e->is_auto && !e->tls_first && e->plain_failed && !e->plain_worked) {
        e->needs_tls = true;
        e->again = true;
    }
}

/* When a connection on which nothing has come may be one that does not get through. The hub may let it wait for the
 * other edge until the owner says that it has no reason to. */
static uint64_t silent_at(const struct edge_conn *c)
{
    const struct edge *e = c->edge;
    if (c->heard || c->suspect || !e->expected)
        return UINT64_MAX;
    return (c->opened_at > e->expected_at ? c->opened_at : e->expected_at) + EDGE_SILENT_MS;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status;
}

/* The stream is over and its last words are with us or with the socket. Closing over bytes that were not read would
 * reset the connection and take them with it: so it is shut down, and closed when the other side has closed, or after
 * a while. */
static void say_last(struct edge_conn *c, uint64_t now)
{
    if (c->close_at == 0)
        c->close_at = now + EDGE_FLUSH_MS;
    if (c->pipe != NULL || now >= c->close_at) { /* a TLS pipe does the same by itself */
        edge_conn_close(c, now);
        return;
    }
    if (c->writing || c->shut)
        return;
    c->shut = true;
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)c->tcp, on_shutdown) != 0)
        edge_conn_close(c, now);
}

/* The dialer has bounds of its own; the handshake has this one. */
static uint64_t handshake_by(const struct edge_conn *c)
{
    return c->index < 0 && c->pipe != NULL ? c->opened_at + EDGE_HANDSHAKE_MS : UINT64_MAX;
}

static void pump_opening(struct edge_conn *c, uint64_t now)
{
    struct stream *s = c->edge->stream;
    if (now >= handshake_by(c))
        edge_conn_fail(c, "no answer to the TLS handshake", now);
    else if (stream_state(s) != STREAM_OPEN)
        edge_conn_close(c, now);
}

void edge_conn_pump(struct edge_conn *c, uint64_t now)
{
    struct stream *s = c->edge->stream;
    if (c->index < 0) {
        pump_opening(c, now);
        return;
    }
    if (!c->proven && stream_live(s) == c->index)
        note_proven(c);
    if (now >= pace_due(&c->pace))
        pace_tick(&c->pace, socket_of(c), now);
    if (now >= silent_at(c))
        note_failure(c, EDGE_FAILURES);
    int r = c->pipe != NULL ? flush_tls(c, now) : flush_plain(c, now);
    if (r < 0) {
        edge_conn_fail(c, c->pipe != NULL ? "the TLS connection does not take any more" : uv_strerror(r),
                       now);
    } else if (stream_wants_close(s, c->index)) {
        if (stream_state(s) == STREAM_OPEN) /* superseded, or never proven */
            edge_conn_close(c, now);
        else
            say_last(c, now);
    }
}

uint64_t edge_conn_due(const struct edge_conn *c)
{
    if (c->close_at != 0)
        return c->close_at;
    uint64_t at = c->index < 0 ? handshake_by(c) : silent_at(c);
    return at < pace_due(&c->pace) ? at : pace_due(&c->pace);
}

/* --- receiving --- */

/* The hub has said no, in a line that only the hub can write. */
static void refused(struct edge_conn *c, const struct preamble_refusal *no, uint64_t now)
{
    struct edge *e = c->edge;
    log_debug("%s: connection %u of the stream is refused by the hub%s: %s", e->label, c->epoch,
              no->final ? " for good" : "", no->text);
    errmsg_set(&e->words, 0, "%s", no->text);
    note_success(c); /* of the way */
    edge_conn_close(c, now);
    if (no->final)
        stream_reset(e->stream, STREAM_CODE_LOCAL, no->text);
    if (e->calls->refused != NULL)
        e->calls->refused(e->arg, no->final, no->text);
}

/* A connection begins with the other edge's frames, or with the hub's refusal. Returns false when it was the latter,
 * or may become it: the bytes are dealt with. */
static bool is_frames(struct edge_conn *c, const char *data, size_t n, uint64_t now)
{
    struct preamble_refusal no = {0};
    struct preamble p;
    if (c->heard || (c->line_n == 0 && data[0] != 'M'))
        return true;
    if (c->line == NULL)
        c->line = malloc(PREAMBLE_MAX);
    if (c->line == NULL) {
        edge_conn_fail(c, strerror(ENOMEM), now);
        return false;
    }
    if (n > PREAMBLE_MAX - c->line_n)
        n = PREAMBLE_MAX - c->line_n;
    memcpy(c->line + c->line_n, data, n);
    c->line_n += n;
    int r = edge_conn_preamble(c, &p);
    if (r == 0)
        r = preamble_refuse_parse(c->line, c->line_n, &p, c->edge->key, &no);
    if (r > 0)
        refused(c, &no, now);
    else if (r != -EAGAIN)
        edge_conn_fail(c, "what came on it is not fit", now);
    return false;
}

void edge_conn_take(struct edge_conn *c, const void *data, size_t n)
{
    struct edge *e = c->edge;
    uint64_t now = clock_now_ms();
    if (c->close_at != 0)
        return;
    if (is_frames(c, data, n, now)) {
        if (stream_input(e->stream, c->index, data, n, now) == 0) {
            c->heard = true;
        } else {
            c->index = -1; /* the stream has let go of it */
            edge_conn_fail(c, "what came on it is not fit", now);
        }
    }
    edge_turn(e);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct edge_conn *c = handle->data;
    (void)suggested;
    *buf = c->edge != NULL && !edge_through_wanted(c) ? uv_buf_init(c->edge->scratch, EDGE_SCRATCH)
                                                      : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct edge_conn *c = stream->data;
    struct edge *e = c->edge;
    if (n == 0 || e == NULL)
        return;
    if (n == UV_ENOBUFS) { /* on_alloc has given it no memory: it was not to read */
        uint64_t now = clock_now_ms();
        size_t all = edge_through_read(c, socket_of(c), now);
        pace_read(&c->pace, socket_of(c), all, all >= PACE_WAKE, now);
        edge_turn(e);
        return;
    }
    if (n > 0) {
        pace_read(&c->pace, socket_of(c), (size_t)n, (size_t)n == buf->len, clock_now_ms());
        edge_conn_take(c, buf->base, (size_t)n);
        return;
    }
    edge_conn_fail(c, n == UV_EOF ? "closed by the other side" : uv_strerror((int)n), clock_now_ms());
    edge_turn(e);
}

int edge_conn_read(struct edge_conn *c)
{
    return uv_read_start((uv_stream_t *)c->tcp, on_alloc, on_read);
}
