/* Packets to and from the hub. */
#include "front/hub_link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_MAX (4u << 20)
#define PACKETS_A_TURN 32
#define FDS_MAX 4 /* one is expected; more are closed */

struct packet {
    struct packet *next;
    size_t n;
    char data[];
};

struct hub_link {
    int fd;
    struct ssh_loop *loop;
    struct ssh_loop_watch *watch;
    hub_link_message_fn message;
    void *arg;
    struct packet *first, **last;
    size_t queued;
    bool mute; /* the hub hears nothing any more; what it said before it went is still read */
    bool down;
    const char *why; /* it is down */
    char in[HUB_LINK_PACKET_MAX + 1];
};

int hub_link_new(int fd, struct hub_link **ret_link)
{
    struct hub_link *link = calloc(1, sizeof *link);
    int flags = fcntl(fd, F_GETFL);
    if (link == NULL || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        int rc = link == NULL ? -ENOMEM : -errno;
        free(link);
        return rc;
    }
    link->fd = fd;
    link->last = &link->first;
    *ret_link = link;
    return 0;
}

void hub_link_free(struct hub_link *link)
{
    if (link == NULL) {
        return;
    }
    ssh_loop_unwatch(link->watch);
    while (link->first != NULL) {
        struct packet *p = link->first;
        link->first = p->next;
        free(p);
    }
    close(link->fd);
    free(link);
}

/* The owner finds out in its turn, for it may be in the middle of a call to us. */
static void fail(struct hub_link *link, const char *why)
{
    if (link->down) {
        return;
    }
    link->down = true;
    link->why = why;
    ssh_loop_unwatch(link->watch);
    link->watch = NULL;
    (void)shutdown(link->fd, SHUT_RDWR);
    if (link->loop != NULL) {
        ssh_loop_again(link->loop);
    }
}

/* The first descriptor of a message; others are closed. */
static int take_fd(struct msghdr *header)
{
    int fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        size_t count;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int got;
            memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof got);
            if (fd < 0) {
                fd = got;
            } else {
                close(got);
            }
        }
    }
    return fd;
}

/* One packet. Returns 0, -EAGAIN, -EPIPE or -EPROTO. */
static int receive(struct hub_link *link, cJSON **ret_message, int *ret_fd)
{
    union {
        struct cmsghdr align;
        char data[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = link->in, .iov_len = sizeof link->in};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = sizeof control.data};
    ssize_t n = recvmsg(link->fd, &header, MSG_CMSG_CLOEXEC);
    int fd;
    if (n < 0 && errno == ECONNRESET) {
        /* Said once, when the hub went with something of ours unread; its last messages are behind it. */
        n = recvmsg(link->fd, &header, MSG_CMSG_CLOEXEC);
    }
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
    }
    fd = take_fd(&header);
    if (n == 0) {
        return -EPIPE;
    }
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        json_parse(link->in, (size_t)n, HUB_LINK_PACKET_MAX, ret_message) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -EPROTO;
    }
    *ret_fd = fd;
    return 0;
}

int hub_link_wait(struct hub_link *link, int timeout_ms, cJSON **ret_message)
{
    struct pollfd ready = {.fd = link->fd, .events = POLLIN};
    int fd = -1;
    int rc;
    do {
        rc = poll(&ready, 1, timeout_ms);
    } while (rc < 0 && errno == EINTR);
    if (rc <= 0) {
        return rc == 0 ? -ETIMEDOUT : -errno;
    }
    rc = receive(link, ret_message, &fd);
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

/* Returns 0, -EAGAIN or another negative errno value. */
static int send_packet(struct hub_link *link, const void *data, size_t n)
{
    ssize_t rc = send(link->fd, data, n, MSG_NOSIGNAL | MSG_EOR);
    if (rc >= 0) {
        return 0;
    }
    return errno == EINTR || errno == ENOBUFS ? -EAGAIN : -errno;
}

static void flush(struct hub_link *link)
{
    while (link->first != NULL && !link->down && !link->mute) {
        struct packet *p = link->first;
        int rc = send_packet(link, p->data, p->n);
        if (rc == -EAGAIN) {
            break;
        }
        if (rc < 0) {
            link->mute = true;
            break;
        }
        link->first = p->next;
        if (link->first == NULL) {
            link->last = &link->first;
        }
        link->queued -= p->n;
        free(p);
    }
    if (link->watch != NULL) {
        ssh_loop_interest(link->watch, link->first != NULL && !link->mute ? POLLIN | POLLOUT : POLLIN);
    }
}

static void on_ready(void *arg, short ready)
{
    struct hub_link *link = arg;
    if ((ready & POLLOUT) != 0) {
        flush(link);
    }
    for (int i = 0; i < PACKETS_A_TURN && !link->down && (ready & ~POLLOUT) != 0; i++) {
        cJSON *message = NULL;
        int fd = -1;
        int rc = receive(link, &message, &fd);
        if (rc == -EAGAIN) {
            return;
        }
        if (rc < 0) {
            fail(link,
                 rc == -EPIPE ? "the hub has closed its connection" : "the hub sent what is not a message");
            return;
        }
        link->message(link->arg, link, message, fd);
        cJSON_Delete(message);
    }
}

int hub_link_watch(struct hub_link *link, struct ssh_loop *loop, hub_link_message_fn message, void *arg)
{
    link->loop = loop;
    link->message = message;
    link->arg = arg;
    return ssh_loop_watch(loop, link->fd, POLLIN, on_ready, link, &link->watch);
}

static int enqueue(struct hub_link *link, const void *data, size_t n)
{
    struct packet *p;
    if (link->queued + n > QUEUE_MAX) {
        fail(link, "the hub does not read");
        return -ENOBUFS;
    }
    p = malloc(sizeof *p + n);
    if (p == NULL) {
        fail(link, "out of memory");
        return -ENOMEM;
    }
    p->next = NULL;
    p->n = n;
    memcpy(p->data, data, n);
    *link->last = p;
    link->last = &p->next;
    link->queued += n;
    if (link->watch != NULL) {
        ssh_loop_interest(link->watch, POLLIN | POLLOUT);
    }
    return 0;
}

int hub_link_send(struct hub_link *link, cJSON *message)
{
    struct buf text;
    int rc;
    buf_init(&text, HUB_LINK_PACKET_MAX);
    rc = json_take(message, &text);
    if (rc == 0 && (link->down || link->mute)) {
        rc = -EPIPE;
    }
    if (rc == 0) {
        rc = link->first == NULL ? send_packet(link, buf_data(&text), buf_len(&text)) : -EAGAIN;
        if (rc == -EAGAIN) {
            rc = enqueue(link, buf_data(&text), buf_len(&text));
        } else if (rc < 0) {
            link->mute = true;
        }
    }
    buf_release(&text);
    return rc;
}

bool hub_link_up(const struct hub_link *link)
{
    return !link->down && !link->mute;
}

bool hub_link_over(const struct hub_link *link)
{
    return link->down;
}

const char *hub_link_why(const struct hub_link *link)
{
    return link->why;
}

void hub_link_drop(struct hub_link *link, const char *why)
{
    fail(link, why);
}

bool hub_link_idle(const struct hub_link *link)
{
    return !hub_link_up(link) || link->first == NULL;
}
