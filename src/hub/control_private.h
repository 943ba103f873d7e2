/* Shared by control.c (the connections and the clock), control_io.c (bytes) and control_messages.c (what the
 * messages mean); nobody else includes it. */
#ifndef MULTISSH_HUB_CONTROL_PRIVATE_H
#define MULTISSH_HUB_CONTROL_PRIVATE_H

#include "base/buf.h"
#include "base/log.h"
#include "hub/control.h"
#include "hub/hub.h"
#include "hub/lobby.h"
#include "tls/keys.h"
#include "tls/session.h"
#include <cjson/cJSON.h>
#include <uv.h>

#define CONTROL_WHEEL 128 /* slots of a second: later dues are looked at early and put back */
#define CONTROL_SLACK_MS                                                                                     \
    5000 /* added to ping-interval before a silent agent is taken for dead; also what a probe waits */
#define CONTROL_LINGER_MS 3000

enum control_state {
    CONTROL_FRESH,   /* handshake, and hello awaited */
    CONTROL_PROBING, /* its name's present link is asked whether it lives */
    CONTROL_HELD,    /* waits for approval, or is a clone */
    CONTROL_ONLINE,
    CONTROL_CLOSING, /* the last words are on their way */
    CONTROL_DEAD,    /* only waits for its handle to close */
};

struct control {
    struct link link; /* first: link_ops cast back */
    uv_poll_t poll;
    struct controls *owner;
    struct control *next, **at;         /* in a slot of the wheel, or in the list of those due this turn */
    struct control *all_next, **all_at; /* in the list of all */
    struct session *tls;
    struct buf plain, out;
    cJSON *hello;             /* while PROBING or HELD: to ask the registry again */
    struct machine *machine;  /* while ONLINE */
    struct control *prober;   /* who waits for this one's answer */
    struct control *probed;   /* whose answer this one waits for */
    const char *failure;      /* set by calls from outside: close in the next turn for this reason */
    struct lobby_place place; /* until the handshake is over */
    uint64_t since, heard, pinged, deadline;
    uint64_t resume_at;       /* while ONLINE: when it gets its next ticket */
    uint32_t ping_n, ping_ms; /* ping_ms: what this agent was told, whatever is read again later */
    int fd;
    enum control_state state;
    bool events_out, clone, shut, again; /* again: ask the registry again in the next turn */
    struct door_slot slot;
    char source[64];
    char key[KEYS_FINGERPRINT_TEXT];
    char name[NAMES_MACHINE_MAX + 1]; /* while ONLINE */
};

struct controls {
    struct hub *hub;
    uv_timer_t tick, soon;
    struct control *wheel[CONTROL_WHEEL];
    struct control *due; /* for `soon` */
    struct control *all;
    uint64_t wheel_second;
    size_t n;
    unsigned open_handles;
    bool dying;
    struct log_limit limit;
};

/* control.c */
void control_schedule(struct control *c, uint64_t at);
void control_soon(struct control *c);
/* Ends the connection now; only from the loop's callbacks, never from a link's operation. */
void control_close(struct control *c, const char *reason);
/* The next time something is due, by its state. */
void control_reschedule(struct control *c);
const char *control_name(const struct control *c);

/* control_io.c */
int control_io_start(struct control *c);
/* Sends message (taken). Returns 0 or a negative code, after which the connection ends in a later turn. */
int control_io_send(struct control *c, cJSON *message);
/* The same with a line that is there already, its newline included. */
int control_io_send_line(struct control *c, const char *line, size_t n);
/* After the last message: closes once it is out. */
void control_io_finish(struct control *c);

/* control_messages.c */
/* One line of n bytes, without its newline. Returns NULL, or why the connection must be closed. */
const char *control_messages_line(struct control *c, const char *line, size_t n);
/* Asks the registry about c->hello. */
void control_messages_ask(struct control *c, bool probe_failed);
/* The present connection of m answered: c is a clone. */
void control_messages_hold_clone(struct control *c, struct machine *m);
void control_messages_ping(struct control *c);
/* A ticket with which it may resume. */
void control_messages_resume(struct control *c);
void control_messages_refuse(struct control *c, const char *code, const char *reason, int64_t retry_ms);
void control_messages_bye(struct control *c, const char *code, const char *reason, int64_t retry_ms);
/* For the log and the audit. */
void control_messages_offline(struct control *c, const char *reason);
/* c goes away: settles who probes whom. */
void control_messages_unprobe(struct control *c);

/* control_link.c */
extern const struct link_ops control_link_ops;
struct control *control_of_link(struct link *l); /* l is one of control_link_ops */
/* For registry_on_approved and registry_expire; links of other kinds are left alone. */
void control_link_approved(struct link *l, void *arg);
void control_link_expired(struct link *l, void *arg);

#endif
