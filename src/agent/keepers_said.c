/* What keepers say, and what becomes of their sessions when they say nothing any more. */
#include "agent/keepers_private.h"

#include "agent/control.h"
#include "agent/keeper_session.h"
#include "agent/keeper_settings.h"
#include "agent/server.h"
#include "agent/uplink.h"
#include "base/clock.h"
#include "base/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_MAX 1000
#define AGAIN_MS 10000

struct kept_session *keepers_find(const struct kept *kept, const char *stream)
{
    struct kept_session *s = kept->sessions;
    while (s != NULL && strcmp(s->stream, stream) != 0)
        s = s->next;
    return s;
}

struct kept_session *keepers_find_id(const struct kept *kept, uint64_t id)
{
    struct kept_session *s = kept->sessions;
    while (s != NULL && (!s->asked || s->id != id))
        s = s->next;
    return s;
}

void keepers_drop_session(struct kept *kept, struct kept_session *s)
{
    struct kept_session **at = &kept->sessions;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s);
    if (kept->sessions == NULL && kept == kept->keepers->own) {
        kept->idle_since = clock_now_ms();
        keepers_wake(kept->keepers);
    }
}

/* Does the hub wait for it, on the connection on which it asked? */
static bool awaited(const struct kept *kept, const struct kept_session *s)
{
    const struct uplink *u = kept->keepers->agent->uplink;
    return !s->hung && s->generation == uplink_generation(u) && uplink_state(u) == UPLINK_ADMITTED;
}

static const char *take_dialled(struct kept *kept, const cJSON *m)
{
    uint64_t id;
    struct kept_session *s = dial_read_id(m, &id) == 0 ? keepers_find_id(kept, id) : NULL;
    if (s == NULL)
        return NULL; /* it was given up meanwhile */
    s->asked = false;
    if (!s->answered)
        log_info("%s from %s: session opened", s->user, s->source);
    s->answered = true;
    if (awaited(kept, s))
        control_send_dialled(kept->keepers->agent, s->hub_id);
    return NULL;
}

static const char *take_failed(struct kept *kept, const cJSON *m)
{
    const char *code = json_str_or(m, "code", 40, "other"),
               *reason = json_str_or(m, "reason", REASON_MAX, "");
    uint64_t id;
    struct kept_session *s = dial_read_id(m, &id) == 0 ? keepers_find_id(kept, id) : NULL;
    if (s == NULL)
        return NULL;
    log_limited(&kept->keepers->failures, LOG_LEVEL_WARN, "%s from %s: no session: %s", s->user, s->source,
                reason);
    if (awaited(kept, s))
        control_send_failed(kept->keepers->agent, s->hub_id, code, reason);
    s->asked = false;
    if (!s->answered) /* else it was only this question that was no good */
        keepers_drop_session(kept, s);
    return NULL;
}

/* The hub is told when there is one to be told; of the last ones, when they are many. */
static void tell_end(struct keepers *k, const struct keeper_session *s)
{
    if (uplink_state(k->agent->uplink) == UPLINK_ADMITTED) {
        control_send_closed(k->agent, s->stream, s->reason, s->sent, s->received,
                            s->state == KEEPER_SESSION_LOST);
        return;
    }
    keeper_untold_add(&k->untold, s);
}

void keepers_welcome(struct keepers *k)
{
    size_t n = k->untold.n;
    k->untold.n = 0;
    for (size_t i = 0; i < n && k->untold.item != NULL; i++)
        tell_end(k, &k->untold.item[i]);
}

static const char *take_closed(struct kept *kept, const cJSON *m)
{
    struct keeper_session said;
    const char *fault = keeper_session_read(m, &said);
    if (fault != NULL)
        return fault;
    struct kept_session *s = keepers_find(kept, said.stream);
    tell_end(kept->keepers, &said);
    if (s == NULL) /* it ended without an agent, and the keeper has logged it */
        return NULL;
    keeper_session_log_end(&said);
    keepers_drop_session(kept, s);
    return NULL;
}

/* One that an earlier agent asked for, and had an answer to. */
static const char *take_session(struct kept *kept, const cJSON *m)
{
    struct keeper_session said;
    const char *fault = keeper_session_read(m, &said);
    if (fault != NULL || kept->listed || keepers_find(kept, said.stream) != NULL)
        return fault;
    if (++kept->said > KEEPERS_SESSIONS_MAX)
        return "it keeps too many sessions";
    struct kept_session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return "out of memory";
    memcpy(s->stream, said.stream, sizeof s->stream);
    memcpy(s->user, said.user, sizeof s->user);
    memcpy(s->source, said.source, sizeof s->source);
    s->fresh = true;
    s->answered = said.state != KEEPER_SESSION_OPENING;
    s->next = kept->sessions;
    kept->sessions = s;
    return NULL;
}

static const char *take_listed(struct kept *kept, const cJSON *m)
{
    struct keepers *k = kept->keepers;
    size_t n = 0;
    (void)m;
    if (kept->listed)
        return NULL;
    kept->listed = true;
    for (struct kept_session *s = kept->sessions; s != NULL; s = s->next) {
        s->fresh = false;
        n++;
    }
    log_info("took over %zu session%s of an earlier agent (process %ld, version %s)", n, n == 1 ? "" : "s",
             kept->pid, kept->place.version);
    keepers_wake(k);
    return NULL;
}

static const char *take_look(struct kept *kept, const cJSON *m)
{
    (void)m;
    server_soon(kept->keepers->agent->server);
    return NULL;
}

static const char *take_streams_tls(struct kept *kept, const cJSON *m)
{
    struct agent *a = kept->keepers->agent;
    (void)m;
    if (a->streams_tls || a->opt.streams != EDGE_AUTO)
        return NULL;
    a->streams_tls = true;
    log_warn(
        "plain streams do not get through to the hub: sessions go in TLS from now on (streams = tls makes it "
        "permanent)");
    keepers_settings(kept->keepers);
    return NULL;
}

static const struct {
    const char *type;
    const char *(*take)(struct kept *kept, const cJSON *m);
} messages[] = {
    {"dialled", take_dialled},         {"failed", take_failed}, {"closed", take_closed},
    {"session", take_session},         {"listed", take_listed}, {"look", take_look},
    {"streams_tls", take_streams_tls},
};

static const char *on_message(void *arg, const char *type, const cJSON *m)
{
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        if (strcmp(type, messages[i].type) == 0)
            return messages[i].take(arg, m);
    return NULL;
}

static void on_ready(void *arg, const char *version, long pid)
{
    struct kept *kept = arg;
    struct keepers *k = kept->keepers;
    kept->ready = true;
    kept->said = 0;
    kept->pid = pid;
    snprintf(kept->place.version, sizeof kept->place.version, "%s", version);
    if (kept == k->own)
        return;
    keeper_call_send(kept->call, keeper_settings_message(k->agent));
    keeper_call_send(kept->call, json_new("drain"));
    if (k->ends) {
        cJSON *end = json_new("end");
        json_add_str(end, "reason", k->end_reason);
        keeper_call_send(kept->call, end);
    }
}

/* --- the end of one --- */

/* What it was asked and has not answered is not answered any more: it gives it up by itself. */
static void fail_unanswered(struct kept *kept, const char *why)
{
    for (struct kept_session *s = kept->sessions, *next; s != NULL; s = next) {
        next = s->next;
        if (!s->asked)
            continue;
        s->asked = false;
        if (s->answered)
            continue;
        log_warn("%s from %s: no session: %s", s->user, s->source, why);
        if (awaited(kept, s))
            control_send_failed(kept->keepers->agent, s->hub_id, "other", why);
        keepers_drop_session(kept, s);
    }
}

void keepers_lost(struct kept *kept)
{
    static const char why[] = "the machine's process that kept this session has died";
    struct keepers *k = kept->keepers;
    struct kept **at = &k->all;
    size_t n = 0;
    keeper_call_free(kept->call);
    for (const struct kept_session *s = kept->sessions; s != NULL; s = s->next)
        n++;
    if (n > 0)
        log_error("the keeper of sessions (process %ld) has died, and %zu session%s with it", kept->pid, n,
                  n == 1 ? "" : "s");
    while (kept->sessions != NULL) {
        struct keeper_session end = {.state = KEEPER_SESSION_LOST};
        memcpy(end.stream, kept->sessions->stream, sizeof end.stream);
        snprintf(end.reason, sizeof end.reason, "%s", why);
        tell_end(k, &end);
        keepers_drop_session(kept, kept->sessions);
    }
    while (*at != kept)
        at = &(*at)->next;
    *at = kept->next;
    keeper_place_remove(&kept->place);
    crypto_wipe(&kept->place, sizeof kept->place);
    free(kept);
    keepers_wake(k);
}

/* Its end, unless it is only the connection's: it is looked for once more where it listens. */
static void on_ended(void *arg, bool gone, const char *words)
{
    struct kept *kept = arg;
    struct keepers *k = kept->keepers;
    bool was_ready = kept->ready;
    for (struct kept_session *s = kept->sessions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->fresh)
            keepers_drop_session(kept, s);
    }
    keeper_call_free(kept->call);
    kept->call = NULL;
    kept->ready = false;
    kept->drains = true;
    if (kept == k->own)
        k->own = NULL;
    fail_unanswered(kept, "the machine's process that keeps sessions has died; try again");
    if (gone || (kept->listed && kept->sessions == NULL)) {
        keepers_lost(kept);
        return;
    }
    if (!was_ready)
        log_warn("the keeper of sessions (process %ld) cannot be talked to: %s", kept->pid, words);
    kept->again_at = clock_now_ms() + (was_ready ? 0 : AGAIN_MS);
    keepers_wake(k);
}

const struct keeper_call_calls keepers_calls = {.ready = on_ready, .message = on_message, .ended = on_ended};
