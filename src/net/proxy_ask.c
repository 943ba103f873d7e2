/* The question for the system's proxy. What the thread touches is its own until it is back. */
#include "net/proxy_ask.h"

#include "base/crypto.h"
#include "base/log.h"
#include "net/proxy_system.h"
#include <errno.h>
#include <stdlib.h>

struct proxy_ask {
    uv_work_t work;
    uv_timer_t timer;
    proxy_ask_fn *fn; /* NULL: cancelled, or called */
    void *arg;
    unsigned open; /* the timer, and the thread */
    /* the thread's */
    struct addr_hostport to;
    struct proxy proxy;
    struct errmsg words;
    int status;
};

/* The same answer comes with each connection. */
static struct log_limit notes = {.burst = 1, .interval_ms = 600000};

static void unref(struct proxy_ask *a)
{
    if (--a->open > 0)
        return;
    crypto_wipe(&a->proxy, sizeof a->proxy);
    free(a);
}

static void on_closed(uv_handle_t *handle)
{
    unref(handle->data);
}

static void on_thread(uv_work_t *work)
{
    struct proxy_ask *a = work->data;
    a->status = proxy_system(&a->to, &a->proxy, &a->words);
}

static void tell_answer(struct proxy_ask *a, int status, const struct proxy *proxy, const char *words)
{
    proxy_ask_fn *fn = a->fn;
    if (fn == NULL)
        return;
    a->fn = NULL;
    uv_close((uv_handle_t *)&a->timer, on_closed);
    fn(a->arg, status, proxy, words);
}

static void on_back(uv_work_t *work, int status)
{
    struct proxy_ask *a = work->data;
    if (status == 0 && a->status == 0 && a->fn != NULL && a->words.text[0] != 0)
        log_limited(&notes, LOG_LEVEL_WARN, "%s", a->words.text);
    if (status == 0)
        tell_answer(a, a->status, &a->proxy, a->words.text);
    unref(a);
}

static void on_timer(uv_timer_t *timer)
{
    struct proxy_ask *a = timer->data;
    const struct proxy none = {.on = false};
    log_limited(&notes, LOG_LEVEL_WARN, "the system did not say within %d s which proxy to use: none is used",
                PROXY_ASK_MS / 1000);
    tell_answer(a, 0, &none, "");
}

int proxy_ask_begin(uv_loop_t *loop, const struct addr_hostport *to, proxy_ask_fn *fn, void *arg,
                    struct proxy_ask **ret_ask)
{
    struct proxy_ask *a = calloc(1, sizeof *a);
    if (a == NULL)
        return UV_ENOMEM;
    a->fn = fn;
    a->arg = arg;
    a->to = *to;
    a->work.data = a->timer.data = a;
    int r = uv_queue_work(loop, &a->work, on_thread, on_back);
    if (r != 0) {
        free(a);
        return r;
    }
    a->open = 2;
    uv_timer_init(loop, &a->timer);
    uv_timer_start(&a->timer, on_timer, PROXY_ASK_MS, 0);
    *ret_ask = a;
    return 0;
}

void proxy_ask_cancel(struct proxy_ask *a)
{
    if (a == NULL || a->fn == NULL)
        return;
    a->fn = NULL;
    uv_cancel((uv_req_t *)&a->work); /* one that runs comes back by itself */
    uv_close((uv_handle_t *)&a->timer, on_closed);
}
