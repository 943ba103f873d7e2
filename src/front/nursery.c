/* Requests come one at a time, and each is answered before the next is read. What is asked, and how, stands in PROTOCOL.md
 * (the nursery). */
#include "front/nursery.h"

#include "base/log.h"
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define FDS_MAX 3
#define PACKET_MAX 64

struct request {
    uint64_t id;
    int fds[FDS_MAX];
    size_t n;
};

static void close_all(struct request *r)
{
    for (size_t i = 0; i < r->n; i++) {
        close(r->fds[i]);
    }
    r->n = 0;
}

static void take_fds(struct msghdr *m, struct request *r)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        size_t n;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && r->n < FDS_MAX; i++) {
            memcpy(&r->fds[r->n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        }
    }
}

/* Returns 1 and a request, 0 at the end, or a negative errno value. */
static int receive(int fd, struct request *ret_request)
{
    char text[PACKET_MAX + 1];
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = text, .iov_len = PACKET_MAX};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    char *end = NULL;
    ssize_t n;
    *ret_request = (struct request){0};
    do {
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == ECONNRESET ? 0 : -errno;
    }
    take_fds(&m, ret_request);
    text[n] = '\0';
    if (n == 0) {
        close_all(ret_request);
        return 0;
    }
    if (strncmp(text, "front ", 6) == 0) {
        ret_request->id = strtoull(text + 6, &end, 10);
    }
    if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || ret_request->n < 2 || end == NULL || *end != '\0') {
        close_all(ret_request);
        return -EPROTO;
    }
    return 1;
}

/* pidfd >= 0: the process; otherwise a negative errno value. */
static int answer(int fd, uint64_t id, int pidfd)
{
    char text[PACKET_MAX];
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct iovec iov = {.iov_base = text};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;
    if (pidfd < 0) {
        iov.iov_len = (size_t)snprintf(text, sizeof text, "failed %llu %d", (unsigned long long)id, -pidfd);
    } else {
        struct cmsghdr *c;
        iov.iov_len = (size_t)snprintf(text, sizeof text, "front %llu", (unsigned long long)id);
        m.msg_control = control.room;
        m.msg_controllen = sizeof control.room;
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &pidfd, sizeof pidfd);
    }
    do {
        n = sendmsg(fd, &m, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* As fork(2), but a child of our parent, who waits for it as for any other child of its own. Not by clone3(2), which
 * systemd's RestrictNamespaces forbids. */
static pid_t fork_for_parent(int *ret_pidfd)
{
    unsigned long flags = CLONE_PARENT | CLONE_PIDFD | SIGCHLD;
#ifdef __s390__
    return (pid_t)syscall(SYS_clone, NULL, flags, ret_pidfd, NULL, NULL);
#else
    return (pid_t)syscall(SYS_clone, flags, NULL, ret_pidfd, NULL, NULL);
#endif
}

int nursery_serve(int fd, struct nursery_front *ret_front)
{
    struct request r;
    int rc;
    while ((rc = receive(fd, &r)) > 0) {
        int pidfd = -1;
        pid_t pid = fork_for_parent(&pidfd);
        if (pid == 0) {
            close(fd);
            *ret_front = (struct nursery_front){
                .connection = r.fds[0], .hub = r.fds[1], .listener = r.n > 2 ? r.fds[2] : -1};
            return 1;
        }
        rc = answer(fd, r.id, pid < 0 ? -errno : pidfd);
        close_all(&r);
        if (pidfd >= 0) {
            close(pidfd);
        }
        if (rc < 0) { /* the hub has gone */
            break;
        }
    }
    close(fd);
    return rc == -EPIPE || rc == -ECONNRESET ? 0 : rc;
}
