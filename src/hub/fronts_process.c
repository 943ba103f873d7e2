/* Owns the processes of the fronts: that each begins, and that each ends. A descriptor of the process (pidfd_open(2)) stands
 * for each, never its number, which may be another's by now: those of an earlier hub are not our children. */
#include "base/clock.h"
#include "hub/fronts_private.h"
#include "hub/hub_keys.h"
#include "hub/nursery.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "multissh-front"

struct front_process {
    struct front_process *next;
    struct fronts *owner;
    struct front *front; /* NULL: let go of, and only to be reaped */
    int fd;
    uv_poll_t poll;
};

static void closed_cb(uv_handle_t *h)
{
    free(h->data);
}

static void process_free(struct front_process *p)
{
    struct front_process **at = &p->owner->processes;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (p->front != NULL)
        p->front->process = NULL;
    uv_close((uv_handle_t *)&p->poll, closed_cb);
    (void)close(p->fd);
}

/* Whoever made one process fail may be learning how the memory of the others is laid out. */
static void ended_by_signal(struct front_process *p, int number)
{
    if (p->front != NULL && p->front->terminated)
        return;
    log_warn("the front of %s was ended by signal %d", p->front != NULL ? p->front->source : "a user",
             number);
    nursery_renew(p->owner->nursery);
}

static void ended_cb(uv_poll_t *h, int status, int events)
{
    struct front_process *p = h->data;
    siginfo_t info = {.si_pid = 0};

    (void)status;
    (void)events;
    /* It fails for those that are not our children. */
    if (waitid(P_PIDFD, (id_t)p->fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
        return;
    if (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)
        ended_by_signal(p, info.si_status);
    else if (info.si_code == CLD_EXITED && info.si_status != 0)
        log_debug("the front of %s ended with status %d", p->front != NULL ? p->front->source : "a user",
                  info.si_status);
    /* What it said last may still be unread: the end of its channel comes by itself. */
    process_free(p);
}

static void send_signal(int fd, int number)
{
    (void)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
}

/* Takes fd. */
static int process_new(struct fronts *o, int fd, struct front_process **ret_p)
{
    struct front_process *p = calloc(1, sizeof *p);
    int rc = p == NULL ? -ENOMEM : uv_poll_init(o->hub->loop, &p->poll, fd);

    if (rc < 0) {
        (void)close(fd);
        free(p);
        return rc;
    }
    p->owner = o;
    p->fd = fd;
    p->poll.data = p;
    p->next = o->processes;
    o->processes = p;
    (void)uv_poll_start(&p->poll, UV_READABLE, ended_cb);
    *ret_p = p;
    return 0;
}

static struct front *unborn(const struct fronts *o, uint64_t number)
{
    struct front *f = o->list;

    while (f != NULL && !(f->unborn && f->number == number))
        f = f->next;
    return f;
}

static void born_cb(void *arg, uint64_t number, int pidfd, int rc)
{
    struct fronts *o = arg;
    struct front *f = unborn(o, number);
    struct front_process *p = NULL;

    if (f != NULL)
        f->unborn = false;
    if (rc == 0 && (rc = process_new(o, pidfd, &p)) == 0) {
        p->front = f;
        if (f != NULL)
            f->process = p;
    }
    if (rc < 0) /* its channel ends by itself, or shows that there is one that cannot be watched */
        log_limited(&o->limit, LOG_LEVEL_ERROR, "no process for the connection from %s: %s",
                    f != NULL ? f->source : "a user", strerror(-rc));
}

int fronts_process_new(struct fronts *o)
{
    return nursery_new(o->hub->loop, hub_keys_host_key_path(o->hub->keys), born_cb, o, &o->nursery);
}

void fronts_process_free(struct fronts *o)
{
    nursery_free(o->nursery);
    while (o->processes != NULL)
        process_free(o->processes);
}

void fronts_process_ready(struct fronts *o)
{
    int rc = nursery_ready(o->nursery);

    if (rc < 0)
        log_debug("no process waits for the first connection: %s", strerror(-rc));
}

int fronts_process_start(struct front *f, const int fds[3])
{
    struct fronts *o = f->owner;
    int rc = 0;

    f->number = ++o->last_number;
    rc = nursery_ask(o->nursery, f->number, fds, fds[2] >= 0 ? 3 : 2);
    f->unborn = rc == 0;
    return rc;
}

void fronts_process_let_go(struct front *f)
{
    if (f->process != NULL)
        f->process->front = NULL;
    f->process = NULL;
}

static bool is_front(pid_t pid)
{
    char path[64], name[32] = "";
    ssize_t n = 0;
    int fd = -1;

    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, name, sizeof name - 1);
    (void)close(fd);
    return n > 0 && strncmp(name, PROGRAM "\n", sizeof PROGRAM) == 0;
}

/* While the connection to its listening socket stands, the process has not ended since, and its number is no other's. */
void fronts_process_adopt(struct front *f, pid_t pid)
{
    int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    if (fd < 0)
        return;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!is_front(pid)) {
        (void)close(fd);
        return;
    }
    if (process_new(f->owner, fd, &f->process) == 0)
        f->process->front = f;
}

bool fronts_process_runs(const struct front *f)
{
    return f->unborn || f->process != NULL;
}

void fronts_process_look(struct fronts *o)
{
    nursery_tick(o->nursery);
}

void fronts_process_tick(struct front *f, uint64_t now)
{
    if (f->end_by == 0 || now < f->end_by || f->process == NULL)
        return;
    send_signal(f->process->fd, f->terminated ? SIGKILL : SIGTERM);
    f->terminated = true;
    f->end_by = now + (f->owner->hub->stopping ? FRONTS_END_STOPPING_MS : FRONTS_END_MS);
}
