/* The host key of the built-in SSH server. The server itself is asked, for only it knows which one it takes. */
#include "agent/builtin_keys.h"

#include "agent/command.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 10000
#define ANSWER_MAX 16384

struct builtin_keys {
    builtin_keys_fn *fn; /* NULL: cancelled, or called */
    void *arg;
    struct command *command;
    /* of the service */
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_connect_t connect;
    struct buf text;
    unsigned open;
    char chunk[2048];
};

static struct builtin_keys *keys_new(builtin_keys_fn *fn, void *arg)
{
    struct builtin_keys *k = calloc(1, sizeof *k);
    if (k == NULL)
        return NULL;
    buf_init(&k->text, ANSWER_MAX);
    k->fn = fn;
    k->arg = arg;
    return k;
}

static void answer(struct builtin_keys *k, const char *fault, const struct buf *text)
{
    struct hostkeys keys = {.from = "built-in"};
    builtin_keys_fn *fn = k->fn;
    if (fn == NULL)
        return;
    k->fn = NULL;
    if (fault == NULL && buf_len(text) > 0)
        (void)hostkeys_parse(&keys, (const char *)buf_data(text), buf_len(text), false);
    if (keys.n == 0)
        keys.from = "none";
    fn(k->arg, fault, &keys);
}

/* --- of the program --- */

static void on_printed(void *arg, const struct command_result *result)
{
    struct builtin_keys *k = arg;
    char fault[COMMAND_WORDS_MAX + 100];
    if (result->error == UV_ENOENT)
        snprintf(fault, sizeof fault, "its program, multissh-sshd, is not installed");
    else if (result->words[0] != 0)
        snprintf(fault, sizeof fault, "%s", result->words);
    else
        snprintf(fault, sizeof fault, "multissh-sshd --print-host-key ended with status %d", result->status);
    answer(k, result->status == 0 ? NULL : fault, result->text);
    free(k);
}

int builtin_keys_of_program(uv_loop_t *loop, const char *program, const char *state, builtin_keys_fn *fn,
                            void *arg, struct builtin_keys **ret_k)
{
    char path[FS_PATH_MAX], folder[FS_PATH_MAX], print[] = "--print-host-key", flag[] = "--state";
    char *args[] = {path, print, flag, folder, NULL};
    struct builtin_keys *k = keys_new(fn, arg);
    if (k == NULL)
        return -ENOMEM;
    snprintf(path, sizeof path, "%s", program);
    snprintf(folder, sizeof folder, "%s", state);
    int r = command_run(loop, args, ASK_MS, ANSWER_MAX, true, on_printed, k, &k->command);
    if (r != 0) {
        free(k);
        return r;
    }
    *ret_k = k;
    return 0;
}

/* --- of the service --- */

static void on_closed(uv_handle_t *handle)
{
    struct builtin_keys *k = handle->data;
    if (--k->open > 0)
        return;
    buf_release(&k->text);
    free(k);
}

static void end_service(struct builtin_keys *k)
{
    if (uv_is_closing((uv_handle_t *)&k->timer))
        return;
    uv_close((uv_handle_t *)&k->timer, on_closed);
    uv_close((uv_handle_t *)&k->pipe, on_closed);
}

/* Who serves users but not this question serves: only the key stays unknown. */
static void on_timer(uv_timer_t *timer)
{
    struct builtin_keys *k = timer->data;
    log_debug("the built-in SSH server's service does not tell its host key");
    end_service(k);
    answer(k, NULL, &k->text);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct builtin_keys *k = handle->data;
    (void)suggested;
    *buf = uv_buf_init(k->chunk, sizeof k->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct builtin_keys *k = stream->data;
    if (n == 0 || uv_is_closing((uv_handle_t *)stream))
        return;
    if (n > 0 && buf_append(&k->text, buf->base, (size_t)n) == 0)
        return;
    end_service(k);
    answer(k, NULL, &k->text);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct builtin_keys *k = req->data;
    if (status == UV_ECANCELED || uv_is_closing((uv_handle_t *)&k->pipe))
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&k->pipe, on_alloc, on_read);
    if (status == 0)
        return;
    log_debug("the built-in SSH server's service cannot be asked for its host key: %s", uv_strerror(status));
    end_service(k);
    answer(k, NULL, &k->text);
}

int builtin_keys_of_service(uv_loop_t *loop, const char *socket, builtin_keys_fn *fn, void *arg,
                            struct builtin_keys **ret_k)
{
    char path[FS_PATH_MAX];
    const char *slash = strrchr(socket, '/');
    struct builtin_keys *k = keys_new(fn, arg);
    if (k == NULL)
        return -ENOMEM;
    snprintf(path, sizeof path, "%.*s/host-key", slash != NULL ? (int)(slash - socket) : 0, socket);
    uv_timer_init(loop, &k->timer);
    (void)uv_pipe_init(loop, &k->pipe, 0);
    k->timer.data = k->pipe.data = k->connect.data = k;
    k->open = 2;
    uv_timer_start(&k->timer, on_timer, ASK_MS, 0);
    uv_pipe_connect(&k->connect, &k->pipe, path, on_connected);
    *ret_k = k;
    return 0;
}

void builtin_keys_cancel(struct builtin_keys *k)
{
    if (k == NULL)
        return;
    k->fn = NULL;
    if (k->command != NULL) {
        command_cancel(k->command);
        free(k);
    } else {
        end_service(k);
    }
}
