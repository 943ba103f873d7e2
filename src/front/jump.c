/* Jumps: what is asked of the hub, and what it says. */
#include "front/jump_private.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/names.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICKET_MAX 512   /* opaque here */
#define STDIO_PORT 65535 /* the origin's port when OpenSSH joins a channel with its own input and output */

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

void jump_free(struct jump *jump)
{
    splice_free(jump->splice);
    ssh_chan_close(jump->chan);
    if (jump->ask != NULL) {
        ssh_ask_refuse(jump->ask);
    }
    if (jump->ticket != NULL) {
        crypto_wipe(jump->ticket, strlen(jump->ticket));
    }
    free(jump->ticket);
    buf_release(&jump->text);
    free(jump);
}

static struct jump *find_id(struct front *front, const cJSON *message, bool reach)
{
    int64_t id;
    if (json_int(message, "id", 0, JUMP_ID_MAX, &id) != 0) {
        return NULL;
    }
    for (struct jump *j = front->jumps; j != NULL; j = j->next) {
        if (j->id == (uint64_t)id && j->reach == reach && !j->foreign) {
            return j;
        }
    }
    return NULL;
}

/* --- a user's jump --- */

void jump_ask_hub(struct jump *jump)
{
    char origin[128];
    cJSON *message;
    if (!hub_link_up(jump->front->link)) {
        jump->waits_since = ssh_loop_now(jump->front->loop);
        return;
    }
    jump->waits_since = 0;
    refusal_clean(jump->ask->origin == NULL ? "" : jump->ask->origin, origin, sizeof origin);
    message = json_new("open");
    (void)json_add_int(message, "id", (int64_t)jump->id);
    (void)json_add_str(message, "host", jump->host);
    (void)json_add_int(message, "port", jump->port);
    (void)json_add_str(message, "origin", origin);
    front_send(jump->front, message);
}

void jump_ask(struct front *front, struct ssh_ask *ask)
{
    char text[sizeof((struct jump *)0)->host + 64];
    struct jump *jump = jump_new(front, front_next_id(front));
    front->uses++;
    if (jump == NULL) {
        ssh_ask_refuse(ask);
        return;
    }
    jump->ask = ask;
    jump->port = ask->port;
    jump->stdio = ask->origin_port == STDIO_PORT;
    refusal_clean(ask->host, jump->host, sizeof jump->host);
    if (!names_host_ok(ask->host)) {
        (void)snprintf(text, sizeof text, "'%s' is not a machine's name", jump->host);
        jump->told = true;
        jump_refuse(jump, text);
        return;
    }
    jump_ask_hub(jump);
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
    jump->window = config.window;
    jump->patience_ms = config.patience_ms;
    jump->epoch = epoch;
    jump->started_s = clock_wall_s();
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
    const char *ticket = json_str(message, "ticket", TICKET_MAX);
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
    if (rc == 0 && ticket != NULL) {
        jump->ticket = strdup(ticket);
        rc = jump->ticket == NULL ? -ENOMEM : 0;
    }
    if (rc < 0) {
        front_log(front, LOG_LEVEL_ERROR, "a jump cannot start: %s", strerror(-rc));
        jump_tell_closed(jump, "the front cannot start the stream");
        splice_free(jump->splice);
        jump->splice = NULL;
        jump_refuse(jump, "the hub could not start the connection: tell its administrator");
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
        jump_refuse(jump, json_str_or(message, "text", 8192, "refused"));
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
    if (json_int(message, "id", 0, JUMP_ID_MAX, &id) == 0 && host != NULL &&
        find_id(front, message, true) == NULL) {
        jump = jump_new(front, (uint64_t)id);
    }
    if (jump == NULL) {
        front_log(front, LOG_LEVEL_ERROR, "a reach that cannot be understood, or no memory for it");
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    jump->reach = jump->told = true; /* the user's side tells how it ended */
    jump->resumes = json_bool(message, "resumes", false);
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
    char text[STREAM_TEXT_MAX + 1];
    refusal_clean(why, text, sizeof text);
    (void)json_add_int(message, "id", (int64_t)jump->id);
    (void)json_add_str(message, "reason", text);
    front_send(front, message);
    jump->chan = NULL;
    if (error == 0) {
        splice_join(jump->splice, chan);
        return;
    }
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
        if (j->splice != NULL && (!j->reach || j->resumes) && strcmp(j->stream, stream) == 0 &&
            json_int(message, "epoch", 0, UINT32_MAX, &epoch) == 0) {
            int rc = splice_connect(j->splice, (uint32_t)epoch, fd);
            j->epoch = (uint32_t)epoch > j->epoch ? (uint32_t)epoch : j->epoch;
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
        return;
    }
    if (jump->splice != NULL) {
        splice_reset(jump->splice, STREAM_CODE_KILLED, text);
    } else if (jump->ask != NULL) {
        jump_refuse(jump, text);
    }
}
