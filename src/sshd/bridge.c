/* Two pipes as one socket. */
#include "sshd/bridge.h"

#include "base/log.h"
#include "sshd/confine.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE (64u << 10)

struct lane { /* one direction */
    int from, to;
    bool over;
    size_t start, end;
    char data[PIECE];
};

static void lane_end(struct lane *lane)
{
    lane->over = true;
    if (shutdown(lane->to, SHUT_WR) < 0) {
        close(lane->to); /* a pipe */
    }
}

static void lane_move(struct lane *lane)
{
    ssize_t n;
    if (lane->start == lane->end) {
        n = read(lane->from, lane->data, sizeof lane->data);
        if (n <= 0) {
            if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                lane_end(lane);
            }
            return;
        }
        lane->start = 0;
        lane->end = (size_t)n;
    }
    n = write(lane->to, lane->data + lane->start, lane->end - lane->start);
    if (n >= 0) {
        lane->start += (size_t)n;
    } else if (errno != EAGAIN && errno != EINTR) {
        lane_end(lane);
    }
}

/* What the lane waits for: input when it holds nothing, else room. */
static struct pollfd lane_wish(const struct lane *lane)
{
    bool empty = lane->start == lane->end;
    return (struct pollfd){.fd = lane->over ? -1
                                 : empty    ? lane->from
                                            : lane->to,
                           .events = empty ? POLLIN : POLLOUT};
}

static void copy(int in, int out, int socket)
{
    static struct lane lanes[2];
    lanes[0].from = in;
    lanes[0].to = lanes[1].from = socket;
    lanes[1].to = out;
    /* When what comes from here has ended, nobody waits for what goes there. */
    while (!lanes[1].over) {
        struct pollfd ready[2] = {lane_wish(&lanes[0]), lane_wish(&lanes[1])};
        if (poll(ready, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        for (int i = 0; i < 2; i++) {
            if (!lanes[i].over && ready[i].revents != 0) {
                lane_move(&lanes[i]);
            }
        }
    }
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static void run(int in, int out, int socket)
{
    const int keep[] = {in, out, socket};
    struct errmsg err;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN); /* the pipes say when it is over */
    if (confine_descriptors(keep, 3) < 0 || set_nonblocking(in) < 0 || set_nonblocking(out) < 0 ||
        set_nonblocking(socket) < 0) {
        _exit(1);
    }
    if (confine_process(0, &err) < 0) {
        log_error("%s", err.text);
        _exit(1);
    }
    copy(in, out, socket);
    _exit(0);
}

int bridge_start(int in, int out, int *ret_fd)
{
    int pair[2];
    int status = 0;
    pid_t middle;
    int rc = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    middle = fork();
    if (middle == 0) {
        pid_t last = fork();
        if (last == 0) {
            run(in, out, pair[1]);
        }
        _exit(last < 0 ? 1 : 0);
    }
    if (middle < 0) {
        rc = -errno;
    } else {
        while (waitpid(middle, &status, 0) < 0 && errno == EINTR) {
        }
        rc = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EAGAIN;
    }
    close(pair[1]);
    if (rc < 0) {
        close(pair[0]);
        return rc;
    }
    *ret_fd = pair[0];
    return 0;
}
