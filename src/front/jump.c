/* Jumps: from the question to the last byte. */
#include "front/jump.h"

#include "base/crypto.h"
#include "base/names.h"
#include "front/refusal.h"
#include "front/splice.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFUSAL_MS 2000 /* for the client to read a refusal and go */
#define ID_MAX ((int64_t)1 << 53)

struct jump {
    struct jump *next;
    struct front *front;
    uint64_t id;
    struct ssh_ask *ask;   /* waits for the hub */
    struct ssh_chan *chan; /* of a refusal, or of a reach that waits for the client */
    struct splice *splice; /* runs */
    char stream[FRONT_ID_SIZE];
    bool reach;
    bool told; /* the hub has been told how it ended */
    /* of a refusal */
    struct buf text;
    uint64_t refused_at;
    bool refusing;
};

static struct jump *jump_new(struct front *front, uint64_t id)
{
    struct jump *jump = calloc(1, sizeof *jump);
    if (jump != NULL) {
        jump->front = front;
        jump->id = id;
        jump->next = front->jumps;
        front->jumps = jump;
        buf_init(&jump->text, REFUSAL_SIZE_MAX);
    }
    return jump;
}

static void jump_free(struct jump *jump)
{
    splice_free(jump->splice);
    ssh_chan_close(jump->chan);
    if (jump->ask != NULL) {
        ssh_ask_refuse(jump->ask);
    }
    buf_release(&jump->text);
    free(jump);
}

static struct jump *find_id(struct front *front, const cJSON *message, bool reach)
{
    int64_t id;
    if (json_int(message, "id", 0, ID_MAX, &id) != 0) {
        return NULL;
    }
    for (struct jump *j = front->jumps; j != NULL; j = j->next) {
        if (j->id == (uint64_t)id && j->reach == reach) {
            return j;
        }
    }
    return NULL;
}

static void tell_closed(struct jump *jump, const char *reason)
{
    struct stream_stats stats = {0};
    cJSON *message = json_new("close");
    if (jump->told) {
        cJSON_Delete(message);
        return;
    }
    jump->told = true;
    if (jump->splice != NULL) {
        splice_stats(jump->splice, &stats);
    }
    (void)json_add_int(message, "id", (int64_t)jump->id);
    (void)json_add_str(message, "reason", reason);
    (void)json_add_int(message, "sent", (int64_t)stats.sent);
    (void)json_add_int(message, "received", (int64_t)stats.received);
    front_send(jump->front, message);
}

/* --- refusals --- */

/* What the client says to the machine that it takes this for: nothing of it matters. */
static size_t on_refused_data(void *arg, const void *data, size_t n)
{
    (void)arg;
    (void)data;
    return n;
}

static void refuse(struct jump *jump, const char *text)
{
    struct ssh_ask *ask = jump->ask;
    jump->ask = NULL;
    jump->refusing = true;
    if (refusal_append(&jump->text, text) < 0) {
        ssh_ask_refuse(ask);
        return;
    }
    jump->chan = ssh_ask_accept_channel(ask);
    jump->refused_at = ssh_loop_now(jump->front->loop);
    if (jump->chan != NULL) {
        ssh_chan_own(jump->chan, jump, on_refused_data);
    }
}

/* Writes the text, then waits until the client has ended its direction: it has read the text then. EOF comes after that, for
 * ssh -W answers it by ending at once, and the ssh that started it fails to write its key exchange before it reads the
 * text. Returns false when it is over. */
static bool refusal_turn(struct jump *jump)
{
    uint64_t until = jump->refused_at + REFUSAL_MS;
    if (jump->chan == NULL || ssh_chan_closed(jump->chan)) {
        return false;
    }
    while (buf_len(&jump->text) > 0) {
        long wrote = ssh_chan_write(jump->chan, buf_data(&jump->text), buf_len(&jump->text), false);
        if (wrote < 0) {
            return false;
        }
        if (wrote == 0) {
            front_wake(jump->front, until);
            return ssh_loop_now(jump->front->loop) < until;
        }
        buf_consume(&jump->text, (size_t)wrote);
    }
    if (!ssh_chan_eof(jump->chan) && ssh_loop_now(jump->front->loop) < until) {
        front_wake(jump->front, until);
        return true;
    }
    ssh_chan_end(jump->chan);
    return false;
}

/* --- a user's jump --- */

void jump_ask(struct front *front, struct ssh_ask *ask)
{
    char host[256];
    char origin[128];
    char text[512];
    struct jump *jump = jump_new(front, front_next_id(front));
    cJSON *message;
    if (jump == NULL) {
        ssh_ask_refuse(ask);
        return;
    }
    jump->ask = ask;
    if (!hub_link_up(front->link)) {
        refuse(jump, FRONT_RESTARTING);
        return;
    }
    if (!names_host_ok(ask->host)) {
        refusal_clean(ask->host, host, sizeof host);
        (void)snprintf(text, sizeof text, "'%s' is not a machine's name", host);
        refuse(jump, text);
        return;
    }
    refusal_clean(ask->origin == NULL ? "" : ask->origin, origin, sizeof origin);
    message = json_new("open");
    (void)json_add_int(message, "id", (int64_t)jump->id);
    (void)json_add_str(message, "host", ask->host);
    (void)json_add_int(message, "port", ask->port);
    (void)json_add_str(message, "origin", origin);
    front_send(front, message);
}

/* The stream's half of `opened` and `reach`. Takes fd. */
static int start_stream(struct jump *jump, const cJSON *message, char role, int fd)
{
    struct stream_config config = {.role = role};
    const char *id = json_str(message, "stream", FRONT_ID_SIZE - 1);
    const char *key = json_str(message, "key", 2 * TICKET_KEY_SIZE);
    uint32_t epoch = (uint32_t)json_int_or(message, "epoch", 0, UINT32_MAX, 0);
    int rc = -EINVAL;
    config.window = (uint32_t)json_int_or(message, "window", STREAM_WINDOW_MIN, STREAM_WINDOW_MAX, 0);
    config.patience_ms = (uint32_t)json_int_or(message, "patience_ms", 1000, UINT32_MAX, 0);
    if (id == NULL || strlen(id) != FRONT_ID_SIZE - 1 || key == NULL || fd < 0 ||
        crypto_hex_decode(key, strlen(key), config.key, sizeof config.key) != TICKET_KEY_SIZE) {
        goto out;
    }
    (void)snprintf(jump->stream, sizeof jump->stream, "%s", id);
    rc = splice_new(jump->front->loop, &config, &jump->splice);
    if (rc == 0) {
        rc = splice_connect(jump->splice, epoch, fd);
        fd = -1;
    }
out:
    crypto_wipe(config.key, sizeof config.key);
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

void jump_opened(struct front *front, const cJSON *message, int fd)
{
    struct jump *jump = find_id(front, message, false);
    struct ssh_chan *chan;
    int rc;
    if (jump == NULL || jump->ask == NULL) {
        /* The user has gone meanwhile. */
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    rc = start_stream(jump, message, 'a', fd);
    if (rc < 0) {
        front_log(front, LOG_LEVEL_ERROR, "a jump cannot start: %s", strerror(-rc));
        tell_closed(jump, "the front cannot start the stream");
        splice_free(jump->splice);
        jump->splice = NULL;
        refuse(jump, "the hub could not start the connection: tell its administrator");
        return;
    }
    chan = ssh_ask_accept_channel(jump->ask);
    jump->ask = NULL;
    if (chan == NULL) {
        splice_hang_up(jump->splice);
        return;
    }
    splice_join(jump->splice, chan);
}

void jump_refused(struct front *front, const cJSON *message)
{
    struct jump *jump = find_id(front, message, false);
    if (jump != NULL && jump->ask != NULL) {
        jump->told = true;
        refuse(jump, json_str_or(message, "text", 8192, "refused"));
    }
}

/* --- a publisher's side --- */

void jump_reach(struct front *front, const cJSON *message, int fd)
{
    const char *host = json_str(message, "host", 255);
    const char *source = json_str_or(message, "source", 255, "0.0.0.0");
    unsigned port = (unsigned)json_int_or(message, "port", 0, 65535, 0);
    unsigned source_port = (unsigned)json_int_or(message, "source_port", 0, 65535, 0);
    int64_t id;
    struct jump *jump = NULL;
    if (json_int(message, "id", 0, ID_MAX, &id) == 0 && host != NULL) {
        jump = jump_new(front, (uint64_t)id);
    }
    if (jump == NULL) {
        front_log(front, LOG_LEVEL_ERROR, "a reach that cannot be understood, or no memory for it");
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    jump->reach = true;
    if (start_stream(jump, message, 'b', fd) < 0) {
        jump_reached(front, NULL, -EIO, "the front cannot start the stream");
    } else {
        jump->chan = ssh_chan_open_forwarded(front->server, host, port, source, source_port);
        if (jump->chan == NULL) {
            jump_reached(front, NULL, -EMFILE, "no channel can be opened to the publishing client");
        } else {
            ssh_chan_own(jump->chan, jump, NULL);
        }
    }
}

/* chan NULL: the newest jump, which could not even ask. */
void jump_reached(struct front *front, struct ssh_chan *chan, int error, const char *why)
{
    struct jump *jump = chan == NULL ? front->jumps : ssh_chan_owner(chan);
    cJSON *message = json_new(error == 0 ? "reached" : "reach-failed");
    char text[256];
    refusal_clean(why, text, sizeof text);
    (void)json_add_int(message, "id", (int64_t)jump->id);
    (void)json_add_str(message, "reason", text);
    front_send(front, message);
    jump->chan = NULL;
    if (error == 0) {
        splice_join(jump->splice, chan);
        return;
    }
    jump->told = true;
    ssh_chan_close(chan);
    if (jump->splice != NULL) {
        splice_reset(jump->splice, STREAM_CODE_LOCAL, text);
        splice_hang_up(jump->splice);
    }
}

/* --- while it runs --- */

void jump_connection(struct front *front, const cJSON *message, int fd)
{
    const char *stream = json_str(message, "stream", FRONT_ID_SIZE - 1);
    int64_t epoch;
    if (fd < 0) {
        return;
    }
    for (struct jump *j = front->jumps; j != NULL && stream != NULL; j = j->next) {
        if (j->splice != NULL && strcmp(j->stream, stream) == 0 &&
            json_int(message, "epoch", 0, UINT32_MAX, &epoch) == 0) {
            int rc = splice_connect(j->splice, (uint32_t)epoch, fd);
            if (rc < 0) {
                front_log(front, LOG_LEVEL_DEBUG, "a connection of stream %s was not taken: %s", stream,
                          strerror(-rc));
            }
            return;
        }
    }
    close(fd);
}

void jump_kill(struct front *front, const cJSON *message)
{
    struct jump *jump = find_id(front, message, false);
    const char *text = json_str_or(message, "text", 1024, "the session was ended");
    if (jump == NULL) {
        jump = find_id(front, message, true);
    }
    if (jump == NULL) {
        return;
    }
    if (jump->splice != NULL) {
        splice_reset(jump->splice, STREAM_CODE_KILLED, text);
    } else if (jump->ask != NULL) {
        refuse(jump, text);
    }
}

/* Returns false when nothing is left of it. */
static bool jump_turn(struct jump *jump)
{
    bool ended = ssh_server_ended(jump->front->server);
    if (jump->refusing) {
        return refusal_turn(jump);
    }
    if (jump->ask != NULL) {
        return !ended;
    }
    if (jump->splice == NULL) {
        return false;
    }
    if (ended) {
        if (jump->chan != NULL) { /* a reach that was never answered */
            ssh_chan_close(jump->chan);
            jump->chan = NULL;
        }
        splice_hang_up(jump->splice);
    }
    if (!splice_turn(jump->splice)) {
        return false;
    }
    front_wake(jump->front, splice_next_turn(jump->splice));
    return true;
}

void jump_turn_all(struct front *front)
{
    struct jump **at = &front->jumps;
    while (*at != NULL) {
        struct jump *jump = *at;
        if (jump_turn(jump)) {
            at = &jump->next;
            continue;
        }
        if (!jump->refusing || !jump->told) {
            const char *reason = jump->splice != NULL ? splice_reason(jump->splice) : "";
            tell_closed(jump, reason[0] != '\0' ? reason : "the user has gone");
        }
        *at = jump->next;
        jump_free(jump);
    }
}

void jump_hub_lost(struct front *front)
{
    for (struct jump *j = front->jumps; j != NULL; j = j->next) {
        if (j->ask != NULL) {
            refuse(j, FRONT_RESTARTING);
        }
    }
}

void jump_end_all(struct front *front, const char *text)
{
    for (struct jump *j = front->jumps; j != NULL; j = j->next) {
        if (j->splice != NULL) {
            splice_reset(j->splice, STREAM_CODE_KILLED, text);
        }
    }
}

void jump_free_all(struct front *front)
{
    while (front->jumps != NULL) {
        struct jump *jump = front->jumps;
        front->jumps = jump->next;
        jump_free(jump);
    }
}
