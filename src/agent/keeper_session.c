/* One session in messages and words. */
#include "agent/keeper_session.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

#define NUMBER_MAX (INT64_C(1) << 53)

static const char *const state_words[] = {[KEEPER_SESSION_OPENING] = "opening",
                                          [KEEPER_SESSION_OPEN] = "open",
                                          [KEEPER_SESSION_WAITING] = "waiting",
                                          [KEEPER_SESSION_LOST] = "lost"};

const char *keeper_session_state(const struct keeper_session *s)
{
    return state_words[s->state];
}

static void add_count(cJSON *m, const char *name, uint64_t n)
{
    json_add_int(m, name, n < NUMBER_MAX ? (int64_t)n : NUMBER_MAX);
}

cJSON *keeper_session_write(const struct keeper_session *s, const char *type)
{
    cJSON *m = json_new(type);
    json_add_str(m, "stream", s->stream);
    json_add_str(m, "user", s->user);
    json_add_str(m, "source", s->source);
    if (s->source_port != 0)
        json_add_int(m, "source_port", s->source_port);
    json_add_str(m, "state", state_words[s->state]);
    add_count(m, "age_ms", s->age_ms);
    add_count(m, "sent", s->sent);
    add_count(m, "received", s->received);
    add_count(m, "resumes", s->resumes);
    if (s->reason[0] != 0)
        json_add_str(m, "reason", s->reason);
    return m;
}

const char *keeper_session_read(const cJSON *m, struct keeper_session *ret_s)
{
    const char *stream = json_str(m, "stream", DIAL_STREAM_TEXT - 1),
               *user = json_str(m, "user", NAMES_USER_MAX);
    const char *state = json_str_or(m, "state", 20, "");
    const char *reason = json_str_or(m, "reason", sizeof ret_s->reason - 1, "");
    memset(ret_s, 0, sizeof *ret_s);
    if (stream == NULL || strlen(stream) != DIAL_STREAM_TEXT - 1 ||
        strspn(stream, "0123456789abcdef") != DIAL_STREAM_TEXT - 1)
        return "a session whose stream is none";
    if (user == NULL || !names_user_ok(user))
        return "a session whose user is none";
    snprintf(ret_s->stream, sizeof ret_s->stream, "%s", stream);
    snprintf(ret_s->user, sizeof ret_s->user, "%s", user);
    snprintf(ret_s->source, sizeof ret_s->source, "%s", json_str_or(m, "source", DIAL_SOURCE_MAX, "?"));
    ret_s->source_port = (uint16_t)json_int_or(m, "source_port", 1, UINT16_MAX, 0);
    ret_s->state = KEEPER_SESSION_OPEN;
    for (unsigned i = 0; i <= KEEPER_SESSION_WAITING; i++)
        if (strcmp(state, state_words[i]) == 0)
            ret_s->state = (enum keeper_session_state)i;
    ret_s->age_ms = (uint64_t)json_int_or(m, "age_ms", 0, NUMBER_MAX, 0);
    ret_s->sent = (uint64_t)json_int_or(m, "sent", 0, NUMBER_MAX, 0);
    ret_s->received = (uint64_t)json_int_or(m, "received", 0, NUMBER_MAX, 0);
    ret_s->resumes = (uint64_t)json_int_or(m, "resumes", 0, NUMBER_MAX, 0);
    snprintf(ret_s->reason, sizeof ret_s->reason, "%s", reason);
    return NULL;
}

void keeper_session_log_end(const struct keeper_session *s)
{
    char lasted[40];
    clock_format_ago(s->age_ms, lasted, sizeof lasted);
    log_info("%s from %s: session ended after %s: %s (%llu bytes to the user, %llu from, %llu resumed)",
             s->user, s->source, lasted, s->reason, (unsigned long long)s->sent,
             (unsigned long long)s->received, (unsigned long long)s->resumes);
}
