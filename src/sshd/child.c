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

static void close_all(int ends[CHILD_FDS][2], int which)
{
    for (int i = 0; i < CHILD_FDS; i++) {
        if (ends[i][which] >= 0)
            (void)close(ends[i][which]);
        ends[i][which] = -1;
    }
}

/* So that the child can open /dev/stderr and its like, which are the pipes again. */
static int give_to(const struct account *account, int fd)
{
    return account_privileged() && fchown(fd, account->uid, account->gid) != 0 ? -errno : 0;
}

/* With a terminal there are none; only the SFTP server has a log. */
static int make_pipes(const struct child_spec *spec, int ends[CHILD_FDS][2])
{
    int size = spec->kind == CHILD_SFTP ? SFTP_PIPE_SIZE : 0;
    int r = 0;
    for (int i = 0; i < CHILD_FDS; i++)
        ends[i][THEIR_END] = ends[i][OUR_END] = -1;
    for (int i = 0; r == 0 && spec->pty == NULL && i < 3; i++) {
        r = make_pipe(i == 0 ? 1 : 0, i < 2 ? size : 0, ends[i]);
        if (r == 0)
            r = give_to(spec->account, ends[i][THEIR_END]);
    }
    if (r == 0 && spec->kind == CHILD_SFTP)
        r = make_pipe(0, 0, ends[3]);
    return r;
}

_Noreturn static void run(const struct child_spec *spec, int ends[CHILD_FDS][2])
{
    int fds[CHILD_FDS];
    for (int i = 0; i < CHILD_FDS; i++)
        fds[i] = spec->pty != NULL && i < 3 ? spec->pty->slave : ends[i][THEIR_END];
    child_exec(spec, fds);
}

int child_start(const struct child_spec *spec, pid_t *ret_pid, struct child_pipes *ret_pipes)
{
    int ends[CHILD_FDS][2];
    sigset_t all, before;
    pid_t pid;
    int r = make_pipes(spec, ends);
    if (r < 0)
        goto out;
    /* Until the child has its own, a signal to it would run the parent's handlers. */
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    r = pid < 0 ? -errno : 0;
    if (pid == 0)
        run(spec, ends);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        goto out;
    *ret_pid = pid;
    *ret_pipes = (struct child_pipes){
        .in = ends[0][OUR_END], .out = ends[1][OUR_END], .err = ends[2][OUR_END], .log = ends[3][OUR_END]};
out:
    close_all(ends, THEIR_END);
    if (r < 0)
        close_all(ends, OUR_END);
    return r;
}

void child_pipes_release(struct child_pipes *pipes)
{
    int *const fds[CHILD_FDS] = {&pipes->in, &pipes->out, &pipes->err, &pipes->log};
    for (int i = 0; i < CHILD_FDS; i++) {
        if (*fds[i] >= 0)
            (void)close(*fds[i]);
        *fds[i] = -1;
    }
}
