/* The front: between the questions of the SSH session and the messages of the hub. */
#include "front/front.h"

#include "front/command.h"
#include "front/hubs.h"
#include "front/jump.h"
#include "front/publish.h"
#include "front/refusal.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_MS 2000     /* for the last messages to the hub */
#define VOUCHER_MAX 32768 /* bytes, opaque here */

uint64_t front_next_id(struct front *front)
{
    return ++front->last_id;
}

void front_send(struct front *front, cJSON *message)
{
    (void)hub_link_send(front->link, message);
}

void front_log(struct front *front, enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[1024];
    char clean[1024];
    va_list args;
    cJSON *message = json_new("log");
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    refusal_clean(line, clean, sizeof clean);
    (void)json_add_str(message, "level", names[level]);
    (void)json_add_str(message, "text", clean);
    front_send(front, message);
}

void front_wake(struct front *front, uint64_t at)
{
    if (at < front->wake_at) {
        front->wake_at = at;
        ssh_loop_set(front->timer, at);
    }
}

static void on_timer(void *arg)
{
    (void)arg; /* the turn does what is due */
}

void front_leave(struct front *front, const char *text)
{
    if (!front->leaving) {
        front->leaving = true;
        ssh_server_disconnect(front->server, text);
    }
}

/* --- the SSH session --- */

static void on_login_trouble(void *arg, const char *login, const char *why)
{
    struct front *front = arg;
    char clean[128];
    cJSON *message = json_new("login-failed");
    refusal_clean(login, clean, sizeof clean);
    (void)json_add_str(message, "reason", why);
    (void)json_add_str(message, "login", clean);
    front_send(front, message);
}

/* Asks the hub, or the next one. */
static void login_ask_hub(struct front *front)
{
    char login[128];
    cJSON *message;
    if (!hub_link_up(front->link)) {
        front->login_waits_since = ssh_loop_now(front->loop);
        return;
    }
    front->login_waits_since = 0;
    refusal_clean(front->login->login, login, sizeof login);
    message = json_new("auth");
    (void)json_add_int(message, "id", (int64_t)front->login_id);
    (void)json_add_str(message, "key", front->login->key);
    (void)json_add_bool(message, "verified", front->login->verified);
    (void)json_add_str(message, "login", login);
    front_send(front, message);
}

static void ask_login(struct front *front, struct ssh_ask *ask)
{
    if (ask->certificate) {
        on_login_trouble(
            front, ask->login,
            "a certificate, which is not accepted here: the user needs a line for the plain key");
        ssh_ask_refuse(ask);
        return;
    }
    front->login = ask;
    front->login_id = front_next_id(front);
    login_ask_hub(front);
}

static void login_turn(struct front *front)
{
    struct ssh_ask *ask = front->login;
    if (ask != NULL && front_waited_enough(front, front->login_waits_since)) {
        front->login = NULL;
        front_leave(front, front_why_no_hub(front));
        ssh_ask_refuse(ask);
    }
}

void front_login_hub_lost(struct front *front)
{
    if (front->login != NULL && front->login_waits_since == 0) {
        front->login_waits_since = ssh_loop_now(front->loop);
    }
}

uint64_t front_login_unanswered_after(const struct front *front, uint64_t id)
{
    return front->login != NULL && front->login_id > id ? front->login_id : UINT64_MAX;
}

void front_login_ask_again(struct front *front, uint64_t id)
{
    if (front->login != NULL && front->login_id == id) {
        login_ask_hub(front);
    }
}

static void on_ask(void *arg, struct ssh_ask *ask)
{
    struct front *front = arg;
    switch (ask->kind) {
    case SSH_ASK_KEY:
        ask_login(front, ask);
        break;
    case SSH_ASK_PASSWORD: /* never asked for */
        ssh_ask_refuse(ask);
        break;
    case SSH_ASK_SESSION:
        command_open(front, ask);
        break;
    case SSH_ASK_DIRECT:
        jump_ask(front, ask);
        break;
    case SSH_ASK_FORWARD:
        publish_ask(front, ask);
        break;
    case SSH_ASK_UNFORWARD:
        publish_unask(front, ask);
        break;
    case SSH_ASK_PTY:
    case SSH_ASK_WINDOW:
    case SSH_ASK_ENV:
    case SSH_ASK_SHELL:
    case SSH_ASK_EXEC:
    case SSH_ASK_SUBSYSTEM:
    case SSH_ASK_SIGNAL:
    case SSH_ASK_AGENT:
        command_request(front, ask);
        break;
    }
}

static void on_opened(void *arg, struct ssh_chan *chan, int error, const char *why)
{
    jump_reached(arg, chan, error, why);
}

static void on_ended(void *arg, const char *why)
{
    struct front *front = arg;
    front_log(front, LOG_LEVEL_DEBUG, "the user's connection has ended: %s", why);
    if (front->login != NULL) {
        ssh_ask_refuse(front->login);
        front->login = NULL;
    }
}

/* --- the hub --- */

static void on_auth_result(struct front *front, const cJSON *message)
{
    struct ssh_ask *ask = front->login;
    if (ask == NULL || json_int_or(message, "id", 0, (int64_t)1 << 53, 0) != (int64_t)front->login_id) {
        return;
    }
    front->login = NULL;
    if (json_bool(message, "ok", false)) {
        const char *voucher = json_str(message, "voucher", VOUCHER_MAX);
        if (voucher != NULL) {
            hubs_set_voucher(front->hubs, voucher);
        }
        ssh_ask_accept(ask);
    } else {
        ssh_ask_refuse(ask);
    }
}

static void on_end(struct front *front, const cJSON *message)
{
    char text[512];
    refusal_clean(json_str_or(message, "text", 4096, "ended by the hub"), text, sizeof text);
    jump_end_all(front, text);
    front_leave(front, text);
}

void front_message(struct front *front, const cJSON *message, int fd)
{
    const char *type = json_str_or(message, "type", 64, "");
    if (strcmp(type, "opened") == 0) {
        jump_opened(front, message, fd);
    } else if (strcmp(type, "connection") == 0) {
        jump_connection(front, message, fd);
    } else if (strcmp(type, "reach") == 0) {
        jump_reach(front, message, fd);
    } else {
        if (fd >= 0) {
            close(fd);
        }
        if (strcmp(type, "auth-result") == 0) {
            on_auth_result(front, message);
        } else if (strcmp(type, "refused") == 0) {
            jump_refused(front, message);
        } else if (strcmp(type, "kill") == 0) {
            jump_kill(front, message);
        } else if (strcmp(type, "output") == 0) {
            command_output(front, message);
        } else if (strcmp(type, "exit") == 0) {
            command_exit(front, message);
        } else if (strcmp(type, "publish-result") == 0) {
            publish_result(front, message);
        } else if (strcmp(type, "end") == 0) {
            on_end(front, message);
        } else if (strcmp(type, "unfit") == 0) {
            hubs_unfit(front->hubs, message);
        }
    }
}

bool front_waited_enough(struct front *front, uint64_t since)
{
    if (since == 0) {
        return false;
    }
    if (!hubs_may_come(front->hubs) || ssh_loop_now(front->loop) - since >= front->limits.wait_ms) {
        return true;
    }
    front_wake(front, since + front->limits.wait_ms);
    return false;
}

const char *front_why_no_hub(const struct front *front)
{
    return hubs_why_none(front->hubs);
}

void front_limits_take(struct front_limits *limits, const cJSON *message)
{
    limits->grace_ms = (uint64_t)json_int_or(message, "grace_ms", 100, 86400000, (int64_t)limits->grace_ms);
    limits->keepalive_ms =
        (uint64_t)json_int_or(message, "keepalive_ms", 0, 86400000, (int64_t)limits->keepalive_ms);
    limits->orphan_ms =
        (uint64_t)json_int_or(message, "orphan_ms", 100, 30 * INT64_C(86400000), (int64_t)limits->orphan_ms);
    limits->wait_ms = (uint64_t)json_int_or(message, "wait_ms", 0, 3600000, (int64_t)limits->wait_ms);
    limits->tries = (unsigned)json_int_or(message, "tries", 1, 1000, limits->tries);
    limits->channels = (unsigned)json_int_or(message, "channels", 1, 100000, limits->channels);
}

/* --- the turn --- */

/* How long the process stays when nothing is left but messages: a hub that reads gets the last ones, the next hub
 * hears how sessions have ended. */
static bool flushed(struct front *front)
{
    uint64_t now = ssh_loop_now(front->loop);
    bool for_next_hub = front->ended != NULL && hubs_may_come(front->hubs);
    if (!for_next_hub && hub_link_idle(front->link)) {
        return true;
    }
    if (front->flush_until == 0) {
        front->flush_until = now + (for_next_hub ? front->limits.wait_ms : FLUSH_MS);
    }
    front_wake(front, front->flush_until);
    return now >= front->flush_until;
}

static void on_turn(void *arg)
{
    struct front *front = arg;
    front->wake_at = SSH_LOOP_NEVER;
    ssh_loop_set(front->timer, SSH_LOOP_NEVER);
    hubs_turn(front->hubs);
    login_turn(front);
    jump_turn_all(front);
    command_turn_all(front);
    publish_turn_all(front);
    if (!ssh_server_ended(front->server)) {
        if (!hub_link_up(front->link) && !hubs_may_come(front->hubs) && front->jumps == NULL &&
            front->commands == NULL) {
            front_leave(front,
                        front_why_no_hub(front)); /* the client can come back to the hub that is there */
        }
        return;
    }
    publish_free_all(front);
    if (front->jumps == NULL && front->commands == NULL && flushed(front)) {
        ssh_loop_stop(front->loop);
    }
}

int front_new(int connection, struct hub_link *link, int listener, const struct hostkey *key,
              const struct front_limits *limits, const char *voucher, struct front **ret_front,
              struct errmsg *err)
{
    static const struct ssh_server_events events = {.ask = on_ask,
                                                    .opened = on_opened,
                                                    .login_trouble = on_login_trouble,
                                                    .turn = on_turn,
                                                    .ended = on_ended};
    struct ssh_server_config config = {.fd = connection,
                                       .key = key,
                                       .software = "multiSSH_" MULTISSH_VERSION,
                                       .channels_max = limits->channels,
                                       .tries_max = limits->tries,
                                       .grace_ms = limits->grace_ms,
                                       .keepalive_ms = limits->keepalive_ms};
    struct front *front = calloc(1, sizeof *front);
    int rc;
    if (front == NULL) {
        close(connection);
        hub_link_free(link);
        return errmsg_set(err, -ENOMEM, "out of memory");
    }
    front->link = link;
    front->limits = *limits;
    front->wake_at = SSH_LOOP_NEVER;
    rc = ssh_loop_new(&front->loop);
    if (rc == 0) {
        rc = ssh_loop_timer(front->loop, on_timer, front, &front->timer);
    }
    if (rc < 0) {
        close(connection);
        (void)errmsg_set(err, rc, "cannot start: %s", strerror(-rc));
        goto out;
    }
    rc = hubs_new(front, listener, voucher, &front->hubs);
    if (rc < 0) {
        close(connection);
        (void)errmsg_set(err, rc, "cannot wait for another hub on descriptor %d: %s", listener,
                         strerror(-rc));
        goto out;
    }
    rc = ssh_server_new(front->loop, &config, &events, front, &front->server, err);
    if (rc == 0) {
        *ret_front = front;
        front = NULL;
    }
out:
    front_free(front);
    return rc;
}

int front_run(struct front *front)
{
    ssh_server_start(front->server);
    return ssh_loop_run(front->loop);
}

void front_free(struct front *front)
{
    if (front == NULL) {
        return;
    }
    jump_free_all(front);
    command_free_all(front);
    publish_free_all(front);
    ssh_server_free(front->server);
    hubs_free(front->hubs);
    hub_link_free(front->link);
    ssh_loop_free(front->loop);
    free(front);
}
