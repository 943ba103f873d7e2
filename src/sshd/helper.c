/* Forked helpers: the fork, the packet back, the end. Knows nothing of what they do. */
#include "sshd/helper.h"

#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_MS 1000

/* As a fresh process has them: the parent's handlers and mask mean nothing here. */
static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* 0 and 1 become /dev/null, 2 stays, and of the others only fd is left, which comes back as 3. */
static int keep_only(int fd)
{
    int null;
    fd = fcntl(fd, F_DUPFD, 3); /* out of the way of 0 and 1 */
    if (fd < 0)
        return -errno;
    null = open("/dev/null", O_RDWR);
    if (null < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        if (null != i && dup2(null, i) < 0)
            return -errno;
    }
    if (fd != 3 && dup2(fd, 3) < 0)
        return -errno;
    if (close_range(4, UINT_MAX, 0) != 0)
        return -errno;
    return fcntl(3, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 3;
}

_Noreturn static void serve(const struct account *account, helper_fn *fn, void *arg, int fd)
{
    int r;
    reset_signals();
    (void)setsid(); /* nothing of a terminal reaches it */
    fd = keep_only(fd);
    r = fd < 0 ? fd : account_become(account);
    if (r < 0) {
        log_error("a helper cannot become the account %s: %s", account->name, strerror(-r));
        _exit(126);
    }
    if (chdir(account->home) != 0 && chdir("/") != 0)
        _exit(126);
    _exit(fn(arg, fd));
}

int helper_start(const struct account *account, helper_fn *fn, void *arg, pid_t *ret_pid, int *ret_fd)
{
    int pair[2] = {-1, -1};
    sigset_t all, before;
    int r = 0;
    pid_t pid;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
        r = -errno;
        goto out;
    }
    /* Until the child has its own, a signal to it would run the parent's handlers. */
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        serve(account, fn, arg, pair[1]);
    r = pid < 0 ? -errno : 0;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        goto out;
    *ret_pid = pid;
    *ret_fd = pair[0];
out:
    (void)close(pair[1]);
    if (r < 0)
        (void)close(pair[0]);
    return r;
}

int helper_say(int fd, const void *data, size_t n, int passed)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;
    if (passed >= 0) {
        struct cmsghdr *c;
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &passed, sizeof passed);
    }
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* The one descriptor that there is room for; the kernel closes others. */
static int passed_with(struct msghdr *message)
{
    int passed = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&passed, CMSG_DATA(c), sizeof passed);
    }
    return passed;
}

long helper_take(int fd, void *out, size_t size, int *ret_passed)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = out, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    ssize_t n;
    *ret_passed = -1;
    do {
        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    *ret_passed = passed_with(&message);
    if (n > 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return (long)n;
    if (*ret_passed >= 0)
        (void)close(*ret_passed);
    *ret_passed = -1;
    return n == 0 ? -EPIPE : (message.msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : -EMSGSIZE;
}

/* Waits until fd has something to read, the end included. Returns 0, -ETIMEDOUT or another negative errno. */
static int await_input(int fd, uint64_t deadline)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_now_ms();
        int n = poll(&p, 1, now >= deadline ? 0 : deadline - now > INT_MAX ? INT_MAX : (int)(deadline - now));
        if (n > 0)
            return 0;
        if (n == 0 && clock_now_ms() >= deadline)
            return -ETIMEDOUT;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

static long receive(int fd, uint64_t deadline, void *out, size_t size)
{
    ssize_t n;
    int r = await_input(fd, deadline);
    if (r < 0)
        return r;
    do {
        n = recv(fd, out, size, MSG_TRUNC | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    if (n == 0)
        return -EPIPE;
    return (size_t)n > size ? -EMSGSIZE : (long)n;
}

/* What it has said is all that was wanted of it. The account can stop its processes, and a file system can
 * keep one asleep that was killed: whoever does not end in time is left to the parent's other waits. */
static void end(pid_t pid, int fd)
{
    char rest[1];
    uint64_t deadline = clock_now_ms() + REAP_MS;
    int flags = WNOHANG;
    (void)kill(pid, SIGKILL);
    while (flags != 0 && await_input(fd, deadline) == 0) {
        if (recv(fd, rest, sizeof rest, MSG_DONTWAIT) <= 0)
            flags = 0;
    }
    while (waitpid(pid, NULL, flags) < 0 && errno == EINTR)
        ;
    (void)close(fd);
}

long helper_await(pid_t pid, int fd, int timeout_ms, void *out, size_t size)
{
    long n = receive(fd, clock_now_ms() + (uint64_t)timeout_ms, out, size);
    end(pid, fd);
    return n;
}
