/* The agent's half of the control protocol. */
#include "agent/control.h"

#include "agent/agent.h"
#include "agent/keepers.h"
#include "agent/server.h"
#include "agent/uplink.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include "stream/ticket.h"
#include <stdio.h>
#include <string.h>

#define PROTOCOL 1
#define WORDS_MAX 1000 /* the longest reason that is taken from the hub */
#define NUMBER_MAX (INT64_C(1) << 53)
#define PING_MS_MIN 1000
#define PING_MS_MAX 600000
#define TARGET_MAX 79 /* a longer one is not worth a refusal */
#define RETRY_MS_MAX (24LL * 3600 * 1000)
#define RESUME_S_MAX (7 * 24 * 3600)

/* --- to the hub --- */

static void add_state(cJSON *m, const struct agent *a)
{
    char target[300];
    struct addr_hostport ssh;
    const struct hostkeys *keys = server_hostkeys(a->server);
    agent_options_ssh(&a->opt, &ssh);
    addr_format(&ssh, 0, target, sizeof target);
    json_add_str(m, "ssh", server_ssh(a->server));
    json_add_str(m, "ssh_state", server_ssh_state(a->server));
    json_add_str(m, "ssh_target", strlen(target) <= TARGET_MAX ? target : "");
    json_add_str(m, "ssh_reason", server_words(a->server));
    json_add_str(m, "host_keys_from", keys->from);
    cJSON *list = m != NULL ? cJSON_AddArrayToObject(m, "host_keys") : NULL;
    for (unsigned i = 0; list != NULL && i < keys->n; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(keys->key[i]));
}

cJSON *control_hello(const struct agent *a)
{
    cJSON *m = json_new("hello");
    json_add_int(m, "protocol", PROTOCOL);
    json_add_str(m, "version", MULTISSH_VERSION);
    json_add_str(m, "name", a->name);
    if (a->opt.token != NULL)
        json_add_str(m, "token", a->opt.token);
    json_add_str(m, "os", a->host.os);
    json_add_str(m, "arch", a->host.arch);
    json_add_str(m, "machine_id", a->host.machine_id);
    json_add_str(m, "boot_id", a->host.boot_id);
    json_add_str(m, "start_id", a->start_id);
    add_state(m, a);
    cJSON *labels = m != NULL ? agent_options_labels(&a->opt) : NULL;
    if (labels != NULL)
        cJSON_AddItemToObject(m, "labels", labels);
    return m;
}

cJSON *control_ping(uint64_t n)
{
    cJSON *m = json_new("ping");
    json_add_int(m, "n", (int64_t)n);
    return m;
}

cJSON *control_bye(const char *reason, bool final)
{
    cJSON *m = json_new("bye");
    json_add_str(m, "reason", reason);
    json_add_bool(m, "final", final);
    return m;
}

void control_send_state(struct agent *a)
{
    cJSON *m;
    if (uplink_state(a->uplink) != UPLINK_ADMITTED)
        return; /* hello says it */
    m = json_new("state");
    add_state(m, a);
    uplink_send(a->uplink, m);
}

void control_send_dialled(struct agent *a, uint64_t id)
{
    cJSON *m = json_new("dialled");
    json_add_int(m, "id", (int64_t)id);
    uplink_send(a->uplink, m);
}

void control_send_failed(struct agent *a, uint64_t id, const char *code, const char *reason)
{
    cJSON *m = json_new("failed");
    json_add_int(m, "id", (int64_t)id);
    json_add_str(m, "code", code);
    json_add_str(m, "reason", reason);
    uplink_send(a->uplink, m);
}

void control_send_closed(struct agent *a, const char *stream, const char *reason, uint64_t sent,
                         uint64_t received, bool lost)
{
    cJSON *m;
    if (uplink_state(a->uplink) != UPLINK_ADMITTED)
        return;
    m = json_new("closed");
    json_add_str(m, "stream", stream);
    json_add_str(m, "reason", reason);
    json_add_int(m, "sent", (int64_t)(sent < NUMBER_MAX ? sent : NUMBER_MAX));
    json_add_int(m, "received", (int64_t)(received < NUMBER_MAX ? received : NUMBER_MAX));
    if (lost)
        json_add_bool(m, "lost", true);
    uplink_send(a->uplink, m);
}

/* --- from the hub --- */

static const char *take_welcome(struct agent *a, const cJSON *m)
{
    const char *name = json_str(m, "name", NAMES_MACHINE_MAX);
    if (uplink_state(a->uplink) != UPLINK_HELLO && uplink_state(a->uplink) != UPLINK_HELD)
        return "the hub welcomed twice";
    if (name == NULL || !names_machine_ok(name))
        return "the hub's welcome has no name for this machine";
    uplink_said_welcome(a->uplink, name,
                        (uint64_t)json_int_or(m, "ping_ms", PING_MS_MIN, PING_MS_MAX, UPLINK_PING_MS),
                        json_bool(m, "joined", false));
    return NULL;
}

static const char *take_held(struct agent *a, const cJSON *m)
{
    if (uplink_state(a->uplink) != UPLINK_HELLO && uplink_state(a->uplink) != UPLINK_HELD)
        return "the hub sent 'held' out of its place";
    uplink_said_held(a->uplink, json_str_or(m, "reason", WORDS_MAX, "no reason given"));
    return NULL;
}

static const char *take_refused(struct agent *a, const cJSON *m)
{
    if (uplink_state(a->uplink) != UPLINK_HELLO && uplink_state(a->uplink) != UPLINK_HELD)
        return "the hub sent 'refused' out of its place";
    uplink_said_refused(a->uplink, json_str_or(m, "code", 40, "no code"),
                        json_str_or(m, "reason", WORDS_MAX, "no reason given"),
                        json_int_or(m, "retry_ms", 0, RETRY_MS_MAX, -1));
    return NULL;
}

static const char *take_bye(struct agent *a, const cJSON *m)
{
    uplink_said_bye(a->uplink, json_str_or(m, "code", 40, "no code"),
                    json_str_or(m, "reason", WORDS_MAX, "no reason given"),
                    json_int_or(m, "retry_ms", 0, RETRY_MS_MAX, -1));
    return NULL;
}

static const char *take_dial(struct agent *a, const cJSON *m)
{
    return uplink_state(a->uplink) == UPLINK_ADMITTED ? keepers_dial(a->keepers, m) : "a dial before welcome";
}

static const char *take_hangup(struct agent *a, const cJSON *m)
{
    const char *stream = json_str(m, "stream", 2 * TICKET_ID_SIZE);
    char reason[201];
    size_t n;
    if (uplink_state(a->uplink) != UPLINK_ADMITTED)
        return "a hangup before welcome";
    if (stream == NULL)
        return "a hangup without a stream";
    const char *text = json_str_or(m, "reason", WORDS_MAX, "the hub ended it");
    n = utf8_cut(text, strlen(text), sizeof reason - 1);
    memcpy(reason, text, n);
    reason[n] = 0;
    keepers_hangup(a->keepers, stream, reason);
    return NULL;
}

static const char *take_renamed(struct agent *a, const cJSON *m)
{
    const char *name = json_str(m, "name", NAMES_MACHINE_MAX);
    if (uplink_state(a->uplink) != UPLINK_ADMITTED || name == NULL || !names_machine_ok(name))
        return "the hub sent an unfit 'renamed'";
    log_info("the hub calls this machine %s now (it was %s)", name, a->name);
    agent_admitted(a, name);
    return NULL;
}

static const char *take_resume(struct agent *a, const cJSON *m)
{
    const char *ticket = json_str(m, "ticket", 2 * SESSION_TICKET_MAX),
               *key = json_str(m, "key", 2 * SESSION_TICKET_KEY);
    struct session_ticket t = {.n = 0};
    int n = ticket == NULL ? -1 : crypto_b64url_decode(ticket, strlen(ticket), t.ticket, sizeof t.ticket);
    if (uplink_state(a->uplink) != UPLINK_ADMITTED || n <= 0 || key == NULL ||
        crypto_hex_decode(key, strlen(key), t.key, sizeof t.key) != (int)sizeof t.key)
        return "the hub sent an unfit 'resume'";
    t.n = (size_t)n;
    uplink_said_resume(a->uplink, &t, (uint32_t)json_int_or(m, "lifetime_s", 1, RESUME_S_MAX, 1));
    crypto_wipe(&t, sizeof t);
    return NULL;
}

static const char *take_ping(struct agent *a, const cJSON *m)
{
    cJSON *pong = json_new("pong");
    json_add_int(pong, "n", json_int_or(m, "n", 0, NUMBER_MAX, 0));
    json_add_str(pong, "ssh_state", server_ssh_state(a->server));
    uplink_send(a->uplink, pong);
    return NULL;
}

static const char *take_pong(struct agent *a, const cJSON *m)
{
    (void)a;
    (void)m;
    return NULL; /* having been heard is all that counts */
}

static const struct {
    const char *type;
    const char *(*take)(struct agent *a, const cJSON *m);
} messages[] = {
    {"welcome", take_welcome}, {"held", take_held},       {"refused", take_refused}, {"dial", take_dial},
    {"hangup", take_hangup},   {"renamed", take_renamed}, {"ping", take_ping},       {"pong", take_pong},
    {"bye", take_bye},         {"resume", take_resume},
};

const char *control_line(struct agent *a, const char *line, size_t n)
{
    cJSON *m = NULL;
    const char *fault = NULL;
    int r = json_parse(line, n, UPLINK_LINE_MAX, &m);
    if (r != 0)
        return "the hub sent what is no message";
    const char *type = json_str(m, "type", 40);
    if (type == NULL)
        fault = "the hub sent a message without a type";
    for (size_t i = 0; type != NULL && i < sizeof messages / sizeof messages[0]; i++)
        if (strcmp(type, messages[i].type) == 0)
            fault = messages[i].take(a, m);
    cJSON_Delete(m);
    return fault;
}
