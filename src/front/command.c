/* Commands on session channels. With a terminal, lines end in CR LF and errors go the same way as the rest,
 * as a terminal would have it. */
#include "front/command.h"

#include "base/utf8.h"
#include "front/refusal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX 16384u                    /* bytes of one `output` */
#define PENDING_MAX (2u * OUTPUT_MAX + 1024) /* every byte a line's end, and a sentence of our own */
#define COMMAND_MAX 16384u
#define ID_MAX ((int64_t)1 << 53)
#define INTERRUPTED 130 /* as a shell has it: 128 + SIGINT */

struct command {
    struct command *next;
    struct front *front;
    struct ssh_chan *chan;
    uint64_t id; /* 0: no command yet */
    bool tty, ended, more, interrupted;
    bool to_hub, begun;   /* the hub runs it; some of its output has come */
    uint64_t waits_since; /* without a hub; 0: there is one */
    char *text;           /* of the command, until output comes */
    const char *trouble;  /* to be said behind the output that is pending */
    unsigned columns, status;
    bool error; /* what is in pending is for stderr */
    struct buf pending;
};

static struct command *find_id(struct front *front, const cJSON *message)
{
    int64_t id;
    if (json_int(message, "id", 1, ID_MAX, &id) != 0) {
        return NULL;
    }
    for (struct command *c = front->commands; c != NULL; c = c->next) {
        if (c->id == (uint64_t)id) {
            return c;
        }
    }
    return NULL;
}

/* The user types to a command that reads nothing; with a terminal, Ctrl-C and Ctrl-D arrive as bytes. */
static size_t on_data(void *arg, const void *data, size_t n)
{
    struct command *c = arg;
    if (c->tty && (memchr(data, 3, n) != NULL || memchr(data, 4, n) != NULL)) {
        c->interrupted = true;
    }
    return n;
}

void command_open(struct front *front, struct ssh_ask *ask)
{
    struct command *c = calloc(1, sizeof *c);
    if (c == NULL) {
        ssh_ask_refuse(ask);
        return;
    }
    c->front = front;
    buf_init(&c->pending, PENDING_MAX);
    c->chan = ssh_ask_accept_channel(ask);
    if (c->chan == NULL) {
        free(c);
        return;
    }
    ssh_chan_own(c->chan, c, on_data);
    front->uses++;
    c->next = front->commands;
    front->commands = c;
}

static void put(struct command *c, const char *text, bool error)
{
    size_t n = strlen(text);
    c->error = error;
    if (!c->tty) {
        (void)buf_append(&c->pending, text, n);
        return;
    }
    while (n > 0) {
        const char *end = memchr(text, '\n', n);
        size_t part = end == NULL ? n : (size_t)(end - text);
        (void)buf_append(&c->pending, text, part);
        if (end != NULL) {
            (void)buf_append_str(&c->pending, "\r\n");
            part++;
        }
        text += part;
        n -= part;
    }
}

static void finish(struct command *c, unsigned status)
{
    c->ended = true;
    c->status = status;
    c->to_hub = false;
}

static void ask_hub(struct command *c)
{
    cJSON *message;
    if (!hub_link_up(c->front->link)) {
        c->waits_since = ssh_loop_now(c->front->loop);
        return;
    }
    c->waits_since = 0;
    message = json_new("exec");
    (void)json_add_int(message, "id", (int64_t)c->id);
    (void)json_add_str(message, "command", c->text);
    (void)json_add_bool(message, "tty", c->tty);
    (void)json_add_int(message, "columns", c->columns);
    front_send(c->front, message);
}

static void run(struct command *c, const char *text)
{
    c->id = front_next_id(c->front);
    if (strlen(text) > COMMAND_MAX || !utf8_ok(text, strlen(text))) {
        put(c, "multissh: the command is too long or not UTF-8\n", true);
        finish(c, 2);
        return;
    }
    c->text = strdup(text);
    if (c->text == NULL) {
        put(c, "multissh: out of memory\n", true);
        finish(c, 1);
        return;
    }
    c->to_hub = true;
    ask_hub(c);
}

static void subsystem(struct command *c, const char *name)
{
    char clean[64];
    char text[512];
    refusal_clean(name, clean, sizeof clean);
    c->id = front_next_id(c->front);
    if (strcmp(name, "sftp") == 0) {
        put(c, "multissh: the hub has no files: reach a machine through it with sftp -J HUB USER@MACHINE\n",
            true);
    } else {
        (void)snprintf(text, sizeof text, "multissh: the hub has no subsystem '%s'\n", clean);
        put(c, text, true);
    }
    finish(c, 2);
}

void command_request(struct front *front, struct ssh_ask *ask)
{
    struct command *c = ssh_chan_owner(ask->chan);
    bool first;
    (void)front;
    if (c == NULL || c->chan != ask->chan) {
        ssh_ask_refuse(ask);
        return;
    }
    first = c->id == 0;
    switch (ask->kind) {
    case SSH_ASK_PTY:
        if (!first) {
            break;
        }
        c->tty = true;
        c->columns = ask->columns > 0 && ask->columns <= 10000 ? ask->columns : 80;
        ssh_ask_accept(ask);
        return;
    case SSH_ASK_EXEC:
    case SSH_ASK_SHELL:
        if (!first) {
            break;
        }
        run(c, ask->kind == SSH_ASK_EXEC ? ask->text : "");
        ssh_ask_accept(ask);
        return;
    case SSH_ASK_SUBSYSTEM:
        if (!first) {
            break;
        }
        subsystem(c, ask->text);
        ssh_ask_accept(ask);
        return;
    case SSH_ASK_SIGNAL:
        if (strcmp(ask->text, "INT") == 0 || strcmp(ask->text, "TERM") == 0 ||
            strcmp(ask->text, "HUP") == 0) {
            c->interrupted = true;
        }
        ssh_ask_accept(ask);
        return;
    case SSH_ASK_WINDOW:
        ssh_ask_accept(ask);
        return;
    default:
        break;
    }
    ssh_ask_refuse(ask);
}

void command_output(struct front *front, const cJSON *message)
{
    struct command *c = find_id(front, message);
    const char *data = json_str(message, "data", OUTPUT_MAX);
    if (c == NULL || c->ended || !c->to_hub || data == NULL) {
        return;
    }
    if (buf_len(&c->pending) > 0) {
        front_log(front, LOG_LEVEL_ERROR, "output of a command came before it was asked for");
        return;
    }
    c->begun = true;
    free(c->text);
    c->text = NULL;
    put(c, data, json_bool(message, "error", false));
    c->more = !json_bool(message, "last", false);
}

void command_exit(struct front *front, const cJSON *message)
{
    struct command *c = find_id(front, message);
    if (c != NULL && !c->ended && c->to_hub) {
        finish(c, (unsigned)json_int_or(message, "status", 0, 255, 255));
    }
}

static void tell_closed(struct command *c)
{
    cJSON *message;
    if (!c->to_hub) {
        return;
    }
    c->to_hub = false;
    message = json_new("exec-close");
    (void)json_add_int(message, "id", (int64_t)c->id);
    front_send(c->front, message);
}

/* Returns false when it is over. */
static bool command_turn(struct command *c)
{
    if (ssh_chan_closed(c->chan)) {
        return false;
    }
    if (c->interrupted && !c->ended) {
        tell_closed(c);
        buf_clear(&c->pending);
        finish(c, INTERRUPTED);
    }
    if (c->to_hub && !c->begun && front_waited_enough(c->front, c->waits_since)) {
        c->trouble = front_why_no_hub(c->front);
    }
    if (c->trouble != NULL && buf_len(&c->pending) == 0) {
        put(c, "multissh: ", true);
        put(c, c->trouble, true);
        put(c, "\n", true);
        c->trouble = NULL;
        finish(c, 1);
    }
    while (buf_len(&c->pending) > 0) {
        long wrote =
            ssh_chan_write(c->chan, buf_data(&c->pending), buf_len(&c->pending), c->error && !c->tty);
        if (wrote < 0) {
            return false;
        }
        if (wrote == 0) {
            return true;
        }
        buf_consume(&c->pending, (size_t)wrote);
    }
    if (c->trouble != NULL) {
        ssh_loop_again(c->front->loop);
        return true;
    }
    if (c->ended) {
        ssh_chan_exit(c->chan, c->status);
        ssh_chan_end(c->chan);
        return false;
    }
    if (c->more) {
        cJSON *message = json_new("more");
        c->more = false;
        (void)json_add_int(message, "id", (int64_t)c->id);
        front_send(c->front, message);
    }
    return true;
}

static void command_free(struct command *c)
{
    tell_closed(c);
    ssh_chan_close(c->chan);
    free(c->text);
    buf_release(&c->pending);
    free(c);
}

void command_turn_all(struct front *front)
{
    struct command **at = &front->commands;
    while (*at != NULL) {
        struct command *c = *at;
        if (command_turn(c)) {
            at = &c->next;
        } else {
            *at = c->next;
            command_free(c);
        }
    }
}

/* What has begun cannot begin again: its output would come twice. */
void command_hub_lost(struct front *front)
{
    for (struct command *c = front->commands; c != NULL; c = c->next) {
        if (!c->to_hub || c->ended || c->waits_since != 0) {
            continue;
        }
        if (c->begun) {
            c->to_hub = c->more = false;
            c->trouble = "the hub was restarted before the command had ended: its output is not whole";
        } else {
            c->waits_since = ssh_loop_now(front->loop);
        }
    }
}

uint64_t command_unanswered_after(const struct front *front, uint64_t id)
{
    uint64_t first = UINT64_MAX;
    for (const struct command *c = front->commands; c != NULL; c = c->next) {
        if (c->to_hub && !c->begun && c->id > id && c->id < first) {
            first = c->id;
        }
    }
    return first;
}

void command_ask_again(struct front *front, uint64_t id)
{
    for (struct command *c = front->commands; c != NULL; c = c->next) {
        if (c->id == id) {
            ask_hub(c);
        }
    }
}

void command_free_all(struct front *front)
{
    while (front->commands != NULL) {
        struct command *c = front->commands;
        front->commands = c->next;
        command_free(c);
    }
}
