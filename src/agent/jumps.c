/* The list of jumps, and the door that the hub's requests come through. */
#include "agent/jumps.h"

#include "agent/control.h"
#include "agent/jump.h"
#include "agent/uplink.h"
#include "base/json.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX (INT64_C(1) << 53)
#define TICKET_VERSION 1

struct jumps {
    struct agent *agent;
    struct jump *all;
    struct log_limit refusals; /* the hub can cause as many as it likes */
};

int jumps_new(struct agent *a, struct jumps **ret_j)
{
    struct jumps *j = calloc(1, sizeof *j);
    if (j == NULL)
        return -ENOMEM;
    j->agent = a;
    j->refusals = (struct log_limit){.burst = 20, .interval_ms = 1000};
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

/* The stream's id stands in the ticket, readable to all; only its truth cannot be checked here. */
static int ticket_stream(const char *ticket, char *ret_hex, size_t size)
{
    uint8_t payload[TICKET_TEXT_MAX];
    const char *dot = strchr(ticket, '.');
    if (dot == NULL)
        return -EINVAL;
    for (const char *p = ticket; *p != 0; p++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.", *p) == NULL)
            return -EINVAL;
    int n = crypto_b64url_decode(ticket, (size_t)(dot - ticket), payload, sizeof payload);
    if (n < 1 + TICKET_ID_SIZE || payload[0] != TICKET_VERSION)
        return -EINVAL;
    crypto_hex_encode(payload + 1, TICKET_ID_SIZE, ret_hex, size);
    return 0;
}

static const struct jump *find_stream(const struct jumps *j, const char *stream_id)
{
    const struct jump *i = j->all;
    while (i != NULL && strcmp(i->stream_id, stream_id) != 0)
        i = i->next;
    return i;
}

/* Reads what the message says. Returns NULL, or what is wrong with it. */
static const char *read_request(const struct jumps *j, const cJSON *m, struct jump_request *r,
                                struct addr_hostport *to)
{
    const char *key = json_str(m, "key", 2 * TICKET_KEY_SIZE), *elsewhere = json_str(m, "to", 300);
    const struct agent_options *opt = &j->agent->opt;
    r->ticket = json_str(m, "ticket", TICKET_TEXT_MAX - 1);
    r->user = json_str(m, "user", NAMES_USER_MAX);
    r->source = json_str_or(m, "source", sizeof((struct jump *)0)->source - 1, "?");
    r->source_port = (uint16_t)json_int_or(m, "source_port", 1, UINT16_MAX, 0);
    if (r->ticket == NULL || ticket_stream(r->ticket, r->stream_id, sizeof r->stream_id) != 0)
        return "the hub sent a ticket that is none";
    if (key == NULL || crypto_hex_decode(key, strlen(key), r->key, sizeof r->key) != TICKET_KEY_SIZE)
        return "the hub sent a key that is none";
    if (r->user == NULL || !names_user_ok(r->user))
        return "the hub sent a user's name that is none";
    if (cJSON_GetObjectItemCaseSensitive(m, "to") != NULL) {
        if (elsewhere == NULL || addr_parse(elsewhere, 0, false, to) != 0 || !agent_options_is_hub(opt, to))
            return "the hub named an address that is not on the machine's own list of hubs";
        r->to = to;
    }
    uint64_t window =
        (uint64_t)json_int_or(m, "window", STREAM_WINDOW_MIN, STREAM_WINDOW_MAX, STREAM_WINDOW_DEFAULT);
    uint64_t patience = (uint64_t)json_int_or(m, "patience_ms", 1000, 24 * 3600 * 1000, 300000);
    r->window = (uint32_t)(window < opt->window ? window : opt->window);
    r->patience_ms = (uint32_t)(patience < opt->patience_ms ? patience : opt->patience_ms);
    return NULL;
}

const char *jumps_dial(struct jumps *j, const cJSON *message)
{
    struct jump_request r = {0};
    struct addr_hostport to;
    struct agent *a = j->agent;
    int64_t id;
    if (json_int(message, "id", 1, ID_MAX, &id) != 0)
        return "a dial without an id";
    for (const struct jump *i = j->all; i != NULL; i = i->next)
        if (!i->answered && i->id == (uint64_t)id && i->generation == uplink_generation(a->uplink))
            return "a dial whose id is in use";
    r.id = (uint64_t)id;
    const char *fault = read_request(j, message, &r, &to), *code = "other";
    if (fault == NULL && find_stream(j, r.stream_id) != NULL)
        fault = "this stream is open already";
    if (fault == NULL && a->stopping) {
        code = "busy";
        fault = "the machine's agent is ending";
    }
    if (fault == NULL && jumps_count(j) >= a->opt.sessions_max) {
        code = "busy";
        fault = "the machine has as many sessions as its agent takes (sessions-max)";
    }
    int err = fault == NULL ? jump_new(a, &j->all, &r) : 0;
    if (err != 0) {
        code = "busy";
        fault = "the machine's agent is out of memory";
    }
    crypto_wipe(r.key, sizeof r.key);
    if (fault != NULL) {
        log_limited(&j->refusals, LOG_LEVEL_WARN, "a jump%s%s was refused: %s", r.user != NULL ? " of " : "",
                    r.user != NULL ? r.user : "", fault);
        control_send_failed(a, (uint64_t)id, code, fault);
    }
    return NULL;
}

void jumps_hangup(struct jumps *j, const char *stream, const char *reason)
{
    for (struct jump *i = j->all; i != NULL; i = i->next) {
        if (strcmp(i->stream_id, stream) != 0)
            continue;
        i->answered = true; /* nobody waits any more */
        stream_reset(i->stream, STREAM_CODE_KILLED, reason);
        jump_turn(i);
        return;
    }
    log_debug("the hub hung up a stream that is not here");
}

void jumps_uplink_lost(struct jumps *j)
{
    for (struct jump *i = j->all, *next; i != NULL; i = next) {
        next = i->next;
        if (!i->answered)
            jump_end(i);
    }
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
