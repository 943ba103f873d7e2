/* One user's SSH connection, as the front sees it: what the modules of the front share. */
#ifndef MULTISSH_FRONT_FRONT_H
#define MULTISSH_FRONT_FRONT_H

#include "base/log.h"
#include "base/printf.h"
#include "front/hub_link.h"
#include "ssh/ssh_server.h"
#include "stream/ticket.h"

#define FRONT_RESTARTING "the hub is restarting: try again in a moment"
#define FRONT_ID_SIZE (2 * TICKET_ID_SIZE + 1) /* a stream's id in hex, with NUL */

struct jump;
struct command;
struct publish;

struct front {
    struct ssh_loop *loop;
    struct ssh_loop_timer *timer;
    struct ssh_server *server;
    struct hub_link *link;
    uint64_t last_id;

    struct ssh_ask *login; /* a key that the hub is asked about */
    uint64_t login_id;

    struct jump *jumps;
    struct command *commands;
    struct publish *publishes;
    bool leaving;         /* a disconnect was asked for */
    uint64_t wake_at;     /* of the timer */
    uint64_t flush_until; /* everything has ended: how long the last messages may take */
};

struct front_limits {
    uint64_t grace_ms, keepalive_ms;
    unsigned tries, channels;
};

/* Takes the connection and the link. Returns 0 or a negative errno value with err filled. */
int front_new(int connection, struct hub_link *link, const struct hostkey *key,
              const struct front_limits *limits, struct front **ret_front, struct errmsg *err);
/* Serves until the user's connection has ended and the last jump is done. Returns 0 or a negative errno
 * value. */
int front_run(struct front *front);
void front_free(struct front *front);

/* For the modules. */
uint64_t front_next_id(struct front *front);
/* Sends and forgets: a hub that is gone is noticed elsewhere. Takes message, which may be NULL. */
void front_send(struct front *front, cJSON *message);
/* A line for the hub's log. */
void front_log(struct front *front, enum log_level level, const char *fmt, ...) LIKE_PRINTF(3, 4);
/* The timer fires no later than this. */
void front_wake(struct front *front, uint64_t at);

#endif
