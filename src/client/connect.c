/* connect: what ssh runs as its ProxyCommand.
 *
 * Signals: ssh sends SIGHUP when it ends, with its last words maybe still in the pipe, so they are delivered first. */
#include "client/connect.h"

#include "base/clock.h"
#include "client/link.h"
#include "client/os.h"
#include "client/progress.h"
#include "client/say.h"
#include "client/wake.h"
#include "net/netwatch.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

#define EXIT_LOST 255
#define SIGNALS 3

struct connect {
    uv_loop_t *loop;
    struct link_shared shared;
    struct link *link;
    struct local *local;
    struct progress progress;
    struct netwatch *watch;
    struct wake *wake;
    uv_timer_t timer;
    uv_signal_t signals[SIGNALS];
    bool was_connected;
    bool quiet; /* nobody is there to read it */
    int status;
};

static void on_timer(uv_timer_t *timer);

static void show(struct connect *c)
{
    uint64_t now = clock_now_ms(), since = link_trouble_since(c->link);
    if (c->quiet || local_ended(c->local)) {
        progress_clear(&c->progress);
        return;
    }
    c->progress.first = !link_connected(c->link) && !c->was_connected;
    c->was_connected = c->was_connected || link_connected(c->link);
    uint64_t next = progress_update(&c->progress, since, now);
    if (next != UINT64_MAX)
        uv_timer_start(&c->timer, on_timer, next > now ? next - now : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct connect *c = timer->data;
    if (c->link != NULL)
        show(c);
}

static void on_turn(void *arg)
{
    show(arg);
}

static void on_output(void *arg)
{
    struct connect *c = arg;
    progress_clear(&c->progress);
}

static void on_over(void *arg, int status, const char *words)
{
    struct connect *c = arg;
    c->status = status == 0 ? 0 : EXIT_LOST;
    progress_clear(&c->progress);
    if (status != 0 && words[0] != 0 && !c->quiet)
        say("%s: %s", c->shared.name, words);
    link_free(c->link);
    c->link = NULL;
    netwatch_free(c->watch);
    wake_free(c->wake);
    uv_close((uv_handle_t *)&c->timer, NULL);
    for (int i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&c->signals[i], NULL);
}

static const struct link_calls link_calls = {.turn = on_turn, .output = on_output, .over = on_over};

static void on_network(void *arg)
{
    struct connect *c = arg;
    if (c->link != NULL)
        link_network_changed(c->link);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct connect *c = handle->data;
    if (c->link == NULL)
        return;
    if (number == SIGHUP) {
        c->quiet = true;
        progress_clear(&c->progress);
        link_hangup(c->link);
    } else {
        link_end(c->link, "ended by the user");
    }
}

static int begin(struct connect *c)
{
    static const int numbers[SIGNALS] = {SIGHUP, SIGINT, SIGTERM};
    int r = link_new(&c->shared, &link_calls, c, &c->link);
    if (r == 0)
        r = local_new_stdio(c->loop, &link_local_calls, c->link, &c->local);
    if (r != 0) {
        link_free(c->link);
        say("%s: cannot use standard input and output: %s", c->shared.name, uv_strerror(r));
        return r;
    }
    uv_timer_init(c->loop, &c->timer);
    c->timer.data = c;
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(c->loop, &c->signals[i]);
        c->signals[i].data = c;
        uv_unref((uv_handle_t *)&c->signals[i]);
        if (!os_signal_ignored(numbers[i]))
            (void)uv_signal_start(&c->signals[i], on_signal, numbers[i]);
    }
    /* Without them it goes on, only slower. */
    (void)netwatch_new(c->loop, on_network, c, &c->watch);
    (void)wake_new(c->loop, on_network, c, &c->wake);
    link_begin(c->link, c->local);
    return 0;
}

int connect_run(const struct client_options *o, const char *name)
{
    struct connect c = {.loop = uv_default_loop(), .status = EXIT_LOST};
    struct errmsg err;
    int r = link_shared_init(&c.shared, c.loop, o, name, &err);
    if (r != 0) {
        say("%s", err.text);
    } else {
        progress_init(&c.progress, o->progress, name);
        (void)begin(&c);
        uv_run(c.loop, UV_RUN_DEFAULT);
    }
    link_shared_release(&c.shared);
    return c.status;
}
