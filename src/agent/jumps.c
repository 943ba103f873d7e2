/* The list of jumps, and the door that the agent's requests come through. */
#include "agent/jumps.h"

#include "agent/jump.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct jumps {
    struct keeper *keeper;
    struct jump *all;
};

int jumps_new(struct keeper *k, struct jumps **ret_j)
{
    struct jumps *j = calloc(1, sizeof *j);
    if (j == NULL)
        return -ENOMEM;
    j->keeper = k;
    *ret_j = j;
    return 0;
}

void jumps_free(struct jumps *j)
{
    free(j);
}

size_t jumps_count(const struct jumps *j)
{
    size_t n = 0;
    for (const struct jump *i = j->all; i != NULL; i = i->next)
        n++;
    return n;
}

void jumps_each(const struct jumps *j, jumps_fn *fn, void *arg)
{
    struct keeper_session s;
    for (const struct jump *i = j->all; i != NULL; i = i->next) {
        jump_describe(i, &s);
        fn(arg, &s);
    }
}

static struct jump *find_stream(const struct jumps *j, const char *stream_id)
{
    struct jump *i = j->all;
    while (i != NULL && strcmp(i->stream_id, stream_id) != 0)
        i = i->next;
    return i;
}

static struct jump *find_unanswered(const struct jumps *j, uint64_t id)
{
    struct jump *i = j->all;
    while (i != NULL && (i->answered || i->id != id))
        i = i->next;
    return i;
}

/* Asked again: the hub, or the agent, is not the one that asked first. */
static const char *take_over(struct jump *i, const struct dial *d)
{
    if (strcmp(i->ticket, d->ticket) != 0)
        return "this stream is open already";
    i->id = d->id;
    if (i->answered)
        keeper_say_dialled(i->keeper, i->id);
    return NULL;
}

/* Returns NULL, or why not. */
static const char *begin(struct jumps *j, const struct dial *d, const char **code)
{
    struct keeper *k = j->keeper;
    struct jump *i = find_stream(j, d->stream);
    if (i != NULL)
        return take_over(i, d);
    if (k->set.hub.host[0] == 0)
        return "the machine's agent has not said where the hub is";
    *code = "busy";
    if (k->end_at != 0)
        return "the machine's agent is ending";
    if (jumps_count(j) >= k->set.sessions_max)
        return "the machine has as many sessions as its agent takes (sessions-max)";
    return jump_new(k, &j->all, d) == 0 ? NULL : "the machine's agent is out of memory";
}

const char *jumps_dial(struct jumps *j, const cJSON *message)
{
    struct dial d;
    const char *code = "other";
    uint64_t id;
    if (dial_read_id(message, &id) != 0)
        return "a dial without an id";
    if (find_unanswered(j, id) != NULL)
        return "a dial whose id is in use";
    const char *fault = dial_read(message, &d);
    if (fault == NULL)
        fault = begin(j, &d, &code);
    crypto_wipe(&d, sizeof d);
    if (fault != NULL)
        keeper_say_failed(j->keeper, id, code, fault);
    return NULL;
}

void jumps_hangup(struct jumps *j, const char *stream, const char *reason)
{
    struct jump *i = find_stream(j, stream);
    if (i == NULL) {
        log_debug("a stream that is not here was hung up");
        return;
    }
    if (!i->answered) {
        jump_fail(i, "other", "%s", reason);
        return;
    }
    stream_reset(i->stream, STREAM_CODE_KILLED, reason);
    jump_turn(i);
}

void jumps_agent_left(struct jumps *j)
{
    for (struct jump *i = j->all; i != NULL; i = i->next)
        i->id = 0;
}

void jumps_network_changed(struct jumps *j)
{
    for (struct jump *i = j->all; i != NULL; i = i->next)
        jump_network_changed(i);
}

void jumps_reset_all(struct jumps *j, const char *reason)
{
    for (struct jump *i = j->all, *next; i != NULL; i = next) {
        next = i->next;
        if (!i->answered) {
            jump_fail(i, "busy", "%s", reason);
            continue;
        }
        stream_reset(i->stream, STREAM_CODE_LOCAL, reason);
        jump_turn(i);
    }
}

void jumps_end_all(struct jumps *j)
{
    while (j->all != NULL)
        jump_end(j->all);
}
