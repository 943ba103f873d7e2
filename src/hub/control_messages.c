/* Owns what the messages of a control connection mean. Must not decide who a machine is: that is the
 * registry's. */
#include "base/addr.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "base/log.h"
#include "hub/control_private.h"
#include "hub/describe.h"
#include "hub/jumps.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REASON_MAX 400
#define TOKEN_MAX 128
#define BYTES_MAX (INT64_C(1) << 53)
#define RESUME_LIFETIME_S (24 * 3600)
#define RESUME_EVERY_MS (8 * 3600 * 1000) /* a machine that was connected for weeks has a fresh one, too */
#define RESUME_SPREAD_MS 60000

/* --- to the agent --- */

void control_messages_ping(struct control *c)
{
    char line[48];

    /* By hand: it is most of what a hub of idle machines does. */
    (void)snprintf(line, sizeof line, "{\"type\":\"ping\",\"n\":%lu}\n", (unsigned long)++c->ping_n);
    c->pinged = clock_now_ms();
    (void)control_io_send_line(c, line, strlen(line));
}

void control_messages_refuse(struct control *c, const char *code, const char *reason, int64_t retry_ms)
{
    cJSON *m = json_new("refused");

    (void)json_add_str(m, "reason", reason);
    (void)json_add_str(m, "code", code);
    if (retry_ms > 0)
        (void)json_add_int(m, "retry_ms", retry_ms);
    log_limited(&c->owner->limit, LOG_LEVEL_INFO, "machine from %s (%s) refused: %s", c->source,
                c->key[0] != '\0' ? c->key : "no key", reason);
    (void)control_io_send(c, m);
    control_io_finish(c);
}

void control_messages_bye(struct control *c, const char *code, const char *reason, int64_t retry_ms)
{
    cJSON *m = json_new("bye");

    (void)json_add_str(m, "reason", reason);
    (void)json_add_str(m, "code", code);
    if (retry_ms > 0)
        (void)json_add_int(m, "retry_ms", retry_ms);
    (void)control_io_send(c, m);
    control_io_finish(c);
}

static void send_held(struct control *c, const char *text)
{
    cJSON *m = json_new("held");

    (void)json_add_str(m, "reason", text);
    (void)json_add_str(m, "fingerprint", c->key);
    (void)control_io_send(c, m);
}

static void send_welcome(struct control *c, bool joined)
{
    const struct hub *hub = c->owner->hub;
    cJSON *m = json_new("welcome");
    char text[DESCRIBE_HUB_MAX];

    describe_hub(hub, 0, text);
    (void)json_add_str(m, "name", c->name);
    (void)json_add_int(m, "ping_ms", c->ping_ms);
    (void)json_add_str(m, "public", text);
    (void)json_add_str(m, "domain", hub->domain);
    (void)json_add_bool(m, "joined", joined);
    (void)control_io_send(c, m);
}

void control_messages_resume(struct control *c)
{
    struct session_ticket t;
    char ticket[2 * SESSION_TICKET_MAX], key[2 * SESSION_TICKET_KEY + 1];
    cJSON *m = NULL;
    uint16_t dice = 0;

    (void)crypto_random(&dice, sizeof dice);
    /* Not all at once, for they may all have come at once. */
    c->resume_at = clock_now_ms() + RESUME_EVERY_MS - dice % RESUME_SPREAD_MS;
    if (session_ticket_make(c->tls, clock_wall_s(), RESUME_LIFETIME_S, &t) < 0 ||
        crypto_b64url_encode(t.ticket, t.n, ticket, sizeof ticket) < 0)
        return; /* then it shows its certificate the next time, too */
    crypto_hex_encode(t.key, sizeof t.key, key, sizeof key);
    m = json_new("resume");
    (void)json_add_str(m, "ticket", ticket);
    (void)json_add_str(m, "key", key);
    (void)json_add_int(m, "lifetime_s", RESUME_LIFETIME_S);
    (void)control_io_send(c, m);
    crypto_wipe(&t, sizeof t);
    crypto_wipe(key, sizeof key);
}

/* --- the registry's verdicts --- */

static void audit(struct control *c, const char *kind, const char *text)
{
    struct store_event e = {
        .at_s = clock_wall_s(), .kind = kind, .machine = c->name, .source = c->source, .text = text};

    (void)store_event_add(c->owner->hub->store, &e);
}

void control_messages_offline(struct control *c, const char *reason)
{
    log_info("%s is offline: %s", c->name, reason);
    audit(c, "offline", reason);
}

void control_messages_unprobe(struct control *c)
{
    if (c->probed != NULL)
        c->probed->prober = NULL;
    c->probed = NULL;
    if (c->prober != NULL) {
        struct control *p = c->prober;

        /* Whom it waited for is gone: ask anew. */
        c->prober = NULL;
        p->probed = NULL;
        p->again = true;
        control_soon(p);
    }
}

static void describe(struct control *c, struct registry_hello *h)
{
    *h = (struct registry_hello){
        .key = c->key,
        .source = c->source,
        .message = c->hello,
        .name = json_str_or(c->hello, "name", NAMES_MACHINE_MAX, ""),
        .token = json_str(c->hello, "token", TOKEN_MAX),
        .link = &c->link,
    };
}

static void hold(struct control *c, const struct registry_answer *a, bool clone)
{
    bool news = c->state != CONTROL_HELD || c->clone != clone;

    c->state = CONTROL_HELD;
    c->clone = clone;
    door_slot_release(c->owner->hub->door, &c->slot);
    if (news) {
        log_limited(&c->owner->limit, LOG_LEVEL_WARN, "machine %s from %s (%s) held back: %s",
                    json_str_or(c->hello, "name", NAMES_MACHINE_MAX, "?"), c->source, c->key, a->text);
        send_held(c, a->text);
    }
    control_reschedule(c);
}

static void welcome(struct control *c, const struct registry_answer *a)
{
    c->state = CONTROL_ONLINE;
    c->machine = a->machine;
    c->clone = false;
    (void)snprintf(c->name, sizeof c->name, "%s", a->machine->name);
    door_slot_release(c->owner->hub->door, &c->slot);
    cJSON_Delete(c->hello);
    c->hello = NULL;
    log_info("%s is online, from %s (%s)%s", c->name, c->source, c->key,
             a->joined                 ? ": joined with an invitation"
             : session_resumed(c->tls) ? ", resumed"
                                       : "");
    audit(c, a->joined ? "join" : "online", c->key);
    send_welcome(c, a->joined);
    control_messages_resume(c);
    jumps_machine_back(c->owner->hub->jumps, a->machine);
    control_reschedule(c);
}

static void probe(struct control *c, const struct registry_answer *a)
{
    struct control *target = NULL;

    if (a->machine->link == NULL || a->machine->link->ops != &control_link_ops) {
        control_messages_refuse(c, "busy",
                                "the name is in use by a connection that cannot be asked; try again", 10000);
        return;
    }
    target = control_of_link(a->machine->link);
    if (target == c) {
        control_messages_refuse(c, "busy", "this connection holds the name already", 60000);
        return;
    }
    if (target->prober != NULL) {
        control_messages_refuse(c, "busy", "another instance with this key is being looked at; try again",
                                10000);
        return;
    }
    c->state = CONTROL_PROBING;
    c->deadline = clock_now_ms() + CONTROL_SLACK_MS;
    c->probed = target;
    target->prober = c;
    control_messages_ping(target);
    control_reschedule(c);
}

static void act(struct control *c, const struct registry_answer *a, bool clone)
{
    switch (a->verdict) {
    case REGISTRY_WELCOME:
        welcome(c, a);
        break;
    case REGISTRY_HELD:
        hold(c, a, clone);
        break;
    case REGISTRY_PROBE:
        probe(c, a);
        break;
    case REGISTRY_REFUSED:
        control_messages_refuse(c, a->code != NULL ? a->code : "busy", a->text,
                                a->code != NULL && strcmp(a->code, "full") == 0 ? 300000 : 0);
        break;
    }
}

void control_messages_hold_clone(struct control *c, struct machine *m)
{
    struct registry_hello h;
    struct registry_answer a = {.text = ""};

    describe(c, &h);
    registry_hold_clone(c->owner->hub->registry, &h, m, &a);
    act(c, &a, true);
}

void control_messages_ask(struct control *c, bool probe_failed)
{
    struct registry_hello h;
    struct registry_answer a = {.text = ""};

    if (c->state == CONTROL_CLOSING || c->state == CONTROL_DEAD || c->hello == NULL)
        return;
    describe(c, &h);
    h.probe_failed = probe_failed;
    registry_hello(c->owner->hub->registry, &h, clock_wall_s(), &a);
    act(c, &a, false);
}

/* --- from the agent --- */

static const char *take_hello(struct control *c, cJSON **message)
{
    uint8_t pin[CRYPTO_HASH_SIZE];
    const char *name = json_str(*message, "name", NAMES_MACHINE_MAX);
    int64_t protocol = 0;

    if (c->state != CONTROL_FRESH)
        return "a second hello";
    if (session_peer_pin(c->tls, pin) < 0)
        return "no key of its own";
    keys_pin_text(pin, c->key);
    if (c->owner->hub->stopping) {
        control_messages_refuse(c, "busy", "the hub is shutting down", 1000);
    } else if (json_int(*message, "protocol", 0, INT32_MAX, &protocol) < 0 || protocol != 1) {
        control_messages_refuse(c, "bad-hello",
                                "this hub speaks protocol 1 only: update the older of the two", 0);
    } else if (name == NULL || !names_machine_ok(name)) {
        control_messages_refuse(
            c, "bad-hello",
            "the name is not one to 63 letters, digits, '-' or '_', or does not begin and end with a "
            "letter or digit: choose another with --name",
            0);
    } else if (cJSON_GetObjectItemCaseSensitive(*message, "token") != NULL &&
               json_str(*message, "token", TOKEN_MAX) == NULL) {
        control_messages_refuse(c, "bad-hello", "the token is not the text of an invitation", 0);
    } else {
        c->hello = *message;
        *message = NULL;
        control_messages_ask(c, false);
    }
    return NULL;
}

static const char *take_pong(struct control *c, const cJSON *message)
{
    int64_t n = json_int_or(message, "n", 0, UINT32_MAX, -1);

    if (c->machine != NULL)
        registry_state(c->owner->hub->registry, c->machine, message);
    if (c->prober != NULL && c->machine != NULL && n == (int64_t)c->ping_n) {
        struct control *p = c->prober;

        c->prober = NULL;
        p->probed = NULL;
        control_messages_hold_clone(p, c->machine);
    }
    return NULL;
}

static const char *take_ping(struct control *c, const cJSON *message)
{
    cJSON *m = json_new("pong");

    (void)json_add_int(m, "n", json_int_or(message, "n", 0, UINT32_MAX, 0));
    (void)control_io_send(c, m);
    return NULL;
}

static const char *take_answer(struct control *c, const cJSON *message, bool dialled)
{
    struct jumps *j = c->owner->hub->jumps;
    int64_t id = 0;
    int rc = 0;

    if (json_int(message, "id", 1, INT64_C(1) << 53, &id) < 0)
        return "an answer without an id";
    if (dialled)
        rc = jumps_dialled(j, &c->link, (uint64_t)id);
    else
        rc = jumps_failed(j, &c->link, (uint64_t)id, json_str_or(message, "code", 32, "other"),
                          json_str_or(message, "reason", REASON_MAX, ""));
    return rc < 0 ? "an answer to a dial that was not asked" : NULL;
}

static const char *take_bye(struct control *c, const cJSON *message)
{
    static char text[128]; /* valid until the connection is closed, which is next */

    if (json_bool(message, "final", false))
        registry_leaves(c->owner->hub->registry, &c->link);
    (void)snprintf(text, sizeof text, "the agent ended: %s",
                   json_str_or(message, "reason", 80, "no reason given"));
    return text;
}

/* Usually the user's side says the same; but a stream that is lost has nobody left who could tell it that. */
static void take_closed(struct control *c, const cJSON *message)
{
    const char *stream = json_str_or(message, "stream", 2 * TICKET_ID_SIZE, "?"),
               *reason = json_str_or(message, "reason", REASON_MAX, "");
    struct jumps *j = c->owner->hub->jumps;
    uint8_t id[TICKET_ID_SIZE];

    log_debug("%s: stream %s ended: %s", control_name(c), stream, reason);
    if (c->machine == NULL || crypto_hex_decode(stream, strlen(stream), id, sizeof id) != (int)sizeof id)
        return;
    if (json_bool(message, "lost", false))
        jumps_lost(j, &c->link, id, reason);
    else
        jumps_stream_ended(j, &c->link, id, reason, (uint64_t)json_int_or(message, "sent", 0, BYTES_MAX, 0),
                           (uint64_t)json_int_or(message, "received", 0, BYTES_MAX, 0));
}

static const char *dispatch(struct control *c, const char *type, cJSON **message)
{
    if (strcmp(type, "hello") == 0)
        return take_hello(c, message);
    if (c->state == CONTROL_FRESH)
        return "a message before hello";
    if (strcmp(type, "pong") == 0)
        return take_pong(c, *message);
    if (strcmp(type, "ping") == 0)
        return take_ping(c, *message);
    if (strcmp(type, "bye") == 0)
        return take_bye(c, *message);
    if (strcmp(type, "dialled") == 0 || strcmp(type, "failed") == 0)
        return take_answer(c, *message, type[0] == 'd');
    if (strcmp(type, "state") == 0 && c->machine != NULL)
        registry_state(c->owner->hub->registry, c->machine, *message);
    if (strcmp(type, "closed") == 0)
        take_closed(c, *message);
    return NULL; /* unknown types are ignored, so that versions mix */
}

const char *control_messages_line(struct control *c, const char *line, size_t n)
{
    cJSON *message = NULL;
    const char *type = NULL, *why = NULL;

    if (json_parse(line, n, CONTROL_LINE_MAX, &message) < 0)
        return "a line that is not a message";
    type = json_str(message, "type", 32);
    why = type == NULL ? "a message without a type" : dispatch(c, type, &message);
    cJSON_Delete(message);
    return why;
}
