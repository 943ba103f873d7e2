/* The connection: logins, and who answers which question. */
#include "sshd/sshd.h"

#include "base/io.h"
#include "sshd/forwards.h"
#include "sshd/listeners.h"
#include "sshd/session.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sshd_wake(struct sshd *sshd, uint64_t at)
{
    if (at < sshd->wake_at) {
        sshd->wake_at = at;
        ssh_loop_set(sshd->timer, at);
    }
}

static void on_timer(void *arg)
{
    (void)arg; /* the turn does what is due */
}

bool sshd_may(const struct sshd *sshd, unsigned right)
{
    return (host_rights(sshd->host) & right) != 0;
}

static void leave(struct sshd *sshd, const char *text)
{
    if (!sshd->leaving) {
        sshd->leaving = true;
        ssh_server_disconnect(sshd->server, text);
    }
}

/* --- login --- */

static void on_login_trouble(void *arg, const char *login, const char *why)
{
    const struct sshd *sshd = arg;
    if (login[0] == '\0') {
        log_info("%s did not log in: %s", sshd->peer, why);
    } else {
        log_info("%s did not log in as '%s': %s", sshd->peer, login, why);
    }
}

static void on_verdict(void *arg, enum host_verdict verdict, const char *text)
{
    struct sshd *sshd = arg;
    struct ssh_ask *ask = sshd->login;
    sshd->login = NULL;
    if (ask == NULL) {
        return;
    }
    if (verdict == HOST_YES) {
        bool proven = ask->kind == SSH_ASK_PASSWORD || ask->verified;
        if (proven) {
            (void)snprintf(sshd->user, sizeof sshd->user, "%s", ask->login);
            ssh_server_take_agents(sshd->server, sshd_may(sshd, HOST_RIGHT_AGENT));
        }
        ssh_ask_accept(ask);
        return;
    }
    if (verdict == HOST_FATAL) {
        leave(sshd, text[0] == '\0' ? "this account cannot log in" : text);
    }
    ssh_ask_refuse(ask);
}

static void ask_login(struct sshd *sshd, struct ssh_ask *ask)
{
    int rc;
    if (ask->certificate) {
        on_login_trouble(sshd, ask->login, "a certificate, which is not accepted here: its plain key may be");
        ssh_ask_refuse(ask);
        return;
    }
    rc = ask->kind == SSH_ASK_KEY
             ? host_ask_key(sshd->host, ask->login, ask->key, ask->verified, on_verdict, sshd)
             : host_ask_password(sshd->host, ask->login, ask->password, on_verdict, sshd);
    if (rc < 0) {
        log_warn("cannot ask whether '%s' may log in: %s", ask->login, strerror(-rc));
        ssh_ask_refuse(ask);
        return;
    }
    sshd->login = ask;
}

static void drop_login(struct sshd *sshd)
{
    if (sshd->login != NULL) {
        ssh_ask_refuse(sshd->login);
        sshd->login = NULL;
    }
}

/* --- the SSH session --- */

static void on_ask(void *arg, struct ssh_ask *ask)
{
    struct sshd *sshd = arg;
    switch (ask->kind) {
    case SSH_ASK_KEY:
    case SSH_ASK_PASSWORD:
        ask_login(sshd, ask);
        break;
    case SSH_ASK_SESSION:
        session_open(sshd, ask);
        break;
    case SSH_ASK_DIRECT:
        forwards_direct(sshd, ask);
        break;
    case SSH_ASK_FORWARD:
        listeners_ask(sshd, ask);
        break;
    case SSH_ASK_UNFORWARD:
        listeners_unask(sshd, ask);
        break;
    case SSH_ASK_PTY:
    case SSH_ASK_WINDOW:
    case SSH_ASK_ENV:
    case SSH_ASK_SHELL:
    case SSH_ASK_EXEC:
    case SSH_ASK_SUBSYSTEM:
    case SSH_ASK_SIGNAL:
    case SSH_ASK_AGENT:
        session_request(sshd, ask);
        break;
    }
}

static void on_opened(void *arg, struct ssh_chan *chan, int error, const char *why)
{
    forwards_opened(arg, chan, error, why);
}

static void on_ended(void *arg, const char *why)
{
    struct sshd *sshd = arg;
    drop_login(sshd);
    if (sshd->user[0] == '\0') {
        log_info("the connection from %s ended without a login: %s", sshd->peer, why);
    } else {
        log_info("%s from %s: the connection ended: %s", sshd->user, sshd->peer, why);
    }
}

static void on_lost(void *arg, const char *why)
{
    struct sshd *sshd = arg;
    if (!ssh_server_ended(sshd->server)) {
        log_warn("the monitor is gone: %s", why);
    }
    drop_login(sshd);
    leave(sshd, "the SSH server here is ending");
}

/* --- the turn --- */

static void on_turn(void *arg)
{
    struct sshd *sshd = arg;
    sshd->wake_at = SSH_LOOP_NEVER;
    ssh_loop_set(sshd->timer, SSH_LOOP_NEVER);
    sshd->turns++;
    if (sshd->turns % 2 == 0) {
        session_turn_all(sshd);
    }
    listeners_turn_all(sshd);
    forwards_turn_all(sshd);
    if (sshd->turns % 2 != 0) {
        session_turn_all(sshd);
    }
    if (ssh_server_ended(sshd->server) && sshd->sessions == NULL && sshd->forwards == NULL) {
        ssh_loop_stop(sshd->loop);
    }
}

static int set_up(struct sshd *sshd, int connection, const struct host_config *host,
                  const struct hostkey *key, struct errmsg *err)
{
    static const struct host_events host_events = {.lost = on_lost};
    static const struct ssh_server_events events = {.ask = on_ask,
                                                    .opened = on_opened,
                                                    .login_trouble = on_login_trouble,
                                                    .turn = on_turn,
                                                    .ended = on_ended};
    const struct ssh_server_config config = {.fd = connection,
                                             .key = key,
                                             .software = "multiSSH_" MULTISSH_VERSION,
                                             .channels_max = (unsigned)sshd->options->channels_max,
                                             .tries_max = (unsigned)sshd->options->tries_max,
                                             .grace_ms = sshd->options->login_grace_ms,
                                             .keepalive_ms = sshd->options->keepalive_ms,
                                             .passwords = sshd->options->passwords};
    int rc = ssh_loop_new(&sshd->loop);
    if (rc == 0) {
        rc = ssh_loop_timer(sshd->loop, on_timer, sshd, &sshd->timer);
    }
    if (rc < 0) {
        io_close(host->monitor);
    } else {
        rc = host_new(sshd->loop, host, &host_events, sshd, &sshd->host);
    }
    if (rc < 0) {
        io_close(connection);
        return errmsg_set(err, rc, "cannot start: %s", strerror(-rc));
    }
    return ssh_server_new(sshd->loop, &config, &events, sshd, &sshd->server, err);
}

int sshd_new(int connection, const struct host_config *host, const struct hostkey *key,
             const struct sshd_options *options, const char *peer, struct sshd **ret_sshd, struct errmsg *err)
{
    struct sshd *sshd = calloc(1, sizeof *sshd);
    int rc;
    if (sshd == NULL) {
        io_close(connection);
        io_close(host->monitor);
        return errmsg_set(err, -ENOMEM, "out of memory");
    }
    sshd->options = options;
    sshd->peer = peer;
    sshd->wake_at = SSH_LOOP_NEVER;
    sshd->refusals = (struct log_limit){.burst = 20, .interval_ms = 10000};
    rc = set_up(sshd, connection, host, key, err);
    if (rc < 0) {
        sshd_free(sshd);
        return rc;
    }
    *ret_sshd = sshd;
    return 0;
}

int sshd_run(struct sshd *sshd)
{
    ssh_server_start(sshd->server);
    return ssh_loop_run(sshd->loop);
}

void sshd_free(struct sshd *sshd)
{
    if (sshd == NULL) {
        return;
    }
    session_free_all(sshd);
    forwards_free_all(sshd);
    listeners_free_all(sshd);
    ssh_server_free(sshd->server);
    host_free(sshd->host);
    ssh_loop_free(sshd->loop);
    free(sshd);
}
