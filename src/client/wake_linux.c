/* A timer of the wall clock that is cancelled when that clock jumps, as it does when the host wakes up (timerfd_create(2),
 * TFD_TIMER_CANCEL_ON_SET), and SIGCONT. */
#include "client/wake.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FAR_S (10L * 365 * 24 * 3600)

struct wake {
    uv_poll_t poll;
    uv_signal_t signal;
    wake_fn *fn;
    void *arg;
    int fd;
    unsigned open;
};

static int arm(struct wake *w)
{
    struct itimerspec at = {.it_value = {.tv_sec = time(NULL) + FAR_S}};
    return timerfd_settime(w->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL) == 0 ? 0 : -errno;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct wake *w = poll->data;
    uint64_t count;
    (void)events;
    if (status < 0)
        return;
    ssize_t n = read(w->fd, &count, sizeof count);
    if (n < 0 && errno != ECANCELED)
        return;
    (void)arm(w);
    w->fn(w->arg);
}

static void on_continue(uv_signal_t *handle, int number)
{
    struct wake *w = handle->data;
    (void)number;
    w->fn(w->arg);
}

static void on_closed(uv_handle_t *handle)
{
    struct wake *w = handle->data;
    if (--w->open > 0)
        return;
    close(w->fd);
    free(w);
}

int wake_new(uv_loop_t *loop, wake_fn *fn, void *arg, struct wake **ret_w)
{
    struct wake *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->fn = fn;
    w->arg = arg;
    w->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    int r = w->fd < 0 ? -errno : arm(w);
    if (r == 0)
        r = uv_poll_init(loop, &w->poll, w->fd);
    if (r != 0) {
        if (w->fd >= 0)
            close(w->fd);
        free(w);
        return r;
    }
    uv_signal_init(loop, &w->signal);
    w->poll.data = w->signal.data = w;
    w->open = 2;
    uv_unref((uv_handle_t *)&w->poll);
    uv_unref((uv_handle_t *)&w->signal);
    r = uv_poll_start(&w->poll, UV_READABLE, on_readable);
    if (r == 0)
        r = uv_signal_start(&w->signal, on_continue, SIGCONT);
    if (r != 0) {
        wake_free(w);
        return r;
    }
    *ret_w = w;
    return 0;
}

void wake_free(struct wake *w)
{
    if (w == NULL)
        return;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    uv_close((uv_handle_t *)&w->signal, on_closed);
}
