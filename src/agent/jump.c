/* The life of a jump: begun by the hub's request, answered once, ended when its stream is. */
#include "agent/jump.h"

#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_timer(uv_timer_t *timer)
{
    struct jump *j = timer->data;
    j->timer_at = 0;
    jump_turn(j);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct jump *j = handle->data;
    j->open--;
    jump_unref(j);
}

void jump_unref(struct jump *j)
{
    if (j->open > 0 || !j->over)
        return;
    free(j->target.stage);
    crypto_wipe(j->ticket, sizeof j->ticket);
    free(j);
}

/* --- the connections to the hub --- */

static int on_way(void *arg, struct edge_way *ret_way)
{
    const struct jump *j = arg;
    const struct keeper_settings *set = &j->keeper->set;
    ret_way->to = j->elsewhere ? j->to : set->hub;
    if (!j->elsewhere)
        ret_way->at = set->hub_at;
    ret_way->streams = set->streams;
    ret_way->trust = set->trust;
    return proxy_choose(set->proxy, ret_way->to.host, &ret_way->proxy, NULL);
}

static SSL_CTX *on_tls(void *arg)
{
    const struct jump *j = arg;
    return keeper_tls(j->keeper);
}

static void on_turn(void *arg)
{
    jump_turn(arg);
}

static void on_opened(void *arg)
{
    struct jump *j = arg;
    j->hub_reached = true;
    jump_answer(j);
}

/* A stream that cannot be had before the answer is told to the user. */
static void on_failed(void *arg, const char *words)
{
    struct jump *j = arg;
    if (!j->hub_reached && !j->answered)
        jump_fail(j, "hub-unreachable", "the machine cannot open a second connection to the hub: %s", words);
}

static void on_refused(void *arg, bool final, const char *text)
{
    const struct jump *j = arg;
    log_debug("%s from %s: the hub refuses the stream's connection%s: %s", j->user, j->source,
              final ? " for good" : "", text);
}

static void on_needs_tls(void *arg)
{
    const struct jump *j = arg;
    keeper_needs_tls(j->keeper);
}

static void on_edge_closed(void *arg)
{
    jump_end(arg);
}

static const struct edge_calls edge_calls = {.way = on_way,
                                             .tls = on_tls,
                                             .turn = on_turn,
                                             .opened = on_opened,
                                             .failed = on_failed,
                                             .refused = on_refused,
                                             .needs_tls = on_needs_tls,
                                             .closed = on_edge_closed};

static int open_edge(struct jump *j, const struct dial *dial)
{
    struct keeper *k = j->keeper;
    struct edge_config config = {
        .loop = k->loop,
        .stream = {.role = 'b', .dials = true, .window = dial->window, .patience_ms = dial->patience_ms},
        .ticket = dial->ticket,
        .tls_first = k->set.streams_tls,
        .scratch = k->scratch,
        .label = dial->user};
    memcpy(config.stream.key, dial->key, sizeof config.stream.key);
    int r = edge_new(&config, &edge_calls, j, &j->edge);
    crypto_wipe(&config, sizeof config);
    if (r == 0)
        j->stream = edge_stream(j->edge);
    return r;
}

void jump_network_changed(struct jump *j)
{
    if (!j->over)
        edge_network_changed(j->edge);
}

/* --- life --- */

int jump_new(struct keeper *k, struct jump **list, const struct dial *dial)
{
    struct jump *j = calloc(1, sizeof *j);
    if (j == NULL)
        return -ENOMEM;
    j->keeper = k;
    j->id = dial->id;
    memcpy(j->stream_id, dial->stream, sizeof j->stream_id);
    memcpy(j->ticket, dial->ticket, sizeof j->ticket);
    memcpy(j->user, dial->user, sizeof j->user);
    memcpy(j->source, dial->source, sizeof j->source);
    j->source_port = dial->source_port;
    j->elsewhere = dial->elsewhere;
    j->to = dial->to;
    j->started = clock_now_ms();
    int r = open_edge(j, dial);
    if (r != 0) {
        crypto_wipe(j->ticket, sizeof j->ticket);
        free(j);
        return r;
    }
    uv_timer_init(k->loop, &j->timer);
    j->timer.data = j;
    j->open = 1;
    j->next = *list;
    j->at = list;
    if (j->next != NULL)
        j->next->at = &j->next;
    *list = j;
    log_debug("%s from %s: a session is asked for (stream %s)", j->user, j->source, j->stream_id);
    jump_target_open(j);
    if (!j->over)
        jump_turn(j);
    return 0;
}

void jump_answer(struct jump *j)
{
    if (j->answered || !j->target.ready || !j->hub_reached)
        return;
    j->answered = true;
    edge_expect(j->edge);
    keeper_say_dialled(j->keeper, j->id);
}

void jump_fail(struct jump *j, const char *code, const char *fmt, ...)
{
    char text[400];
    va_list args;
    if (j->over)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    stream_reset(j->stream, STREAM_CODE_LOCAL, text);
    if (!j->answered && j->id != 0) {
        keeper_say_failed(j->keeper, j->id, code, text);
        j->failed = true;
    }
    jump_end(j);
}

void jump_describe(const struct jump *j, struct keeper_session *ret_s)
{
    struct stream_stats stats;
    stream_get_stats(j->stream, &stats);
    memset(ret_s, 0, sizeof *ret_s);
    memcpy(ret_s->stream, j->stream_id, sizeof ret_s->stream);
    memcpy(ret_s->user, j->user, sizeof ret_s->user);
    memcpy(ret_s->source, j->source, sizeof ret_s->source);
    ret_s->source_port = j->source_port;
    if (!j->answered || !stream_ever_live(j->stream))
        ret_s->state = KEEPER_SESSION_OPENING;
    else
        ret_s->state = stream_live(j->stream) >= 0 ? KEEPER_SESSION_OPEN : KEEPER_SESSION_WAITING;
    ret_s->age_ms = clock_now_ms() - j->started;
    ret_s->sent = stats.sent;
    ret_s->received = stats.received;
    ret_s->resumes = stats.resumes;
}

static void report_end(struct jump *j)
{
    struct keeper_session s;
    jump_describe(j, &s);
    snprintf(s.reason, sizeof s.reason, "%s",
             stream_state(j->stream) == STREAM_OPEN ? "given up" : stream_reason(j->stream));
    keeper_say_closed(j->keeper, &s);
}

void jump_end(struct jump *j)
{
    if (j->over)
        return;
    j->over = true;
    *j->at = j->next;
    if (j->next != NULL)
        j->next->at = j->at;
    if (j->answered || j->id == 0)
        report_end(j);
    else if (!j->failed)
        keeper_say_failed(j->keeper, j->id, "other", stream_reason(j->stream));
    jump_target_close(j);
    edge_free(j->edge);
    j->edge = NULL;
    j->stream = NULL;
    uv_close((uv_handle_t *)&j->timer, on_timer_closed);
    keeper_look(j->keeper);
}

/* When the hub is to have its answer. */
static uint64_t answer_by(const struct jump *j)
{
    if (j->answered)
        return UINT64_MAX;
    return j->started + (j->target.ready ? JUMP_ANSWER_MS : JUMP_TARGET_MS);
}

/* Not answered in time: says what has been missing. */
static void overdue(struct jump *j)
{
    char name[KEEPER_SETTINGS_SSH_MAX + 60];
    jump_target_name(j, name, sizeof name);
    if (!j->target.ready && j->target.banner.first[0] != 0)
        jump_target_not_ssh(j);
    else if (!j->target.ready)
        jump_fail(j, "timeout", "the %s did not answer within %d s", name, JUMP_TARGET_MS / 1000);
    else
        jump_fail(j, "hub-unreachable", "the machine cannot open a second connection to the hub: no answer");
}

static void arm(struct jump *j, uint64_t now)
{
    uint64_t at = jump_target_due(j);
    if (answer_by(j) < at)
        at = answer_by(j);
    if (at == UINT64_MAX || (j->timer_at != 0 && j->timer_at <= at))
        return;
    j->timer_at = at;
    /* Never at once: the loop would not go on while a timer arms itself so. */
    uv_timer_start(&j->timer, on_timer, at > now ? at - now : 1, 0);
}

void jump_turn(struct jump *j)
{
    uint64_t now = clock_now_ms();
    if (j->over)
        return;
    if (now >= answer_by(j)) {
        overdue(j);
        return;
    }
    if (stream_state(j->stream) == STREAM_OPEN)
        jump_target_pump(j);
    if (j->over)
        return;
    if (stream_state(j->stream) != STREAM_OPEN)
        jump_target_close(j);
    edge_poke(j->edge);
    arm(j, now);
}
