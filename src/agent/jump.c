/* The life of a jump: begun by the hub's request, answered once, ended when its stream is. */
#include "agent/jump.h"

#include "agent/control.h"
#include "agent/uplink.h"
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
    stream_free(j->stream);
    free(j->target.stage);
    crypto_wipe(j->ticket, sizeof j->ticket);
    crypto_wipe(j->key, sizeof j->key);
    free(j);
}

int jump_new(struct agent *a, struct jump **list, const struct jump_request *request)
{
    uint64_t now = clock_now_ms();
    struct stream_config config = {
        .role = 'b', .dials = true, .window = request->window, .patience_ms = request->patience_ms};
    struct jump *j = calloc(1, sizeof *j);
    if (j == NULL)
        return -ENOMEM;
    memcpy(config.key, request->key, sizeof config.key);
    int r = stream_new(&config, now, &j->stream);
    crypto_wipe(&config, sizeof config);
    if (r != 0) {
        free(j);
        return r;
    }
    j->agent = a;
    j->id = request->id;
    j->generation = uplink_generation(a->uplink);
    snprintf(j->stream_id, sizeof j->stream_id, "%s", request->stream_id);
    snprintf(j->ticket, sizeof j->ticket, "%s", request->ticket);
    memcpy(j->key, request->key, sizeof j->key);
    snprintf(j->user, sizeof j->user, "%s", request->user);
    snprintf(j->source, sizeof j->source, "%s", request->source);
    j->source_port = request->source_port;
    if (request->to != NULL) {
        j->elsewhere = true;
        j->to = *request->to;
    }
    j->started = now;
    j->next_tls = a->streams_tls;
    uv_timer_init(a->loop, &j->timer);
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

static bool may_answer(const struct jump *j)
{
    return !j->answered && j->generation == uplink_generation(j->agent->uplink) &&
           uplink_state(j->agent->uplink) == UPLINK_ADMITTED;
}

void jump_answer(struct jump *j)
{
    if (!j->target.ready || !j->hub_reached || !may_answer(j))
        return;
    j->answered = true;
    j->answered_at = clock_now_ms();
    log_info("%s from %s: session opened", j->user, j->source);
    control_send_dialled(j->agent, j->id);
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
    log_warn("%s from %s: no session: %s", j->user, j->source, text);
    if (may_answer(j))
        control_send_failed(j->agent, j->id, code, text);
    j->answered = true;
    stream_reset(j->stream, STREAM_CODE_LOCAL, text);
    jump_end(j);
}

static void report_end(struct jump *j)
{
    struct stream_stats stats;
    char lasted[40];
    stream_get_stats(j->stream, &stats);
    clock_format_ago(clock_now_ms() - j->started, lasted, sizeof lasted);
    const char *reason = stream_state(j->stream) == STREAM_OPEN ? "given up" : stream_reason(j->stream);
    log_info("%s from %s: session ended after %s: %s (%llu bytes to the user, %llu from, %u resumed)",
             j->user, j->source, lasted, reason, (unsigned long long)stats.sent,
             (unsigned long long)stats.received, stats.resumes);
    control_send_closed(j->agent, j->stream_id, reason, stats.sent, stats.received);
}

void jump_end(struct jump *j)
{
    uint64_t now = clock_now_ms();
    if (j->over)
        return;
    j->over = true;
    *j->at = j->next;
    if (j->next != NULL)
        j->next->at = j->at;
    if (j->answered && j->target.ready && j->hub_reached)
        report_end(j);
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (j->conns[i] != NULL)
            jump_conn_close(j->conns[i], now);
    jump_target_close(j);
    uv_close((uv_handle_t *)&j->timer, on_timer_closed);
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
    char name[300];
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
    uint64_t at = stream_next_tick(j->stream), due = jump_target_due(j);
    if (due < at)
        at = due;
    for (size_t i = 0; i < STREAM_CONNS; i++) {
        due = j->conns[i] != NULL ? jump_conn_due(j->conns[i]) : UINT64_MAX;
        if (due < at)
            at = due;
    }
    if (answer_by(j) < at)
        at = answer_by(j);
    if (at == UINT64_MAX || (j->timer_at != 0 && j->timer_at <= at))
        return;
    j->timer_at = at;
    uv_timer_start(&j->timer, on_timer, at > now ? at - now : 0, 0);
}

static bool has_conns(const struct jump *j)
{
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (j->conns[i] != NULL)
            return true;
    return false;
}

void jump_turn(struct jump *j)
{
    uint64_t now = clock_now_ms();
    uint32_t epoch;
    if (j->over)
        return;
    if (now >= answer_by(j)) {
        overdue(j);
        return;
    }
    if (now >= stream_next_tick(j->stream))
        stream_tick(j->stream, now);
    if (stream_state(j->stream) == STREAM_OPEN)
        jump_target_pump(j);
    for (size_t i = 0; i < STREAM_CONNS; i++)
        if (j->conns[i] != NULL)
            jump_conn_pump(j->conns[i], now);
    if (j->over)
        return;
    if (stream_state(j->stream) != STREAM_OPEN) {
        jump_target_close(j);
        if (!has_conns(j)) {
            jump_end(j);
            return;
        }
    } else if (stream_wants_dial(j->stream, now, &epoch)) {
        jump_conn_open(j, epoch, now);
    }
    if (!j->over)
        arm(j, now);
}
