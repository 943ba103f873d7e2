/* Runs ssh and collects what it prints. */
#include "client/ask.h"

#include "base/crypto.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH "MULTISSH_DEPTH" /* how many of us are waiting for an ssh that has started the next one */
#define DEPTH_MAX 4
#define DRAIN_MS                                                                                             \
    2000 /* after its end, for what else holds its output (a master connection in the background) */

struct ask {
    uv_process_t process;
    uv_pipe_t pipe;
    uv_timer_t timer;
    struct buf text;
    ask_fn *fn; /* NULL: cancelled */
    void *arg;
    int status;
    bool exited, ended, told, running;
    unsigned open;
    char chunk[4096];
};

void ask_words(const struct client_options *o, const struct destination *hub, struct words *w)
{
    static const char *const options[] = {"-T",
                                          "-a",
                                          "-x",
                                          "-o",
                                          "ClearAllForwardings=yes",
                                          "-o",
                                          "RemoteCommand=none",
                                          "-o",
                                          "PermitLocalCommand=no"};
    client_options_ssh(o, w);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        words_add(w, options[i]);
    destination_add(hub, w);
}

static unsigned depth(void)
{
    char text[16];
    size_t n = sizeof text;
    return uv_os_getenv(DEPTH, text, &n) == 0 ? (unsigned)strtoul(text, NULL, 10) : 0;
}

int ask_allowed(struct errmsg *err)
{
    return depth() < DEPTH_MAX
               ? 0
               : errmsg_set(
                     err, -ELOOP,
                     "the way to the hub leads through `multissh connect` again and again: except the hub in "
                     "~/.ssh/config, as in `Host *.DOMAIN !HUB`");
}

static void on_closed(uv_handle_t *handle)
{
    struct ask *a = handle->data;
    if (--a->open > 0)
        return;
    buf_wipe(&a->text);
    crypto_wipe(a->chunk, sizeof a->chunk);
    free(a);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void finish(struct ask *a)
{
    if (a->told)
        return;
    a->told = true;
    close_handle((uv_handle_t *)&a->timer);
    close_handle((uv_handle_t *)&a->pipe);
    if (a->fn != NULL)
        a->fn(a->arg, a->status, &a->text);
    buf_wipe(&a->text);
}

static void on_timer(uv_timer_t *timer)
{
    finish(timer->data);
}

static void on_exit_of_ssh(uv_process_t *process, int64_t status, int signal_number)
{
    struct ask *a = process->data;
    a->exited = true;
    if (a->status == 0)
        a->status = signal_number != 0 ? 128 + signal_number : (int)status;
    close_handle((uv_handle_t *)process);
    if (a->told)
        return;
    if (a->ended)
        finish(a);
    else
        uv_timer_start(&a->timer, on_timer, DRAIN_MS, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct ask *a = handle->data;
    (void)suggested;
    *buf = uv_buf_init(a->chunk, sizeof a->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct ask *a = stream->data;
    if (n == 0 || a->told)
        return;
    if (n > 0 && buf_append(&a->text, buf->base, (size_t)n) == 0)
        return;
    if (n > 0) {
        a->status = -EMSGSIZE;
        if (!a->exited)
            uv_process_kill(&a->process, SIGTERM);
        finish(a);
        return;
    }
    a->ended = true;
    if (a->exited)
        finish(a);
}

static int spawn(struct ask *a, uv_loop_t *loop, const struct words *w)
{
    char next[16];
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&a->pipe},
        {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {
        .exit_cb = on_exit_of_ssh, .file = w->item[0], .args = w->item, .stdio = stdio, .stdio_count = 3};
    unsigned before = depth();
    snprintf(next, sizeof next, "%u", before + 1);
    (void)uv_os_setenv(DEPTH, next);
    int r = uv_spawn(loop, &a->process, &options);
    snprintf(next, sizeof next, "%u", before);
    (void)uv_os_setenv(DEPTH, next);
    return r == 0 ? uv_read_start((uv_stream_t *)&a->pipe, on_alloc, on_read) : r;
}

int ask_run(uv_loop_t *loop, const struct words *w, size_t max, ask_fn *fn, void *arg, struct ask **ret_a)
{
    struct ask *a = w->failed == 0 ? calloc(1, sizeof *a) : NULL;
    if (a == NULL)
        return w->failed != 0 ? w->failed : -ENOMEM;
    buf_init(&a->text, max);
    a->fn = fn;
    a->arg = arg;
    a->process.data = a->pipe.data = a->timer.data = a;
    uv_timer_init(loop, &a->timer);
    (void)uv_pipe_init(loop, &a->pipe, 0);
    a->open = 3;
    a->status = 0;
    int r = spawn(a, loop, w);
    if (r != 0) {
        a->status = r;
        a->exited = true;
        if (a->process.type == UV_PROCESS)
            close_handle((uv_handle_t *)&a->process);
        else
            a->open--;
        uv_timer_start(&a->timer, on_timer, 0, 0);
    }
    *ret_a = a;
    return 0;
}

void ask_cancel(struct ask *a)
{
    if (a == NULL)
        return;
    a->fn = NULL;
    if (!a->exited)
        uv_process_kill(&a->process, SIGTERM);
    finish(a);
}

void ask_failure(const struct client_options *o, int status, const char *what, struct errmsg *err)
{
    if (status == -EMSGSIZE)
        errmsg_set(err, status, "cannot %s: %s printed more than a multiSSH hub would", what, o->ssh);
    else if (status < 0)
        errmsg_set(err, status, "cannot %s: %s cannot be run: %s; --ssh names the one to be used", what,
                   o->ssh, uv_strerror(status));
    else if (status == 255)
        errmsg_set(err, -EIO, "cannot %s: %s did not get to the hub; does `%s %s` work?", what, o->ssh,
                   o->ssh, o->hub);
    else if (status == ASK_NO_COMMAND)
        errmsg_set(err, -EPROTO, "cannot %s: what answers at %s is no multiSSH hub", what, o->hub);
    else if (status > 128)
        errmsg_set(err, -EIO, "cannot %s: %s was ended by signal %d", what, o->ssh, status - 128);
    else
        errmsg_set(err, -EIO, "the hub said no to: %s", what);
}
