/* forward: a listener, and a session for each connection that comes. What befalls one concerns no other, and not the
 * listener. */
#include "client/forward.h"

#include "base/clock.h"
#include "client/link.h"
#include "client/os.h"
#include "client/progress.h"
#include "client/say.h"
#include "client/wake.h"
#include "net/netwatch.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_FAILED 255
#define SIGNALS 3
#define VISITORS_MAX 256 /* connections at once */
#define ASKING_MAX 4     /* of them that ask for a ticket at once */
#define PORTS_TRIED 100
#define BACKLOG 128

/* A connection. */
struct visitor {
    struct forward *forward;
    struct visitor *next, **at;
    struct link *link;
    struct local *local; /* until the link has it */
    unsigned number;
    bool asking, was_connected;
};

struct forward {
    uv_loop_t *loop;
    struct link_shared shared;
    const struct client_options *opt;
    uv_tcp_t listener;
    struct visitor *visitors; /* the newest first */
    struct progress progress;
    struct netwatch *watch;
    struct wake *wake;
    uv_timer_t timer;
    uv_signal_t signals[SIGNALS];
    unsigned n, asking, numbers;
    bool ending;
    int status;
};

/* --- what is shown --- */

static void on_timer(uv_timer_t *timer);

/* The connection that has been in trouble for the longest. */
static uint64_t trouble_since(const struct forward *f)
{
    uint64_t since = 0;
    for (const struct visitor *v = f->visitors; v != NULL; v = v->next) {
        uint64_t one = link_trouble_since(v->link);
        if (one != 0 && (since == 0 || one < since))
            since = one;
    }
    return since;
}

static void show(struct forward *f)
{
    uint64_t now = clock_now_ms();
    f->progress.first = true;
    for (const struct visitor *v = f->visitors; v != NULL; v = v->next)
        if (v->was_connected && link_trouble_since(v->link) != 0)
            f->progress.first = false;
    uint64_t next = progress_update(&f->progress, f->ending ? 0 : trouble_since(f), now);
    if (next != UINT64_MAX)
        uv_timer_start(&f->timer, on_timer, next > now ? next - now : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    show(timer->data);
}

/* --- the visitors --- */

static void close_all(struct forward *f);

static void admit(struct forward *f)
{
    struct visitor *oldest = NULL;
    while (f->asking < ASKING_MAX && !f->ending) {
        oldest = NULL;
        for (struct visitor *v = f->visitors; v != NULL; v = v->next)
            oldest = v->local != NULL ? v : oldest;
        if (oldest == NULL)
            return;
        struct local *local = oldest->local;
        oldest->local = NULL;
        oldest->asking = true;
        f->asking++;
        link_begin(oldest->link, local);
    }
}

static void on_asked(void *arg)
{
    struct visitor *v = arg;
    v->forward->asking--;
    v->asking = false;
    admit(v->forward);
}

static void on_turn(void *arg)
{
    struct visitor *v = arg;
    v->was_connected = v->was_connected || link_connected(v->link);
    show(v->forward);
}

static void on_over(void *arg, int status, const char *words)
{
    struct visitor *v = arg;
    struct forward *f = v->forward;
    if (status != 0 && !f->ending) {
        progress_clear(&f->progress);
        if (words[0] != 0)
            say("%s: connection %u: %s", f->shared.name, v->number, words);
        else if (status != -ECONNABORTED)
            say("%s: connection %u: no session; the port stays open", f->shared.name, v->number);
    }
    *v->at = v->next;
    if (v->next != NULL)
        v->next->at = v->at;
    f->n--;
    if (v->asking)
        f->asking--;
    link_free(v->link);
    local_free(v->local);
    free(v);
    if (f->ending && f->n == 0) {
        close_all(f);
        return;
    }
    admit(f);
    if (!f->ending)
        show(f);
}

static const struct link_calls link_calls = {.asked = on_asked, .turn = on_turn, .over = on_over};

static void on_closed_tcp(uv_handle_t *handle)
{
    free(handle);
}

static int make_visitor(struct forward *f, uv_tcp_t *tcp)
{
    struct visitor *v = calloc(1, sizeof *v);
    int r = v != NULL ? link_new(&f->shared, &link_calls, v, &v->link) : -ENOMEM;
    if (r != 0)
        uv_close((uv_handle_t *)tcp, on_closed_tcp);
    else
        r = local_new_tcp(tcp, &link_local_calls, v->link, &v->local);
    if (r != 0) {
        link_free(v != NULL ? v->link : NULL);
        free(v);
        return r;
    }
    v->forward = f;
    v->number = ++f->numbers;
    v->next = f->visitors;
    v->at = &f->visitors;
    if (v->next != NULL)
        v->next->at = &v->next;
    f->visitors = v;
    f->n++;
    (void)local_watch(v->local);
    admit(f);
    return 0;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct forward *f = listener->data;
    uv_tcp_t *tcp = status == 0 ? calloc(1, sizeof *tcp) : NULL;
    int r = status != 0 ? status : tcp == NULL ? UV_ENOMEM : uv_tcp_init(f->loop, tcp);
    if (r != 0) {
        free(tcp);
        say("%s: a connection cannot be taken: %s", f->shared.name, uv_strerror(r));
        return;
    }
    r = uv_accept(listener, (uv_stream_t *)tcp);
    if (r == 0 && f->n >= VISITORS_MAX) {
        say("%s: %d connections are open: one more is refused", f->shared.name, VISITORS_MAX);
        r = UV_EMFILE;
    } else if (r == 0) {
        (void)uv_tcp_nodelay(tcp, 1);
        r = make_visitor(f, tcp);
        tcp = NULL;
        if (r != 0)
            say("%s: a connection cannot be taken: %s", f->shared.name, strerror(-r));
    }
    if (r != 0 && tcp != NULL)
        uv_close((uv_handle_t *)tcp, on_closed_tcp);
}

/* --- begin and end --- */

static void on_network(void *arg)
{
    struct forward *f = arg;
    for (struct visitor *v = f->visitors; v != NULL; v = v->next)
        link_network_changed(v->link);
}

static void close_all(struct forward *f)
{
    progress_clear(&f->progress);
    netwatch_free(f->watch);
    wake_free(f->wake);
    uv_close((uv_handle_t *)&f->timer, NULL);
    for (int i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&f->signals[i], NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct forward *f = handle->data;
    (void)number;
    if (f->ending)
        return;
    f->ending = true;
    progress_clear(&f->progress);
    uv_close((uv_handle_t *)&f->listener, NULL);
    if (f->n > 0)
        say("%s: ending %u connection%s", f->shared.name, f->n, f->n == 1 ? "" : "s");
    for (struct visitor *v = f->visitors; v != NULL; v = v->next)
        link_end(v->link, "the user has ended the forwarding");
    if (f->n == 0)
        close_all(f);
}

static int try_port(struct forward *f, uint16_t port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    int r = uv_tcp_init(f->loop, &f->listener);
    f->listener.data = f;
    if (r != 0)
        return r;
    if (uv_ip4_addr(f->opt->bind, port, &to.v4) != 0)
        (void)uv_ip6_addr(f->opt->bind, port, &to.v6);
    r = uv_tcp_bind(&f->listener, &to.any, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&f->listener, BACKLOG, on_connection);
    if (r != 0) {
        uv_close((uv_handle_t *)&f->listener, NULL);
        uv_run(f->loop, UV_RUN_NOWAIT); /* so that the handle can be used again */
    }
    return r;
}

/* The port, or the next one that is free. */
static int listen_somewhere(struct forward *f, uint16_t *ret_port)
{
    unsigned wanted = (unsigned)f->opt->port, port = wanted;
    int r = try_port(f, (uint16_t)port);
    while ((r == UV_EADDRINUSE || (r == UV_EACCES && port > wanted)) && port < 65535 &&
           port < wanted + PORTS_TRIED)
        r = try_port(f, (uint16_t)++port);
    if (r == 0) {
        struct sockaddr_storage at;
        int n = sizeof at;
        r = uv_tcp_getsockname(&f->listener, (struct sockaddr *)&at, &n);
        *ret_port = addr_port((struct sockaddr *)&at);
    }
    return r;
}

static bool is_loopback(const char *ip)
{
    return strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0;
}

static void announce(const struct forward *f, uint16_t port)
{
    char alias[400];
    const char *at = f->opt->bind;
    bool any = strcmp(at, "0.0.0.0") == 0 || strcmp(at, "::") == 0;
    client_options_alias(f->opt, f->shared.name, alias, sizeof alias);
    if (f->opt->port != 0 && port != f->opt->port)
        say("port %u is taken: this is port %u", (unsigned)f->opt->port, port);
    if (!is_loopback(at))
        say("others in the network can reach this port, too: --bind 127.0.0.1 keeps them out");
    printf("%s is at %s port %u until Ctrl-C. To use it:\n", f->shared.name, at, port);
    printf("  ssh -p %u -o HostKeyAlias=%s user@%s\n", port, alias, any ? "127.0.0.1" : at);
    fflush(stdout);
}

static void prepare(struct forward *f)
{
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    uv_timer_init(f->loop, &f->timer);
    f->timer.data = f;
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(f->loop, &f->signals[i]);
        f->signals[i].data = f;
        if (!os_signal_ignored(numbers[i]))
            (void)uv_signal_start(&f->signals[i], on_signal, numbers[i]);
    }
    (void)netwatch_new(f->loop, on_network, f, &f->watch);
    (void)wake_new(f->loop, on_network, f, &f->wake);
}

int forward_run(const struct client_options *o, const char *name)
{
    struct forward f = {.loop = uv_default_loop(), .opt = o};
    struct errmsg err;
    uint16_t port = 0;
    int r = link_shared_init(&f.shared, f.loop, o, name, &err);
    if (r != 0) {
        say("%s", err.text);
    } else {
        progress_init(&f.progress, o->progress, name);
        r = listen_somewhere(&f, &port);
        if (r != 0)
            say("cannot listen on %s port %u: %s; -p PORT chooses another one", o->bind, (unsigned)o->port,
                uv_strerror(r));
    }
    if (r == 0) {
        prepare(&f);
        announce(&f, port);
        uv_run(f.loop, UV_RUN_DEFAULT);
    }
    link_shared_release(&f.shared);
    return r == 0 ? 0 : EXIT_FAILED;
}
