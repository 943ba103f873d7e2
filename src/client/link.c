/* A session: ticket, edge, local side. */
#include "client/link.h"

#include "base/clock.h"
#include "client/ask.h"
#include "client/ticket_line.h"
#include "net/edge.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A stream that never had its first connection is given up: sooner when the hub was not even reached. */
#define REACH_MS 15000
#define FIRST_MS 30000
/* By then the machine has answered the hub. */
#define EXPECT_MS 12000
#define LAST_WORDS_MS 1500
#define HANGUP_MS 30000
#define ANSWER_MAX 8192

struct link {
    struct link_shared *shared;
    const struct link_calls *calls;
    void *arg;
    struct local *local;
    struct ask *ask;
    struct edge *edge;
    struct ticket_line ticket;
    uv_timer_t timer;
    uint64_t started, opened_at, end_by;
    int status;
    bool opened, over, told, ending;
    char words[sizeof(struct errmsg)];
};

/* --- what is shared --- */

int link_shared_init(struct link_shared *shared, uv_loop_t *loop, const struct client_options *o,
                     const char *name, struct errmsg *err)
{
    memset(shared, 0, sizeof *shared);
    shared->loop = loop;
    shared->opt = o;
    shared->name = name;
    int r = client_options_hub(o, &shared->hub, err);
    if (r != 0)
        return r;
    shared->scratch = malloc(EDGE_SCRATCH);
    return shared->scratch != NULL ? 0 : errmsg_set(err, -ENOMEM, "out of memory");
}

void link_shared_release(struct link_shared *shared)
{
    SSL_CTX_free(shared->tls);
    free(shared->scratch);
    memset(shared, 0, sizeof *shared);
}

/* --- the end --- */

static void on_timer(uv_timer_t *timer);

static void wake(struct link *l, uint64_t ms)
{
    uv_timer_start(&l->timer, on_timer, ms, 0);
}

/* They may be the words that are there. */
static void keep_words(struct link *l, const char *words)
{
    size_t n = strlen(words);
    n = n < sizeof l->words - 1 ? n : sizeof l->words - 1;
    memmove(l->words, words, n);
    l->words[n] = 0;
}

/* Told in a turn of its own. The first one counts. */
static void finish(struct link *l, int status, const char *words)
{
    if (l->over)
        return;
    l->over = true;
    l->status = status;
    keep_words(l, words);
    wake(l, 0);
}

static void report_edge(struct link *l)
{
    struct stream *s = edge_stream(l->edge);
    if (stream_state(s) == STREAM_DONE)
        finish(l, 0, "");
    else if (l->words[0] != 0)
        finish(l, -EIO, l->words);
    else
        finish(l, -EIO, stream_reason(s));
}

/* Ends the stream, and waits a little for the machine to hear of it. */
static void give_up(struct link *l, const char *words)
{
    if (l->over || l->ending)
        return;
    l->ending = true;
    keep_words(l, words);
    if (l->edge == NULL) {
        finish(l, -EIO, l->words);
        return;
    }
    stream_reset(edge_stream(l->edge), STREAM_CODE_LOCAL, words);
    l->end_by = clock_now_ms() + LAST_WORDS_MS;
    edge_poke(l->edge);
    wake(l, LAST_WORDS_MS);
}

static void first_is_late(struct link *l)
{
    char text[sizeof l->words];
    const char *words = edge_last_words(l->edge);
    const struct client_options *o = l->shared->opt;
    const char *colon = words[0] != 0 ? ": " : "";
    if (l->opened)
        snprintf(text, sizeof text,
                 "the machine did not come to the session within %d s (%s:%u%s%.120s); `ssh %s why %s` may "
                 "say more",
                 FIRST_MS / 1000, l->ticket.at.host, l->ticket.at.port, colon, words, o->hub,
                 l->shared->name);
    else
        snprintf(text, sizeof text, "the hub's streams at %s:%u cannot be reached%s%.200s", l->ticket.at.host,
                 l->ticket.at.port, colon, words);
    give_up(l, text);
}

/* What is due before the first connection is live. Returns when to look again. */
static uint64_t look_at_beginning(struct link *l, uint64_t now)
{
    if (l->edge == NULL || stream_ever_live(edge_stream(l->edge)))
        return UINT64_MAX;
    uint64_t by = l->started + (l->opened ? FIRST_MS : REACH_MS);
    if (now >= by) {
        first_is_late(l);
        return UINT64_MAX;
    }
    if (!l->opened)
        return by;
    if (now >= l->opened_at + EXPECT_MS)
        edge_expect(l->edge);
    else if (l->opened_at + EXPECT_MS < by)
        return l->opened_at + EXPECT_MS;
    return by;
}

static void on_timer(uv_timer_t *timer)
{
    struct link *l = timer->data;
    uint64_t now = clock_now_ms();
    if (l->over) {
        if (!l->told) {
            l->told = true;
            l->calls->over(l->arg, l->status, l->words);
        }
        return;
    }
    if (l->end_by != 0 && now >= l->end_by) {
        finish(l, -EIO, l->words);
        return;
    }
    uint64_t next = look_at_beginning(l, now);
    if (!l->over && l->end_by != 0 && l->end_by < next)
        next = l->end_by;
    if (!l->over && next != UINT64_MAX)
        wake(l, next > now ? next - now : 0);
}

/* --- the edge --- */

static int on_way(void *arg, struct edge_way *way)
{
    const struct link *l = arg;
    const struct client_options *o = l->shared->opt;
    way->to = l->ticket.at;
    way->streams = o->streams == CLIENT_STREAMS_TLS     ? EDGE_TLS
                   : o->streams == CLIENT_STREAMS_PLAIN ? EDGE_PLAIN
                                                        : EDGE_AUTO;
    way->trust.how = SESSION_TRUST_PIN;
    memcpy(way->trust.pin, l->ticket.pin, sizeof way->trust.pin);
    return proxy_choose(o->proxy, way->to.host, &way->proxy, NULL);
}

static void on_turn(void *arg)
{
    struct link *l = arg;
    if (l->local != NULL)
        local_pump(l->local);
    if (l->calls->turn != NULL)
        l->calls->turn(l->arg);
}

/* One for all, made when it is needed. */
static SSL_CTX *on_tls(void *arg)
{
    struct link *l = arg;
    if (l->shared->tls == NULL)
        (void)session_client_ctx(NULL, NULL, &l->shared->tls);
    return l->shared->tls;
}

static void on_opened(void *arg)
{
    struct link *l = arg;
    l->opened = true;
    l->opened_at = clock_now_ms();
    if (l->end_by == 0)
        wake(l, EXPECT_MS);
}

static void on_needs_tls(void *arg)
{
    struct link *l = arg;
    l->shared->tls_first = true;
}

static void on_refused(void *arg, bool final, const char *text)
{
    struct link *l = arg;
    if (final && l->words[0] == 0)
        snprintf(l->words, sizeof l->words, "%s", text);
}

static void on_edge_closed(void *arg)
{
    report_edge(arg);
}

static const struct edge_calls edge_calls_of_link = {.way = on_way,
                                                     .tls = on_tls,
                                                     .turn = on_turn,
                                                     .opened = on_opened,
                                                     .refused = on_refused,
                                                     .needs_tls = on_needs_tls,
                                                     .closed = on_edge_closed};

static int open_edge(struct link *l)
{
    struct link_shared *shared = l->shared;
    struct edge_config config = {.loop = shared->loop,
                                 .ticket = l->ticket.ticket,
                                 .tls_first = shared->tls_first,
                                 .scratch = shared->scratch,
                                 .label = l->ticket.machine};
    struct addr_hostport at;
    if (shared->opt->at != NULL && addr_parse(shared->opt->at, CLIENT_OPTIONS_PORT, false, &at) == 0)
        l->ticket.at = at;
    config.stream = (struct stream_config){
        .role = 'a', .dials = true, .window = l->ticket.window, .patience_ms = l->ticket.patience_ms};
    memcpy(config.stream.key, l->ticket.key, sizeof config.stream.key);
    int r = edge_new(&config, &edge_calls_of_link, l, &l->edge);
    crypto_wipe(&config, sizeof config);
    crypto_wipe(l->ticket.key, sizeof l->ticket.key);
    crypto_wipe(l->ticket.ticket, sizeof l->ticket.ticket);
    if (r != 0)
        return r;
    l->started = clock_now_ms();
    local_join(l->local, edge_stream(l->edge));
    wake(l, REACH_MS);
    return 0;
}

/* --- the ticket --- */

static void on_answer(void *arg, int status, struct buf *text)
{
    struct link *l = arg;
    struct errmsg err = {""};
    l->ask = NULL;
    if (l->calls->asked != NULL)
        l->calls->asked(l->arg);
    if (status == 0) {
        status =
            ticket_line_parse((const char *)buf_data(text), buf_len(text), l->shared->name, &l->ticket, &err);
        if (status == 0 && open_edge(l) != 0)
            status =
                errmsg_set(&err, -EIO, "cannot begin a session: out of memory, or the ticket is not fit");
    } else if (status < 0 || status >= ASK_NO_COMMAND) { /* else the hub has said why */
        ask_failure(l->shared->opt, status, "get a ticket", &err);
    }
    if (status != 0)
        finish(l, -EIO, err.text);
}

static int ask_for_ticket(struct link *l, struct errmsg *err)
{
    struct words w = {0};
    int r = ask_allowed(err);
    if (r != 0)
        return r;
    ask_words(l->shared->opt, &l->shared->hub, &w);
    words_add(&w, "ticket");
    words_add(&w, l->shared->name);
    r = ask_run(l->shared->loop, &w, ANSWER_MAX, on_answer, l, &l->ask);
    words_release(&w);
    return r == 0 ? 0 : errmsg_set(err, r, "cannot run %s: %s", l->shared->opt->ssh, strerror(-r));
}

/* --- the local side --- */

static void on_moved(void *arg)
{
    struct link *l = arg;
    if (l->edge != NULL)
        edge_poke(l->edge);
}

static void on_broken(void *arg, int status)
{
    struct link *l = arg;
    if (l->edge == NULL) { /* whoever came did not wait for the ticket */
        ask_cancel(l->ask);
        l->ask = NULL;
        finish(l, -ECONNABORTED, "");
        return;
    }
    char text[120];
    snprintf(text, sizeof text, "the user's side of the session ended: %s", uv_strerror(status));
    give_up(l, text);
}

const struct local_calls link_local_calls = {.moved = on_moved, .broken = on_broken};

/* --- the link --- */

int link_new(struct link_shared *shared, const struct link_calls *calls, void *arg, struct link **ret_l)
{
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->shared = shared;
    l->calls = calls;
    l->arg = arg;
    uv_timer_init(shared->loop, &l->timer);
    l->timer.data = l;
    *ret_l = l;
    return 0;
}

static void before_output(void *arg)
{
    struct link *l = arg;
    if (l->calls->output != NULL)
        l->calls->output(l->arg);
}

void link_begin(struct link *l, struct local *local)
{
    struct errmsg err;
    l->local = local;
    local_before_output(local, before_output);
    if (ask_for_ticket(l, &err) != 0)
        finish(l, -EIO, err.text);
}

void link_end(struct link *l, const char *why)
{
    ask_cancel(l->ask);
    l->ask = NULL;
    give_up(l, why);
}

void link_hangup(struct link *l)
{
    if (l->edge == NULL) {
        link_end(l, "");
    } else if (l->end_by == 0) {
        l->end_by = clock_now_ms() + HANGUP_MS;
        wake(l, HANGUP_MS);
    }
}

void link_network_changed(struct link *l)
{
    if (l->edge != NULL && !l->over)
        edge_network_changed(l->edge);
}

uint64_t link_trouble_since(const struct link *l)
{
    return l->edge != NULL && !l->over && !l->ending ? edge_trouble_since(l->edge) : 0;
}

bool link_connected(const struct link *l)
{
    return l->edge != NULL && stream_ever_live(edge_stream(l->edge));
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void link_free(struct link *l)
{
    if (l == NULL)
        return;
    ask_cancel(l->ask);
    edge_free(l->edge);
    local_free(l->local);
    ticket_line_wipe(&l->ticket);
    uv_close((uv_handle_t *)&l->timer, on_closed);
}
