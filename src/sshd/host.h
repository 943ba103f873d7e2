/* What the SSH side asks of the machine: may this key log in, start a shell, connect, listen.
 *
 * On POSIX (host_posix.c) each call is a message to the monitor, the process that holds what needs root, and
 * each answer a message from it. Whoever speaks SSH is not trusted there: the monitor checks everything again
 * (monitor.c). On Windows (host_windows.c) this process does it itself. Answers come from ssh_loop_run, never
 * inside the call. Descriptors that are handed over are non-blocking, not inherited, and the receiver's. Texts
 * in answers are sentences for the user. */
#ifndef MULTISSH_SSHD_HOST_H
#define MULTISSH_SSHD_HOST_H

#include "ssh/ssh_loop.h"
#include "sshd/sshd_options.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host;
struct host_child;

/* What the login may do, after the options of its key and of the server. */
#define HOST_RIGHT_PTY 1u
#define HOST_RIGHT_LOCAL_FORWARD 2u  /* direct-tcpip: ssh -L, -D, -W, -J */
#define HOST_RIGHT_REMOTE_FORWARD 4u /* tcpip-forward: ssh -R */
#define HOST_RIGHT_AGENT 8u

enum host_verdict {
    HOST_NO,    /* not this key or password; others may be tried */
    HOST_YES,   /* verified: logged in; not verified: this key would do */
    HOST_FATAL, /* this account cannot log in now, whatever is offered: text is for the user */
};

struct host_events {
    void (*lost)(void *arg,
                 const char *why); /* once: the monitor has gone; every child and question is over */
};

/* Who asks, in its own system's terms. What is pointed at must outlive the host. */
struct host_config {
    int monitor;                        /* POSIX: the connection to the monitor, taken; -1 elsewhere */
    const struct sshd_options *options; /* Windows, as all that follows */
    const char *peer, *local;           /* IP addresses of the connection, NULL: not known */
    unsigned peer_port, local_port;     /* 0: not known */
};

/* Returns 0 or a negative errno value. */
int host_new(struct ssh_loop *loop, const struct host_config *config, const struct host_events *events,
             void *arg, struct host **ret_host);
void host_free(struct host *host); /* NULL-safe; no callback comes any more */

/* --- login: one question at a time --- */

typedef void host_login_fn(void *arg, enum host_verdict verdict, const char *text);
/* key: "type base64". verified: the peer has shown that it holds it; HOST_YES then is the login. Returns 0 or a
 * negative errno value (no callback). */
int host_ask_key(struct host *host, const char *login, const char *key, bool verified, host_login_fn *fn,
                 void *arg);
int host_ask_password(struct host *host, const char *login, const char *password, host_login_fn *fn,
                      void *arg);
unsigned host_rights(const struct host *host); /* HOST_RIGHT_*; 0 before the login */

/* --- children: shells, commands, sftp --- */

enum host_start_kind { HOST_SHELL, HOST_EXEC, HOST_SFTP };

struct host_start {
    enum host_start_kind kind;
    const char *command; /* HOST_EXEC: any bytes but NUL, at most HOST_COMMAND_MAX */
    bool pty;
    const char *term;
    unsigned columns, rows, width, height; /* cells, pixels */
    const char *const *env;                /* NAME=VALUE, env_n of them, as the client sent them */
    size_t env_n;
};
#define HOST_COMMAND_MAX 131000u
#define HOST_ENV_MAX 128u           /* variables of one session */
#define HOST_ENV_BYTES (256u << 10) /* of all of them; one may have 64 KiB and more */

struct host_child_events {
    /* Its descriptors: with a pty all three are the same one, its master; without, in is what the child reads,
     * and err may be -1. */
    void (*started)(void *arg, int in, int out, int err);
    void (*refused)(void *arg, const char *text); /* instead of started; the child is then freed */
    /* It has ended: signal is NULL, or its name without SIG and status means nothing. What it wrote may not
     * have been read yet. */
    void (*exited)(void *arg, unsigned status, const char *signal, bool core);
};

/* Returns 0 or a negative errno value (no callback). */
int host_start(struct host *host, const struct host_start *start, const struct host_child_events *events,
               void *arg, struct host_child **ret_child);
/* Does the output on a terminal end by itself when the program has ended? Otherwise others may keep it open. */
extern const bool host_terminal_ends;
/* name without SIG (RFC 4254 §6.9); unknown ones are ignored. */
void host_child_signal(struct host_child *child, const char *name);
/* The window of its pty has changed; terminal: the descriptor that started brought. */
void host_child_resize(struct host_child *child, int terminal, unsigned columns, unsigned rows,
                       unsigned width, unsigned height);
/* The channel is gone: no callback comes any more; if it still runs it is hung up on (SIGHUP). NULL-safe. */
void host_child_close(struct host_child *child);

/* --- forwards --- */

/* fd is -1 when it failed, and text says why. */
typedef void host_fd_fn(void *arg, int fd, unsigned port, const char *text);
struct host_wait; /* an answer that is awaited */
/* A connection to host:port, made as the account. */
int host_connect(struct host *host, const char *name, unsigned port, host_fd_fn *fn, void *arg,
                 struct host_wait **ret_wait);
/* Listening sockets, one a family (the other may be -1), at name:port; name is what the client sent, read as
 * OpenSSH's server does ("" and "*": all, "localhost": loopback; all is loopback while gateway-ports is off).
 * port 0: any; the callback's port tells which. */
typedef void host_listen_fn(void *arg, int fd, int other, unsigned port, const char *text);
int host_listen(struct host *host, const char *name, unsigned port, host_listen_fn *fn, void *arg,
                struct host_wait **ret_wait);
/* A listening Unix socket of the account's, which later children find in SSH_AUTH_SOCK; -ENOSYS where there is
 * none. */
int host_agent(struct host *host, host_fd_fn *fn, void *arg, struct host_wait **ret_wait);
/* The answer is not wanted any more (the descriptor is closed when it comes). NULL-safe; not after the
 * callback. */
void host_wait_cancel(struct host_wait *wait);

#endif
