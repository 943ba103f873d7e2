/* The account's children: started, signalled, hung up on, reaped. */
#include "sshd/monitor_private.h"

#include "base/log.h"
#include "sshd/helper.h"
#include "sshd/records.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct monitor_child {
    struct monitor_child *next;
    uint32_t id;
    pid_t pid;              /* also its session and process group; 0: it has ended */
    char tty[PTY_NAME_MAX]; /* "": pipes */
    bool closed;            /* its channel is gone */
    bool hung_up;
    bool fixed; /* a forced command or sftp: not the client's to send signals to, as with OpenSSH */
    bool sftp;
};

#define SIGNAL_NAME_MAX 31u
#define LAST_LOGIN_MAX 512

/* RFC 4254 §6.9 and §6.10. */
static const struct {
    int number;
    const char *name;
} signals[] = {{SIGABRT, "ABRT"}, {SIGALRM, "ALRM"}, {SIGFPE, "FPE"},   {SIGHUP, "HUP"},   {SIGILL, "ILL"},
               {SIGINT, "INT"},   {SIGKILL, "KILL"}, {SIGPIPE, "PIPE"}, {SIGQUIT, "QUIT"}, {SIGSEGV, "SEGV"},
               {SIGTERM, "TERM"}, {SIGUSR1, "USR1"}, {SIGUSR2, "USR2"}};
#define SIGNALS (sizeof signals / sizeof signals[0])
#define OTHER_SIGNAL "SIG@openssh.com" /* OpenSSH's name for all others */

static struct monitor_child **place_of(struct monitor *m, uint32_t id)
{
    struct monitor_child **at = &m->children;
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void forget(struct monitor_child **at)
{
    struct monitor_child *child = *at;
    *at = child->next;
    free(child);
}

bool monitor_children_known(const struct monitor *m, uint32_t id)
{
    const struct monitor_child *c = m->children;
    while (c != NULL && c->id != id)
        c = c->next;
    return c != NULL;
}

size_t monitor_children_open(const struct monitor *m, size_t *ret_all)
{
    size_t open = 0;
    *ret_all = 0;
    for (const struct monitor_child *c = m->children; c != NULL; c = c->next) {
        open += !c->closed;
        ++*ret_all;
    }
    return open;
}

bool monitor_children_any(const struct monitor *m)
{
    const struct monitor_child *c = m->children;
    while (c != NULL && c->pid == 0)
        c = c->next;
    return c != NULL;
}

/* --- starting --- */

static void tell_started(struct monitor *m, uint32_t id, const struct pty *pty,
                         const struct child_pipes *pipes)
{
    const int fds[3] = {pty != NULL ? pty->master : pipes->in, pipes->out, pipes->err};
    struct buf out;
    wire_begin(&out, WIRE_STARTED, id);
    monitor_send(m, &out, fds, pty != NULL ? 1 : 3);
}

/* For a login shell: PAM's words, once a connection, and on a terminal the message of the day and the last login.
 */
static void greet(struct monitor *m, struct child_spec *spec, char *last, size_t last_size)
{
    struct monitor_login *login = &m->login;
    spec->words = login->pam != NULL && !login->words_shown ? login_pam_words(login->pam) : "";
    login->words_shown = true;
    spec->motd = m->options->motd && spec->pty != NULL;
    last[0] = '\0';
    if (m->options->last_login && spec->pty != NULL)
        records_last_login(login->account, last, last_size);
    spec->last = last;
}

/* Returns 0 with *ret_pid and *ret_pipes, or a negative errno value. */
static int spawn(struct monitor *m, const struct monitor_start *start, struct child_spec *spec,
                 const char *original, pid_t *ret_pid, struct child_pipes *ret_pipes)
{
    struct child_env env = {0};
    char last[LAST_LOGIN_MAX];
    int r = monitor_start_environment(m, start, spec->pty != NULL ? spec->pty->name : NULL, original, &env);
    if (r < 0)
        return r;
    if (spec->kind == CHILD_SHELL)
        greet(m, spec, last, sizeof last);
    spec->env = env.list;
    r = child_start(spec, ret_pid, ret_pipes);
    spec->last = NULL;
    spec->env = NULL;
    child_env_release(&env);
    return r;
}

static void add(struct monitor *m, struct monitor_child *child, const struct monitor_start *start,
                const struct child_spec *spec, pid_t pid)
{
    child->id = start->id;
    child->pid = pid;
    child->fixed = start->kind == HOST_SFTP || m->login.rights.command != NULL;
    child->sftp = spec->kind == CHILD_SFTP;
    if (spec->pty != NULL) {
        memcpy(child->tty, spec->pty->name, sizeof child->tty);
        records_login(m->login.account, pid, child->tty, m->config->peer);
    }
    child->next = m->children;
    m->children = child;
    log_debug("process %ld of %s: %s%s", (long)pid, m->login.account->name,
              spec->kind == CHILD_SHELL     ? "a shell"
              : spec->kind == CHILD_COMMAND ? "a command"
                                            : "sftp",
              child->tty[0] != '\0' ? " on a terminal" : "");
}

/* Returns NULL, or why it was not started: a sentence for the user. */
static const char *start_child(struct monitor *m, const struct monitor_start *start, struct errmsg *err)
{
    struct pty pty = {.master = -1, .slave = -1};
    struct child_pipes pipes = {.in = -1, .out = -1, .err = -1, .log = -1};
    struct child_spec spec = {.account = m->login.account, .program = m->program};
    struct monitor_child *child = NULL;
    const char *original = NULL;
    pid_t pid;
    int r = 0;
    const char *refused = monitor_start_refusal(m, start, err);
    if (refused == NULL)
        refused = monitor_start_choose(m, start, &spec, &original);
    if (refused != NULL) {
        log_info("a session of %s is refused: %s", m->login.account->name, refused);
        return refused;
    }
    /* Who may only transfer files must not have a say in what is loaded with the program (LD_PRELOAD). */
    if (spec.kind == CHILD_SFTP)
        monitor_start_release(m);
    if (start->pty) {
        r = pty_open(m->login.account, &start->size, &pty);
        if (r < 0)
            return monitor_shortage("make a terminal", r, err);
        spec.pty = &pty;
    }
    child = calloc(1, sizeof *child);
    r = child == NULL ? -ENOMEM : spawn(m, start, &spec, original, &pid, &pipes);
    if (r == 0) {
        add(m, child, start, &spec, pid);
        tell_started(m, start->id, spec.pty, &pipes);
        childlogs_take(&m->logs, m->loop, m->login.account->name, &pipes.log);
    } else {
        refused = monitor_shortage("start a process", r, err);
        free(child);
    }
    child_pipes_release(&pipes);
    pty_release(&pty);
    return refused;
}

void monitor_children_start(struct monitor *m, struct wire_in *in)
{
    struct monitor_start start;
    struct errmsg err;
    const char *refused;
    if (monitor_start_read(m, in, &start) < 0)
        return;
    refused = start_child(m, &start, &err);
    if (refused != NULL)
        monitor_fail(m, start.id, refused);
    monitor_start_release(m);
    free(start.term);
    free(start.command);
}

/* --- signals --- */

struct signal_order {
    pid_t group;
    int number;
};

/* As the account: what else is in the group (sudo's, say) is not the account's to signal. */
static int send_signal(void *arg, int fd)
{
    const struct signal_order *order = arg;
    (void)fd;
    return kill(-order->group, order->number) != 0;
}

/* The place of pid, or of none (0); NULL: there is no such place. */
static pid_t *signaller(struct monitor *m, pid_t pid)
{
    for (size_t i = 0; i < MONITOR_SIGNALLERS; i++) {
        if (m->signallers[i] == pid)
            return &m->signallers[i];
    }
    return NULL;
}

static void signal_child(struct monitor *m, const struct monitor_child *child, const char *name)
{
    struct signal_order order = {.group = child->pid};
    pid_t *place = signaller(m, 0);
    int fd;
    int r;
    for (size_t i = 0; i < SIGNALS; i++) {
        if (strcmp(signals[i].name, name) == 0)
            order.number = signals[i].number;
    }
    if (order.number == 0 || child->fixed) {
        log_debug("the signal %s is not sent: %s", name,
                  order.number == 0 ? "it is none that a client may send"
                                    : "the session is not of a kind for it");
        return;
    }
    if (place == NULL) {
        log_debug("the signal %s is not sent: too many are on their way", name);
        return;
    }
    r = helper_start(m->login.account, send_signal, &order, place, &fd);
    if (r < 0) {
        *place = 0;
        log_error("cannot send the signal %s: %s", name, strerror(-r));
        return;
    }
    (void)close(fd);
}

void monitor_children_signal(struct monitor *m, struct wire_in *in)
{
    char *name = wire_text(in, WIRE_MAX);
    const struct monitor_child *child = *place_of(m, in->id);
    /* One that has ended is forgotten or has no process any more: the client could not know. */
    if (wire_done(in) && child != NULL && child->pid != 0 && strlen(name) <= SIGNAL_NAME_MAX)
        signal_child(m, child, name);
    free(name);
}

/* Leaves it to be reaped. */
static bool is_stopped(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static void hang_up(struct monitor_child *child)
{
    if (child->pid == 0 || child->hung_up)
        return;
    child->hung_up = true;
    if (kill(-child->pid, SIGHUP) != 0)
        (void)kill(child->pid, SIGHUP); /* it has no group of its own yet */
    /* What is stopped does not see it. The SFTP server is one process, and ends in order: a SIGCONT that it does not
     * need would undo the stop by which a debugger or leak checker is just taking hold of it, and that waits for
     * ever. */
    if (!child->sftp || is_stopped(child->pid))
        (void)kill(-child->pid, SIGCONT);
}

void monitor_children_stopped(struct monitor *m)
{
    for (const struct monitor_child *c = m->children; c != NULL; c = c->next) {
        if (c->sftp && c->hung_up && c->pid != 0 && is_stopped(c->pid))
            (void)kill(-c->pid, SIGCONT);
    }
}

void monitor_children_close(struct monitor *m, struct wire_in *in)
{
    struct monitor_child **at = place_of(m, in->id);
    if (!wire_done(in) || *at == NULL) /* it was refused */
        return;
    if ((*at)->closed) {
        monitor_misbehaved(m, in, "closed a session twice");
        return;
    }
    (*at)->closed = true;
    hang_up(*at);
    if ((*at)->pid == 0)
        forget(at);
}

void monitor_children_hang_up(struct monitor *m)
{
    for (struct monitor_child *c = m->children; c != NULL; c = c->next)
        hang_up(c);
}

/* --- the end of one --- */

static const char *name_of(int number)
{
    for (size_t i = 0; i < SIGNALS; i++) {
        if (signals[i].number == number)
            return signals[i].name;
    }
    return OTHER_SIGNAL;
}

static void tell_exited(struct monitor *m, uint32_t id, int status)
{
    bool killed = WIFSIGNALED(status);
    struct buf out;
    wire_begin(&out, WIRE_EXITED, id);
    wire_put_number(&out, killed ? 0 : (uint32_t)WEXITSTATUS(status));
    wire_put_number(&out, killed && WCOREDUMP(status));
    wire_put_text(&out, killed ? name_of(WTERMSIG(status)) : "");
    monitor_send(m, &out, NULL, 0);
}

static void log_out(const struct monitor_child *child, pid_t pid)
{
    if (child->tty[0] != '\0')
        records_logout(pid, child->tty);
}

bool monitor_children_reaped(struct monitor *m, pid_t pid, int status)
{
    struct monitor_child **at = &m->children;
    pid_t *place = signaller(m, pid);
    if (place != NULL)
        *place = 0;
    while (*at != NULL && (*at)->pid != pid)
        at = &(*at)->next;
    if (*at == NULL)
        return place != NULL;
    log_out(*at, pid);
    (*at)->pid = 0;
    tell_exited(m, (*at)->id, status);
    if ((*at)->closed)
        forget(at);
    return true;
}

void monitor_children_release(struct monitor *m)
{
    while (m->children != NULL) {
        if (m->children->pid != 0)
            log_out(m->children, m->children->pid);
        forget(&m->children);
    }
}
