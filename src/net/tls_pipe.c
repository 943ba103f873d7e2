/* TLS over libuv. */
#include "net/tls_pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_SIZE 65536
#define OUT_MAX (256u * 1024)
#define LINGER_MS 1000

struct tls_pipe {
    uv_tcp_t *tcp;
    uv_timer_t timer; /* tells of an end in a turn of its own; then bounds the lingering */
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct session *session;
    struct buf plain, out; /* out: what a write in flight points into; untouched until it is over */
    const struct tls_pipe_calls *calls;
    void *arg;
    struct errmsg words;
    int status; /* why it ended; 0: it has not */
    unsigned open;
    bool writing, told_ready, freed, closing;
    char *read_at;
};

static void flush(struct tls_pipe *p);

static void on_closed(uv_handle_t *handle)
{
    struct tls_pipe *p = handle->data;
    if (handle == (uv_handle_t *)p->tcp)
        free(p->tcp);
    if (--p->open > 0)
        return;
    session_free(p->session);
    buf_wipe(&p->plain);
    buf_release(&p->out);
    free(p->read_at);
    free(p);
}

static void close_now(struct tls_pipe *p)
{
    if (p->closing)
        return;
    p->closing = true;
    uv_close((uv_handle_t *)p->tcp, on_closed);
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

static void on_end_timer(uv_timer_t *timer)
{
    struct tls_pipe *p = timer->data;
    p->calls->ended(p->arg, p->status, p->words.text);
}

/* It is over: told from the timer, so that no call of ours calls back. */
static void end(struct tls_pipe *p, int status, const char *words)
{
    if (p->status != 0 || p->freed)
        return;
    p->status = status;
    if (words != p->words.text)
        errmsg_set(&p->words, 0, "%s", words);
    uv_read_stop((uv_stream_t *)p->tcp);
    uv_timer_start(&p->timer, on_end_timer, 0, 0);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    if (status < 0)
        close_now(req->data);
}

/* Everything is with the socket, and nobody wants to write any more. The close waits for the other side's:
 * closing over bytes that were not read would reset the connection, and take our last words with it. */
static void finish(struct tls_pipe *p)
{
    p->shutdown.data = p;
    if (p->status != 0 || uv_shutdown(&p->shutdown, (uv_stream_t *)p->tcp, on_shutdown) != 0)
        close_now(p);
}

static void on_written(uv_write_t *req, int status)
{
    struct tls_pipe *p = req->data;
    p->writing = false;
    if (p->closing)
        return;
    if (status < 0) {
        if (p->freed)
            close_now(p);
        else
            end(p, status, uv_strerror(status));
        return;
    }
    buf_clear(&p->out);
    flush(p);
    if (p->writing)
        return;
    if (p->freed)
        finish(p);
    else if (p->status == 0 && p->calls->drained != NULL && session_ready(p->session))
        p->calls->drained(p->arg);
}

/* Gives the socket what it takes; a write in flight goes on by itself. */
static void flush(struct tls_pipe *p)
{
    while (!p->writing && p->status == 0) {
        if (buf_len(&p->out) == 0) {
            int r = session_output(p->session, &p->out);
            if (r < 0 && r != -ENOBUFS) {
                end(p, r, "out of memory");
                return;
            }
            if (buf_len(&p->out) == 0)
                return;
        }
        uv_buf_t piece = uv_buf_init((char *)(uintptr_t)buf_data(&p->out), (unsigned)buf_len(&p->out));
        int n = uv_try_write((uv_stream_t *)p->tcp, &piece, 1);
        if (n < 0 && n != UV_EAGAIN) {
            end(p, n, uv_strerror(n));
            return;
        }
        if (n > 0)
            buf_consume(&p->out, (size_t)n);
        if (buf_len(&p->out) == 0)
            continue;
        piece = uv_buf_init((char *)(uintptr_t)buf_data(&p->out), (unsigned)buf_len(&p->out));
        p->write.data = p;
        int r = uv_write(&p->write, (uv_stream_t *)p->tcp, &piece, 1, on_written);
        if (r != 0) {
            end(p, r, uv_strerror(r));
            return;
        }
        p->writing = true;
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct tls_pipe *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init(p->read_at, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct tls_pipe *p = stream->data;
    struct errmsg err = {""};
    if (n < 0 && p->freed)
        close_now(p);
    if (n == 0 || p->freed || p->status != 0)
        return;
    if (n < 0) {
        end(p, (int)n, n == UV_EOF ? "the other side closed the connection" : uv_strerror((int)n));
        return;
    }
    int r = session_input(p->session, buf->base, (size_t)n, &p->plain, &err);
    flush(p);
    if (session_ready(p->session) && !p->told_ready) {
        p->told_ready = true;
        p->calls->ready(p->arg);
    }
    if (!p->freed && buf_len(&p->plain) > 0)
        p->calls->input(p->arg, &p->plain);
    if (!p->freed && r != 0)
        end(p,
            r == -ECONNRESET ? UV_EOF
            : r == -EBUSY    ? UV_EBUSY
                             : r,
            r == -ECONNRESET ? "the other side closed the connection" : err.text);
}

int tls_pipe_new(uv_tcp_t *tcp, SSL_CTX *ctx, const char *alpn, const struct session_trust *trust,
                 size_t plain_max, const struct tls_pipe_calls *calls, void *arg, struct tls_pipe **ret_p)
{
    struct tls_pipe *p = calloc(1, sizeof *p);
    int r = -ENOMEM;
    if (p == NULL)
        return r;
    p->read_at = malloc(READ_SIZE);
    if (p->read_at == NULL)
        goto out;
    r = session_new_client(ctx, alpn, trust, &p->session);
    if (r != 0)
        goto out;
    r = uv_read_start((uv_stream_t *)tcp, on_alloc, on_read);
    if (r != 0)
        goto out;
    buf_init(&p->plain, plain_max);
    buf_init(&p->out, OUT_MAX);
    p->calls = calls;
    p->arg = arg;
    p->tcp = tcp;
    tcp->data = p;
    uv_timer_init(tcp->loop, &p->timer);
    p->timer.data = p;
    p->open = 2;
    flush(p);
    *ret_p = p;
    return 0;
out:
    session_free(p->session);
    free(p->read_at);
    free(p);
    return r;
}

int tls_pipe_write(struct tls_pipe *p, const void *data, size_t n)
{
    if (p->status != 0)
        return -EPIPE;
    int r = session_write(p->session, data, n);
    if (r != 0) {
        end(p, r, "the TLS connection does not take any more");
        return r;
    }
    flush(p);
    return p->status != 0 ? -EPIPE : 0;
}

size_t tls_pipe_pending(const struct tls_pipe *p)
{
    return session_output_len(p->session) + buf_len(&p->out);
}

int tls_pipe_peer_pin(const struct tls_pipe *p, uint8_t ret_pin[CRYPTO_HASH_SIZE])
{
    return session_peer_pin(p->session, ret_pin);
}

void tls_pipe_ticket_keep(struct tls_pipe *p, const struct session_ticket *t, uint32_t lifetime_s)
{
    session_ticket_keep(p->session, t, lifetime_s);
}

uint32_t tls_pipe_busy_ms(const struct tls_pipe *p)
{
    return session_busy_ms(p->session);
}

static void on_linger(uv_timer_t *timer)
{
    close_now(timer->data);
}

void tls_pipe_free(struct tls_pipe *p)
{
    if (p == NULL)
        return;
    p->freed = true;
    if (p->status != 0) {
        close_now(p);
        return;
    }
    uv_timer_start(&p->timer, on_linger, LINGER_MS, 0);
    session_close(p->session);
    flush(p);
    if (!p->writing)
        finish(p);
}
