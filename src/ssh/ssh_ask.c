/* The peer's questions: handed to the owner, counted, answered. ssh_ask_take.c makes them. */
#include "ssh/ssh_internal.h"

#include <stdlib.h>
#include <string.h>

struct ssh_question *ssh_ask_new(struct ssh_server *s, enum ssh_ask_kind kind, ssh_message message)
{
    struct ssh_question *q = calloc(1, sizeof *q);
    if (q != NULL) {
        q->ask.kind = kind;
        q->server = s;
        q->message = message;
    }
    return q;
}

void ssh_ask_free(struct ssh_question *q)
{
    ssh_message_free(q->message);
    free(q->own_text);
    free(q);
}

static bool opens_channel(const struct ssh_question *q)
{
    return q->ask.kind == SSH_ASK_SESSION || q->ask.kind == SSH_ASK_DIRECT;
}

static bool is_login(const struct ssh_question *q)
{
    return q->ask.kind == SSH_ASK_KEY || q->ask.kind == SSH_ASK_PASSWORD;
}

/* Answered before anything else is looked at. */
static bool in_order(const struct ssh_question *q)
{
    return is_login(q) || q->ask.kind == SSH_ASK_FORWARD || q->ask.kind == SSH_ASK_UNFORWARD;
}

void ssh_ask_deliver(struct ssh_question *q)
{
    struct ssh_server *s = q->server;
    q->next = s->asks;
    s->asks = q;
    if (opens_channel(q)) {
        s->open_asks++;
    } else {
        s->ask_count++;
    }
    if (in_order(q)) {
        s->ordered_ask = true;
    }
    s->events.ask(s->arg, &q->ask);
}

/* Takes the question out of the books; true when an answer can still be sent. */
static bool settle(struct ssh_question *q)
{
    struct ssh_server *s = q->server;
    struct ssh_question **at = &s->asks;
    while (*at != NULL && *at != q) {
        at = &(*at)->next;
    }
    if (*at == q) {
        *at = q->next;
    }
    if (opens_channel(q)) {
        s->open_asks--;
    } else {
        s->ask_count--;
    }
    if (in_order(q)) {
        s->ordered_ask = false;
    }
    ssh_server_kick(s);
    if (q->ask.chan != NULL) {
        q->ask.chan->asks--;
        if (q->ask.chan->peer_closed || q->ask.chan->close_sent) {
            return false;
        }
    }
    return q->message != NULL && s->phase < SSH_PHASE_CLOSING && !ssh_server_dead(s);
}

/* --- answers --- */

static void accept_key(struct ssh_question *q)
{
    struct ssh_server *s = q->server;
    if (s->logged_in) {
        return;
    }
    if (!q->ask.verified) {
        (void)ssh_message_auth_reply_pk_ok_simple(q->message);
        return;
    }
    if (!q->ask.certificate && ssh_message_auth_reply_success(q->message, 0) == SSH_OK) {
        ssh_server_log_in(s);
    }
}

static void accept_password(struct ssh_question *q)
{
    if (!q->server->logged_in && ssh_message_auth_reply_success(q->message, 0) == SSH_OK) {
        ssh_server_log_in(q->server);
    }
}

void ssh_ask_count_refusal(struct ssh_server *s)
{
    if (++s->refused_tries < s->config.tries_max) {
        return;
    }
    if (s->config.passwords) {
        ssh_server_trouble(s, "too many keys and passwords were refused");
        ssh_server_disconnect(s, "too many keys and passwords were refused");
        return;
    }
    ssh_server_trouble(s, "too many keys were refused");
    ssh_server_disconnect(
        s, "too many keys were refused: name the right one with -i KEYFILE -o IdentitiesOnly=yes");
}

void ssh_ask_accept_port(struct ssh_ask *ask, unsigned port)
{
    struct ssh_question *q = (struct ssh_question *)ask;
    if (settle(q)) {
        switch (ask->kind) {
        case SSH_ASK_KEY:
            accept_key(q);
            break;
        case SSH_ASK_PASSWORD:
            accept_password(q);
            break;
        case SSH_ASK_FORWARD:
        case SSH_ASK_UNFORWARD:
            (void)ssh_message_global_request_reply_success(q->message, (uint16_t)port);
            break;
        case SSH_ASK_SESSION:
        case SSH_ASK_DIRECT:
            (void)ssh_message_reply_default(q->message);
            break;
        default:
            (void)ssh_message_channel_request_reply_success(q->message);
            break;
        }
    }
    ssh_ask_free(q);
}

void ssh_ask_accept(struct ssh_ask *ask)
{
    ssh_ask_accept_port(ask, 0);
}

void ssh_ask_refuse(struct ssh_ask *ask)
{
    struct ssh_question *q = (struct ssh_question *)ask;
    if (settle(q) && !(is_login(q) && q->server->logged_in)) {
        (void)ssh_message_reply_default(q->message);
        if (is_login(q)) {
            ssh_ask_count_refusal(q->server);
        }
    }
    ssh_ask_free(q);
}

struct ssh_chan *ssh_ask_accept_channel(struct ssh_ask *ask)
{
    struct ssh_question *q = (struct ssh_question *)ask;
    struct ssh_chan *chan = NULL;
    if (settle(q) && opens_channel(q)) {
        ssh_channel ch = ssh_message_channel_request_open_reply_accept(q->message);
        if (ch != NULL) {
            chan = ssh_chan_add(q->server, ch);
        }
    }
    ssh_ask_free(q);
    return chan;
}

/* --- from callbacks --- */

void ssh_ask_late(struct ssh_chan *chan, enum ssh_ask_kind kind, const char *text)
{
    struct ssh_server *s = chan->server;
    struct ssh_question *q;
    struct ssh_question **at = &s->late;
    unsigned waiting = 0;
    while (*at != NULL) {
        at = &(*at)->next;
        waiting++;
    }
    q = waiting < 32 ? ssh_ask_new(s, kind, NULL) : NULL; /* a flood of signals is cut */
    if (q == NULL) {
        return;
    }
    q->own_text = strdup(text);
    if (q->own_text == NULL) {
        ssh_ask_free(q);
        return;
    }
    q->ask.text = q->own_text;
    q->ask.chan = chan;
    chan->asks++;
    *at = q;
}

void ssh_ask_deliver_late(struct ssh_server *server)
{
    while (server->late != NULL) {
        struct ssh_question *q = server->late;
        server->late = q->next;
        ssh_ask_deliver(q);
    }
}

void ssh_ask_drop_all(struct ssh_server *server)
{
    while (server->late != NULL) {
        struct ssh_question *q = server->late;
        server->late = q->next;
        q->ask.chan->asks--;
        ssh_ask_free(q);
    }
    while (server->asks != NULL) {
        struct ssh_question *q = server->asks;
        server->asks = q->next;
        (void)settle(q);
        ssh_ask_free(q);
    }
}
