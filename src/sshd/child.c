/* Starting children: pipes and the fork. */
#include "sshd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* The SFTP server and its client have more on the way than a pipe holds by itself. */
#define SFTP_PIPE_SIZE (256 << 10)

enum { THEIR_END, OUR_END };

/* ours: which end of the pipe (0 reads, 1 writes) stays here. O_NONBLOCK is of an end, not of the pipe: the
 * child's stays blocking, as programs expect it. */
static int make_pipe(int ours, int size, int ret_ends[2])
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -errno;
    ret_ends[OUR_END] = fds[ours];
    ret_ends[THEIR_END] = fds[1 - ours];
    if (size > 0)
        (void)fcntl(fds[0], F_SETPIPE_SZ, size); /* the system may know better */
    return fcntl(fds[ours], F_SETFL, (ours == 0 ? O_RDONLY : O_WRONLY) | O_NONBLOCK) < 0 ? -errno : 0;
}

static void close_all(int ends[3][2], int which)
{
    for (int i = 0; i < 3; i++) {
        if (ends[i][which] >= 0)
            (void)close(ends[i][which]);
        ends[i][which] = -1;
    }
}

int child_start(const struct child_spec *spec, pid_t *ret_pid, struct child_pipes *ret_pipes)
{
    int ends[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    int size = spec->kind == CHILD_SFTP ? SFTP_PIPE_SIZE : 0;
    sigset_t all, before;
    int r = 0;
    pid_t pid;
    for (int i = 0; r == 0 && spec->pty == NULL && i < 3; i++)
        r = make_pipe(i == 0 ? 1 : 0, i < 2 ? size : 0, ends[i]);
    if (r < 0)
        goto out;
    /* Until the child has its own, a signal to it would run the parent's handlers. */
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    r = pid < 0 ? -errno : 0;
    if (pid == 0) {
        const int slave = spec->pty != NULL ? spec->pty->slave : -1;
        const int fds[3] = {slave >= 0 ? slave : ends[0][THEIR_END], slave >= 0 ? slave : ends[1][THEIR_END],
                            slave >= 0 ? slave : ends[2][THEIR_END]};
        child_exec(spec, fds);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        goto out;
    *ret_pid = pid;
    *ret_pipes =
        (struct child_pipes){.in = ends[0][OUR_END], .out = ends[1][OUR_END], .err = ends[2][OUR_END]};
out:
    close_all(ends, THEIR_END);
    if (r < 0)
        close_all(ends, OUR_END);
    return r;
}

void child_pipes_release(struct child_pipes *pipes)
{
    int *const fds[] = {&pipes->in, &pipes->out, &pipes->err};
    for (int i = 0; i < 3; i++) {
        if (*fds[i] >= 0)
            (void)close(*fds[i]);
        *fds[i] = -1;
    }
}
