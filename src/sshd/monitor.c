/* The monitor's loop: messages of the speaker, ends of processes, and its own end. */
#include "sshd/monitor_private.h"

#include "base/log.h"
#include "sshd/monitor_signals.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FREED 0xa5  /* fills memory that is freed */
#define END_MS 5000 /* for children that were hung up on, and for the speaker */

/* --- answers --- */

void monitor_send(struct monitor *m, struct buf *out, const int *fds, size_t fd_n)
{
    if (m->wire != NULL)
        (void)wire_send(m->wire, out, fds, fd_n); /* when it fails, on_lost comes */
    else
        buf_wipe(out);
}

void monitor_fail(struct monitor *m, uint32_t id, const char *text)
{
    struct buf out;
    wire_begin(&out, WIRE_FAILED, id);
    wire_put_text(&out, text);
    monitor_send(m, &out, NULL, 0);
}

void monitor_misbehaved(struct monitor *m, struct wire_in *in, const char *why)
{
    if (m->killed_for == NULL)
        log_error("the process that speaks SSH broke the rules: it %s; the connection ends", why);
    m->killed_for = "it broke the rules";
    in->bad = true;
}

const char *monitor_shortage(const char *what, int error, struct errmsg *err)
{
    (void)errmsg_set(err, error, "this machine cannot %s now: %s", what, strerror(-error));
    log_error("cannot %s: %s", what, strerror(-error));
    return err->text;
}

/* --- the end --- */

static void finish_if_done(struct monitor *m)
{
    if (m->wire == NULL && m->speaker == 0 && !monitor_children_any(m) && !monitor_net_any(m))
        ssh_loop_stop(m->loop);
}

/* Hangs up on everything. why: the speaker is to be killed for that, or NULL. */
static void begin_end(struct monitor *m, const char *why)
{
    if (m->wire == NULL)
        return;
    wire_free(m->wire); /* it sees the end, and ends */
    m->wire = NULL;
    if (why != NULL && m->speaker > 0) {
        m->killed_for = why;
        (void)kill(m->speaker, SIGKILL);
    }
    monitor_children_hang_up(m);
    monitor_net_end(m);
    ssh_loop_set(m->deadline, ssh_loop_now(m->loop) + END_MS);
    finish_if_done(m);
}

void monitor_give_up(struct monitor *m, const char *why)
{
    begin_end(m, why);
}

static void on_deadline(void *arg)
{
    struct monitor *m = arg;
    if (m->speaker > 0) {
        m->killed_for = "it did not end";
        (void)kill(m->speaker, SIGKILL);
        while (waitpid(m->speaker, NULL, 0) < 0 && errno == EINTR)
            ;
        m->speaker = 0;
        log_warn("the process that speaks SSH did not end by itself and was killed");
    }
    if (monitor_children_any(m))
        log_info("what %s started and does not end when it is hung up on goes on by itself",
                 m->login.account->name);
    ssh_loop_stop(m->loop);
}

/* A whole process group or service that is stopped is no fault. */
static bool told_to_end(int signal_number)
{
    return signal_number == SIGTERM || signal_number == SIGHUP || signal_number == SIGINT;
}

static void speaker_ended(struct monitor *m, int status)
{
    m->speaker = 0;
    if (m->killed_for != NULL)
        log_debug("the process that speaks SSH was killed: %s", m->killed_for);
    else if (WIFSIGNALED(status) && told_to_end(WTERMSIG(status)))
        log_info("the process that speaks SSH was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WIFSIGNALED(status))
        log_error("the process that speaks SSH was ended by signal %d (%s)%s", WTERMSIG(status),
                  strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
    else if (WEXITSTATUS(status) != 0)
        log_debug("the process that speaks SSH ended with status %d", WEXITSTATUS(status));
    begin_end(m, NULL);
}

static void reap(struct monitor *m)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == m->speaker)
            speaker_ended(m, status);
        else if (!monitor_children_reaped(m, pid, status))
            (void)monitor_net_reaped(m, pid);
    }
    monitor_children_stopped(m);
    finish_if_done(m);
}

static void on_signals(void *arg, short ready)
{
    struct monitor *m = arg;
    bool child, end;
    (void)ready;
    monitor_signals_take(m->signals, &child, &end);
    if (end && m->wire != NULL) {
        log_info("told to end: the connection is closed");
        begin_end(m, NULL);
    }
    if (child)
        reap(m);
}

/* --- messages --- */

static void on_message(void *arg, struct wire_in *in, int *fds, size_t fd_n)
{
    struct monitor *m = arg;
    (void)fds; /* the wire closes them */
    if (fd_n > 0) {
        monitor_misbehaved(m, in, "sent a descriptor");
        return;
    }
    if (in->type != WIRE_KEY && in->type != WIRE_PASSWORD && m->login.account == NULL) {
        monitor_misbehaved(m, in, "asked for something before the login");
        return;
    }
    switch (in->type) {
    case WIRE_KEY:
        monitor_login_key(m, in);
        break;
    case WIRE_PASSWORD:
        monitor_login_password(m, in);
        break;
    case WIRE_ENV:
        monitor_start_env(m, in);
        break;
    case WIRE_START:
        monitor_children_start(m, in);
        break;
    case WIRE_SIGNAL:
        monitor_children_signal(m, in);
        break;
    case WIRE_CLOSE:
        monitor_children_close(m, in);
        break;
    case WIRE_CONNECT:
        monitor_net_connect(m, in);
        break;
    case WIRE_LISTEN:
        monitor_net_listen(m, in);
        break;
    case WIRE_AGENT:
        monitor_net_agent(m, in);
        break;
    default:
        monitor_misbehaved(m, in, "sent a message of a kind that there is not");
        break;
    }
    if (!wire_done(in))
        monitor_misbehaved(m, in, "sent a malformed message");
}

static void on_lost(void *arg, const char *why)
{
    struct monitor *m = arg;
    log_debug("the process that speaks SSH has gone: %s", why);
    begin_end(m, m->killed_for);
}

/* --- the whole --- */

static int prepare(struct monitor *m, int speaker_fd)
{
    int r = monitor_signals_open(&m->signals);
    if (r < 0) {
        (void)close(speaker_fd);
        return r;
    }
    r = ssh_loop_new(&m->loop);
    if (r < 0) {
        (void)close(speaker_fd);
        return r;
    }
    r = wire_new(m->loop, speaker_fd, on_message, on_lost, m, &m->wire);
    if (r == 0)
        r = ssh_loop_timer(m->loop, on_deadline, m, &m->deadline);
    if (r == 0)
        r = ssh_loop_watch(m->loop, m->signals, POLLIN, on_signals, m, &m->signal_watch);
    if (r == 0)
        r = monitor_login_init(m);
    return r;
}

static void release(struct monitor *m)
{
    if (m->speaker > 0) { /* it did not come to the end that begin_end begins */
        (void)kill(m->speaker, SIGKILL);
        while (waitpid(m->speaker, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    wire_free(m->wire);
    monitor_children_release(m);
    monitor_net_release(m);
    childlogs_release(&m->logs);
    monitor_start_release(m);
    monitor_login_release(m);
    ssh_loop_free(m->loop);
    free(m->agent_path);
    if (m->program >= 0)
        (void)close(m->program);
    if (m->signals >= 0)
        monitor_signals_close(m->signals);
}

int monitor_run(const struct monitor_config *config)
{
    struct monitor m = {.config = config,
                        .options = config->options,
                        .speaker = config->speaker,
                        .signals = -1,
                        .program = open("/proc/self/exe", O_PATH | O_CLOEXEC)};
    mode_t mask = umask(022); /* the children's; PAM may change it */
    int r;
    /* The C library and PAM's modules read /etc/shadow through streams and free their buffers as they are; the
     * helpers, which are accounts, would have other accounts' lines in their memory. */
    (void)mallopt(M_PERTURB, FREED);
    if (m.program < 0)
        log_warn("/proc/self/exe: %s: there will be no sftp", strerror(errno));
    r = prepare(&m, config->speaker_fd);
    if (r == 0) {
        reap(&m); /* it may have ended before its signal was caught */
        if (m.speaker != 0)
            r = ssh_loop_run(m.loop);
    }
    release(&m);
    (void)umask(mask);
    return r;
}
