/* What a hub knows of the jumps, and the next one has to learn: which run, which have ended meanwhile, which are
 * waiting for a connection. */
#include "front/jump_private.h"

#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>

#define PARKED_MS 1000 /* a connection that is replaced within that time is no news */

/* --- the end --- */

static void send_closed(struct jump *jump)
{
    cJSON *message = json_new("close");
    (void)json_add_int(message, "id", (int64_t)jump->id);
    (void)json_add_str(message, "reason", jump->reason);
    (void)json_add_int(message, "sent", (int64_t)jump->sent);
    (void)json_add_int(message, "received", (int64_t)jump->received);
    front_send(jump->front, message);
}

void jump_tell_closed(struct jump *jump, const char *reason)
{
    struct stream_stats stats = {0};
    if (jump->told) {
        return;
    }
    if (jump->reason[0] == '\0') {
        if (jump->splice != NULL) {
            splice_stats(jump->splice, &stats);
        }
        (void)snprintf(jump->reason, sizeof jump->reason, "%s", reason);
        jump->sent = stats.sent;
        jump->received = stats.received;
    }
    send_closed(jump);
    jump->told = hub_link_up(jump->front->link);
}

/* At most as many as there may be channels; the oldest is at the end. */
static void forget_the_oldest(struct front *front)
{
    struct jump **at = &front->ended;
    unsigned count = 0;
    for (; *at != NULL; at = &(*at)->next) {
        if (++count >= front->limits.channels) {
            break;
        }
    }
    while (*at != NULL) {
        struct jump *jump = *at;
        *at = jump->next;
        jump_free(jump);
    }
}

void jump_retire(struct jump *jump)
{
    struct front *front = jump->front;
    if (jump->told || jump->ticket == NULL) {
        jump_free(jump);
        return;
    }
    splice_free(jump->splice);
    jump->splice = NULL;
    forget_the_oldest(front);
    jump->next = front->ended;
    front->ended = jump;
}

/* --- without a connection --- */

void jump_look_parked(struct jump *jump)
{
    uint64_t now = ssh_loop_now(jump->front->loop);
    bool parked;
    if (jump->reach || !splice_open(jump->splice)) {
        return;
    }
    if (splice_live(jump->splice)) {
        jump->lost_at = 0;
    } else if (jump->lost_at == 0) {
        jump->lost_at = now;
    }
    parked = jump->lost_at != 0 && now - jump->lost_at >= PARKED_MS;
    if (jump->lost_at != 0 && !parked) {
        front_wake(jump->front, jump->lost_at + PARKED_MS);
    }
    if (parked != jump->parked) {
        cJSON *message = json_new("parked");
        jump->parked = parked;
        (void)json_add_int(message, "id", (int64_t)jump->id);
        (void)json_add_bool(message, "parked", parked);
        front_send(jump->front, message);
    }
}

/* --- the next hub --- */

static void send_resume(struct jump *jump)
{
    cJSON *message = json_new("resume");
    (void)json_add_int(message, "id", (int64_t)jump->id);
    (void)json_add_str(message, "ticket", jump->ticket);
    (void)json_add_str(message, "host", jump->host);
    (void)json_add_int(message, "port", jump->port);
    (void)json_add_int(message, "started_s", jump->started_s);
    (void)json_add_int(message, "window", jump->window);
    (void)json_add_int(message, "patience_ms", jump->patience_ms);
    (void)json_add_int(message, "epoch", jump->epoch);
    (void)json_add_bool(message, "parked", jump->parked);
    if (jump->parked) {
        uint64_t now = ssh_loop_now(jump->front->loop);
        (void)json_add_int(message, "parked_ms", (int64_t)(now - jump->lost_at));
    }
    front_send(jump->front, message);
}

void jump_resume_all(struct front *front)
{
    for (struct jump *j = front->ended; j != NULL; j = j->next) {
        send_resume(j);
    }
    for (struct jump *j = front->jumps; j != NULL; j = j->next) {
        if (j->splice == NULL || j->reach || j->told) {
            continue;
        }
        if (j->ticket != NULL) {
            send_resume(j);
        } else {
            j->told = true;
            splice_reset(j->splice, STREAM_CODE_KILLED,
                         "the hub was replaced by a version that cannot take it up");
        }
    }
}

void jump_close_ended(struct front *front)
{
    while (front->ended != NULL) {
        struct jump *jump = front->ended;
        front->ended = jump->next;
        send_closed(jump);
        jump_free(jump);
    }
}

uint64_t jump_unanswered_after(const struct front *front, uint64_t id)
{
    uint64_t first = UINT64_MAX;
    for (const struct jump *j = front->jumps; j != NULL; j = j->next) {
        if (j->ask != NULL && j->id > id && j->id < first) {
            first = j->id;
        }
    }
    return first;
}

void jump_ask_again(struct front *front, uint64_t id)
{
    for (struct jump *j = front->jumps; j != NULL; j = j->next) {
        if (j->ask != NULL && j->id == id) {
            jump_ask_hub(j);
        }
    }
}

void jump_hub_lost(struct front *front)
{
    for (struct jump *j = front->jumps; j != NULL; j = j->next) {
        if (j->ask != NULL && j->waits_since == 0) {
            j->waits_since = ssh_loop_now(front->loop);
        }
        if (!j->reach || j->foreign) {
            continue;
        }
        /* Its socket came from the hub that is gone: when it has not been joined, nobody will be at the other end. */
        j->foreign = true;
        if (j->chan != NULL) {
            ssh_chan_close(j->chan);
            j->chan = NULL;
            splice_reset(j->splice, STREAM_CODE_LOCAL, "the hub went away");
            splice_hang_up(j->splice);
        }
    }
}
