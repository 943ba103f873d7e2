/* Owns the processes of the fronts: that each begins, and that each ends. Those of an earlier hub are not our children; a
 * descriptor of the process (pidfd_open(2)) stands for each, never its number, which may be another's by now. */
#include "base/clock.h"
#include "hub/fronts_private.h"
#include "hub/hub_keys.h"
#include "hub/program.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROGRAM "multissh-front"

static void closed_cb(uv_handle_t *h)
{
    free(h);
}

static void exited_cb(uv_process_t *h, int64_t status, int signal)
{
    struct front *f = h->data;

    if (f == NULL) {
        uv_close((uv_handle_t *)h, closed_cb);
        return;
    }
    if (signal != 0 && !f->terminated)
        log_warn("the front of %s was ended by signal %d", f->source, signal);
    else if (status != 0)
        log_debug("the front of %s ended with status %d", f->source, (int)status);
    /* What it said last may still be unread: the end of its channel comes by itself. */
    fronts_process_let_go(f);
}

int fronts_process_start(struct fronts *o, const int fds[3], uv_process_t **ret_process)
{
    bool berth = fds[2] >= 0;
    char *args[] = {PROGRAM,
                    "--host-key",
                    (char *)hub_keys_host_key_path(o->hub->keys),
                    "--connection-fd",
                    "3",
                    "--hub-fd",
                    "4",
                    berth ? "--listen-fd" : NULL,
                    "5",
                    NULL};
    uv_process_t *process = calloc(1, sizeof *process);
    int rc = 0;

    if (process == NULL)
        return -ENOMEM;
    rc = program_start(o->hub->loop, process, args, fds, berth ? 3 : 2, exited_cb);
    if (rc < 0) {
        uv_close((uv_handle_t *)process, closed_cb);
        return rc;
    }
    *ret_process = process;
    return 0;
}

void fronts_process_let_go(struct front *f)
{
    if (f->process != NULL) {
        f->process->data = NULL;
        uv_close((uv_handle_t *)f->process, closed_cb);
        f->process = NULL;
    }
    if (f->pidfd >= 0)
        (void)close(f->pidfd);
    f->pidfd = -1;
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
int fronts_process_find(pid_t pid)
{
    int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    if (fd < 0)
        return -1;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (is_front(pid))
        return fd;
    (void)close(fd);
    return -1;
}

bool fronts_process_runs(struct front *f)
{
    struct pollfd p = {.fd = f->pidfd, .events = POLLIN};

    if (f->process != NULL)
        return true;
    if (f->pidfd < 0)
        return false;
    if (poll(&p, 1, 0) == 0)
        return true;
    fronts_process_let_go(f); /* it has ended */
    return false;
}

static void send_signal(struct front *f, int number)
{
    if (f->process != NULL)
        (void)uv_process_kill(f->process, number);
    else if (f->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, f->pidfd, number, NULL, 0);
}

void fronts_process_tick(struct front *f, uint64_t now)
{
    if (f->end_by == 0 || now < f->end_by || !fronts_process_runs(f))
        return;
    send_signal(f, f->terminated ? SIGKILL : SIGTERM);
    f->terminated = true;
    f->end_by = now + (f->owner->hub->stopping ? FRONTS_END_STOPPING_MS : FRONTS_END_MS);
}
