/* Sessions: from the open to the exit status. */
#include "sshd/session.h"

#include "base/names.h"
#include "sshd/listeners.h"
#include "sshd/pump.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_MS 5000 /* for input that came before the client closed the channel */
#define END_MS 1000   /* for the exit status, before the end of the output is told without it */
#define TERM_MAX 255u
#define ENV_NAME_MAX 255u
#define SIZE_MAX_CELLS 0xffffu

struct session {
    struct session *next;
    struct sshd *sshd;
    struct ssh_chan *chan;
    char *term; /* NULL: no terminal was asked for */
    unsigned columns, rows, width, height;
    char *env[HOST_ENV_MAX];
    size_t env_n, env_bytes;
    struct ssh_ask *start; /* SHELL, EXEC, SUBSYSTEM: waits for its answer */
    bool began;            /* one of them was asked; a session runs one program */
    bool terminal;         /* the program got one */
    struct host_child *child;
    struct pump *pump;
    bool exited, exit_told, core;
    unsigned status;
    char signal[32];
    char *words; /* for standard error, why nothing was started */
    size_t words_at;
    uint64_t end_at;      /* 0: the output has not ended */
    uint64_t drain_until; /* 0: the client has not closed the channel */
};

/* --- life --- */

void session_open(struct sshd *sshd, struct ssh_ask *ask)
{
    struct session *session = NULL;
    if (sshd->session_count >= sshd->options->sessions_max) {
        log_limited(
            &sshd->refusals, LOG_LEVEL_WARN,
            "'%s' has %u sessions on one connection, as many as sessions-max allows: another is refused",
            sshd->user, sshd->session_count);
    } else {
        session = calloc(1, sizeof *session);
    }
    if (session == NULL) {
        ssh_ask_refuse(ask);
        return;
    }
    session->sshd = sshd;
    session->chan = ssh_ask_accept_channel(ask);
    if (session->chan == NULL) {
        free(session);
        return;
    }
    ssh_chan_own(session->chan, session, NULL);
    session->next = sshd->sessions;
    sshd->sessions = session;
    sshd->session_count++;
}

static void session_free(struct session *session)
{
    if (session->start != NULL) {
        ssh_ask_refuse(session->start);
    }
    host_child_close(session->child);
    pump_free(session->pump);
    ssh_chan_close(session->chan);
    for (size_t i = 0; i < session->env_n; i++) {
        free(session->env[i]);
    }
    free(session->term);
    free(session->words);
    session->sshd->session_count--;
    free(session);
}

void session_free_all(struct sshd *sshd)
{
    while (sshd->sessions != NULL) {
        struct session *session = sshd->sessions;
        sshd->sessions = session->next;
        session_free(session);
    }
}

/* By the channel, whose owner is the pump once there is one. */
static struct session *find(struct sshd *sshd, const struct ssh_chan *chan)
{
    struct session *s = sshd->sessions;
    while (s != NULL && s->chan != chan) {
        s = s->next;
    }
    return s;
}

/* --- before the start --- */

static void take_size(struct session *session, const struct ssh_ask *ask)
{
    session->columns = ask->columns < SIZE_MAX_CELLS ? ask->columns : SIZE_MAX_CELLS;
    session->rows = ask->rows < SIZE_MAX_CELLS ? ask->rows : SIZE_MAX_CELLS;
    session->width = ask->width < SIZE_MAX_CELLS ? ask->width : SIZE_MAX_CELLS;
    session->height = ask->height < SIZE_MAX_CELLS ? ask->height : SIZE_MAX_CELLS;
}

static bool take_pty(struct session *session, const struct ssh_ask *ask)
{
    const struct sshd *sshd = session->sshd;
    if (session->began || session->term != NULL || !sshd->options->pty || !sshd_may(sshd, HOST_RIGHT_PTY) ||
        strlen(ask->text) > TERM_MAX) {
        return false;
    }
    session->term = strdup(ask->text);
    take_size(session, ask);
    return session->term != NULL;
}

static bool take_window(struct session *session, const struct ssh_ask *ask)
{
    if (session->term == NULL) {
        return false;
    }
    take_size(session, ask);
    if (session->terminal && session->pump != NULL) {
        host_child_resize(session->child, pump_terminal(session->pump), session->columns, session->rows,
                          session->width, session->height);
    }
    return true;
}

static bool take_env(struct session *session, const struct ssh_ask *ask)
{
    size_t name_n = strlen(ask->text);
    size_t n = name_n + strlen(ask->value) + 2;
    char *text;
    if (session->began || name_n == 0 || name_n > ENV_NAME_MAX || strchr(ask->text, '=') != NULL ||
        session->env_n == HOST_ENV_MAX || session->env_bytes + n > HOST_ENV_BYTES ||
        names_judge_exact(ask->text, session->sshd->options->accept_env) <= 0) {
        return false;
    }
    text = malloc(n);
    if (text == NULL) {
        return false;
    }
    (void)snprintf(text, n, "%s=%s", ask->text, ask->value);
    session->env[session->env_n++] = text;
    session->env_bytes += n;
    return true;
}

/* --- the program --- */

static void on_started(void *arg, int in, int out, int err)
{
    struct session *session = arg;
    int rc = pump_new(session->sshd->loop, session->chan, session->terminal ? PUMP_TERMINAL : PUMP_PIPES, in,
                      out, err, &session->pump);
    if (rc < 0) {
        log_error("cannot serve a session of '%s': %s", session->sshd->user, strerror(-rc));
        ssh_ask_refuse(session->start);
        session->start = NULL;
        host_child_close(session->child);
        session->child = NULL;
        return;
    }
    if (session->terminal) { /* it may have changed since */
        host_child_resize(session->child, pump_terminal(session->pump), session->columns, session->rows,
                          session->width, session->height);
    }
    ssh_ask_accept(session->start);
    session->start = NULL;
}

/* The reason goes where the program's own would. */
static void refuse(struct session *session, const char *text)
{
    struct ssh_ask *ask = session->start;
    size_t n = strlen(text) + 3;
    session->start = NULL;
    if (ask->kind == SSH_ASK_SUBSYSTEM) {
        ssh_ask_refuse(ask);
        return;
    }
    session->words = malloc(n);
    if (session->words == NULL) {
        ssh_ask_refuse(ask);
        return;
    }
    (void)snprintf(session->words, n, "%s\r\n", text);
    ssh_ask_accept(ask);
    ssh_loop_again(session->sshd->loop);
}

static void on_refused(void *arg, const char *text)
{
    struct session *session = arg;
    session->child = NULL;
    log_warn("nothing was started for '%s': %s", session->sshd->user, text);
    refuse(session, text);
}

static void on_exited(void *arg, unsigned status, const char *signal, bool core)
{
    struct session *session = arg;
    session->exited = true;
    session->status = status;
    session->core = core;
    (void)snprintf(session->signal, sizeof session->signal, "%s", signal == NULL ? "" : signal);
    if (session->pump != NULL) {
        pump_child_ended(session->pump, host_terminal_ends);
    }
}

static void start(struct session *session)
{
    static const struct host_child_events events = {
        .started = on_started, .refused = on_refused, .exited = on_exited};
    const struct ssh_ask *ask = session->start;
    const bool sftp = ask->kind == SSH_ASK_SUBSYSTEM;
    const struct host_start what = {.kind = sftp                        ? HOST_SFTP
                                            : ask->kind == SSH_ASK_EXEC ? HOST_EXEC
                                                                        : HOST_SHELL,
                                    .command = ask->kind == SSH_ASK_EXEC ? ask->text : NULL,
                                    .pty = session->term != NULL && !sftp,
                                    .term = session->term,
                                    .columns = session->columns,
                                    .rows = session->rows,
                                    .width = session->width,
                                    .height = session->height,
                                    .env = (const char *const *)session->env,
                                    .env_n = session->env_n};
    int rc;
    session->terminal = what.pty;
    rc = host_start(session->sshd->host, &what, &events, session, &session->child);
    if (rc < 0) {
        log_warn("nothing was started for '%s': %s", session->sshd->user, strerror(-rc));
        refuse(session, rc == -E2BIG ? "the command is too long" : "the command could not be started");
    }
}

/* Returns whether the answer comes later. */
static bool take_start(struct session *session, struct ssh_ask *ask)
{
    const struct sshd *sshd = session->sshd;
    if (session->began) {
        return false;
    }
    if (ask->kind == SSH_ASK_SUBSYSTEM && (strcmp(ask->text, "sftp") != 0 || !sshd->options->sftp)) {
        log_info("'%s' asked for the subsystem '%.100s', which is not served%s", sshd->user, ask->text,
                 strcmp(ask->text, "sftp") == 0 ? " (sftp = no)" : "");
        return false;
    }
    session->began = true;
    session->start = ask;
    return true;
}

void session_request(struct sshd *sshd, struct ssh_ask *ask)
{
    struct session *session = find(sshd, ask->chan);
    bool ok = false;
    if (session != NULL) {
        switch (ask->kind) {
        case SSH_ASK_PTY:
            ok = take_pty(session, ask);
            break;
        case SSH_ASK_WINDOW:
            ok = take_window(session, ask);
            break;
        case SSH_ASK_ENV:
            ok = take_env(session, ask);
            break;
        case SSH_ASK_SIGNAL:
            ok = session->child != NULL;
            if (ok) {
                host_child_signal(session->child, ask->text);
            }
            break;
        case SSH_ASK_AGENT:
            ok = true;
            listeners_agent(sshd);
            break;
        default:
            if (take_start(session, ask)) {
                return;
            }
            break;
        }
    }
    if (ok) {
        ssh_ask_accept(ask);
    } else {
        ssh_ask_refuse(ask);
    }
}

/* --- the end --- */

/* As OpenSSH the status is told when the program has exited, though another process may still hold its output;
 * but not before what the program itself wrote. */
static void tell_exit(struct session *session)
{
    if (!session->exited || session->exit_told || !pump_quiet(session->pump)) {
        return;
    }
    session->exit_told = true;
    if (session->signal[0] != '\0') {
        ssh_chan_exit_signal(session->chan, session->signal, session->core);
    } else {
        ssh_chan_exit(session->chan, session->status);
    }
}

/* A client that has ended its input closes the channel when it hears that the output has ended too, and takes no
 * status any more: the end waits for it, but not for long, for a program may go on without its output. Returns
 * false when both are told. */
static bool tell_end(struct session *session)
{
    uint64_t now = ssh_loop_now(session->sshd->loop);
    if (!pump_output_over(session->pump)) {
        return true;
    }
    if (session->end_at == 0) {
        session->end_at = now + END_MS;
    }
    if (session->exit_told || now >= session->end_at) {
        ssh_chan_end(session->chan);
    } else {
        sshd_wake(session->sshd, session->end_at);
    }
    return !session->exit_told;
}

static bool words_turn(struct session *session)
{
    size_t left = strlen(session->words + session->words_at);
    while (left > 0) {
        long wrote = ssh_chan_write(session->chan, session->words + session->words_at, left, true);
        if (wrote < 0) {
            return false;
        }
        if (wrote == 0) {
            return true;
        }
        session->words_at += (size_t)wrote;
        left -= (size_t)wrote;
    }
    ssh_chan_exit(session->chan, 1);
    ssh_chan_end(session->chan);
    return false;
}

/* The client has closed the channel: what it sent before is still delivered, in bounded time. */
static bool drain(struct session *session)
{
    uint64_t now = ssh_loop_now(session->sshd->loop);
    if (session->drain_until == 0) {
        session->drain_until = now + DRAIN_MS;
    }
    if (session->pump == NULL || !pump_input_waits(session->pump) || now >= session->drain_until) {
        return false;
    }
    sshd_wake(session->sshd, session->drain_until);
    return true;
}

/* Returns false when it is over. */
static bool session_turn(struct session *session)
{
    if (session->start != NULL && session->child == NULL && !listeners_agent_pending(session->sshd)) {
        start(session);
    }
    if (session->pump != NULL) {
        pump_turn(session->pump);
        tell_exit(session);
    }
    if (ssh_chan_closed(session->chan)) {
        return drain(session);
    }
    if (session->words != NULL) {
        return words_turn(session);
    }
    return session->pump == NULL || tell_end(session);
}

/* The first in the list gets the room that there is: another one the next time. */
static void rotate(struct sshd *sshd)
{
    struct session *first = sshd->sessions;
    struct session **at = &sshd->sessions;
    if (first == NULL || first->next == NULL) {
        return;
    }
    sshd->sessions = first->next;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = first;
    first->next = NULL;
}

void session_turn_all(struct sshd *sshd)
{
    struct session **at = &sshd->sessions;
    rotate(sshd);
    while (*at != NULL) {
        struct session *session = *at;
        if (session_turn(session)) {
            at = &session->next;
        } else {
            *at = session->next;
            session_free(session);
        }
    }
}
