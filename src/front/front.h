/* One user's SSH connection, as the front sees it: what the modules of the front share. */
#ifndef MULTISSH_FRONT_FRONT_H
#define MULTISSH_FRONT_FRONT_H

#include "base/log.h"
#include "base/printf.h"
#include "front/hub_link.h"
#include "ssh/ssh_server.h"
#include "stream/ticket.h"

#define FRONT_PROTOCOL 1 /* of PROTOCOL.md's front protocol */
#define FRONT_RESTARTING "the hub is restarting: try again in a moment"
#define FRONT_ID_SIZE (2 * TICKET_ID_SIZE + 1) /* a stream's id in hex, with NUL */

struct jump;
struct command;
struct publish;
struct hubs;

/* What a hub says in `start` and `adopt`. */
struct front_limits {
    uint64_t grace_ms, keepalive_ms;
    uint64_t orphan_ms; /* how long sessions live without a hub */
    uint64_t wait_ms;   /* how long what needs the hub waits for the next one */
    unsigned tries, channels;
};

struct front {
    struct ssh_loop *loop;
    struct ssh_loop_timer *timer;
    struct ssh_server *server;
    struct hub_link *link; /* never NULL; it may be down */
    struct hubs *hubs;
    struct front_limits limits;
    uint64_t last_id;

    struct ssh_ask *login; /* a key that the hub is asked about */
    uint64_t login_id, login_waits_since;

    struct jump *jumps;
    struct jump *ended; /* jumps whose end no hub has heard of */
    struct command *commands;
    struct publish *publishes;
    unsigned uses;        /* jumps, commands and publications that were ever asked for */
    bool leaving;         /* a disconnect was asked for */
    uint64_t wake_at;     /* of the timer */
    uint64_t flush_until; /* everything has ended: how long the last messages may take */
};

/* Takes the connection, the link and the listener (-1: none, no other hub will come). voucher: what the first hub
 * wants the next one to be given. Returns 0 or a negative errno value with err filled. */
int front_new(int connection, struct hub_link *link, int listener, const struct hostkey *key,
              const struct front_limits *limits, const char *voucher, struct front **ret_front,
              struct errmsg *err);
/* Serves until the user's connection has ended and the last jump is done. Returns 0 or a negative errno
 * value. */
int front_run(struct front *front);
void front_free(struct front *front);

/* Reads what message has of them, within their bounds; the others stay as they are. */
void front_limits_take(struct front_limits *limits, const cJSON *message);

/* For the modules. */
uint64_t front_next_id(struct front *front);
/* Sends and forgets: a hub that is gone is noticed elsewhere. Takes message, which may be NULL. */
void front_send(struct front *front, cJSON *message);
/* A line for the hub's log. */
void front_log(struct front *front, enum log_level level, const char *fmt, ...) LIKE_PRINTF(3, 4);
/* The timer fires no later than this. */
void front_wake(struct front *front, uint64_t at);
/* Ends the user's connection with the text. */
void front_leave(struct front *front, const char *text);
/* Has what waits for a hub since then (0: it does not) waited long enough? To be asked every turn. */
bool front_waited_enough(struct front *front, uint64_t since);
const char *front_why_no_hub(const struct front *front); /* for the user */

/* A login that is asked about (see jump.h). */
void front_login_hub_lost(struct front *front);
uint64_t front_login_unanswered_after(const struct front *front, uint64_t id);
void front_login_ask_again(struct front *front, uint64_t id);
/* A message of the hub. */
void front_message(struct front *front, const cJSON *message, int fd);

#endif
