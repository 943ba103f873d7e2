/* The door that the hub's requests come through. */
#include "agent/keepers_private.h"

#include "agent/control.h"
#include "agent/uplink.h"
#include "base/clock.h"
#include "base/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool id_in_use(const struct keepers *k, uint64_t hub_id)
{
    unsigned generation = uplink_generation(k->agent->uplink);
    for (const struct kept *i = k->all; i != NULL; i = i->next)
        for (const struct kept_session *s = i->sessions; s != NULL; s = s->next)
            if (s->asked && s->hub_id == hub_id && s->generation == generation)
                return true;
    return false;
}

/* May this be had at all? Returns NULL, or why not. */
static const char *check(const struct keepers *k, const struct dial *d, const char **code)
{
    const struct agent *a = k->agent;
    if (d->elsewhere && !agent_options_is_hub(&a->opt, &d->to))
        return "the hub named an address that is not on the machine's own list of hubs";
    *code = "busy";
    if (a->stopping)
        return "the machine's agent is ending";
    if (keepers_sessions(k) >= a->opt.sessions_max)
        return "the machine has as many sessions as its agent takes (sessions-max)";
    return NULL;
}

/* Where this stream is already: the hub asks again when it does not know whether it was answered. */
static struct kept_session *find_everywhere(const struct keepers *k, const char *stream,
                                            struct kept **ret_kept)
{
    for (struct kept *i = k->all; i != NULL; i = i->next) {
        struct kept_session *s = keepers_find(i, stream);
        if (s != NULL && i->call != NULL && (i->ready || i == k->own)) {
            *ret_kept = i;
            return s;
        }
    }
    return NULL;
}

/* Returns NULL, or why not. */
static const char *begin(struct keepers *k, const struct dial *d, struct kept **ret_kept,
                         struct kept_session **ret_s, const char **code, struct errmsg *err)
{
    struct errmsg why;
    const char *fault = check(k, d, code);
    if (fault != NULL)
        return fault;
    struct kept_session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return "the machine's agent is out of memory";
    if (keepers_own(k, ret_kept, &why) != 0) {
        free(s);
        errmsg_set(err, -EAGAIN,
                   "the machine's agent cannot start the process that keeps its sessions: %.300s", why.text);
        return err->text;
    }
    memcpy(s->stream, d->stream, sizeof s->stream);
    memcpy(s->user, d->user, sizeof s->user);
    memcpy(s->source, d->source, sizeof s->source);
    s->next = (*ret_kept)->sessions;
    (*ret_kept)->sessions = s;
    *ret_s = s;
    return NULL;
}

/* Returns NULL, or why not. */
static const char *pass_on(struct keepers *k, struct dial *d, const char **code, struct errmsg *err)
{
    struct kept *kept = NULL;
    struct kept_session *s = find_everywhere(k, d->stream, &kept);
    const char *fault = s == NULL ? begin(k, d, &kept, &s, code, err) : NULL;
    if (fault != NULL)
        return fault;
    s->hub_id = d->id;
    s->generation = uplink_generation(k->agent->uplink);
    s->id = d->id = ++k->last_id;
    s->asked = true;
    s->asked_at = clock_now_ms();
    s->hung = false;
    keeper_call_send(kept->call, dial_write(d));
    keepers_wake(k);
    return NULL;
}

const char *keepers_dial(struct keepers *k, const cJSON *message)
{
    const struct agent_options *opt = &k->agent->opt;
    const char *code = "other";
    struct errmsg err;
    struct dial d;
    uint64_t id;
    if (dial_read_id(message, &id) != 0)
        return "a dial without an id";
    if (id_in_use(k, id))
        return "a dial whose id is in use";
    const char *fault = dial_read(message, &d);
    if (d.window > opt->window)
        d.window = (uint32_t)opt->window;
    if (d.patience_ms > opt->patience_ms)
        d.patience_ms = (uint32_t)opt->patience_ms;
    if (fault == NULL)
        fault = pass_on(k, &d, &code, &err);
    if (fault != NULL) {
        log_limited(&k->refusals, LOG_LEVEL_WARN, "a jump%s%s was refused: %s", d.user[0] != 0 ? " of " : "",
                    d.user, fault);
        control_send_failed(k->agent, id, code, fault);
    }
    crypto_wipe(&d, sizeof d);
    return NULL;
}

static void send_hangup(struct kept *kept, const char *stream, const char *reason)
{
    cJSON *m = json_new("hangup");
    json_add_str(m, "stream", stream);
    json_add_str(m, "reason", reason);
    if (kept->call != NULL && (kept->ready || kept == kept->keepers->own))
        keeper_call_send(kept->call, m);
    else
        cJSON_Delete(m);
}

/* Sent to all: one of them may not have said yet what it keeps. */
void keepers_hangup(struct keepers *k, const char *stream, const char *reason)
{
    for (struct kept *i = k->all; i != NULL; i = i->next) {
        struct kept_session *s = keepers_find(i, stream);
        if (s != NULL)
            s->hung = true;
        if (s != NULL || !i->listed)
            send_hangup(i, stream, reason);
    }
}
