/* Shared by jump.c (the messages), jump_run.c (from the first byte to the last), jump_refuse.c (jumps that are not
 * had) and jump_resume.c (what the next hub is told); nobody else includes it. */
#ifndef MULTISSH_FRONT_JUMP_PRIVATE_H
#define MULTISSH_FRONT_JUMP_PRIVATE_H

#include "front/jump.h"
#include "front/refusal.h"
#include "front/splice.h"

#define JUMP_ID_MAX ((int64_t)1 << 53)

struct jump {
    struct jump *next;
    struct front *front;
    uint64_t id;
    struct ssh_ask *ask;   /* waits for the hub's answer */
    uint64_t waits_since;  /* without a hub that could give it; 0: there is one */
    struct ssh_chan *chan; /* of a refusal, or of a reach that waits for the client */
    struct splice *splice; /* runs */
    char stream[FRONT_ID_SIZE];
    bool reach;
    bool resumes;   /* a reach whose user's side may come again, with another connection */
    bool foreign;   /* a reach of a hub that is gone: its id means nothing any more */
    bool told;      /* the hub has been told how it ended, or need not be */
    bool stdio;     /* the client joined it with its own input and output, as ssh -J and ssh -W do */
    bool explained; /* the user has been told why it failed */

    /* What the next hub has to know. */
    char *ticket; /* NULL: of a reach, or the hub gave none */
    char host[256];
    unsigned port;
    int64_t started_s;
    uint32_t window, patience_ms;
    uint32_t epoch;   /* the highest of a connection that was handed over */
    uint64_t lost_at; /* since when no connection is live; 0: one is */
    bool parked;      /* and that long enough for the hub to know */

    /* How it ended, while there was no hub to be told. */
    char reason[STREAM_TEXT_MAX + 1];
    uint64_t sent, received;

    /* Of a refusal. */
    struct buf text;
    uint64_t refused_at;
    bool refusing;
};

/* jump.c */
void jump_ask_hub(struct jump *jump);
void jump_free(struct jump *jump);

/* jump_refuse.c */
/* Answers the ask with the text. */
void jump_refuse(struct jump *jump, const char *text);
/* Returns false when it is over. */
bool jump_refuse_turn(struct jump *jump);

/* jump_resume.c */
/* Tells the hub that it has ended: this one, or the next. Once. */
void jump_tell_closed(struct jump *jump, const char *reason);
/* Tells the hub when the stream has lost its last connection, and when it has one again. */
void jump_look_parked(struct jump *jump);
/* The jump is out of the list of those that run: kept for the next hub, or freed. */
void jump_retire(struct jump *jump);

#endif
