/* Runs a program. One handle at least is open until everything is told: the timer. */
#include "agent/command.h"

#include "agent/spawn.h"
#include "base/log.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS_MAX 4096 /* of its complaints, from the beginning */

struct output {
    uv_pipe_t pipe;
    struct command *owner;
    struct buf text;
    bool opened, ended;
    bool strict; /* too much of it is a fault */
    bool cut;    /* some of it was left out */
};

struct command {
    uv_process_t process;
    struct output out, err;
    uv_timer_t timer;
    command_fn *fn; /* NULL: cancelled */
    void *arg;
    bool started, exited, told;
    int status, error;
    unsigned open;
    char words[COMMAND_WORDS_MAX];
    char chunk[4096];
};

static void on_closed(uv_handle_t *handle)
{
    struct command *c = handle->data;
    if (--c->open > 0)
        return;
    buf_release(&c->out.text);
    buf_release(&c->err.text);
    free(c);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void close_output(struct output *o)
{
    o->ended = true;
    if (o->opened)
        close_handle((uv_handle_t *)&o->pipe);
}

/* The last line that says something, without what a log line begins with. */
static void take_words(struct command *c)
{
    const char *text = (const char *)buf_data(&c->err.text);
    size_t end = buf_len(&c->err.text), from;
    while (c->err.cut && end > 0 && text[end - 1] != '\n')
        end--; /* it is the beginning of a line */
    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r' || text[end - 1] == ' '))
        end--;
    for (from = end; from > 0 && text[from - 1] != '\n';)
        from--;
    size_t n = end - from < sizeof c->words - 1 ? end - from : sizeof c->words - 1;
    for (size_t i = 0; i < n; i++)
        c->words[i] = text[from + i] >= 0x20 && text[from + i] < 0x7f ? text[from + i] : '?';
    c->words[n] = 0;
}

static void finish(struct command *c)
{
    if (c->told)
        return;
    c->told = true;
    if (c->words[0] == 0)
        take_words(c);
    struct command_result result = {c->status, &c->out.text, c->words, c->error};
    close_handle((uv_handle_t *)&c->timer);
    if (c->fn != NULL)
        c->fn(c->arg, &result);
}

static void finish_when_done(struct command *c)
{
    if (c->exited && c->out.ended && c->err.ended)
        finish(c);
}

/* The process handle stays until the exit is told, or the dead process would never be reaped; its number is
 * another's from then on. */
static void end_process(struct command *c)
{
    if (c->started && !c->exited)
        uv_process_kill(&c->process, SIGKILL);
    close_output(&c->out);
    close_output(&c->err);
}

static void on_timer(uv_timer_t *timer)
{
    struct command *c = timer->data;
    if (c->started && !c->exited) {
        snprintf(c->words, sizeof c->words, "it took too long and was ended");
        c->status = -1;
        buf_clear(&c->out.text);
    }
    end_process(c);
    finish(c);
}

static void on_process_end(uv_process_t *process, int64_t status, int signal_number)
{
    struct command *c = process->data;
    c->exited = true;
    if (!c->told)
        c->status = signal_number != 0 ? 128 + signal_number : (int)status;
    close_handle((uv_handle_t *)process);
    finish_when_done(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct command *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->chunk, sizeof c->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct command *c = stream->data;
    struct output *o = stream == (uv_stream_t *)&c->out.pipe ? &c->out : &c->err;
    if (n == 0 || o->ended)
        return;
    if (n > 0 && !o->cut && buf_append(&o->text, buf->base, (size_t)n) == 0)
        return;
    o->cut = o->cut || n > 0;
    if (n > 0 && !o->strict)
        return;
    if (n > 0) { /* it talks too much to be believed */
        buf_clear(&o->text);
        snprintf(c->words, sizeof c->words, "it says too much");
        end_process(c);
    }
    close_output(o);
    finish_when_done(c);
}

static int open_output(struct command *c, uv_loop_t *loop, struct output *o, uv_stdio_container_t *stdio)
{
    int r = uv_pipe_init(loop, &o->pipe, 0);
    if (r != 0)
        return r;
    o->pipe.data = c;
    o->opened = true;
    c->open++;
    *stdio = (uv_stdio_container_t){.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
                                    .data.stream = (uv_stream_t *)&o->pipe};
    return 0;
}

static int spawn(struct command *c, uv_loop_t *loop, char **args, bool errors)
{
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_IGNORE}};
    uv_process_options_t options = {.exit_cb = on_process_end,
                                    .file = args[0],
                                    .args = args,
                                    .stdio = stdio,
                                    .stdio_count = 3,
                                    .flags = UV_PROCESS_WINDOWS_HIDE};
    int r = open_output(c, loop, &c->out, &stdio[1]);
    if (r == 0 && errors)
        r = open_output(c, loop, &c->err, &stdio[2]);
    if (r != 0)
        return r;
    c->process.data = c;
    c->open++;
    r = uv_spawn(loop, &c->process, &options);
    if (r != 0) {
        char why[COMMAND_WORDS_MAX / 2];
        spawn_words(r, why, sizeof why);
        snprintf(c->words, sizeof c->words, "%s cannot be run: %s", args[0], why);
        close_handle((uv_handle_t *)&c->process);
        return r;
    }
    c->started = true;
    r = uv_read_start((uv_stream_t *)&c->out.pipe, on_alloc, on_read);
    if (r == 0 && errors)
        r = uv_read_start((uv_stream_t *)&c->err.pipe, on_alloc, on_read);
    return r;
}

int command_run(uv_loop_t *loop, char **args, uint64_t timeout_ms, size_t max, bool errors, command_fn *fn,
                void *arg, struct command **ret_command)
{
    struct command *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    buf_init(&c->out.text, max);
    buf_init(&c->err.text, ERRORS_MAX);
    c->out.strict = true;
    c->err.ended = !errors;
    c->fn = fn;
    c->arg = arg;
    c->status = -1;
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    c->open = 1;
    c->error = spawn(c, loop, args, errors);
    if (c->error != 0) {
        if (c->words[0] == 0)
            snprintf(c->words, sizeof c->words, "%s cannot be run: %s", args[0], uv_strerror(c->error));
        end_process(c);
    }
    uv_timer_start(&c->timer, on_timer, c->error == 0 ? timeout_ms : 0, 0);
    *ret_command = c;
    return 0;
}

void command_cancel(struct command *c)
{
    if (c == NULL)
        return;
    c->fn = NULL;
    c->told = true;
    end_process(c);
    close_handle((uv_handle_t *)&c->timer);
}
