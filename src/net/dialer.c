/* TCP connections out.
 *
 * One attempt (a socket on its way) at a time; an attempt that is given up closes itself and knows its dialer
 * no more. */
#include "net/dialer.h"

#include "base/crypto.h"
#include "base/log.h"
#include "net/proxy_ask.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct attempt {
    struct dialer *owner; /* NULL: given up */
    uv_tcp_t *tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct buf request;
    struct proxy_answer answer;
    char read_at[1024];
    bool bound, connected, written, open; /* written: the request; open: the proxy said yes */
};

struct lookup {
    uv_getaddrinfo_t req;
    struct dialer *owner;
};

struct dialer {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct addr_hostport to;
    struct proxy proxy;
    struct sockaddr_storage fixed, fallback; /* family 0: none */
    struct addr_hostport fixed_for;
    unsigned first;
    struct sockaddr_in source; /* family 0: none */
    dialer_fn *fn;
    void *arg;
    bool resolved, no_bind;
    struct sockaddr_storage address[DIALER_ADDRESSES_MAX];
    size_t n, at; /* at: the next to be tried */
    struct proxy_ask *ask;
    struct lookup *lookup;
    struct attempt *attempt;
    int status;
    struct errmsg words;
};

static void try_next(struct dialer *d);

static const struct addr_hostport *first_hop(const struct dialer *d)
{
    return d->proxy.on ? &d->proxy.at : &d->to;
}

/* --- attempts --- */

static void attempt_closed(uv_handle_t *handle)
{
    struct attempt *a = handle->data;
    buf_wipe(&a->request);
    free(a->tcp);
    free(a);
}

static void attempt_drop(struct dialer *d)
{
    struct attempt *a = d->attempt;
    if (a == NULL)
        return;
    d->attempt = NULL;
    a->owner = NULL;
    uv_close((uv_handle_t *)a->tcp, attempt_closed);
}

static void on_deferred(uv_timer_t *timer)
{
    struct dialer *d = timer->data;
    try_next(d);
}

static void on_failed(uv_timer_t *timer)
{
    struct dialer *d = timer->data;
    d->fn(d->arg, d->status, NULL, d->words.text);
}

/* This address is no good: the next one, in a turn of its own. */
static void attempt_failed(struct dialer *d, int status, const char *words)
{
    char where[320], ip[64];
    const struct sockaddr *sa = (const struct sockaddr *)&d->address[d->at - 1];
    attempt_drop(d);
    addr_format(first_hop(d), 0, where, sizeof where);
    addr_ip(sa, ip, sizeof ip);
    d->status = status;
    bool name = strcmp(ip, first_hop(d)->host) != 0;
    errmsg_set(&d->words, 0, "%s%s%s%s%s: %s", d->proxy.on ? "proxy " : "", where, name ? " (" : "",
               name ? ip : "", name ? ")" : "", words);
    log_debug("dial: %s", d->words.text);
    uv_timer_start(&d->timer, on_deferred, 0, 0);
}

static void attempt_done(struct dialer *d)
{
    struct attempt *a = d->attempt;
    uv_tcp_t *tcp = a->tcp;
    d->attempt = NULL;
    d->status = 0; /* should no address be left after this one, then no failure was the last */
    uv_timer_stop(&d->timer);
    buf_wipe(&a->request);
    free(a); /* its requests are over, and the handle changes hands */
    tcp->data = NULL;
    d->fn(d->arg, 0, tcp, "");
}

/* --- through a proxy --- */

static void on_proxy_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct attempt *a = handle->data;
    (void)suggested;
    *buf = uv_buf_init(a->read_at, sizeof a->read_at);
}

static void on_proxy_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct attempt *a = stream->data;
    struct dialer *d = a->owner;
    struct errmsg err;
    size_t used = 0;
    if (d == NULL || n == 0)
        return;
    if (n < 0) {
        attempt_failed(d, (int)n,
                       n == UV_EOF ? "closed the connection without an answer" : uv_strerror((int)n));
        return;
    }
    int r = proxy_answer_feed(&a->answer, buf->base, (size_t)n, &used, &err);
    if (r == 0)
        return;
    if (r > 0 && used < (size_t)n)
        r = errmsg_set(&err, -EPROTO, "the proxy sent more than an answer");
    if (r < 0) {
        attempt_failed(d, r, err.text);
        return;
    }
    uv_read_stop(stream);
    a->open = true;
    if (a->written) /* else libuv still holds the request */
        attempt_done(d);
}

static void on_proxy_written(uv_write_t *req, int status)
{
    struct attempt *a = req->data;
    if (a->owner == NULL)
        return;
    a->written = true;
    if (status < 0)
        attempt_failed(a->owner, status, uv_strerror(status));
    else if (a->open)
        attempt_done(a->owner);
}

static void on_timeout(uv_timer_t *timer)
{
    struct dialer *d = timer->data;
    attempt_failed(d, UV_ETIMEDOUT,
                   d->attempt->connected ? "no answer from the proxy"
                                         : "timed out: no answer to the connection");
}

static void proxy_begin(struct dialer *d, struct attempt *a)
{
    buf_init(&a->request, 4096);
    int r = proxy_request(&d->proxy, &d->to, &a->request);
    if (r == 0)
        r = uv_read_start((uv_stream_t *)a->tcp, on_proxy_alloc, on_proxy_read);
    if (r == 0) {
        uv_buf_t out = uv_buf_init((char *)(uintptr_t)buf_data(&a->request), (unsigned)buf_len(&a->request));
        a->write.data = a;
        r = uv_write(&a->write, (uv_stream_t *)a->tcp, &out, 1, on_proxy_written);
    }
    if (r != 0) {
        attempt_failed(d, r, uv_strerror(r));
        return;
    }
    uv_timer_start(&d->timer, on_timeout, DIALER_DNS_TIMEOUT_MS, 0);
}

/* --- connecting --- */

static void on_connected(uv_connect_t *req, int status)
{
    struct attempt *a = req->data;
    struct dialer *d = a->owner;
    if (d == NULL)
        return;
    if (status < 0 && a->bound && status != UV_ECONNREFUSED && status != UV_ETIMEDOUT) {
        d->no_bind = true; /* that source address is not to be had here */
        d->at--;
        attempt_drop(d);
        try_next(d);
        return;
    }
    if (status < 0) {
        attempt_failed(d, status, uv_strerror(status));
        return;
    }
    a->connected = true;
    uv_tcp_nodelay(a->tcp, 1);
    if (d->proxy.on)
        proxy_begin(d, a);
    else
        attempt_done(d);
}

/* Binds to the wanted source where that makes sense. Returns whether it did. */
static bool bind_source(struct dialer *d, struct attempt *a, const struct sockaddr *to)
{
    char ip[32];
    const struct sockaddr *from = (const struct sockaddr *)&d->source;
    if (from->sa_family == 0 || d->no_bind || !addr_is_loopback4(to))
        return false;
    int r = uv_tcp_bind(a->tcp, from, 0);
    addr_ip(from, ip, sizeof ip);
    if (r != 0)
        log_debug("dial: cannot use the source address %s: %s", ip, uv_strerror(r));
    return r == 0;
}

static int attempt_begin(struct dialer *d, const struct sockaddr *to)
{
    struct attempt *a = calloc(1, sizeof *a);
    uv_tcp_t *tcp = calloc(1, sizeof *tcp);
    int r = a == NULL || tcp == NULL ? UV_ENOMEM : uv_tcp_init(d->loop, tcp);
    if (r != 0) {
        free(a);
        free(tcp);
        return r;
    }
    a->owner = d;
    a->tcp = tcp;
    tcp->data = a;
    a->connect.data = a;
    d->attempt = a;
    a->bound = bind_source(d, a, to);
    r = uv_tcp_connect(&a->connect, tcp, to, on_connected);
    if (r != 0)
        attempt_drop(d);
    return r;
}

static void try_next(struct dialer *d)
{
    if (d->at >= d->n) {
        if (d->status == 0)
            d->status = UV_ENOENT;
        uv_timer_start(&d->timer, on_failed, 0, 0);
        return;
    }
    const struct sockaddr *to = (const struct sockaddr *)&d->address[d->at++];
    int r = attempt_begin(d, to);
    if (r != 0 && d->source.sin_family != 0 && !d->no_bind) {
        d->no_bind = true;
        r = attempt_begin(d, to);
    }
    if (r != 0)
        attempt_failed(d, r, uv_strerror(r));
    else
        uv_timer_start(&d->timer, on_timeout, DIALER_TIMEOUT_MS, 0);
}

/* --- names --- */

static void add_address(struct dialer *d, const struct sockaddr *sa)
{
    size_t size = sa->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
                  : sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                              : 0;
    if (size == 0 || d->n == DIALER_ADDRESSES_MAX)
        return;
    memcpy(&d->address[d->n++], sa, size);
}

/* The wanted one becomes the first one. */
static void rotate(struct dialer *d)
{
    struct sockaddr_storage from[DIALER_ADDRESSES_MAX];
    if (d->n == 0 || d->first % d->n == 0)
        return;
    memcpy(from, d->address, d->n * sizeof from[0]);
    for (size_t i = 0; i < d->n; i++)
        d->address[i] = from[(i + d->first) % d->n];
}

static bool has_fallback(const struct dialer *d)
{
    return d->fallback.ss_family != 0 && !d->proxy.on;
}

static void lookup_failed(struct dialer *d, int status)
{
    d->status = status;
    errmsg_set(&d->words, 0, "cannot look up the name %s: %s", first_hop(d)->host, uv_strerror(status));
    if (has_fallback(d)) {
        log_debug("dial: %s; trying the address that it had", d->words.text);
        add_address(d, (const struct sockaddr *)&d->fallback);
        d->resolved = true;
        uv_timer_start(&d->timer, on_deferred, 0, 0);
        return;
    }
    uv_timer_start(&d->timer, on_failed, 0, 0);
}

static void on_looked_up(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct lookup *l = req->data;
    struct dialer *d = l->owner;
    free(l);
    if (d != NULL) {
        d->lookup = NULL;
        uv_timer_stop(&d->timer);
        for (const struct addrinfo *i = status == 0 ? list : NULL; i != NULL; i = i->ai_next)
            add_address(d, i->ai_addr);
        rotate(d);
        if (d->n == 0) {
            lookup_failed(d, status != 0 ? status : UV_EAI_NONAME);
        } else {
            d->resolved = true;
            try_next(d);
        }
    }
    uv_freeaddrinfo(list);
}

static void on_lookup_timeout(uv_timer_t *timer)
{
    struct dialer *d = timer->data;
    d->lookup->owner = NULL;
    uv_cancel((uv_req_t *)&d->lookup->req);
    d->lookup = NULL;
    lookup_failed(d, UV_ETIMEDOUT);
}

static void lookup_begin(struct dialer *d)
{
    char port[8];
    struct sockaddr_storage numeric;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    const struct addr_hostport *hop = first_hop(d);
    if (d->fixed.ss_family != 0 && hop->port == d->fixed_for.port &&
        strcmp(hop->host, d->fixed_for.host) == 0) {
        add_address(d, (const struct sockaddr *)&d->fixed);
        d->resolved = true;
        uv_timer_start(&d->timer, on_deferred, 0, 0);
        return;
    }
    memset(&numeric, 0, sizeof numeric);
    if (uv_ip4_addr(hop->host, hop->port, (struct sockaddr_in *)&numeric) == 0 ||
        uv_ip6_addr(hop->host, hop->port, (struct sockaddr_in6 *)&numeric) == 0) {
        add_address(d, (const struct sockaddr *)&numeric);
        d->resolved = true;
        uv_timer_start(&d->timer, on_deferred, 0, 0);
        return;
    }
    snprintf(port, sizeof port, "%u", hop->port);
    struct lookup *l = calloc(1, sizeof *l);
    int r = UV_ENOMEM;
    if (l != NULL) {
        l->owner = d;
        l->req.data = l;
        r = uv_getaddrinfo(d->loop, &l->req, on_looked_up, hop->host, port, &hints);
    }
    if (r != 0) {
        free(l);
        lookup_failed(d, r);
        return;
    }
    d->lookup = l;
    uv_timer_start(&d->timer, on_lookup_timeout, has_fallback(d) ? DIALER_TIMEOUT_MS : DIALER_DNS_TIMEOUT_MS,
                   0);
}

/* --- life --- */

static void copy_address(struct sockaddr_storage *to, const struct sockaddr *from)
{
    if (from != NULL)
        memcpy(to, from,
               from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
}

int dialer_new(const struct dialer_config *config, dialer_fn *fn, void *arg, struct dialer **ret_d)
{
    struct dialer *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    d->loop = config->loop;
    d->to = config->to;
    if (config->proxy != NULL)
        d->proxy = *config->proxy;
    if (config->source != NULL && config->source->sa_family == AF_INET)
        memcpy(&d->source, config->source, sizeof d->source);
    copy_address(&d->fixed, config->fixed);
    copy_address(&d->fallback, config->fallback);
    d->fixed_for = config->fixed_for != NULL ? *config->fixed_for : config->to;
    d->first = config->first;
    d->fn = fn;
    d->arg = arg;
    uv_timer_init(d->loop, &d->timer);
    d->timer.data = d;
    *ret_d = d;
    return 0;
}

static void on_asked(void *arg, int status, const struct proxy *proxy, const char *words)
{
    struct dialer *d = arg;
    char where[320];
    d->ask = NULL;
    if (status != 0) {
        d->status = status;
        errmsg_set(&d->words, 0, "%s", words);
        uv_timer_start(&d->timer, on_failed, 0, 0);
        return;
    }
    d->proxy = *proxy;
    if (d->proxy.on) {
        addr_format(&d->proxy.at, 0, where, sizeof where);
        log_debug("dial: the system's proxy on the way to %s is %s", d->to.host, where);
    }
    dialer_next(d);
}

void dialer_next(struct dialer *d)
{
    if (d->resolved && !d->proxy.ask) {
        uv_timer_start(&d->timer, on_deferred, 0, 0);
        return;
    }
    if (!d->proxy.ask) {
        lookup_begin(d);
        return;
    }
    int r = proxy_ask_begin(d->loop, &d->to, on_asked, d, &d->ask);
    if (r == 0)
        return;
    d->status = r;
    errmsg_set(&d->words, 0, "cannot ask the system for its proxy: %s", uv_strerror(r));
    uv_timer_start(&d->timer, on_failed, 0, 0);
}

bool dialer_proxied(const struct dialer *d)
{
    return d->proxy.on;
}

const struct proxy *dialer_proxy(const struct dialer *d)
{
    return &d->proxy;
}

const struct sockaddr *dialer_peer(const struct dialer *d)
{
    return (const struct sockaddr *)&d->address[d->at > 0 ? d->at - 1 : 0];
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct dialer *d = handle->data;
    crypto_wipe(&d->proxy, sizeof d->proxy);
    free(d);
}

void dialer_free(struct dialer *d)
{
    if (d == NULL)
        return;
    proxy_ask_cancel(d->ask);
    d->ask = NULL;
    if (d->lookup != NULL) {
        d->lookup->owner = NULL;
        uv_cancel((uv_req_t *)&d->lookup->req);
        d->lookup = NULL;
    }
    attempt_drop(d);
    d->fn = NULL;
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}
