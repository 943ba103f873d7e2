/* An SSH server for one accepted connection (RFC 4252, 4253, 4254), on libssh. Authentication by public key,
 * and by password where the owner wants that.
 *
 * Owns the connection, from the version line to the last byte of a disconnect message, and every bound on
 * what its peer can make this process hold. What the peer asks for comes as a struct ssh_ask and is answered
 * by it, at once or later. Everything else is a state that the owner looks at in its turn hook: what can be
 * read, what can be written, what has ended. Callbacks come only from ssh_loop_run. Must not know who its
 * owner is or what the channels are for. */
#ifndef MULTISSH_SSH_SSH_SERVER_H
#define MULTISSH_SSH_SSH_SERVER_H

#include "ssh/hostkey.h"
#include "ssh/ssh_loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssh_server;
struct ssh_chan;

#define SSH_SERVER_LOGIN_MAX 255   /* bytes of a login name that are handed on */
#define SSH_SERVER_KEY_MAX 8192    /* a public key's "type base64"; longer keys are refused */
#define SSH_SERVER_TEXT_MAX 131072 /* a command, an environment variable's value */

enum ssh_ask_kind {
    SSH_ASK_KEY,       /* may this key log in? login, key, verified, certificate */
    SSH_ASK_PASSWORD,  /* login, password (wiped with the answer); only asked with config.passwords */
    SSH_ASK_SESSION,   /* a session channel */
    SSH_ASK_DIRECT,    /* a direct-tcpip channel: host, port, origin, origin_port */
    SSH_ASK_PTY,       /* text = TERM, columns, rows, width, height (pixels, 0: not known) */
    SSH_ASK_WINDOW,    /* window-change: columns, rows, width, height */
    SSH_ASK_ENV,       /* text, value */
    SSH_ASK_SHELL,     /* no fields */
    SSH_ASK_EXEC,      /* text = the command */
    SSH_ASK_SUBSYSTEM, /* text = its name */
    SSH_ASK_SIGNAL,    /* text = the name without SIG; the protocol has no answer to it, accept it */
    SSH_ASK_AGENT,     /* the user's agent may be forwarded; only asked with config.agent_requests (see also
                          ssh_server_take_agents), already accepted */
    SSH_ASK_FORWARD,   /* tcpip-forward: host, port */
    SSH_ASK_UNFORWARD, /* cancel-tcpip-forward: host, port */
};

/* A question of the peer. It stays valid, with its texts, until it is answered (once) or ssh_server_free; an
 * answer that comes after the connection has ended does nothing but free it. Texts are what the peer sent:
 * not checked, but NUL-terminated. */
struct ssh_ask {
    enum ssh_ask_kind kind;
    struct ssh_chan *chan; /* of channel requests (PTY to AGENT); NULL otherwise */
    const char *login, *key, *password;
    bool verified;    /* the peer has shown that it holds the key; until then only ask whether it would do */
    bool certificate; /* key is a certificate, of which nothing but the key in it was verified: refuse it */
    const char *host, *origin;
    unsigned port, origin_port;
    const char *text, *value;
    unsigned columns, rows, width, height;
};

/* Answers, which free the question. Accepting KEY with verified, or PASSWORD, logs the peer in. A login that is
 * to be refused with a sentence, whatever else is tried: ssh_server_disconnect, then ssh_ask_refuse. */
void ssh_ask_accept(struct ssh_ask *ask);
void ssh_ask_accept_port(struct ssh_ask *ask, unsigned port); /* FORWARD of port 0: which port it became */
void ssh_ask_refuse(struct ssh_ask *ask);
/* SESSION and DIRECT: the new channel, the owner's until ssh_chan_close. Returns NULL when the connection has
 * ended or memory is short; the question is freed in any case. */
struct ssh_chan *ssh_ask_accept_channel(struct ssh_ask *ask);

struct ssh_server_config {
    int fd;                    /* the accepted connection: taken, also when ssh_server_new fails */
    const struct hostkey *key; /* copied */
    const char *software;      /* for the version line, "multiSSH_0.1.0" */
    unsigned channels_max;     /* open at once, those that the peer has not closed yet included */
    unsigned tries_max;        /* refused keys and passwords before the connection is ended */
    uint64_t grace_ms;         /* from the start to a login */
    uint64_t keepalive_ms;     /* how often the peer is asked for a sign of life; 0 = never */
    bool agent_requests;       /* accept auth-agent-req@openssh.com */
    bool passwords;            /* offer and ask about passwords */
};

struct ssh_server_events {
    void (*ask)(void *arg, struct ssh_ask *ask);
    /* The answer to ssh_chan_open_forwarded and ssh_chan_open_agent. With error the channel is to be closed; why is for people. */
    void (*opened)(void *arg, struct ssh_chan *chan, int error, const char *why);
    /* For a log: why someone did not get in. */
    void (*login_trouble)(void *arg, const char *login, const char *why);
    /* Once a turn, after the session has moved, also when it has ended: pump. */
    void (*turn)(void *arg);
    /* Once: the connection is gone. Channels stay valid until ssh_chan_close, but are closed. ssh_server_free
     * is allowed from the next turn on. */
    void (*ended)(void *arg, const char *why);
};

/* Sets up the session, touches files for the last time (the sandbox may be closed after it) and sends
 * nothing. Returns 0 or a negative errno value with err filled. */
int ssh_server_new(struct ssh_loop *loop, const struct ssh_server_config *config,
                   const struct ssh_server_events *events, void *arg, struct ssh_server **ret_server,
                   struct errmsg *err);
void ssh_server_free(
    struct ssh_server *server); /* NULL-safe; closes the connection without a word if it is still there */

/* Begins with the version line and the key exchange. */
void ssh_server_start(struct ssh_server *server);

/* Ends the connection with SSH_MSG_DISCONNECT and the text, once what is pending has been sent; ended
 * follows. Idempotent: the first text stays. */
void ssh_server_disconnect(struct ssh_server *server, const char *text);
/* SSH_MSG_DEBUG, always_display (RFC 4253 §11.3): for a person who looks at the client's verbose output. */
void ssh_server_debug(struct ssh_server *server, const char *text);
/* From the next channel on: whether agent requests are accepted, for the rights of a login are known late. */
void ssh_server_take_agents(struct ssh_server *server, bool take);
/* Another channels_max and keepalive_ms than the config's; what is open stays open. */
void ssh_server_limit(struct ssh_server *server, unsigned channels_max, uint64_t keepalive_ms);
bool ssh_server_ended(const struct ssh_server *server);

/* --- channels --- */

/* Asks the peer to take a connection to host:port, which it had asked to be forwarded; opened tells what came
 * of it. Returns the channel, to be written to only after opened, or NULL (ended, too many channels, out of
 * memory). */
struct ssh_chan *ssh_chan_open_forwarded(struct ssh_server *server, const char *host, unsigned port,
                                         const char *origin, unsigned origin_port);

/* The same for a connection to the peer's authentication agent (auth-agent@openssh.com). */
struct ssh_chan *ssh_chan_open_agent(struct ssh_server *server);

/* Bytes from the peer, handed over as they are unpacked: takes some, from the front, and returns how many;
 * the rest is kept for ssh_chan_read, and counts against the peer's window. Called in the middle of libssh's
 * work: it must not call anything of this header. Without it input is kept; with ssh_chan_discard it is
 * thrown away. */
typedef size_t (*ssh_chan_data_fn)(void *arg, const void *data, size_t n);
void ssh_chan_own(struct ssh_chan *chan, void *arg, ssh_chan_data_fn data);
void *ssh_chan_owner(const struct ssh_chan *chan); /* the arg of ssh_chan_own, NULL before */
void ssh_chan_discard(struct ssh_chan *chan);

/* Input that was not taken: how much there is, and up to n bytes of it. */
bool ssh_chan_unread(const struct ssh_chan *chan);
size_t ssh_chan_read(struct ssh_chan *chan, void *out, size_t n);
bool ssh_chan_eof(const struct ssh_chan *chan); /* the peer sends no more, and all was read */
bool ssh_chan_closed(const struct ssh_chan
                         *chan); /* the peer has closed it, or the connection ended: nothing can be written */

/* How much one call of ssh_chan_write would take now; 0 when it would take nothing, or fail. */
size_t ssh_chan_room(const struct ssh_chan *chan);
/* Writes what can be written now: 0 to n bytes (0: the peer's window is full, a key exchange runs, output is
 * pending; try again every turn). -EPIPE: closed, or after ssh_chan_end. error: as stderr. */
long ssh_chan_write(struct ssh_chan *chan, const void *data, size_t n, bool error);
void ssh_chan_end(struct ssh_chan *chan);                   /* EOF; idempotent */
void ssh_chan_exit(struct ssh_chan *chan, unsigned status); /* exit-status, before EOF and close */
/* exit-signal instead (RFC 4254 §6.10): name without SIG, at most 31 bytes. */
void ssh_chan_exit_signal(struct ssh_chan *chan, const char *name, bool core);
/* The owner is done: closes the channel when what was asked before is sent. The pointer is not to be used
 * afterwards. NULL-safe. */
void ssh_chan_close(struct ssh_chan *chan);

#endif
