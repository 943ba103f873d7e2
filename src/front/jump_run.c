/* Jumps while they run, and how their end reaches the user. */
#include "front/jump_private.h"

#include <stdio.h>

/* Nothing else was ever asked for over this connection, and its client ends with this channel anyway. */
static bool alone(const struct jump *jump)
{
    return jump->stdio && jump->front->uses == 1 && jump->front->jumps == jump && jump->next == NULL;
}

/* The channel carries the inner connection's ciphertext, so nothing can be said in it. A disconnect message is
 * shown by the client, but ends whatever else runs through the same connection; a debug message is shown
 * with -v only. */
static void explain(struct jump *jump)
{
    char text[sizeof jump->host + STREAM_TEXT_MAX + 8];
    char clean[sizeof text];
    jump->explained = true;
    (void)snprintf(text, sizeof text, "%s: %s", jump->host, splice_reason(jump->splice));
    refusal_clean(text, clean, sizeof clean);
    if (alone(jump)) {
        front_leave(jump->front, clean);
    } else {
        ssh_server_debug(jump->front->server, clean);
        splice_close(jump->splice);
    }
}

static void look_at_end(struct jump *jump)
{
    if (!splice_drained(jump->splice)) {
        return;
    }
    if (jump->reach || !splice_failed(jump->splice)) {
        splice_close(jump->splice);
    } else if (!jump->explained) {
        explain(jump);
    }
}

static bool waiting_turn(struct jump *jump)
{
    if (ssh_server_ended(jump->front->server)) {
        jump->told = jump->told || jump->waits_since != 0;
        return false;
    }
    if (front_waited_enough(jump->front, jump->waits_since)) {
        jump->told = true;
        jump_refuse(jump, front_why_no_hub(jump->front));
    }
    return true;
}

/* Returns false when nothing is left of it. */
static bool jump_turn(struct jump *jump)
{
    if (jump->ask != NULL) {
        return waiting_turn(jump);
    }
    if (jump->refusing) {
        return jump_refuse_turn(jump);
    }
    if (jump->splice == NULL) {
        return false;
    }
    if (ssh_server_ended(jump->front->server)) {
        if (jump->chan != NULL) { /* a reach that was never answered */
            ssh_chan_close(jump->chan);
            jump->chan = NULL;
        }
        splice_hang_up(jump->splice);
    }
    if (jump->reach && !jump->resumes && splice_open(jump->splice) && !splice_connected(jump->splice)) {
        /* This publisher's stream has the one socket that the hub gave it, and there will be no other. */
        splice_reset(jump->splice, STREAM_CODE_LOCAL, "the user's side has gone");
    }
    if (!splice_turn(jump->splice)) {
        return false;
    }
    look_at_end(jump);
    jump_look_parked(jump);
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
        const char *reason = jump->splice != NULL ? splice_reason(jump->splice) : "";
        jump_tell_closed(jump, reason[0] != '\0' ? reason : "the user has gone");
        *at = jump->next;
        jump_retire(jump);
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
    while (front->ended != NULL) {
        struct jump *jump = front->ended;
        front->ended = jump->next;
        jump_free(jump);
    }
}
