/* Owns what is said between the hub and one front. Must not believe a front more than PROTOCOL.md lets it: a
 * user's name, rights and source are the hub's own, and a message out of its bounds ends the front. */
#include "base/clock.h"
#include "base/json.h"
#include "hub/fronts_private.h"
#include "hub/hub_keys.h"
#include "hub/jumps.h"
#include "hub/voucher.h"
#include "tls/keys.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_MAX 16384
#define LOGIN_MAX 256
#define AUTHS_PER_TRY                                                                                        \
    20 /* a client may offer that many keys of which it has no signature, before the front's own limit */
#define ID_MAX FRONTS_ID_MAX

/* --- to the front --- */

void front_add_voucher(const struct front *f, cJSON *m)
{
    struct voucher v = {.port = f->port, .at_s = clock_wall_s()};
    char *text = NULL;
    int rc = 0;

    (void)snprintf(v.source, sizeof v.source, "%s", f->source);
    if (f->known) {
        (void)snprintf(v.user, sizeof v.user, "%s", f->who.name);
        v.key = f->who.key;
    }
    rc = voucher_make(hub_keys_secret(f->owner->hub->keys), &v, &text);
    if (rc < 0)
        log_limited(&f->owner->limit, LOG_LEVEL_ERROR,
                    "the connection from %s cannot be taken up by a later hub: no voucher: %s", f->source,
                    strerror(-rc));
    else
        (void)json_add_str(m, "voucher", text);
    free(text);
}

void front_start(struct front *f)
{
    const struct hub_options *opt = &f->owner->hub->opt;
    cJSON *m = json_new("start");

    (void)json_add_str(m, "source", f->source);
    (void)json_add_int(m, "port", f->port);
    (void)json_add_int(m, "grace_ms", (int64_t)opt->login_grace_ms);
    (void)json_add_int(m, "tries", (int64_t)opt->login_tries);
    (void)json_add_int(m, "channels", (int64_t)opt->channels_max);
    (void)json_add_int(m, "keepalive_ms", (int64_t)opt->front_keepalive_ms);
    (void)json_add_int(m, "protocol", FRONTS_PROTOCOL);
    (void)json_add_int(m, "orphan_ms", (int64_t)opt->orphan_ms);
    (void)json_add_int(m, "wait_ms", (int64_t)opt->restart_wait_ms);
    front_add_voucher(f, m);
    (void)seqpacket_send(f->channel, m, -1);
}

void front_end(struct front *f, const char *text)
{
    cJSON *m = json_new("end");

    (void)json_add_str(m, "text", text);
    (void)seqpacket_send(f->channel, m, -1);
    f->told_end = true;
}

static void add_hex(cJSON *m, const char *name, const uint8_t *data, size_t n)
{
    char text[2 * TICKET_KEY_SIZE + 1];

    crypto_hex_encode(data, n, text, sizeof text);
    (void)json_add_str(m, name, text);
    crypto_wipe(text, sizeof text);
}

static int opened(struct caller *c, uint64_t channel, const struct caller_stream *s, int fd)
{
    struct front *f = (struct front *)c;
    cJSON *m = NULL;

    if (f->gone) {
        close(fd);
        return -EPIPE;
    }
    m = json_new("opened");
    (void)json_add_int(m, "id", (int64_t)channel);
    add_hex(m, "stream", s->stream, sizeof s->stream);
    add_hex(m, "key", s->key, sizeof s->key);
    (void)json_add_int(m, "window", s->window);
    (void)json_add_int(m, "patience_ms", s->patience_ms);
    (void)json_add_int(m, "epoch", s->epoch);
    (void)json_add_str(m, "ticket", s->ticket);
    return seqpacket_send(f->channel, m, fd);
}

static void send_text(struct front *f, const char *type, uint64_t channel, const char *text)
{
    cJSON *m = NULL;

    if (f->gone)
        return;
    m = json_new(type);
    (void)json_add_int(m, "id", (int64_t)channel);
    (void)json_add_str(m, "text", text);
    (void)seqpacket_send(f->channel, m, -1);
}

static void refused(struct caller *c, uint64_t channel, const char *text)
{
    send_text((struct front *)c, "refused", channel, text);
}

void front_kill(struct front *f, uint64_t channel, const char *text)
{
    send_text(f, "kill", channel, text);
}

static void kill_channel(struct caller *c, uint64_t channel, const char *text)
{
    front_kill((struct front *)c, channel, text);
}

static int connection(struct caller *c, uint64_t channel, const uint8_t stream[TICKET_ID_SIZE],
                      uint32_t epoch, int fd)
{
    struct front *f = (struct front *)c;
    cJSON *m = NULL;

    (void)channel; /* the front knows its streams by their ids */

    if (f->gone) {
        close(fd);
        return -EPIPE;
    }
    m = json_new("connection");
    add_hex(m, "stream", stream, TICKET_ID_SIZE);
    (void)json_add_int(m, "epoch", epoch);
    return seqpacket_send(f->channel, m, fd);
}

static const struct who *who(const struct caller *c)
{
    const struct front *f = (const struct front *)c;

    return f->known ? &f->who : NULL;
}

static uint16_t port_of(const struct caller *c)
{
    return ((const struct front *)c)->port;
}

const struct caller_ops front_caller = {.opened = opened,
                                        .refused = refused,
                                        .connection = connection,
                                        .kill = kill_channel,
                                        .who = who,
                                        .port = port_of};

/* --- from the front --- */

/* "SHA256:…" of a key's text, for the log. */
static void fingerprint(const char *key, char out[KEYS_FINGERPRINT_TEXT])
{
    static uint8_t blob[KEY_MAX];
    uint8_t hash[CRYPTO_HASH_SIZE];
    const char *space = strchr(key, ' ');
    int n = space == NULL ? -EINVAL : crypto_b64_decode(space + 1, strlen(space + 1), blob, sizeof blob);

    if (n < 0 || crypto_sha256(blob, (size_t)n, hash) < 0)
        (void)snprintf(out, KEYS_FINGERPRINT_TEXT, "unreadable");
    else
        keys_pin_text(hash, out);
}

static void answer_auth(struct front *f, int64_t id, bool ok, bool in, const char *user)
{
    cJSON *m = json_new("auth-result");

    (void)json_add_int(m, "id", id);
    (void)json_add_bool(m, "ok", ok);
    if (user != NULL)
        (void)json_add_str(m, "user", user);
    if (in)
        front_add_voucher(f, m);
    (void)seqpacket_send(f->channel, m, -1);
}

static const char *logged_in(struct front *f, const struct policy_user *u)
{
    struct hub *hub = f->owner->hub;
    struct store_event e = {.at_s = clock_wall_s(),
                            .kind = "login",
                            .user = f->who.name,
                            .source = f->source,
                            .text = f->who.fingerprint};

    if (who_from_user(&f->who, u, f->source, hub->opt.admin_over_ssh) < 0)
        return "out of memory";
    f->known = true;
    door_slot_release(hub->door, &f->slot);
    log_info("%s logged in from %s with the key %s (line %u)", u->name, f->source, u->fingerprint, u->line);
    (void)store_event_add(hub->store, &e);
    return NULL;
}

static const char *take_auth(struct front *f, const cJSON *m)
{
    struct hub *hub = f->owner->hub;
    const char *key = json_str(m, "key", KEY_MAX), *login = json_str_or(m, "login", LOGIN_MAX, "?"),
               *why = NULL;
    bool verified = json_bool(m, "verified", false);
    const struct policy_user *u = NULL;
    int64_t id = json_int_or(m, "id", 0, ID_MAX, -1);
    char text[KEYS_FINGERPRINT_TEXT];

    if (id < 0 || key == NULL)
        return "a login without an id or a key";
    if (f->known)
        return "a second login";
    if (++f->auths > hub->opt.login_tries * AUTHS_PER_TRY)
        return "too many login tries";
    u = policy_find(hub->policy, key, f->source, clock_wall_s(), &why);
    if (u != NULL && verified && fronts_of_user(f->owner, u->name) >= hub->opt.connections_per_user) {
        why = "its user has as many connections as one may (connections-per-user)";
        front_end(f, "you have as many connections to this hub as one user may (connections-per-user)");
        u = NULL;
    }
    if (u == NULL) {
        fingerprint(key, text);
        log_limited(&f->owner->limit, LOG_LEVEL_INFO, "login from %s as '%s' with the key %s refused: %s",
                    f->source, login, text, why);
    } else if (verified) {
        why = logged_in(f, u);
        if (why != NULL)
            return why;
    }
    answer_auth(f, id, u != NULL, u != NULL && verified, u != NULL ? u->name : NULL);
    return NULL;
}

static const char *take_open(struct front *f, const cJSON *m)
{
    struct hub *hub = f->owner->hub;
    const char *host = json_str(m, "host", 1024);
    int64_t id = json_int_or(m, "id", 0, ID_MAX, -1), port = json_int_or(m, "port", 0, 65535, -1);

    if (id < 0 || host == NULL || port < 0)
        return "a jump without an id, a host or a port";
    if (execs_has(&f->execs, (uint64_t)id))
        return "an id used twice";
    if (jumps_of_caller(hub->jumps, &f->caller) + f->execs.n >= hub->opt.channels_max) {
        refused(&f->caller, (uint64_t)id,
                "too many channels in one connection (channels-per-connection); open another");
        return NULL;
    }
    return jumps_open(hub->jumps, &f->caller, (uint64_t)id, host, (uint16_t)port) < 0 ? "an id used twice"
                                                                                      : NULL;
}

static const char *take_close(struct front *f, const cJSON *m)
{
    int64_t id = json_int_or(m, "id", 0, ID_MAX, -1);

    if (id < 0)
        return "a close without an id";
    jumps_closed(f->owner->hub->jumps, &f->caller, (uint64_t)id, json_str_or(m, "reason", 400, "closed"),
                 (uint64_t)json_int_or(m, "sent", 0, ID_MAX, 0),
                 (uint64_t)json_int_or(m, "received", 0, ID_MAX, 0));
    return NULL;
}

static const char *take_log(struct front *f, const cJSON *m)
{
    enum log_level level = LOG_LEVEL_INFO;
    const char *text = json_str(m, "text", 1000);

    if (text == NULL)
        return NULL;
    if (log_parse_level(json_str_or(m, "level", 16, "info"), &level) < 0 || level < LOG_LEVEL_WARN)
        level = LOG_LEVEL_WARN;
    log_limited(&f->limit, level, "front of %s: %s", f->source, text);
    return NULL;
}

static const char *take_login_failed(struct front *f, const cJSON *m)
{
    log_limited(&f->owner->limit, LOG_LEVEL_INFO, "login from %s as '%s' failed: %s", f->source,
                json_str_or(m, "login", LOGIN_MAX, "?"), json_str_or(m, "reason", 400, "no reason given"));
    return NULL;
}

static const char *take_parked(struct front *f, const cJSON *m)
{
    int64_t id = json_int_or(m, "id", 0, ID_MAX, -1);

    if (id < 0)
        return "a parked session without an id";
    jumps_parked(f->owner->hub->jumps, &f->caller, (uint64_t)id, json_bool(m, "parked", false));
    return NULL;
}

/* Messages that need a user. */
static const char *dispatch_known(struct front *f, const char *type, const cJSON *m)
{
    int64_t id = json_int_or(m, "id", 0, ID_MAX, -1);

    if (strcmp(type, "open") == 0)
        return take_open(f, m);
    if (strcmp(type, "close") == 0)
        return take_close(f, m);
    if (strcmp(type, "parked") == 0)
        return take_parked(f, m);
    if (strcmp(type, "exec") == 0)
        return jumps_of_caller(f->owner->hub->jumps, &f->caller) > 0 && id >= 0 &&
                       jumps_has(f->owner->hub->jumps, &f->caller, (uint64_t)id)
                   ? "an id used twice"
                   : execs_start(&f->execs, &f->who, m);
    if (strcmp(type, "more") == 0 && id >= 0)
        execs_more(&f->execs, (uint64_t)id);
    else if (strcmp(type, "exec-close") == 0 && id >= 0)
        execs_close(&f->execs, (uint64_t)id);
    else if (strcmp(type, "publish") == 0)
        return publications_add(f, m);
    else if (strcmp(type, "unpublish") == 0)
        return publications_remove(f, m);
    else if (strcmp(type, "reached") == 0 || strcmp(type, "reach-failed") == 0)
        return publications_answer(f, m, type[5] == 'e');
    return NULL; /* unknown types are ignored, so that versions mix */
}

static bool is_one_of(const char *type, const char *const types[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(type, types[i]) == 0)
            return true;
    }
    return false;
}

static bool needs_user(const char *type)
{
    static const char *const types[] = {"open",    "close",     "exec",    "more",         "exec-close",
                                        "publish", "unpublish", "reached", "reach-failed", "parked"};

    return is_one_of(type, types, sizeof types / sizeof types[0]);
}

/* What a front asks, and asks the next hub again when this one does not answer. */
static bool is_question(const char *type)
{
    static const char *const types[] = {"auth", "open", "exec", "publish"};

    return is_one_of(type, types, sizeof types / sizeof types[0]);
}

static void message_cb(void *arg, const cJSON *m)
{
    struct front *f = arg;
    const char *type = json_str(m, "type", 32), *why = NULL;

    if (type == NULL)
        why = "it sent a message without a type";
    else if (strcmp(type, "log") == 0)
        why = take_log(f, m);
    else if (f->owner->hub->stopping && is_question(type))
        return;
    else if (f->state != FRONT_RUNS)
        why = fronts_adopt_message(f, type, m);
    else if (needs_user(type) && !f->known)
        why = "it sent a message out of place";
    else if (strcmp(type, "auth") == 0)
        why = take_auth(f, m);
    else if (strcmp(type, "login-failed") == 0)
        why = take_login_failed(f, m);
    else if (strcmp(type, "ready") == 0)
        log_debug("the front of %s is ready, pid %d", f->source, (int)json_int_or(m, "pid", 0, INT32_MAX, 0));
    else
        why = dispatch_known(f, type, m);
    if (why != NULL && !f->gone) {
        log_limited(&f->owner->limit, LOG_LEVEL_ERROR, "the front of %s broke the rules: %s", f->source, why);
        fronts_expel(f, why);
    }
}

static void ended_cb(void *arg, const char *reason)
{
    struct front *f = arg;

    if (f->state ==
        FRONT_ASKED) /* it may have ended before its process was looked for: who knows what that is */
        fronts_process_let_go(f);
    fronts_gone(f, reason);
}

const struct seqpacket_calls front_calls = {.message = message_cb, .ended = ended_cb};
