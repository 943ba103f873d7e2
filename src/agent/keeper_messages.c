/* What a keeper is told. */
#include "agent/keeper.h"

#include "agent/jumps.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include <string.h>

#define WORDS_MAX 1000 /* the longest reason that is taken */

static void read_reason(const cJSON *m, char out[STREAM_TEXT_MAX + 1])
{
    const char *text = json_str_or(m, "reason", WORDS_MAX, "it was ended");
    size_t n = utf8_cut(text, strlen(text), STREAM_TEXT_MAX);
    memcpy(out, text, n);
    out[n] = 0;
}

static const char *take_settings(struct keeper *k, const cJSON *m)
{
    const char *fault = keeper_settings_read(m, &k->set);
    if (fault == NULL)
        keeper_set(k);
    return fault;
}

static const char *take_dial(struct keeper *k, const cJSON *m)
{
    return jumps_dial(k->jumps, m);
}

static const char *take_hangup(struct keeper *k, const cJSON *m)
{
    const char *stream = json_str(m, "stream", DIAL_STREAM_TEXT - 1);
    char reason[STREAM_TEXT_MAX + 1];
    if (stream == NULL)
        return "a hangup without a stream";
    read_reason(m, reason);
    jumps_hangup(k->jumps, stream, reason);
    return NULL;
}

static const char *take_network(struct keeper *k, const cJSON *m)
{
    (void)m;
    jumps_network_changed(k->jumps);
    return NULL;
}

static const char *take_drain(struct keeper *k, const cJSON *m)
{
    (void)m;
    k->drains = true;
    keeper_look(k);
    return NULL;
}

static const char *take_end(struct keeper *k, const cJSON *m)
{
    char reason[STREAM_TEXT_MAX + 1];
    read_reason(m, reason);
    keeper_end(k, reason);
    return NULL;
}

static const struct {
    const char *type;
    bool agent; /* only its */
    const char *(*take)(struct keeper *k, const cJSON *m);
} messages[] = {
    {"settings", true, take_settings}, {"dial", true, take_dial},   {"hangup", true, take_hangup},
    {"network", true, take_network},   {"drain", true, take_drain}, {"end", false, take_end},
};

const char *keeper_message(struct keeper *k, struct keeper_link *from, bool agent, const char *type,
                           const cJSON *m)
{
    if (strcmp(type, "list") == 0)
        keeper_list(k, from);
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        if (strcmp(type, messages[i].type) == 0)
            return agent || !messages[i].agent ? messages[i].take(k, m) : "what only an agent may say";
    return NULL;
}

static void add_session(void *arg, const struct keeper_session *s)
{
    keeper_link_send(arg, keeper_session_write(s, "session"));
}

void keeper_list(struct keeper *k, struct keeper_link *to)
{
    jumps_each(k->jumps, add_session, to);
    keeper_link_send(to, json_new("listed"));
}
