/* The user's side of a stream. */
#include "client/local.h"

#include "client/os.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STAGE 65536 /* bytes that wait for the other side to take them */
#define PUT_MAX (1u << 20)
#define EARLY 4096           /* bytes that came before there is a stream: what its smallest window takes */
#define FILE_TURN (1u << 20) /* bytes of a file in one turn */

struct side {
    uv_stream_t *stream; /* NULL: a file */
    uv_file file;
};

struct local {
    const struct local_calls *calls;
    void *arg;
    void (*before)(void *arg);
    struct stream *s;
    struct side in, out; /* of a connection the same */
    uv_idle_t later;     /* a file goes on in the next turn */
    bool reading, read_ended, writing, shut, over;
    int broken; /* a code */
    bool told;
    uv_write_t write;
    uv_shutdown_t shutdown;
    size_t early_n, stage_n;
    unsigned open;
    char early[EARLY], stage[STAGE];
};

static void on_closed(uv_handle_t *handle)
{
    struct local *l = handle->data;
    if (handle != (uv_handle_t *)&l->later)
        free(handle);
    if (--l->open == 0)
        free(l);
}

static void on_later(uv_idle_t *idle)
{
    struct local *l = idle->data;
    uv_idle_stop(idle);
    if (l->broken != 0 && !l->told) {
        l->told = true;
        l->calls->broken(l->arg, l->broken);
        return;
    }
    local_pump(l);
    l->calls->moved(l->arg);
}

/* Told in a turn of its own. */
static void later(struct local *l)
{
    if (!l->over)
        uv_idle_start(&l->later, on_later);
}

static void break_off(struct local *l, int status)
{
    if (l->broken != 0)
        return;
    l->broken = status;
    later(l);
}

/* --- out --- */

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct local *l = req->data;
    (void)status;
    if (l->over)
        return;
    stream_sink_eof_delivered(l->s);
    l->calls->moved(l->arg);
}

static void close_stream(struct side *side)
{
    if (side->stream != NULL)
        uv_close((uv_handle_t *)side->stream, on_closed);
    side->stream = NULL;
}

/* The end of a pipe is told by closing it. */
static void close_output(struct local *l)
{
    l->shut = true;
    l->shutdown.data = l;
    if (l->out.stream != NULL && l->out.stream == l->in.stream && l->broken == 0 &&
        uv_shutdown(&l->shutdown, l->out.stream, on_shutdown) == 0)
        return;
    if (l->out.stream != l->in.stream)
        close_stream(&l->out);
    stream_sink_eof_delivered(l->s);
}

static void on_written(uv_write_t *req, int status)
{
    struct local *l = req->data;
    l->writing = false;
    if (l->over)
        return;
    if (status < 0) {
        break_off(l, status);
        return;
    }
    local_pump(l);
    l->calls->moved(l->arg);
}

/* Returns the number of bytes that are done with, or a negative code. */
static int put(struct local *l, const uint8_t *data, size_t n)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)n);
    if (l->out.stream == NULL) {
        uv_fs_t req;
        int r = uv_fs_write(NULL, &req, l->out.file, &buf, 1, -1, NULL);
        uv_fs_req_cleanup(&req);
        return r == 0 ? UV_EIO : r;
    }
    int r = uv_try_write(l->out.stream, &buf, 1);
    if (r != 0 && r != UV_EAGAIN && r != UV_ENOSYS)
        return r;
    buf.len = n < STAGE ? n : STAGE;
    memcpy(l->stage, buf.base, buf.len);
    l->write.data = l;
    int taken = (int)buf.len;
    buf.base = l->stage;
    r = uv_write(&l->write, l->out.stream, &buf, 1, on_written);
    l->writing = r == 0;
    return r == 0 ? taken : r;
}

static void pump_out(struct local *l)
{
    const uint8_t *at;
    size_t n;
    while (!l->writing && (n = stream_sink_peek(l->s, &at)) > 0) {
        int r = (int)(n < STAGE ? n : STAGE);
        if (l->broken == 0) {
            if (l->before != NULL)
                l->before(l->arg);
            r = put(l, at, n < PUT_MAX ? n : PUT_MAX);
        }
        if (r < 0)
            break_off(l, r);
        else
            stream_sink_consumed(l->s, (size_t)r);
    }
    if (!l->writing && !l->shut && stream_sink_eof(l->s))
        close_output(l);
}

/* --- in --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct local *l = handle->data;
    uint8_t *at;
    size_t n = 0;
    *buf = uv_buf_init(NULL, 0);
    if (l->over)
        return;
    if (l->s == NULL)
        *buf = uv_buf_init(l->early + l->early_n, (unsigned)(EARLY - l->early_n));
    else if (stream_source_reserve(l->s, suggested, &at, &n) == 0)
        *buf = uv_buf_init((char *)at, (unsigned)n);
}

static void stop_reading(struct local *l)
{
    if (l->reading && l->in.stream != NULL)
        uv_read_stop(l->in.stream);
    l->reading = false;
}

static void input_ended(struct local *l)
{
    stop_reading(l);
    l->read_ended = true;
    if (l->s != NULL)
        stream_source_eof(l->s);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct local *l = stream->data;
    (void)buf;
    if (n == 0 || l->over)
        return;
    if (n == UV_ENOBUFS) { /* no room just now */
        stop_reading(l);
        return;
    }
    if (n < 0) {
        bool early = l->s == NULL;
        input_ended(l);
        if (n != UV_EOF || early)
            break_off(l, (int)n);
        else
            l->calls->moved(l->arg);
        return;
    }
    if (l->s == NULL) {
        l->early_n += (size_t)n;
        if (l->early_n == EARLY)
            stop_reading(l);
        return;
    }
    stream_source_commit(l->s, (size_t)n);
    if (stream_source_room(l->s) == 0)
        stop_reading(l);
    l->calls->moved(l->arg);
}

static void read_file(struct local *l)
{
    size_t total = 0, room = 0;
    uint8_t *at;
    while (total < FILE_TURN && stream_source_reserve(l->s, STAGE, &at, &room) == 0) {
        uv_fs_t req;
        uv_buf_t buf = uv_buf_init((char *)at, (unsigned)(room < STAGE ? room : STAGE));
        int r = uv_fs_read(NULL, &req, l->in.file, &buf, 1, -1, NULL);
        uv_fs_req_cleanup(&req);
        if (r <= 0) {
            input_ended(l);
            if (r < 0)
                break_off(l, r);
            return;
        }
        stream_source_commit(l->s, (size_t)r);
        total += (size_t)r;
    }
    if (total >= FILE_TURN)
        later(l);
}

int local_watch(struct local *l)
{
    int r = l->reading || l->in.stream == NULL ? 0 : uv_read_start(l->in.stream, on_alloc, on_read);
    l->reading = r == 0;
    return r;
}

static void pump_in(struct local *l)
{
    if (l->read_ended || stream_state(l->s) != STREAM_OPEN || stream_source_room(l->s) == 0)
        return;
    if (l->in.stream == NULL) {
        read_file(l);
    } else if (!l->reading) {
        int r = uv_read_start(l->in.stream, on_alloc, on_read);
        l->reading = r == 0;
        if (r != 0)
            break_off(l, r);
    }
}

void local_join(struct local *l, struct stream *s)
{
    stop_reading(l);
    l->s = s;
    if (l->early_n > 0)
        (void)stream_source_push(s, l->early, l->early_n); /* the smallest window has room for it or more */
    if (l->read_ended)
        stream_source_eof(s);
    later(l);
}

void local_pump(struct local *l)
{
    if (l->s == NULL || l->over)
        return;
    pump_out(l);
    pump_in(l);
}

bool local_ended(const struct local *l)
{
    return l->read_ended;
}

void local_before_output(struct local *l, void (*fn)(void *arg))
{
    l->before = fn;
}

/* --- begin and end --- */

static int open_side(uv_loop_t *loop, struct local *l, uv_file fd, struct side *side)
{
    union {
        uv_pipe_t pipe;
        uv_tcp_t tcp;
        uv_tty_t tty;
    } * handle;
    uv_handle_type type = uv_guess_handle(fd);
    int r = UV_EBADF;
    if (fd == 1 && type != UV_TTY)
        fd = os_take_output();
    if (fd < 0)
        return fd;
    side->file = fd;
    if (type == UV_FILE)
        return 0;
    if (type == UV_NAMED_PIPE)
        os_widen_pipe(fd);
    handle = calloc(1, sizeof *handle);
    if (handle == NULL)
        return UV_ENOMEM;
    if (type == UV_NAMED_PIPE && (r = uv_pipe_init(loop, &handle->pipe, 0)) == 0)
        r = uv_pipe_open(&handle->pipe, fd);
    else if (type == UV_TCP && (r = uv_tcp_init(loop, &handle->tcp)) == 0)
        r = uv_tcp_open(&handle->tcp, (uv_os_sock_t)fd);
    else if (type == UV_TTY)
        r = uv_tty_init(loop, &handle->tty, fd, 0);
    uv_stream_t *stream = (uv_stream_t *)handle;
    if (r != 0 && (type == UV_TTY || stream->type == UV_UNKNOWN_HANDLE)) {
        free(handle);
        return r;
    }
    stream->data = l;
    l->open++;
    side->stream = stream;
    return r;
}

static struct local *make(uv_loop_t *loop, const struct local_calls *calls, void *arg)
{
    struct local *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->calls = calls;
    l->arg = arg;
    uv_idle_init(loop, &l->later);
    l->later.data = l;
    l->open = 1;
    return l;
}

int local_new_stdio(uv_loop_t *loop, const struct local_calls *calls, void *arg, struct local **ret_l)
{
    struct local *l = make(loop, calls, arg);
    if (l == NULL)
        return UV_ENOMEM;
    int r = open_side(loop, l, 0, &l->in);
    if (r == 0)
        r = open_side(loop, l, 1, &l->out);
    if (r != 0) {
        local_free(l);
        return r;
    }
    *ret_l = l;
    return 0;
}

int local_new_tcp(uv_tcp_t *tcp, const struct local_calls *calls, void *arg, struct local **ret_l)
{
    struct local *l = make(tcp->loop, calls, arg);
    if (l == NULL) {
        uv_close((uv_handle_t *)tcp, (uv_close_cb)free);
        return -ENOMEM;
    }
    tcp->data = l;
    l->open++;
    l->in.stream = l->out.stream = (uv_stream_t *)tcp;
    *ret_l = l;
    return 0;
}

void local_free(struct local *l)
{
    if (l == NULL || l->over)
        return;
    l->over = true;
    if (l->out.stream != l->in.stream)
        close_stream(&l->out);
    close_stream(&l->in);
    uv_close((uv_handle_t *)&l->later, on_closed);
}
