/* The front: between the questions of the SSH session and the messages of the hub. */
#include "front/front.h"

#include "front/command.h"
#include "front/jump.h"
#include "front/publish.h"
#include "front/refusal.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_MS 2000 /* for the last messages to the hub */

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

static void leave(struct front *front, const char *text)
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

static void ask_login(struct front *front, struct ssh_ask *ask)
{
    char login[128];
    cJSON *message;
    if (ask->certificate) {
        on_login_trouble(
            front, ask->login,
            "a certificate, which is not accepted here: the user needs a line for the plain key");
        ssh_ask_refuse(ask);
        return;
    }
    if (!hub_link_up(front->link)) {
        ssh_ask_refuse(ask);
        leave(front, FRONT_RESTARTING);
        return;
    }
    refusal_clean(ask->login, login, sizeof login);
    front->login = ask;
    front->login_id = front_next_id(front);
    message = json_new("auth");
    (void)json_add_int(message, "id", (int64_t)front->login_id);
    (void)json_add_str(message, "key", ask->key);
    (void)json_add_bool(message, "verified", ask->verified);
    (void)json_add_str(message, "login", login);
    front_send(front, message);
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
    leave(front, text);
}

static void on_message(void *arg, const cJSON *message, int fd)
{
    struct front *front = arg;
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
        }
    }
    ssh_loop_again(front->loop);
}

/* The hub may be restarted while sessions go on; what needs the hub is refused. A client that publishes a
 * machine has to come back to the next hub, and is let go when nobody uses the machine any more, like all
 * others. */
static void on_lost(void *arg, const char *why)
{
    struct front *front = arg;
    log_warn("%s; running sessions go on", why);
    if (front->login != NULL) {
        ssh_ask_refuse(front->login);
        front->login = NULL;
    }
    jump_hub_lost(front);
    command_hub_lost(front);
    publish_hub_lost(front);
    ssh_loop_again(front->loop);
}

/* --- the turn --- */

static void on_turn(void *arg)
{
    struct front *front = arg;
    bool ended = ssh_server_ended(front->server);
    uint64_t now = ssh_loop_now(front->loop);
    front->wake_at = SSH_LOOP_NEVER;
    ssh_loop_set(front->timer, SSH_LOOP_NEVER);
    jump_turn_all(front);
    command_turn_all(front);
    if (ended) {
        publish_free_all(front);
    }
    if (!hub_link_up(front->link) && !ended && front->jumps == NULL && front->commands == NULL) {
        leave(front, FRONT_RESTARTING);
    }
    if (!ended || front->jumps != NULL || front->commands != NULL) {
        return;
    }
    if (front->flush_until == 0) {
        front->flush_until = now + FLUSH_MS;
    }
    if (hub_link_idle(front->link) || now >= front->flush_until) {
        ssh_loop_stop(front->loop);
    } else {
        front_wake(front, front->flush_until);
    }
}

int front_new(int connection, struct hub_link *link, const struct hostkey *key,
              const struct front_limits *limits, struct front **ret_front, struct errmsg *err)
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
    front->wake_at = SSH_LOOP_NEVER;
    rc = ssh_loop_new(&front->loop);
    if (rc == 0) {
        rc = ssh_loop_timer(front->loop, on_timer, front, &front->timer);
    }
    if (rc == 0) {
        rc = hub_link_watch(link, front->loop, on_message, on_lost, front);
    }
    if (rc < 0) {
        close(connection);
        (void)errmsg_set(err, rc, "cannot start: %s", strerror(-rc));
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
    hub_link_free(front->link);
    ssh_loop_free(front->loop);
    free(front);
}
