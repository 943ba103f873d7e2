/* One connection: between the questions of the SSH session and the answers of the machine. Shared by sshd.c,
 * session.c, forwards.c and listeners.c. */
#ifndef MULTISSH_SSHD_SSHD_H
#define MULTISSH_SSHD_SSHD_H

#include "base/log.h"
#include "ssh/ssh_server.h"
#include "sshd/host.h"
#include "sshd/sshd_options.h"

struct session;
struct forward;
struct listener;

struct sshd {
    struct ssh_loop *loop;
    struct ssh_loop_timer *timer;
    uint64_t wake_at; /* the soonest time that anybody asked for in this turn */
    struct ssh_server *server;
    struct host *host;
    const struct sshd_options *options;
    const char *peer;      /* for the log */
    struct ssh_ask *login; /* waits for the host */
    bool leaving;
    char user[SSH_SERVER_LOGIN_MAX + 1]; /* logged in; "" before */
    struct session *sessions;
    struct forward *forwards;
    struct listener *listeners; /* the agent's socket among them */
    unsigned session_count, listener_count;
    unsigned turns;            /* who comes first in a turn changes */
    struct log_limit refusals; /* of lines that a client can cause without end */
};

/* Takes connection and host->monitor, also when it fails. options, peer and what host points at must outlive it.
 * Returns 0 or a negative errno value with err filled. */
int sshd_new(int connection, const struct host_config *host, const struct hostkey *key,
             const struct sshd_options *options, const char *peer, struct sshd **ret_sshd,
             struct errmsg *err);
/* Serves to the end. Returns 0 or the negative errno value of a poll that failed. */
int sshd_run(struct sshd *sshd);
void sshd_free(struct sshd *sshd); /* NULL-safe */

/* A turn at this time (ssh_loop_now), if none comes sooner. To be asked for in each turn. */
void sshd_wake(struct sshd *sshd, uint64_t at);
/* Does the login have the right (HOST_RIGHT_*)? */
bool sshd_may(const struct sshd *sshd, unsigned right);

#endif
