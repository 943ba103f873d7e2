/* Forwards: may it be, and then a helper does it. What answers late does not keep anybody else waiting. */
#include "sshd/monitor_private.h"

#include "base/log.h"
#include "sshd/helper.h"
#include "sshd/netops.h"
#include "sshd/verdict.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 64u /* helpers; who comes then waits for a place */
#define DEADLINE_MS (NETOPS_CONNECT_MS + 10000)

/* One that is asked for, has its helper, or (the agent's) stays. */
struct monitor_op {
    struct monitor_op *next;
    struct monitor *m;
    uint32_t id;
    helper_fn *fn;
    char *host;
    unsigned port;
    pid_t pid; /* 0: it waits for a place, or its helper was reaped */
    int fd;    /* -1: nothing is awaited from it any more */
    bool begun, stays;
    struct ssh_loop_watch *watch;
    struct ssh_loop_timer *deadline;
};

static size_t count(const struct monitor *m, bool begun)
{
    size_t n = 0;
    for (const struct monitor_op *op = m->ops; op != NULL; op = op->next)
        n += begun ? op->begun && !op->stays : true;
    return n;
}

static void close_op(struct monitor_op *op)
{
    ssh_loop_unwatch(op->watch);
    ssh_loop_untimer(op->deadline);
    op->watch = NULL;
    op->deadline = NULL;
    if (op->fd >= 0)
        (void)close(op->fd);
    op->fd = -1;
}

static void forget(struct monitor_op *op)
{
    struct monitor_op **at = &op->m->ops;
    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    close_op(op);
    free(op->host);
    free(op);
}

/* Nothing more is wanted of it; it is forgotten when it was reaped. */
static void done(struct monitor_op *op)
{
    close_op(op);
    if (op->pid == 0)
        forget(op);
}

static void tell_socket(struct monitor *m, uint32_t id, unsigned port, int fd)
{
    struct buf out;
    wire_begin(&out, WIRE_SOCKET, id);
    wire_put_number(&out, port);
    monitor_send(m, &out, &fd, 1);
}

static void give_up(struct monitor_op *op, const char *text)
{
    if (op->pid > 0)
        (void)kill(op->pid, SIGKILL);
    if (op->stays) {
        free(op->m->agent_path);
        op->m->agent_path = NULL;
    }
    monitor_fail(op->m, op->id, text);
    done(op);
}

static void on_late(void *arg)
{
    give_up(arg, "it took too long");
}

/* It has nothing left to do; but as long as it lives it holds a copy of the socket, and so the port. */
static void end_helper(struct monitor_op *op)
{
    if (op->pid == 0)
        return;
    (void)kill(op->pid, SIGKILL);
    while (waitpid(op->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    op->pid = 0;
}

static void on_answer(void *arg, short ready)
{
    struct monitor_op *op = arg;
    struct netops_answer answer;
    struct errmsg err;
    int passed;
    long n = helper_take(op->fd, &answer, sizeof answer, &passed);
    (void)ready;
    if (n == -EAGAIN)
        return;
    if (n != (long)sizeof answer || (answer.failed == 0) != (passed >= 0)) {
        if (passed >= 0)
            (void)close(passed);
        give_up(op, n == -EMFILE ? monitor_shortage("take a socket", (int)n, &err)
                                 : "the helper that was to do it ended without a word");
        return;
    }
    answer.text[sizeof answer.text - 1] = '\0';
    if (answer.failed != 0) {
        log_debug("%s", answer.text);
        give_up(op, answer.text);
        return;
    }
    if (op->stays && (op->m->agent_path = strdup(answer.text)) == NULL) {
        (void)close(passed);
        give_up(op, "out of memory");
        return;
    }
    if (op->fn == netops_listen)
        end_helper(op);
    tell_socket(op->m, op->id, answer.port, passed);
    (void)close(passed);
    if (!op->stays) {
        done(op);
        return;
    }
    ssh_loop_unwatch(op->watch); /* its end is heard of when it is reaped */
    ssh_loop_untimer(op->deadline);
    op->watch = NULL;
    op->deadline = NULL;
}

/* --- beginning --- */

static int start_helper(struct monitor_op *op)
{
    struct monitor *m = op->m;
    struct netops_target target = {.host = op->host, .port = op->port, .anywhere = m->options->gateway_ports};
    int r = helper_start(m->login.account, op->fn, &target, &op->pid, &op->fd);
    if (r < 0) {
        op->pid = 0;
        op->fd = -1;
        return r;
    }
    r = ssh_loop_watch(m->loop, op->fd, POLLIN, on_answer, op, &op->watch);
    if (r == 0)
        r = ssh_loop_timer(m->loop, on_late, op, &op->deadline);
    if (r == 0)
        ssh_loop_set(op->deadline, ssh_loop_now(m->loop) + DEADLINE_MS);
    return r;
}

static void begin(struct monitor_op *op)
{
    struct errmsg err;
    int r;
    op->begun = true;
    r = start_helper(op);
    if (r < 0)
        give_up(op, monitor_shortage("start a process for a forward", r, &err));
}

/* Those that wait for a place, the first first. */
static void begin_next(struct monitor *m)
{
    struct monitor_op *next;
    do {
        next = NULL;
        for (struct monitor_op *op = m->ops; op != NULL; op = op->next) {
            if (!op->begun)
                next = op; /* new ones are put in front */
        }
        if (next != NULL && m->wire != NULL && count(m, true) < AT_ONCE)
            begin(next);
        else
            next = NULL;
    } while (next != NULL);
}

/* host is taken. */
static void ask(struct monitor *m, uint32_t id, helper_fn *fn, char *host, unsigned port, bool stays)
{
    struct monitor_op *op = count(m, false) < m->options->channels_max ? calloc(1, sizeof *op) : NULL;
    if (op == NULL) {
        free(host);
        monitor_fail(m, id, "too many forwards are waited for at once on this connection");
        return;
    }
    op->m = m;
    op->id = id;
    op->fn = fn;
    op->host = host;
    op->port = port;
    op->fd = -1;
    op->stays = stays;
    op->next = m->ops;
    m->ops = op;
    if (stays)
        begin(op);
    else
        begin_next(m);
}

/* Asks for it, unless there is a reason why not. host is taken. */
static void ask_unless(struct monitor *m, uint32_t id, const char *why, const char *what, helper_fn *fn,
                       char *host, unsigned port)
{
    if (why == NULL) {
        ask(m, id, fn, host, port, false);
        return;
    }
    log_info("%s %.255s port %u is refused to %s: %s", what, host, port, m->login.account->name, why);
    monitor_fail(m, id, why);
    free(host);
}

void monitor_net_connect(struct monitor *m, struct wire_in *in)
{
    char *host = wire_text(in, WIRE_MAX);
    uint32_t port = wire_number(in);
    const char *why;
    if (!wire_done(in)) {
        free(host);
        return;
    }
    why = verdict_connect(monitor_login_rights(m), &m->login.rights, host, port);
    ask_unless(m, in->id, why, "connecting to", netops_connect, host, port);
}

void monitor_net_listen(struct monitor *m, struct wire_in *in)
{
    char *host = wire_text(in, WIRE_MAX);
    uint32_t port = wire_number(in);
    const char *why;
    if (!wire_done(in)) {
        free(host);
        return;
    }
    why = verdict_listen(monitor_login_rights(m), &m->login.rights, host, port);
    ask_unless(m, in->id, why, "listening at", netops_listen, host, port);
}

void monitor_net_agent(struct monitor *m, struct wire_in *in)
{
    bool there = false;
    if (!wire_done(in))
        return;
    for (const struct monitor_op *op = m->ops; op != NULL; op = op->next)
        there |= op->stays;
    if ((monitor_login_rights(m) & HOST_RIGHT_AGENT) == 0)
        monitor_fail(m, in->id, "forwarding an agent is not allowed for this login");
    else if (there)
        monitor_fail(m, in->id, "the agent of this connection is already forwarded");
    else
        ask(m, in->id, netops_agent, NULL, 0, true);
}

/* --- the end --- */

bool monitor_net_reaped(struct monitor *m, pid_t pid)
{
    struct monitor_op *op = m->ops;
    while (op != NULL && op->pid != pid)
        op = op->next;
    if (op == NULL)
        return false;
    op->pid = 0;
    if (op->watch != NULL) {
        on_answer(op, POLLIN); /* what it said last may still be there */
    } else {
        if (op->stays) {
            free(m->agent_path);
            m->agent_path = NULL;
        }
        forget(op);
    }
    begin_next(m);
    return true;
}

void monitor_net_end(struct monitor *m)
{
    struct monitor_op *next;
    for (struct monitor_op *op = m->ops; op != NULL; op = next) {
        next = op->next;
        if (op->pid > 0 && !op->stays)
            (void)kill(op->pid, SIGKILL);
        done(op);
    }
}

bool monitor_net_any(const struct monitor *m)
{
    return m->ops != NULL;
}

void monitor_net_release(struct monitor *m)
{
    struct monitor_op *next;
    for (struct monitor_op *op = m->ops; op != NULL; op = next) {
        next = op->next;
        forget(op);
    }
}
