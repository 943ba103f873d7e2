/* Runs ssh-keyscan, or reads the files. One handle at least is open until everything is told: the timer. */
#include "agent/hostkeys.h"

#include "agent/host.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_MS 20000 /* ssh-keyscan itself gives a server 5 s for each type of key */
#define FILE_MAX 8192

struct hostkeys_scan {
    uv_process_t process;
    uv_pipe_t pipe;
    uv_timer_t timer;
    hostkeys_fn *fn; /* NULL: cancelled */
    void *arg;
    bool local, exited, read_ended, told; /* exited: also when it was never started */
    unsigned open;
    struct buf text;
    char chunk[4096];
};

static void on_closed(uv_handle_t *handle)
{
    struct hostkeys_scan *s = handle->data;
    if (--s->open > 0)
        return;
    buf_release(&s->text);
    free(s);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void read_files(struct hostkeys *keys)
{
    static const char *const names[] = {"ed25519", "ecdsa", "rsa"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[FS_PATH_MAX];
        struct buf text;
        snprintf(path, sizeof path, "%s/ssh_host_%s_key.pub", host_ssh_folder(), names[i]);
        buf_init(&text, FILE_MAX);
        if (fs_read(path, &text) == 0)
            (void)hostkeys_parse(keys, (const char *)buf_data(&text), buf_len(&text), false);
        buf_release(&text);
    }
    keys->from = keys->n > 0 ? "files" : "none";
}

static void finish(struct hostkeys_scan *s)
{
    struct hostkeys keys = {.from = "ssh-keyscan"};
    if (s->told)
        return;
    s->told = true;
    if (buf_len(&s->text) > 0)
        (void)hostkeys_parse(&keys, (const char *)buf_data(&s->text), buf_len(&s->text), true);
    if (keys.n == 0) {
        keys.from = "none";
        if (s->local)
            read_files(&keys);
    }
    close_handle((uv_handle_t *)&s->timer);
    if (s->fn != NULL)
        s->fn(s->arg, &keys);
    else
        hostkeys_release(&keys);
}

static void finish_when_done(struct hostkeys_scan *s)
{
    if (s->exited && s->read_ended)
        finish(s);
}

/* The process handle stays until the exit is told, or the dead process would never be reaped; its number is
 * another's from then on. */
static void end_process(struct hostkeys_scan *s)
{
    if (!s->exited)
        uv_process_kill(&s->process, SIGKILL);
    close_handle((uv_handle_t *)&s->pipe);
}

static void on_timer(uv_timer_t *timer)
{
    struct hostkeys_scan *s = timer->data;
    if (!s->exited)
        log_debug("ssh-keyscan took too long and was ended");
    if (s->open > 1)
        end_process(s);
    finish(s);
}

static void on_process_exit(uv_process_t *process, int64_t status, int signal_number)
{
    struct hostkeys_scan *s = process->data;
    (void)status;
    (void)signal_number;
    s->exited = true;
    close_handle((uv_handle_t *)process);
    finish_when_done(s);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct hostkeys_scan *s = handle->data;
    (void)suggested;
    *buf = uv_buf_init(s->chunk, sizeof s->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct hostkeys_scan *s = stream->data;
    if (n == 0)
        return;
    if (n > 0 && buf_append(&s->text, buf->base, (size_t)n) == 0)
        return;
    if (n > 0) { /* it talks too much to be believed */
        buf_clear(&s->text);
        end_process(s);
    }
    s->read_ended = true;
    close_handle((uv_handle_t *)stream);
    finish_when_done(s);
}

static int spawn(struct hostkeys_scan *s, uv_loop_t *loop, const struct addr_hostport *target)
{
    char port[8], host[sizeof target->host], program[] = "ssh-keyscan", time_flag[] = "-T", time[] = "5",
                                             port_flag[] = "-p";
    snprintf(port, sizeof port, "%u", target->port);
    memcpy(host, target->host, sizeof host);
    char *args[] = {program, time_flag, time, port_flag, port, host, NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&s->pipe},
        {.flags = UV_IGNORE},
    };
    uv_process_options_t options = {.exit_cb = on_process_exit,
                                    .file = program,
                                    .args = args,
                                    .stdio = stdio,
                                    .stdio_count = 3,
                                    .flags = UV_PROCESS_WINDOWS_HIDE};
    int r = uv_pipe_init(loop, &s->pipe, 0);
    if (r != 0)
        return r;
    s->pipe.data = s->process.data = s;
    s->open += 2;
    r = uv_spawn(loop, &s->process, &options);
    if (r == 0)
        return uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read);
    s->exited = true;
    close_handle((uv_handle_t *)&s->process);
    close_handle((uv_handle_t *)&s->pipe);
    return r;
}

int hostkeys_scan(uv_loop_t *loop, const struct addr_hostport *target, bool local, hostkeys_fn *fn, void *arg,
                  struct hostkeys_scan **ret_scan)
{
    struct hostkeys_scan *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    buf_init(&s->text, HOSTKEYS_SCAN_MAX);
    s->local = local;
    s->fn = fn;
    s->arg = arg;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    s->open = 1;
    int r = spawn(s, loop, target);
    if (r != 0)
        log_debug("ssh-keyscan cannot be run: %s", uv_strerror(r));
    uv_timer_start(&s->timer, on_timer, r == 0 ? SCAN_MS : 0, 0);
    *ret_scan = s;
    return 0;
}

void hostkeys_cancel(struct hostkeys_scan *s)
{
    if (s == NULL)
        return;
    s->fn = NULL;
    s->told = true;
    if (s->open > 1)
        end_process(s);
    close_handle((uv_handle_t *)&s->timer);
}
