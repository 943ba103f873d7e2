/* Programs of a session, on Windows: what is run, and its end. child_windows.h runs it. */
#include "sshd/host_windows_private.h"

#include "base/io.h"
#include "sshd/child_env.h"
#include "sshd/child_windows.h"
#include "sshd/forced.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTY_NAME "windows-pty" /* OpenSSH's; a pseudo console has no name */
#define UNKNOWN_STATUS 255u

struct starting;

struct host_child {
    struct host_child *next;
    struct host *host;
    struct host_child_events events;
    void *arg;
    struct starting *starting; /* NULL: it has been started */
    struct child *child;
    bool fixed; /* a forced command or sftp: not the client's to send signals to, as with OpenSSH */
    int end;    /* where the exit code comes; -1: it came */
    struct ssh_loop_watch *watch;
    unsigned char code[sizeof(uint32_t)];
    size_t code_n;
    uint32_t killed;    /* the code that says so, when it was sent a signal; else 0 */
    const char *signal; /* which one */
};

/* What a thread has of a child that is being started. */
struct starting {
    struct work work;
    struct host_child *child; /* the loop's thread alone; NULL: it is not wanted any more */
    struct host_user *user;
    struct child_spec spec; /* its texts are the following */
    char *command, *term;
    struct child_env env;
    int rc; /* set before: it is refused */
    struct errmsg err;
    struct child *started;
    int fds[3], end;
};

/* --- starting --- */

static void close_started(struct starting *s)
{
    child_close(s->started);
    s->started = NULL;
    io_close(s->end);
    io_close(s->fds[0]);
    if (!s->spec.pty) {
        io_close(s->fds[1]);
        io_close(s->fds[2]);
    }
}

static void release_starting(struct work *work)
{
    struct starting *s = (struct starting *)work;
    if (s->started != NULL) {
        close_started(s);
    }
    child_env_release(&s->env);
    host_user_release(s->user);
    free(s->command);
    free(s->term);
    free(s);
}

static void run_starting(struct work *work)
{
    struct starting *s = (struct starting *)work;
    if (s->rc == 0) {
        s->rc = child_start(&s->spec, &s->started, s->fds, &s->end, &s->err);
    }
}

static void take_out(struct host_child *child)
{
    struct host_child **at = &child->host->children;
    while (*at != child) {
        at = &(*at)->next;
    }
    *at = child->next;
}

static void on_end(void *arg, short ready)
{
    struct host_child *child = arg;
    uint32_t code = UNKNOWN_STATUS;
    long n = io_read(child->end, child->code + child->code_n, sizeof child->code - child->code_n);
    (void)ready;
    if (n == -EAGAIN) {
        return;
    }
    if (n > 0 && (child->code_n += (size_t)n) < sizeof child->code) {
        return;
    }
    if (n > 0) {
        memcpy(&code, child->code, sizeof code);
    } else {
        log_warn("how a program of %s ended could not be learnt", child->host->user->logon->name);
    }
    ssh_loop_unwatch(child->watch);
    child->watch = NULL;
    io_close(child->end);
    child->end = -1;
    child->events.exited(child->arg, code, child->killed != 0 && code == child->killed ? child->signal : NULL,
                         false);
}

static void refuse(struct host_child *child, const char *text)
{
    struct host_child_events events = child->events;
    void *arg = child->arg;
    take_out(child);
    free(child);
    events.refused(arg, text);
}

static void on_starting_done(struct work *work)
{
    struct starting *s = (struct starting *)work;
    struct host_child *child = s->child;
    if (child != NULL) {
        child->starting = NULL;
        if (s->rc == 0) {
            s->rc = ssh_loop_watch(child->host->loop, s->end, POLLIN, on_end, child, &child->watch);
            if (s->rc < 0) {
                (void)errmsg_set(&s->err, s->rc, "out of memory");
            }
        }
    }
    if (child != NULL && s->rc < 0) {
        refuse(child, s->err.text);
    } else if (child != NULL) {
        child->child = s->started;
        child->end = s->end;
        s->started = NULL;
        log_debug("%s of %s%s",
                  s->spec.kind == HOST_SHELL  ? "a shell"
                  : s->spec.kind == HOST_EXEC ? "a command"
                                              : "sftp",
                  child->host->user->logon->name, s->spec.pty ? " on a terminal" : "");
        if (s->spec.kind == HOST_SFTP) { /* its standard error is not for the user */
            childlogs_take(&child->host->logs, child->host->loop, child->host->user->logon->name, &s->fds[2]);
            io_close(s->fds[2]);
            s->fds[2] = -1;
        }
        child->events.started(child->arg, s->fds[0], s->fds[1], s->fds[2]);
    }
    release_starting(work);
}

/* --- what is started --- */

/* Returns 0 or -ENOMEM. */
static int fill_environment(struct starting *s, const struct host *host, const struct host_start *start,
                            const char *original)
{
    struct child_env client = {0};
    const struct child_env_facts facts = {.client = &client,
                                          .key_env = host->key.env,
                                          .key_env_n = host->key.env_n,
                                          .peer = host->config.peer,
                                          .peer_port = host->config.peer_port,
                                          .local = host->config.local,
                                          .local_port = host->config.local_port,
                                          .tty = start->pty ? TTY_NAME : NULL,
                                          .original_command = original};
    int rc = 0;
    /* Who may only transfer files must not have a say in what the program does. */
    if (s->spec.kind != HOST_SFTP) {
        rc = child_env_add(&client, (char *const *)(uintptr_t)start->env, start->env_n);
    }
    if (rc == 0) {
        rc = child_env_build(&facts, &s->env);
    }
    child_env_release(&client);
    s->spec.env = (const char *const *)s->env.list;
    s->spec.env_n = s->env.n;
    return rc;
}

static void choose(struct starting *s, const struct host *host, const struct host_start *start,
                   struct forced *ret)
{
    const char *refused = forced_choose(host->key.command, start->kind, start->command, ret);
    if (refused == NULL && ret->kind == FORCED_SFTP_ONLY) {
        refused = "This service allows sftp connections only.";
    }
    if (refused != NULL) {
        s->rc = errmsg_set(&s->err, -EACCES, "%s", refused);
    }
    s->spec.kind = ret->kind == FORCED_SHELL     ? HOST_SHELL
                   : ret->kind == FORCED_COMMAND ? HOST_EXEC
                                                 : HOST_SFTP;
    s->spec.read_only = ret->read_only;
}

/* NULL: out of memory. */
static struct starting *new_starting(struct host *host, const struct host_start *start)
{
    struct forced chosen;
    struct starting *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->work = (struct work){.run = run_starting, .done = on_starting_done, .release = release_starting};
    s->end = s->fds[0] = s->fds[1] = s->fds[2] = -1;
    choose(s, host, start, &chosen);
    atomic_fetch_add(&host->user->refs, 1);
    s->user = host->user;
    s->spec.logon = s->user->logon;
    s->spec.pty = start->pty;
    s->spec.columns = start->columns;
    s->spec.rows = start->rows;
    s->spec.shell = host->config.options->shell;
    s->spec.command = s->command = chosen.command != NULL ? strdup(chosen.command) : NULL;
    s->spec.term = s->term = start->pty && start->term != NULL ? strdup(start->term) : NULL;
    if ((chosen.command != NULL && s->command == NULL) ||
        (start->pty && start->term != NULL && s->term == NULL) ||
        fill_environment(s, host, start, chosen.original) < 0) {
        release_starting(&s->work);
        return NULL;
    }
    return s;
}

int host_start(struct host *host, const struct host_start *start, const struct host_child_events *events,
               void *arg, struct host_child **ret_child)
{
    struct host_child *child;
    int rc;
    if (host->user == NULL) {
        return -EACCES;
    }
    if (start->command != NULL && strlen(start->command) > HOST_COMMAND_MAX) {
        return -E2BIG;
    }
    child = calloc(1, sizeof *child);
    if (child == NULL) {
        return -ENOMEM;
    }
    child->host = host;
    child->events = *events;
    child->arg = arg;
    child->end = -1;
    child->fixed = start->kind == HOST_SFTP || host->key.command != NULL;
    child->starting = new_starting(host, start);
    if (child->starting == NULL) {
        free(child);
        return -ENOMEM;
    }
    child->starting->child = child;
    rc = workers_run(host->workers, &child->starting->work);
    if (rc < 0) {
        free(child);
        return rc;
    }
    child->next = host->children;
    host->children = child;
    *ret_child = child;
    return 0;
}

/* --- afterwards --- */

const bool host_terminal_ends = true;

/* Windows ends a program with a code; that it was by a signal, is known here alone. */
static void note_signal(struct host_child *child, const char *name)
{
    static const struct {
        const char *name;
        uint32_t code; /* child_signal's */
    } ends[] = {{"HUP", 129}, {"INT", 130}, {"QUIT", 131}, {"ABRT", 134}, {"KILL", 137}, {"TERM", 143}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (strcmp(ends[i].name, name) == 0) {
            child->signal = ends[i].name;
            child->killed = ends[i].code;
        }
    }
}

void host_child_signal(struct host_child *child, const char *name)
{
    if (child->fixed) {
        log_debug("the signal %.31s is not sent: the session is not of a kind for it", name);
    } else if (child->child != NULL && child->end >= 0) {
        note_signal(child, name);
        child_signal(child->child, name);
    }
}

void host_child_resize(struct host_child *child, int terminal, unsigned columns, unsigned rows,
                       unsigned width, unsigned height)
{
    (void)terminal;
    (void)width;
    (void)height;
    if (child->child != NULL) {
        child_resize(child->child, columns, rows);
    }
}

static void end(struct host_child *child)
{
    if (child->starting != NULL) {
        child->starting->child = NULL;
    }
    ssh_loop_unwatch(child->watch);
    io_close(child->end);
    child_close(child->child);
    free(child);
}

void host_child_close(struct host_child *child)
{
    if (child != NULL) {
        take_out(child);
        end(child);
    }
}

void host_children_free(struct host *host)
{
    while (host->children != NULL) {
        struct host_child *child = host->children;
        host->children = child->next;
        end(child);
    }
}
