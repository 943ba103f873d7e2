/* One timer, one connection, one log line a change. */
#include "agent/uplink_private.h"

#include "agent/agent.h"
#include "agent/control.h"
#include "agent/lines.h"
#include "agent/server.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "net/dialer.h"
#include "net/tls_pipe.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDSHAKE_MS 15000      /* more than a busy hub lets anybody wait */
#define HELLO_MS 20000          /* for the hub's first answer */
#define PROBE_WAIT_MS 2000      /* hello waits so long for what is found of the SSH server */
#define SETTLED_MS 30000        /* a connection that lasted so long ends a row of failures */
#define ASK_MS 2500             /* the hub is asked when its ping, whose clock is coarse, is so much overdue */
#define REMIND_MS 600000        /* the same line is not logged again before */
#define PLAIN_MAX (160u * 1024) /* lines read and not yet acted on: one read, one record and one line fit */

static void begin(struct uplink *u);
static void try_hub(struct uplink *u);
static void next_hub(struct uplink *u);
static void on_timer(uv_timer_t *timer);

static void arm(struct uplink *u, uint64_t ms)
{
    uv_timer_start(&u->timer, on_timer, ms, 0);
}

uint32_t uplink_dice(void)
{
    uint32_t n = 0;
    (void)crypto_random(&n, sizeof n); /* without randomness there is no jitter */
    return n;
}

bool uplink_is_news(struct uplink *u, const char *text)
{
    uint64_t now = clock_now_ms();
    if (strcmp(text, u->said) == 0 && now - u->said_at < REMIND_MS)
        return false;
    snprintf(u->said, sizeof u->said, "%s", text);
    u->said_at = now;
    return true;
}

static void drop_connection(struct uplink *u)
{
    tls_pipe_free(u->pipe);
    u->pipe = NULL;
    dialer_free(u->dialer);
    u->dialer = NULL;
}

void uplink_wait(struct uplink *u, uint32_t ms, bool told, const char *text)
{
    drop_connection(u);
    if (uplink_is_news(u, text))
        log_warn("%s; trying again in %u s", text, ms < 1000 ? 1 : (ms + 500) / 1000);
    else
        log_debug("%s; trying again in %u ms", text, ms);
    u->state = UPLINK_WAITING;
    u->told_to_wait = told;
    arm(u, ms);
}

/* --- while there is a connection --- */

static bool connected(const struct uplink *u)
{
    return u->state == UPLINK_HELD || u->state == UPLINK_ADMITTED;
}

uint32_t uplink_again(struct uplink *u)
{
    if (clock_now_ms() - u->since >= SETTLED_MS)
        backoff_reset(&u->backoff);
    else if (u->state == UPLINK_ADMITTED)
        backoff_had(&u->backoff);
    return backoff_next(&u->backoff, uplink_dice());
}

/* The connection that was admitted or held is gone. */
static void lost(struct uplink *u, const char *why)
{
    char text[700];
    snprintf(text, sizeof text, "lost the hub %s: %s", u->to.host, why);
    u->said[0] = 0;
    uplink_wait(u, uplink_again(u), false, text);
}

/* This address came to nothing before the hub had said a word: the next one of this name, or the next hub. */
static void address_failed(struct uplink *u, const char *why)
{
    char where[300];
    addr_format(&u->to, 0, where, sizeof where);
    errmsg_set(&u->failure, 0, "%s: %s", where, why);
    tls_pipe_free(u->pipe);
    u->pipe = NULL;
    u->state = UPLINK_DIALING;
    uv_timer_stop(&u->timer);
    dialer_next(u->dialer);
}

static void failed(struct uplink *u, const char *why)
{
    if (connected(u))
        lost(u, why);
    else
        address_failed(u, why);
}

static uint64_t dead_at(const struct uplink *u)
{
    uint64_t at = u->heard + u->ping_ms + UPLINK_SLACK_MS;
    return u->answer_by != 0 && u->answer_by < at ? u->answer_by : at;
}

void uplink_arm_keepalive(struct uplink *u)
{
    uint64_t now = clock_now_ms(), at = dead_at(u), ask = u->heard + u->ping_ms + ASK_MS;
    if (u->asked <= u->heard && ask < at)
        at = ask;
    arm(u, at > now ? at - now : 0);
}

static void ask(struct uplink *u)
{
    u->asked = clock_now_ms();
    uplink_send(u, control_ping(++u->ping_n));
}

static void keepalive(struct uplink *u)
{
    char text[100];
    uint64_t now = clock_now_ms();
    if (u->stuck) {
        lost(u, "it does not read what it is sent");
        return;
    }
    if (now >= dead_at(u)) {
        snprintf(text, sizeof text, "it has not been heard for %u s%s", (unsigned)((now - u->heard) / 1000),
                 u->answer_by != 0 ? ", and the network has changed" : "");
        lost(u, text);
        return;
    }
    if (u->asked <= u->heard && now >= u->heard + u->ping_ms + ASK_MS)
        ask(u);
    uplink_arm_keepalive(u);
}

static void send_hello(struct uplink *u)
{
    uint64_t up = clock_now_ms() - u->started;
    if (u->state != UPLINK_HELLO || u->hello_sent)
        return;
    if (!server_ready(u->agent->server) && up < PROBE_WAIT_MS) {
        arm(u, PROBE_WAIT_MS - up);
        return;
    }
    u->hello_sent = true;
    arm(u, HELLO_MS);
    uplink_send(u, control_hello(u->agent));
}

static void on_ready(void *arg)
{
    struct uplink *u = arg;
    u->state = UPLINK_HELLO;
    send_hello(u);
}

static void on_input(void *arg, struct buf *plain)
{
    struct uplink *u = arg;
    const char *line;
    size_t n;
    int r = 0;
    u->heard = clock_now_ms();
    u->answer_by = 0;
    while (u->pipe != NULL && (r = lines_next(plain, UPLINK_LINE_MAX, &line, &n)) > 0) {
        const char *fault = control_line(u->agent, line, n);
        buf_consume(plain, n + 1);
        if (fault != NULL && u->pipe != NULL) {
            failed(u, fault);
            return;
        }
    }
    if (r < 0)
        failed(u, "the hub sent a line of over 16 KiB");
    else if (connected(u) && !u->stuck)
        uplink_arm_keepalive(u);
}

/* The hub is there and has too much to do: its other addresses are no better, another hub may be. */
static void busy(struct uplink *u, const char *words)
{
    errmsg_set(&u->failure, 0, "%s: %s", u->to.host, words);
    u->busy_ms = tls_pipe_busy_ms(u->pipe);
    drop_connection(u);
    uv_timer_stop(&u->timer);
    next_hub(u);
}

static void on_ended(void *arg, int status, const char *words)
{
    struct uplink *u = arg;
    if (status == UV_EBUSY && !connected(u))
        busy(u, words);
    else
        failed(u, words);
}

static const struct tls_pipe_calls pipe_calls = {.ready = on_ready, .input = on_input, .ended = on_ended};

/* --- getting one --- */

static void on_dialed(void *arg, int status, uv_tcp_t *tcp, const char *words)
{
    struct uplink *u = arg;
    struct session_trust trust;
    if (status != 0) {
        if (status != UV_ENOENT) /* else: every address connected, and was no good */
            errmsg_set(&u->failure, 0, "%s", words);
        dialer_free(u->dialer);
        u->dialer = NULL;
        next_hub(u);
        return;
    }
    agent_trust(u->agent, u->to.host, &trust);
    int r = tls_pipe_new(tcp, u->agent->control_ctx, TLS_ALPN_CONTROL, &trust, PLAIN_MAX, &pipe_calls, u,
                         &u->pipe);
    if (r != 0) {
        uv_close((uv_handle_t *)tcp, (uv_close_cb)free);
        address_failed(u, strerror(-r));
        return;
    }
    u->generation++;
    u->stuck = u->hello_sent = false;
    u->state = UPLINK_HANDSHAKE;
    arm(u, HANDSHAKE_MS);
}

static void next_hub(struct uplink *u)
{
    u->tried++;
    u->hub = (u->hub + 1) % u->agent->opt.hub.n;
    try_hub(u);
}

/* All hubs have been tried. One that is busy has said when. */
static void rest(struct uplink *u)
{
    char text[700];
    snprintf(text, sizeof text, "cannot reach the hub: %s", u->failure.text);
    if (u->busy_ms != 0)
        uplink_wait(u, backoff_wanted(u->busy_ms, uplink_dice()), true, text);
    else
        uplink_wait(u, backoff_next(&u->backoff, uplink_dice()), false, text);
}

static void try_hub(struct uplink *u)
{
    char text[700];
    struct errmsg err;
    struct proxy proxy;
    const struct agent *a = u->agent;
    struct dialer_config config = {.loop = a->loop, .proxy = &proxy};
    if (u->tried == u->agent->opt.hub.n) {
        rest(u);
        return;
    }
    agent_options_hub(&u->agent->opt, u->hub, &u->to);
    config.to = u->to;
    if (a->hub.at.ss_family != 0 && a->hub.to.port == u->to.port && strcmp(a->hub.to.host, u->to.host) == 0)
        config.fallback =
            (const struct sockaddr *)&a->hub.at; /* name servers may be what cannot be reached */
    int r = agent_proxy(u->agent, u->to.host, &proxy, &err);
    if (r == 0) {
        r = dialer_new(&config, on_dialed, u, &u->dialer);
        errmsg_set(&err, r, "out of memory");
    }
    crypto_wipe(&proxy, sizeof proxy);
    if (r != 0) {
        errmsg_set(&u->failure, 0, "%s", err.text);
        snprintf(text, sizeof text, "cannot reach the hub: %s", u->failure.text);
        uplink_wait(u, backoff_next(&u->backoff, uplink_dice()), false, text);
        return;
    }
    u->state = UPLINK_DIALING;
    dialer_next(u->dialer);
}

static void begin(struct uplink *u)
{
    char where[300];
    uv_timer_stop(&u->timer);
    u->tried = 0;
    u->busy_ms = 0;
    agent_options_hub(&u->agent->opt, u->hub, &u->to);
    addr_format(&u->to, 0, where, sizeof where);
    if (u->said[0] == 0)
        log_info("connecting to %s", where);
    try_hub(u);
}

static void on_timer(uv_timer_t *timer)
{
    struct uplink *u = timer->data;
    switch (u->state) {
    case UPLINK_WAITING:
        begin(u);
        break;
    case UPLINK_HANDSHAKE:
        address_failed(u, "no answer to the TLS handshake (is a multiSSH hub there?)");
        break;
    case UPLINK_HELLO:
        if (!u->hello_sent)
            send_hello(u);
        else
            address_failed(u, "the hub does not answer");
        break;
    case UPLINK_HELD:
    case UPLINK_ADMITTED:
        keepalive(u);
        break;
    case UPLINK_DIALING:
    case UPLINK_STOPPED:
        break;
    }
}

/* --- for the others --- */

void uplink_send(struct uplink *u, cJSON *message)
{
    struct buf line;
    buf_init(&line, UPLINK_LINE_MAX);
    int r = json_take(message, &line);
    if (r == 0)
        r = buf_append(&line, "\n", 1);
    if (r != 0) {
        log_error("a message to the hub could not be made: %s", strerror(-r));
    } else if (u->pipe != NULL && u->state >= UPLINK_HELLO && u->state <= UPLINK_ADMITTED) {
        u->stuck = tls_pipe_pending(u->pipe) > UPLINK_PENDING_MAX;
        if (u->stuck)
            arm(u, 0);
        else
            (void)tls_pipe_write(u->pipe, buf_data(&line),
                                 buf_len(&line)); /* on failure the pipe tells of its end */
    }
    buf_wipe(&line);
}

void uplink_probed(struct uplink *u)
{
    send_hello(u);
}

void uplink_network_changed(struct uplink *u)
{
    uint64_t now = clock_now_ms();
    if (u->state == UPLINK_WAITING && !u->told_to_wait) {
        log_debug("the network changed: trying at once");
        backoff_reset(&u->backoff);
        begin(u);
    } else if (connected(u)) {
        /* Unless it answers soon the way to it is gone. */
        if (u->answer_by == 0) {
            u->answer_by = now + UPLINK_SLACK_MS;
            ask(u);
        }
        uplink_arm_keepalive(u);
    } else {
        backoff_reset(&u->backoff);
    }
}

enum uplink_state uplink_state(const struct uplink *u)
{
    return u->state;
}

unsigned uplink_generation(const struct uplink *u)
{
    return u->generation;
}

int uplink_new(struct agent *a, struct uplink **ret_u)
{
    struct uplink *u = calloc(1, sizeof *u);
    if (u == NULL)
        return -ENOMEM;
    u->agent = a;
    u->ping_ms = UPLINK_PING_MS;
    u->state = UPLINK_WAITING;
    u->started = clock_now_ms();
    uv_timer_init(a->loop, &u->timer);
    u->timer.data = u;
    *ret_u = u;
    return 0;
}

void uplink_start(struct uplink *u)
{
    begin(u);
}

void uplink_stop(struct uplink *u, const char *reason, bool final)
{
    if (u->pipe != NULL && u->hello_sent)
        uplink_send(u, control_bye(reason, final));
    uv_timer_stop(&u->timer);
    drop_connection(u);
    u->state = UPLINK_STOPPED;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void uplink_free(struct uplink *u)
{
    if (u == NULL)
        return;
    drop_connection(u);
    u->state = UPLINK_STOPPED;
    uv_close((uv_handle_t *)&u->timer, on_closed);
}
