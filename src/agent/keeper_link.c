/* JSON lines over a stream of libuv. Two handles, the stream and a timer: it is freed behind the last one. */
#include "agent/keeper_link.h"

#include "agent/lines.h"
#include "base/errmsg.h"
#include "base/json.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 8192
#define PLAIN_MAX (KEEPER_LINK_LINE_MAX + CHUNK)
#define FLUSH_MS 1000

struct keeper_link {
    uv_stream_t *stream;
    uv_timer_t timer; /* ends it from the loop; bounds the last words */
    uv_shutdown_t shutdown;
    const struct keeper_link_calls *calls;
    void *arg;
    struct buf plain;
    struct errmsg fault;      /* why it is to be ended; "" */
    struct errmsg late_fault; /* why it is deaf */
    bool closed, over;
    bool deaf; /* it takes nothing any more: what it has said before is still read */
    unsigned open;
    char chunk[CHUNK];
};

struct sending {
    uv_write_t req;
    struct keeper_link *link;
    struct buf line;
};

static void on_closed(uv_handle_t *handle)
{
    struct keeper_link *l = handle->data;
    if (handle == (uv_handle_t *)l->stream)
        free(handle);
    if (--l->open > 0)
        return;
    buf_wipe(&l->plain);
    free(l);
}

static void close_handles(struct keeper_link *l)
{
    if (l->over)
        return;
    l->over = true;
    uv_close((uv_handle_t *)l->stream, on_closed);
    uv_close((uv_handle_t *)&l->timer, on_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct keeper_link *l = timer->data;
    if (l->closed)
        close_handles(l);
    else
        l->calls->ended(l->arg, l->fault.text[0] != 0 ? l->fault.text : l->late_fault.text);
}

/* The first fault is told, from the loop. */
static void fail(struct keeper_link *l, const char *words)
{
    if (l->closed || l->fault.text[0] != 0)
        return;
    uv_read_stop(l->stream);
    errmsg_set(&l->fault, 0, "%s", words[0] != 0 ? words : "it failed");
    uv_timer_start(&l->timer, on_timer, 0, 0);
}

/* What the other side said last may be on its way still, and behind it its end. */
static void go_deaf(struct keeper_link *l, const char *words)
{
    if (l->closed || l->deaf || l->fault.text[0] != 0)
        return;
    l->deaf = true;
    errmsg_set(&l->late_fault, 0, "%s", words);
    uv_timer_start(&l->timer, on_timer, FLUSH_MS, 0);
}

/* --- receiving --- */

static const char *take_line(struct keeper_link *l, const char *line, size_t n)
{
    cJSON *m = NULL;
    const char *fault = "what came is no message";
    if (json_parse(line, n, KEEPER_LINK_LINE_MAX, &m) != 0)
        return fault;
    const char *type = json_str(m, "type", 40);
    if (type != NULL)
        fault = l->calls->message(l->arg, type, m);
    cJSON_Delete(m);
    return fault;
}

static void take_lines(struct keeper_link *l)
{
    const char *line, *fault = NULL;
    size_t n;
    int r = 0;
    while (!l->closed && fault == NULL && (r = lines_next(&l->plain, KEEPER_LINK_LINE_MAX, &line, &n)) > 0) {
        fault = take_line(l, line, n);
        buf_consume(&l->plain, n + 1);
    }
    if (r < 0)
        fault = "a line of over 16 KiB came";
    if (fault != NULL)
        fail(l, fault);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct keeper_link *l = handle->data;
    (void)suggested;
    *buf = uv_buf_init(l->chunk, CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct keeper_link *l = stream->data;
    if (l->closed && n < 0)
        close_handles(l);
    if (n == 0 || l->closed || l->fault.text[0] != 0)
        return;
    int r = n > 0 ? buf_append(&l->plain, buf->base, (size_t)n) : 0;
    if (n < 0)
        fail(l, n == UV_EOF ? "the connection was closed" : uv_strerror((int)n));
    else if (r != 0)
        fail(l, strerror(-r));
    else
        take_lines(l);
}

/* --- sending --- */

static void on_written(uv_write_t *req, int status)
{
    struct sending *s = req->data;
    struct keeper_link *l = s->link;
    if (status < 0)
        go_deaf(l, uv_strerror(status));
    buf_wipe(&s->line);
    free(s);
}

/* What the socket does not take at once waits for it. */
static int write_line(struct keeper_link *l, struct buf *line)
{
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)buf_data(line), (unsigned)buf_len(line));
    size_t pending = uv_stream_get_write_queue_size(l->stream);
    int r = pending == 0 ? uv_try_write(l->stream, &out, 1) : UV_EAGAIN;
    if (r < 0 && r != UV_EAGAIN)
        return r;
    if (r > 0)
        buf_consume(line, (size_t)r);
    if (buf_len(line) == 0)
        return 0;
    struct sending *s = pending + buf_len(line) <= KEEPER_LINK_PENDING_MAX ? calloc(1, sizeof *s) : NULL;
    if (s == NULL)
        return UV_ENOBUFS;
    s->link = l;
    s->req.data = s;
    s->line = *line;
    buf_init(line, KEEPER_LINK_LINE_MAX);
    out = uv_buf_init((char *)(uintptr_t)buf_data(&s->line), (unsigned)buf_len(&s->line));
    r = uv_write(&s->req, l->stream, &out, 1, on_written);
    if (r != 0) {
        buf_wipe(&s->line);
        free(s);
    }
    return r;
}

void keeper_link_send(struct keeper_link *l, cJSON *message)
{
    struct buf line;
    buf_init(&line, KEEPER_LINK_LINE_MAX);
    int r = json_take(message, &line);
    if (r == 0)
        r = buf_append(&line, "\n", 1);
    if (r != 0 || l->closed || l->deaf || l->fault.text[0] != 0) {
        buf_wipe(&line);
        if (r != 0)
            fail(l, strerror(-r));
        return;
    }
    r = write_line(l, &line);
    buf_wipe(&line);
    if (r == UV_ENOBUFS)
        fail(l, "it does not read what it is sent");
    else if (r != 0)
        go_deaf(l, uv_strerror(r));
}

/* --- life --- */

int keeper_link_new(uv_stream_t *stream, const struct keeper_link_calls *calls, void *arg,
                    struct keeper_link **ret_l)
{
    struct keeper_link *l = calloc(1, sizeof *l);
    if (l == NULL) {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
        return -ENOMEM;
    }
    l->stream = stream;
    l->calls = calls;
    l->arg = arg;
    buf_init(&l->plain, PLAIN_MAX);
    stream->data = l;
    uv_timer_init(stream->loop, &l->timer);
    l->timer.data = l;
    l->open = 2;
    int r = uv_read_start(stream, on_alloc, on_read);
    if (r != 0) {
        l->closed = true;
        close_handles(l);
        return r;
    }
    *ret_l = l;
    return 0;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    if (status < 0)
        close_handles(req->data);
}

/* Closing over bytes that were not read may destroy what is on its way to the other side: so it is shut down, and closed
 * when the other side has closed, or after a while. */
void keeper_link_free(struct keeper_link *l)
{
    if (l == NULL || l->closed)
        return;
    bool failed = l->fault.text[0] != 0 || l->deaf;
    l->closed = true;
    l->shutdown.data = l;
    if (failed || uv_shutdown(&l->shutdown, l->stream, on_shutdown) != 0)
        close_handles(l);
    else
        uv_timer_start(&l->timer, on_timer, FLUSH_MS, 0);
}
