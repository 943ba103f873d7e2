/* The peer's questions: made of libssh's messages. */
#include "base/crypto.h"
#include "ssh/ssh_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The type as the key itself has it, for libssh's name of it depends on more. */
static int key_text(const char *base64, char **ret_text)
{
    uint8_t head[64];
    char start[84];
    size_t n = strnlen(base64, sizeof start);
    uint32_t type_n;
    char *text;
    int got;
    n -= n % 4;
    memcpy(start, base64, n);
    got = crypto_b64_decode(start, n, head, sizeof head);
    if (got < 4) {
        return -EINVAL;
    }
    type_n = ((uint32_t)head[0] << 24) | ((uint32_t)head[1] << 16) | ((uint32_t)head[2] << 8) | head[3];
    if (type_n == 0 || type_n > (uint32_t)got - 4) {
        return -EINVAL;
    }
    if (strlen(base64) + type_n + 2 > SSH_SERVER_KEY_MAX) {
        return -EMSGSIZE;
    }
    text = malloc(type_n + strlen(base64) + 2);
    if (text == NULL) {
        return -ENOMEM;
    }
    memcpy(text, head + 4, type_n);
    (void)snprintf(text + type_n, strlen(base64) + 2, " %s", base64);
    *ret_text = text;
    return 0;
}

static void take_key(struct ssh_server *s, ssh_message message)
{
    struct ssh_question *q = ssh_ask_new(s, SSH_ASK_KEY, message);
    ssh_key key = ssh_message_auth_pubkey(message);
    enum ssh_publickey_state_e state = ssh_message_auth_publickey_state(message);
    char *base64 = NULL;
    if (q == NULL) {
        (void)ssh_message_reply_default(message);
        ssh_message_free(message);
        return;
    }
    if ((state != SSH_PUBLICKEY_STATE_NONE && state != SSH_PUBLICKEY_STATE_VALID) ||
        ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK || key_text(base64, &q->own_text) != 0) {
        (void)ssh_message_reply_default(message);
        ssh_ask_free(q);
        ssh_ask_count_refusal(s);
        goto out;
    }
    q->ask.login = s->login;
    q->ask.key = q->own_text;
    q->ask.verified = state == SSH_PUBLICKEY_STATE_VALID;
    q->ask.certificate = strstr(q->own_text, "-cert-v") != NULL;
    ssh_ask_deliver(q);
out:
    ssh_string_free_char(base64);
}

static bool take_password(struct ssh_server *s, ssh_message message)
{
    const char *password = ssh_message_auth_password(message);
    struct ssh_question *q;
    if (!s->config.passwords || password == NULL) {
        return false;
    }
    q = ssh_ask_new(s, SSH_ASK_PASSWORD, message); /* the message wipes it when it is freed */
    if (q == NULL) {
        return false;
    }
    q->ask.login = s->login;
    q->ask.password = password;
    ssh_ask_deliver(q);
    return true;
}

static void take_login(struct ssh_server *s, ssh_message message)
{
    const char *login = ssh_message_auth_user(message);
    if (s->logged_in || s->phase != SSH_PHASE_AUTH) {
        ssh_message_free(message); /* RFC 4252 §5.3: to be ignored */
        return;
    }
    (void)snprintf(s->login, sizeof s->login, "%s", login == NULL ? "" : login);
    if (ssh_message_subtype(message) == SSH_AUTH_METHOD_PUBLICKEY) {
        take_key(s, message);
        return;
    }
    if (ssh_message_subtype(message) == SSH_AUTH_METHOD_PASSWORD && take_password(s, message)) {
        return;
    }
    (void)ssh_message_reply_default(message);
    /* "none" asks for the list of methods, once. */
    if (ssh_message_subtype(message) != SSH_AUTH_METHOD_NONE || s->asked_for_methods) {
        ssh_ask_count_refusal(s);
    }
    s->asked_for_methods = true;
    ssh_message_free(message);
}

static void take_service(struct ssh_server *s, ssh_message message)
{
    const char *service = ssh_message_service_service(message);
    if (service != NULL && strcmp(service, "ssh-userauth") == 0) {
        (void)ssh_message_service_reply_success(message);
    } else {
        s->violation = "there is no such service here";
    }
    ssh_message_free(message);
}

static void refuse_message(ssh_message message)
{
    (void)ssh_message_reply_default(message);
    ssh_message_free(message);
}

static void take_open(struct ssh_server *s, ssh_message message)
{
    int type = ssh_message_subtype(message);
    struct ssh_question *q = NULL;
    if (s->logged_in && (type == SSH_CHANNEL_SESSION || type == SSH_CHANNEL_DIRECT_TCPIP) &&
        s->chan_count + s->open_asks < s->config.channels_max) {
        q = ssh_ask_new(s, type == SSH_CHANNEL_SESSION ? SSH_ASK_SESSION : SSH_ASK_DIRECT, message);
    }
    if (q == NULL) {
        refuse_message(message);
        return;
    }
    if (type == SSH_CHANNEL_DIRECT_TCPIP) {
        q->ask.host = ssh_message_channel_request_open_destination(message);
        q->ask.port = (unsigned)ssh_message_channel_request_open_destination_port(message);
        q->ask.origin = ssh_message_channel_request_open_originator(message);
        q->ask.origin_port = (unsigned)ssh_message_channel_request_open_originator_port(message);
    }
    ssh_ask_deliver(q);
}

static void fill_size(struct ssh_ask *ask, ssh_message message)
{
    ask->columns = (unsigned)ssh_message_channel_request_pty_width(message);
    ask->rows = (unsigned)ssh_message_channel_request_pty_height(message);
    ask->width = (unsigned)ssh_message_channel_request_pty_pxwidth(message);
    ask->height = (unsigned)ssh_message_channel_request_pty_pxheight(message);
}

/* The fields of a channel request; false: a kind that is not for the owner. */
static bool fill_request(struct ssh_ask *ask, ssh_message message)
{
    switch (ssh_message_subtype(message)) {
    case SSH_CHANNEL_REQUEST_PTY:
        ask->kind = SSH_ASK_PTY;
        ask->text = ssh_message_channel_request_pty_term(message);
        fill_size(ask, message);
        return ask->text != NULL;
    case SSH_CHANNEL_REQUEST_WINDOW_CHANGE:
        ask->kind = SSH_ASK_WINDOW;
        fill_size(ask, message);
        return true;
    case SSH_CHANNEL_REQUEST_ENV:
        ask->kind = SSH_ASK_ENV;
        ask->text = ssh_message_channel_request_env_name(message);
        ask->value = ssh_message_channel_request_env_value(message);
        return ask->text != NULL && ask->value != NULL && strlen(ask->value) <= SSH_SERVER_TEXT_MAX;
    case SSH_CHANNEL_REQUEST_SHELL:
        ask->kind = SSH_ASK_SHELL;
        return true;
    case SSH_CHANNEL_REQUEST_EXEC:
        ask->kind = SSH_ASK_EXEC;
        ask->text = ssh_message_channel_request_command(message);
        return ask->text != NULL && strlen(ask->text) <= SSH_SERVER_TEXT_MAX;
    case SSH_CHANNEL_REQUEST_SUBSYSTEM:
        ask->kind = SSH_ASK_SUBSYSTEM;
        ask->text = ssh_message_channel_request_subsystem(message);
        return ask->text != NULL;
    default:
        return false;
    }
}

static void take_request(struct ssh_server *s, ssh_message message)
{
    struct ssh_chan *chan = ssh_chan_find(s, ssh_message_channel_request_channel(message));
    struct ssh_question *q = NULL;
    if (chan == NULL || chan->close_sent || chan->peer_closed) {
        ssh_message_free(message);
        return;
    }
    if (!chan->close_wanted) {
        q = ssh_ask_new(s, SSH_ASK_SHELL, message);
    }
    if (q == NULL || !fill_request(&q->ask, message)) {
        free(q);
        refuse_message(message);
        return;
    }
    q->ask.chan = chan;
    chan->asks++;
    ssh_ask_deliver(q);
}

static void take_global(struct ssh_server *s, ssh_message message)
{
    int type = ssh_message_subtype(message);
    struct ssh_question *q = NULL;
    if (s->logged_in && ssh_message_global_request_address(message) != NULL &&
        (type == SSH_GLOBAL_REQUEST_TCPIP_FORWARD || type == SSH_GLOBAL_REQUEST_CANCEL_TCPIP_FORWARD)) {
        q = ssh_ask_new(s, type == SSH_GLOBAL_REQUEST_TCPIP_FORWARD ? SSH_ASK_FORWARD : SSH_ASK_UNFORWARD,
                        message);
    }
    if (q == NULL) {
        refuse_message(message);
        return;
    }
    q->ask.host = ssh_message_global_request_address(message);
    q->ask.port = (unsigned)ssh_message_global_request_port(message);
    ssh_ask_deliver(q);
}

void ssh_ask_take(struct ssh_server *server, ssh_message message)
{
    switch (ssh_message_type(message)) {
    case SSH_REQUEST_AUTH:
        take_login(server, message);
        break;
    case SSH_REQUEST_SERVICE:
        take_service(server, message);
        break;
    case SSH_REQUEST_CHANNEL_OPEN:
        take_open(server, message);
        break;
    case SSH_REQUEST_CHANNEL:
        take_request(server, message);
        break;
    case SSH_REQUEST_GLOBAL:
        take_global(server, message);
        break;
    default:
        refuse_message(message);
        break;
    }
}
