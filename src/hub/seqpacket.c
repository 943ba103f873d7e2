/* Owns the socket, its poll handle and a queue bounded in bytes. Must not call back inside seqpacket_send or
 * seqpacket_free. */
#include "hub/seqpacket.h"
#include "base/json.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_A_TURN 16
#define DESCRIPTORS_MAX 8 /* room for what a rude peer may send, so that it can be closed */

struct packet {
    struct packet *next;
    int fd;
    size_t n;
    char data[];
};

struct seqpacket {
    uv_poll_t poll;
    int fd;
    bool dead, broken;
    bool mute; /* the peer hears nothing any more; what it said before it went is still read */
    const char *broken_why;
    const struct seqpacket_calls *calls;
    void *arg;
    struct packet *first, **last;
    size_t queued, queue_max;
};

static void poll_cb(uv_poll_t *h, int status, int events);

static int poll_start(struct seqpacket *s)
{
    return uv_poll_start(&s->poll, UV_READABLE | (s->first != NULL ? UV_WRITABLE : 0), poll_cb);
}

int seqpacket_new(uv_loop_t *loop, int fd, size_t queue_max, const struct seqpacket_calls *calls, void *arg,
                  struct seqpacket **ret_s)
{
    struct seqpacket *s = calloc(1, sizeof *s);
    int rc = 0;

    if (s == NULL)
        return -ENOMEM;
    s->fd = fd;
    s->calls = calls;
    s->arg = arg;
    s->last = &s->first;
    s->queue_max = queue_max;
    rc = uv_poll_init(loop, &s->poll, fd);
    if (rc < 0) {
        free(s);
        return rc;
    }
    s->poll.data = s;
    rc = poll_start(s);
    if (rc < 0) {
        s->fd = -1;
        seqpacket_free(s);
        return rc;
    }
    *ret_s = s;
    return 0;
}

static void packet_free(struct packet *p)
{
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}

static void closed_cb(uv_handle_t *h)
{
    free(h->data);
}

static void queue_drop(struct seqpacket *s)
{
    while (s->first != NULL) {
        struct packet *p = s->first;

        s->first = p->next;
        packet_free(p);
    }
    s->last = &s->first;
    s->queued = 0;
}

void seqpacket_free(struct seqpacket *s)
{
    if (s == NULL || s->dead)
        return;
    s->dead = true;
    queue_drop(s);
    uv_close((uv_handle_t *)&s->poll, closed_cb);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* The reason is told in a later turn: a socket that is shut down wakes its poll. */
static void break_off(struct seqpacket *s, const char *why)
{
    if (s->broken)
        return;
    s->broken = true;
    s->broken_why = why;
    (void)shutdown(s->fd, SHUT_RDWR);
}

/* A send failed. One that failed because the peer has gone leaves what it said last to be read, up to its end. */
static void send_failed(struct seqpacket *s, int rc)
{
    if (rc != -EPIPE && rc != -ECONNRESET)
        break_off(s, "its socket failed");
    s->mute = true;
    queue_drop(s);
}

/* Returns 0 (sent), -EAGAIN or another negative code. */
static int packet_write(struct seqpacket *s, const void *data, size_t n, int fd)
{
    struct iovec iov = {(void *)data, n};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t k = 0;

    if (fd >= 0) {
        struct cmsghdr *c = NULL;

        memset(&control, 0, sizeof control);
        m.msg_control = control.room;
        m.msg_controllen = sizeof control.room;
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    do
        k = sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (k < 0 && errno == EINTR);
    if (k >= 0)
        return 0;
    /* ETOOMANYREFS: too many descriptors are under way; the peer will take some out. */
    if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
        return -EAGAIN;
    return -errno;
}

static int queue_add(struct seqpacket *s, const void *data, size_t n, int fd)
{
    struct packet *p = NULL;

    if (s->queued + n > s->queue_max) {
        break_off(s, "it does not read its messages");
        return -ENOBUFS;
    }
    p = malloc(sizeof *p + n);
    if (p == NULL)
        return -ENOMEM;
    p->next = NULL;
    p->fd = fd;
    p->n = n;
    memcpy(p->data, data, n);
    *s->last = p;
    s->last = &p->next;
    s->queued += n;
    return poll_start(s);
}

int seqpacket_send(struct seqpacket *s, cJSON *message, int fd)
{
    struct buf text;
    int rc = 0;

    buf_init(&text, SEQPACKET_MESSAGE_MAX);
    rc = json_take(message, &text);
    if (rc < 0) {
        rc = rc == -ENOBUFS ? -EMSGSIZE : rc;
        goto out;
    }
    if (s->dead || s->broken || s->mute) {
        rc = -EPIPE;
        goto out;
    }
    rc = s->first != NULL ? -EAGAIN : packet_write(s, buf_data(&text), buf_len(&text), fd);
    if (rc == -EAGAIN) {
        rc = queue_add(s, buf_data(&text), buf_len(&text), fd);
        if (rc == 0)
            fd = -1;
    } else if (rc < 0) {
        send_failed(s, rc);
        rc = -EPIPE;
    }
out:
    buf_wipe(&text);
    if (fd >= 0)
        close(fd);
    return rc;
}

size_t seqpacket_queued(const struct seqpacket *s)
{
    return s->queued;
}

static void flush(struct seqpacket *s)
{
    while (s->first != NULL) {
        struct packet *p = s->first;
        int rc = packet_write(s, p->data, p->n, p->fd);

        if (rc == -EAGAIN)
            return;
        if (rc < 0) {
            send_failed(s, rc);
            break;
        }
        s->first = p->next;
        if (s->first == NULL)
            s->last = &s->first;
        s->queued -= p->n;
        packet_free(p);
    }
    (void)poll_start(s);
}

static void close_descriptors(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        size_t n = 0;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd = -1;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            close(fd);
        }
    }
}

/* Reads one packet. Returns its length (0: the end), -EAGAIN, -EMSGSIZE or another negative code. */
static ssize_t packet_read(struct seqpacket *s, char *data, size_t size)
{
    struct iovec iov = {data, size};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    bool reset = false;
    ssize_t k = 0;

    do {
        /* ECONNRESET is said once, when the peer went with something of ours unread; its last messages are behind it. */
        reset = reset || (k < 0 && errno == ECONNRESET);
        k = recvmsg(s->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (k < 0 && (errno == EINTR || (errno == ECONNRESET && !reset)));
    if (k < 0)
        return -errno;
    close_descriptors(&m);
    return (m.msg_flags & MSG_TRUNC) != 0 ? -EMSGSIZE : k;
}

/* One packet, taken to its receiver. Returns false when there is no more to read in this turn, or no more
 * channel. */
static bool take_one(struct seqpacket *s)
{
    static char data[SEQPACKET_MESSAGE_MAX]; /* one loop, one reader at a time */
    const char *why = NULL;
    cJSON *message = NULL;
    ssize_t k = packet_read(s, data, sizeof data);

    if (k == -EAGAIN)
        return false;
    if (s->broken)
        why = s->broken_why;
    else if (k == 0)
        why = "it closed the connection";
    else if (k == -EMSGSIZE)
        why = "it sent a message that is too long";
    else if (k < 0)
        why = "its socket failed";
    else if (json_parse(data, (size_t)k, sizeof data, &message) < 0)
        why = "it sent something that is not a message";
    if (why != NULL) {
        (void)uv_poll_stop(&s->poll);
        s->broken = true;
        s->calls->ended(s->arg, why);
        return false;
    }
    s->calls->message(s->arg, message);
    cJSON_Delete(message);
    return !s->dead;
}

static void poll_cb(uv_poll_t *h, int status, int events)
{
    struct seqpacket *s = h->data;

    bool over = status < 0; /* libuv has stopped the handle: an error is pending on the socket */

    if ((events & UV_WRITABLE) != 0 && !s->broken)
        flush(s);
    if (!over && (events & UV_READABLE) == 0)
        return;
    for (int i = 0; over || i < READS_A_TURN; i++) {
        if (!take_one(s))
            break;
    }
    if (over && !s->dead && !s->broken) { /* nobody will wake us again */
        s->broken = true;
        s->calls->ended(s->arg, "its socket failed");
    }
}
