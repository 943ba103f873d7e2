/* What the modules of the SSH server share. Not for others. */
#ifndef MULTISSH_SSH_SSH_INTERNAL_H
#define MULTISSH_SSH_SSH_INTERNAL_H

#include "base/pace.h"
#include "ssh/ssh_server.h"
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

enum ssh_phase {
    SSH_PHASE_NEW,
    SSH_PHASE_KEX,     /* the first key exchange */
    SSH_PHASE_AUTH,    /* no login yet */
    SSH_PHASE_OPEN,    /* logged in */
    SSH_PHASE_CLOSING, /* a disconnect text waits for the output to drain */
    SSH_PHASE_LINGER,  /* it was sent: waiting for the peer to hang up, so that it is not lost in a reset */
    SSH_PHASE_ENDED,
};

struct ssh_question { /* a struct ssh_ask and what its answer needs */
    struct ssh_ask ask;
    struct ssh_server *server;
    ssh_message message; /* NULL: the protocol has no answer */
    char *own_text;      /* a copied text: key, signal */
    struct ssh_question *next;
};

struct ssh_server {
    struct ssh_loop *loop;
    struct ssh_loop_watch *watch;
    struct ssh_loop_timer *timer;
    struct ssh_server_config config;
    struct ssh_server_events events;
    void *arg;

    ssh_session session;
    int fd; /* a duplicate of the one that libssh closes when it likes */
    enum ssh_phase phase;
    short ready; /* what poll said in this turn */
    bool tcp;
    struct pace pace; /* of the socket, if it is a TCP one */
    bool again;       /* there may be something to read or to answer without the socket becoming ready */
    bool logged_in;
    const char *violation; /* the peer broke the protocol */
    char text[512];        /* of the disconnect message, and why it ended */

    struct ssh_counter_struct wire;                      /* bytes on the socket */
    struct ssh_counter_struct packets;                   /* packets and their payload */
    struct ssh_counter_struct wire_empty, packets_empty; /* the same when no output was pending */
    uint64_t wire_read;                                  /* wire.in_bytes when the session was last driven */

    struct ssh_chan *chans;
    unsigned chan_count, open_asks; /* channels, and channels that wait for an answer */
    struct ssh_question *asks;      /* delivered and unanswered */
    struct ssh_question *late;      /* made inside a libssh callback, not delivered yet */
    unsigned ask_count;             /* of asks, channel opens not counted */
    bool ordered_ask; /* an unanswered login or global request: replies must keep their order (RFC 4252 §5.1,
                         4254 §4) */

    bool asked_for_methods;
    unsigned refused_tries;
    bool take_agents;
    char login[SSH_SERVER_LOGIN_MAX + 1]; /* last heard */
    uint64_t messages;                    /* from libssh */
    struct {
        uint64_t packets, bytes, messages;
    } heard; /* when the last turn ended */
    uint64_t grace_at, short_at, keepalive_at, closing_at;
    uint64_t keepalive_seen;
    unsigned keepalive_missed;
};

struct ssh_chan {
    struct ssh_chan *next;
    struct ssh_server *server;
    ssh_channel ch; /* NULL once the session is gone */
    struct ssh_channel_callbacks_struct callbacks;
    void *arg;
    ssh_chan_data_fn data;
    size_t held; /* bytes in libssh's buffer */
    unsigned asks;
    unsigned exit_status;
    size_t write_max;                            /* bytes in one call of ssh_chan_write */
    bool discard, opening, denied, wrote, agent; /* agent: it is opened to the peer's agent */
    bool peer_eof, peer_closed;
    char exit_signal[32]; /* "": exit_status counts */
    bool exit_core;
    bool exit_wanted, end_wanted, end_sent, close_wanted, close_sent;
    char *host, *origin; /* of a forwarded open */
    unsigned port, origin_port;
};

/* ssh_server.c */
bool ssh_server_pending(
    const struct ssh_server *server); /* output waits in libssh: nothing more may be written */
bool ssh_server_dead(const struct ssh_server *server);
void ssh_server_trouble(struct ssh_server *server, const char *why);
void ssh_server_kick(struct ssh_server *server);  /* another turn, at once */
void ssh_server_ready(void *server, short ready); /* called by the loop */
void ssh_server_timer(void *server);
void ssh_server_turn(void *server);

/* ssh_server_new.c */
void ssh_server_log_in(struct ssh_server *server);

/* ssh_ask_take.c */
void ssh_ask_take(struct ssh_server *server, ssh_message message); /* frees it or makes a question of it */

/* ssh_ask.c */
struct ssh_question *ssh_ask_new(struct ssh_server *server, enum ssh_ask_kind kind, ssh_message message);
void ssh_ask_free(struct ssh_question *question);
void ssh_ask_deliver(struct ssh_question *question);   /* counts it and hands it over */
void ssh_ask_count_refusal(struct ssh_server *server); /* of a key or password */
void ssh_ask_late(struct ssh_chan *chan, enum ssh_ask_kind kind, const char *text);
void ssh_ask_deliver_late(struct ssh_server *server);
void ssh_ask_drop_all(struct ssh_server *server);

/* ssh_chan.c */
struct ssh_chan *ssh_chan_add(struct ssh_server *server, ssh_channel ch);
struct ssh_chan *ssh_chan_find(struct ssh_server *server, ssh_channel ch);
void ssh_chan_advance_all(struct ssh_server *server); /* exit status, EOF and close that are due */
void ssh_chan_reap(struct ssh_server *server);        /* only when no message is queued in libssh */
void ssh_chan_orphan_all(struct ssh_server *server);  /* before libssh frees its channels */
void ssh_chan_free_all(struct ssh_server *server);

/* hostkey.c */
ssh_key hostkey_copy(const struct hostkey *key);

#endif
