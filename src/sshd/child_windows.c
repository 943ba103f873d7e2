/* A child's life: its pipes or console, the threads behind them, and the one that waits for its end. */
#include "sshd/child_windows_private.h"

#include "base/io.h"
#include "sshd/console_windows.h"
#include "sshd/pipes_windows.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define WAITER_STACK (128u << 10)
/* How long the screen has to be still before the console is taken away from under it: conhost paints 60 times a second. */
#define SETTLE_MS 50u
#define CTRL_C '\x03'

enum { CHILD_IN, CHILD_OUT, CHILD_ERR, CHILD_STREAMS };

struct child {
    atomic_uint refs; /* who started it, and the waiter */
    HANDLE process, job;
    HANDLE ended; /* an event: the process has */
    bool pty;
    struct conpty *console;    /* of this process' own user, */
    struct console_link *link; /* or of the account: at most one */
    struct pipes_flow *flows[CHILD_STREAMS];
    int end;
};

/* What is made before the child is whole. */
struct ends {
    bool pty;
    bool inherited;         /* theirs are */
    int fds[CHILD_STREAMS]; /* the caller's; with a pty the first alone */
    struct pipes_socket *sockets[CHILD_STREAMS];
    HANDLE ours[CHILD_STREAMS], theirs[CHILD_STREAMS];
    int end;
};

static void close_handle(HANDLE *handle)
{
    if (*handle != NULL) {
        CloseHandle(*handle);
        *handle = NULL;
    }
}

/* --- ends --- */

static void ends_release(struct ends *ends)
{
    for (int i = 0; i < CHILD_STREAMS; i++) {
        io_close(ends->fds[i]);
        pipes_socket_release(ends->sockets[i]);
        close_handle(&ends->ours[i]);
        close_handle(&ends->theirs[i]);
    }
    io_close(ends->end);
}

static int make_socket(struct ends *ends, int i)
{
    int pair[2];
    int rc = io_pair(true, pair);
    if (rc == 0) {
        ends->fds[i] = pair[0];
        rc = pipes_socket_new(pair[1], &ends->sockets[i]);
    }
    return rc;
}

static int ends_make(struct ends *ends)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < (ends->pty ? CHILD_ERR : CHILD_STREAMS); i++) {
        rc = pipes_make(i != CHILD_IN, ends->inherited, &ends->ours[i], &ends->theirs[i]);
        if (rc == 0 && (i == CHILD_IN || !ends->pty)) {
            rc = make_socket(ends, i);
        }
    }
    return rc;
}

/* --- life --- */

static void child_release(struct child *child)
{
    if (atomic_fetch_sub(&child->refs, 1) != 1) {
        return;
    }
    close_handle(&child->job);
    close_handle(&child->process);
    for (int i = 0; i < CHILD_STREAMS; i++) {
        pipes_flow_release(child->flows[i]);
    }
    conpty_free(child->console);
    console_link_free(child->link);
    close_handle(&child->ended);
    io_close(child->end);
    free(child);
}

static void wait_for(HANDLE event)
{
    (void)WaitForSingleObject(event, INFINITE);
}

static void tell_end(struct child *child)
{
    DWORD status;
    uint32_t code;
    if (GetExitCodeProcess(child->process, &status)) {
        code = status;
        (void)io_write(child->end, &code, sizeof code); /* who does not listen any more needs no answer */
    }
    io_close(child->end);
    child->end = -1;
}

static void shut_console(struct child *child)
{
    if (child->link != NULL) {
        console_link_shut(child->link);
    } else {
        conpty_shut(child->console);
    }
}

static DWORD WINAPI wait_for_end(void *arg)
{
    struct child *child = arg;
    if (child->link != NULL) {
        console_link_serve(child->link, child->process, child->ended);
    } else {
        wait_for(child->process);
    }
    SetEvent(child->ended);
    wait_for(pipes_flow_drained(child->flows[CHILD_OUT]));
    if (!child->pty) {
        wait_for(pipes_flow_drained(child->flows[CHILD_ERR]));
    } else {
        shut_console(child); /* only now its output ends */
        pipes_flow_last(child->flows[CHILD_OUT]);
        wait_for(pipes_flow_over(child->flows[CHILD_OUT]));
        wait_for(child->process);
    }
    tell_end(child);
    child_release(child);
    return 0;
}

/* --- the start --- */

/* The console's host has the rights of who makes the console, so one for another user is made by a process of theirs. */
static bool is_console_theirs(const struct child_spec *spec)
{
    return spec->pty && spec->logon != NULL && spec->logon->token != NULL;
}

static int spawn(const struct child_spec *spec, const struct child_program *program, const HANDLE std[3],
                 HANDLE more, const struct conpty *console, struct child_process *ret_made,
                 struct errmsg *err)
{
    struct inherit inherit;
    int rc = inherit_init(&inherit, std, more, console, err);
    if (rc == 0) {
        rc = child_spawn(spec, program, &inherit, ret_made, err);
        inherit_release(&inherit);
    }
    return rc;
}

static int spawn_on_console(struct child *child, const struct child_spec *spec,
                            const struct child_program *program, struct ends *ends,
                            struct child_process *ret_made, struct errmsg *err)
{
    int rc = conpty_new(spec->columns, spec->rows, ends->theirs[CHILD_IN], ends->theirs[CHILD_OUT],
                        &child->console, err);
    if (rc < 0) {
        return rc;
    }
    close_handle(&ends->theirs[CHILD_IN]);
    close_handle(&ends->theirs[CHILD_OUT]);
    return spawn(spec, program, NULL, NULL, child->console, ret_made, err);
}

/* Starts the process that makes the console, and that is told to start the program. */
static int spawn_console(struct child *child, const struct child_spec *spec,
                         const struct child_program *program, const struct ends *ends,
                         struct child_process *ret_made, struct errmsg *err)
{
    struct child_program host;
    int rc = console_link_new(spec->columns, spec->rows, program->path, program->line, child->ended,
                              &child->link, err);
    if (rc < 0) {
        return rc;
    }
    rc = child_program_init_console(&host, err);
    if (rc == 0) {
        const HANDLE std[] = {ends->theirs[CHILD_IN], ends->theirs[CHILD_OUT],
                              console_link_control(child->link)};
        rc = spawn(spec, &host, std, console_link_event(child->link), NULL, ret_made, err);
    }
    child_program_release(&host);
    console_link_started(child->link);
    return rc;
}

static int make_flows(struct child *child, struct ends *ends)
{
    const unsigned settle_ms = ends->pty ? SETTLE_MS : 0;
    int rc = pipes_flow_in(ends->sockets[CHILD_IN], ends->ours[CHILD_IN], &child->flows[CHILD_IN]);
    ends->ours[CHILD_IN] = NULL;
    for (int i = CHILD_OUT; rc == 0 && i < (ends->pty ? CHILD_ERR : CHILD_STREAMS); i++) {
        rc = pipes_flow_out(ends->ours[i], ends->sockets[ends->pty ? CHILD_IN : i], child->ended, settle_ms,
                            &child->flows[i]);
        ends->ours[i] = NULL;
    }
    return rc;
}

static int start_waiter(struct child *child)
{
    HANDLE thread;
    atomic_fetch_add(&child->refs, 1);
    thread = CreateThread(NULL, WAITER_STACK, wait_for_end, child, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (thread == NULL) {
        atomic_fetch_sub(&child->refs, 1);
        return win_errno(GetLastError());
    }
    CloseHandle(thread);
    return 0;
}

/* The process is let go when everything else is there. */
static int start(struct child *child, const struct child_spec *spec, struct ends *ends, struct errmsg *err)
{
    struct child_program program;
    struct child_process made;
    int rc = child_program_init(&program, spec, err);
    child->pty = spec->pty;
    if (rc == 0) {
        rc = is_console_theirs(spec) ? spawn_console(child, spec, &program, ends, &made, err)
             : spec->pty             ? spawn_on_console(child, spec, &program, ends, &made, err)
                                     : spawn(spec, &program, ends->theirs, NULL, NULL, &made, err);
    }
    child_program_release(&program);
    if (rc != 0) {
        return rc;
    }
    child->process = made.process;
    child->job = made.job;
    rc = make_flows(child, ends);
    if (rc == 0) {
        rc = start_waiter(child);
    }
    if (rc == 0) {
        (void)ResumeThread(made.thread);
    } else {
        (void)errmsg_set(err, rc, "the program could not be started: %s", strerror(-rc));
    }
    CloseHandle(made.thread);
    return rc;
}

/* Lets go of it: whatever waits for its pipes gives up, and its last handle of the job ends what runs. */
static void let_go(struct child *child)
{
    for (int i = 0; i < CHILD_STREAMS; i++) {
        if (child->flows[i] != NULL) {
            pipes_flow_stop(child->flows[i]);
        }
    }
    child_release(child);
}

/* With the sockets of its end, of which ret_end is the caller's. */
static int child_new(struct child **ret_child, int *ret_end)
{
    struct child *child = calloc(1, sizeof *child);
    int pair[2];
    int rc;
    if (child == NULL) {
        return -ENOMEM;
    }
    atomic_init(&child->refs, 1);
    child->end = -1;
    child->ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    rc = child->ended == NULL ? win_errno(GetLastError()) : io_pair(true, pair);
    if (rc < 0) {
        child_release(child);
        return rc;
    }
    child->end = pair[1];
    *ret_end = pair[0];
    *ret_child = child;
    return 0;
}

int child_start(const struct child_spec *spec, struct child **ret_child, int ret_fds[3], int *ret_end,
                struct errmsg *err)
{
    struct ends ends = {
        .pty = spec->pty, .inherited = !spec->pty || is_console_theirs(spec), .fds = {-1, -1, -1}, .end = -1};
    struct child *child = NULL;
    int rc;
    if (spec->pty && spec->kind == HOST_SFTP) {
        return errmsg_set(err, -EINVAL, "sftp has no terminal: ask for none (ssh -T)");
    }
    rc = child_new(&child, &ends.end);
    if (rc == 0) {
        rc = ends_make(&ends);
    }
    if (rc < 0) {
        (void)errmsg_set(err, rc, "the program could not be started: %s", strerror(-rc));
    } else {
        rc = start(child, spec, &ends, err);
    }
    if (rc == 0) {
        for (int i = 0; i < CHILD_STREAMS; i++) {
            ret_fds[i] = ends.fds[ends.pty ? CHILD_IN : i];
        }
        memset(ends.fds, 0xff, sizeof ends.fds); /* all -1 */
        *ret_end = ends.end;
        ends.end = -1;
        *ret_child = child;
    }
    ends_release(&ends);
    if (rc < 0 && child != NULL) {
        /* After the ends: a console is shut only when its output is read, or when nobody could. */
        let_go(child);
    }
    return rc;
}

/* --- while it runs --- */

void child_resize(struct child *child, unsigned columns, unsigned rows)
{
    if (child->console != NULL) {
        conpty_resize(child->console, columns, rows);
    } else if (child->link != NULL) {
        console_link_resize(child->link, columns, rows);
    }
}

void child_signal(struct child *child, const char *name)
{
    static const struct {
        const char *name;
        UINT code;
    } ends[] = {{"HUP", 129}, {"INT", 130}, {"QUIT", 131}, {"ABRT", 134}, {"KILL", 137}, {"TERM", 143}};
    if (child->pty && strcmp(name, "INT") == 0) {
        pipes_flow_type(child->flows[CHILD_IN], CTRL_C);
        return;
    }
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (strcmp(name, ends[i].name) == 0) {
            (void)TerminateJobObject(child->job, ends[i].code);
        }
    }
}

void child_close(struct child *child)
{
    if (child == NULL) {
        return;
    }
    (void)TerminateJobObject(child->job, 129);
    let_go(child);
}
