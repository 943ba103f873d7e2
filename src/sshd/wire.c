/* Packets between speaker and monitor: written, read, sent with descriptors, queued while the other side does
 * not read. Knows the form of a message and not what it means. */
#include "sshd/wire.h"

#include "base/crypto.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD 8u
#define QUEUE_MAX (4u << 20)
#define SOCKET_BUFFER (1u << 20)
#define PACKETS_A_TURN 32

/* --- writing --- */

void wire_begin(struct buf *out, enum wire_type type, uint32_t id)
{
    const uint32_t value = (uint32_t)type;
    const uint8_t head[HEAD] = {
        (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value,
        (uint8_t)(id >> 24),    (uint8_t)(id >> 16),    (uint8_t)(id >> 8),    (uint8_t)id};
    buf_init(out, WIRE_MAX);
    (void)buf_append(out, head, sizeof head);
}

/* A message that lost a field is emptied, stays empty, and is not sent. */
static void put(struct buf *out, const void *data, size_t n)
{
    if (buf_len(out) < HEAD || buf_append(out, data, n) < 0) {
        buf_wipe(out);
    }
}

void wire_put_number(struct buf *out, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                              (uint8_t)value};
    put(out, bytes, sizeof bytes);
}

void wire_put_text(struct buf *out, const char *text)
{
    size_t n = strnlen(text, WIRE_MAX + 1u);
    wire_put_number(out, (uint32_t)n);
    if (n > 0) {
        put(out, text, n);
    }
}

/* --- reading --- */

void wire_open(struct wire_in *in, const void *data, size_t n)
{
    *in = (struct wire_in){.at = data, .left = n};
    in->type = wire_number(in);
    in->id = wire_number(in);
}

static void spoil(struct wire_in *in)
{
    in->bad = true;
    in->left = 0;
}

uint32_t wire_number(struct wire_in *in)
{
    uint32_t value;
    if (in->bad || in->left < 4) {
        spoil(in);
        return 0;
    }
    value =
        ((uint32_t)in->at[0] << 24) | ((uint32_t)in->at[1] << 16) | ((uint32_t)in->at[2] << 8) | in->at[3];
    in->at += 4;
    in->left -= 4;
    return value;
}

char *wire_text(struct wire_in *in, size_t max)
{
    uint32_t n = wire_number(in);
    char *text;
    if (in->bad || n > in->left || n > max || memchr(in->at, 0, n) != NULL ||
        (text = malloc(n + 1u)) == NULL) {
        spoil(in);
        return NULL;
    }
    memcpy(text, in->at, n);
    text[n] = '\0';
    in->at += n;
    in->left -= n;
    return text;
}

bool wire_done(const struct wire_in *in)
{
    return !in->bad && in->left == 0;
}

/* --- the socket --- */

struct packet {
    struct packet *next;
    int fds[WIRE_FDS];
    size_t fd_n, n;
    uint8_t data[];
};

struct wire {
    int fd;
    struct ssh_loop *loop;
    struct ssh_loop_watch *watch;
    wire_message_fn *message;
    wire_lost_fn *lost;
    void *arg;
    struct packet *first, **last;
    size_t queued;
    const char *why; /* it is down; NULL: it is not */
    bool told, calling, freed;
    uint8_t in[WIRE_MAX];
};

union control {
    struct cmsghdr align;
    char data[CMSG_SPACE(WIRE_FDS * sizeof(int))];
};

int wire_pair(int ret_fds[2])
{
    const int size = SOCKET_BUFFER;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(ret_fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    return 0;
}

static void packet_free(struct packet *p)
{
    for (size_t i = 0; i < p->fd_n; i++) {
        close(p->fds[i]);
    }
    crypto_wipe(p->data, p->n);
    free(p);
}

static void release(struct wire *wire)
{
    while (wire->first != NULL) {
        struct packet *p = wire->first;
        wire->first = p->next;
        packet_free(p);
    }
    close(wire->fd);
    crypto_wipe(wire->in, sizeof wire->in);
    free(wire);
}

void wire_free(struct wire *wire)
{
    if (wire == NULL) {
        return;
    }
    ssh_loop_unwatch(wire->watch);
    wire->watch = NULL;
    ssh_loop_unhook(wire->loop, wire);
    wire->freed = true;
    if (!wire->calling) {
        release(wire);
    }
}

/* The owner is told at the end of the turn, for it may be in the middle of a call to us. */
static void fail(struct wire *wire, const char *why)
{
    if (wire->why != NULL) {
        return;
    }
    wire->why = why;
    ssh_loop_unwatch(wire->watch);
    wire->watch = NULL;
    (void)shutdown(wire->fd, SHUT_RDWR);
    ssh_loop_again(wire->loop);
}

static void on_turn(void *arg)
{
    struct wire *wire = arg;
    if (wire->why == NULL || wire->told) {
        return;
    }
    wire->told = true;
    wire->calling = true;
    wire->lost(wire->arg, wire->why);
    wire->calling = false;
    if (wire->freed) {
        release(wire);
    }
}

/* Every descriptor that came, also those of a message that is thrown away. */
static size_t take_fds(struct msghdr *header, int fds[WIRE_FDS])
{
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        size_t count;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int got;
            memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
            if (n < WIRE_FDS) {
                fds[n++] = got;
            } else {
                close(got);
            }
        }
    }
    return n;
}

/* One packet, of *ret_n bytes in wire->in. Returns 0, -EAGAIN, -EPIPE or -EPROTO (too long); descriptors are
 * handed over in every case. */
static int receive(struct wire *wire, size_t *ret_n, int fds[WIRE_FDS], size_t *ret_fd_n, bool *ret_lost)
{
    union control control;
    struct iovec iov = {.iov_base = wire->in, .iov_len = sizeof wire->in};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = sizeof control.data};
    ssize_t n = recvmsg(wire->fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
    }
    *ret_fd_n = take_fds(&header, fds);
    *ret_n = (size_t)n;
    if (n == 0) {
        return -EPIPE;
    }
    *ret_lost = (header.msg_flags & MSG_CTRUNC) != 0;
    return (header.msg_flags & MSG_TRUNC) != 0 ? -EPROTO : 0;
}

/* Returns whether there may be more. */
static bool take_packet(struct wire *wire)
{
    struct wire_in in;
    int fds[WIRE_FDS];
    size_t fd_n = 0;
    size_t n = 0;
    bool lost = false;
    int rc = receive(wire, &n, fds, &fd_n, &lost);
    if (rc == 0) {
        wire_open(&in, wire->in, n);
        in.fds_lost = lost;
        if (!in.bad) {
            wire->message(wire->arg, &in, fds, fd_n);
        }
        crypto_wipe(wire->in, n);
    }
    for (size_t i = 0; i < fd_n; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    if (rc == -EPIPE) {
        fail(wire, "the other process has ended");
    } else if (rc == -EPROTO) {
        fail(wire, "a message came that is too long");
    } else if (rc == 0 && in.bad) {
        fail(wire, "the other process sent what is not a message");
    }
    return rc == 0 && !wire->freed && wire->why == NULL;
}

/* Returns 0, -EAGAIN or another negative errno value. */
static int send_packet(struct wire *wire, const void *data, size_t n, const int *fds, size_t fd_n)
{
    union control control;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_n > 0) {
        struct cmsghdr *c;
        memset(&control, 0, sizeof control);
        header.msg_control = control.data;
        header.msg_controllen = CMSG_SPACE(fd_n * sizeof(int));
        c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_n * sizeof(int));
    }
    if (sendmsg(wire->fd, &header, MSG_NOSIGNAL | MSG_EOR | MSG_DONTWAIT) >= 0) {
        return 0;
    }
    /* ETOOMANYREFS: descriptors on the way; they become fewer as the other side reads. */
    return errno == EINTR || errno == ENOBUFS || errno == ETOOMANYREFS ? -EAGAIN : -errno;
}

static void flush(struct wire *wire)
{
    while (wire->first != NULL && wire->why == NULL) {
        struct packet *p = wire->first;
        int rc = send_packet(wire, p->data, p->n, p->fds, p->fd_n);
        if (rc == -EAGAIN) {
            break;
        }
        if (rc < 0) {
            fail(wire, "the other process cannot be written to");
            return;
        }
        wire->first = p->next;
        if (wire->first == NULL) {
            wire->last = &wire->first;
        }
        wire->queued -= p->n;
        packet_free(p);
    }
    if (wire->watch != NULL) {
        ssh_loop_interest(wire->watch, wire->first != NULL ? POLLIN | POLLOUT : POLLIN);
    }
}

static void on_ready(void *arg, short ready)
{
    struct wire *wire = arg;
    bool more = (ready & ~POLLOUT) != 0;
    if ((ready & POLLOUT) != 0) {
        flush(wire);
    }
    wire->calling = true;
    for (int i = 0; i < PACKETS_A_TURN && more && wire->why == NULL; i++) {
        more = take_packet(wire);
    }
    wire->calling = false;
    if (wire->freed) {
        release(wire);
    }
}

int wire_new(struct ssh_loop *loop, int fd, wire_message_fn *message, wire_lost_fn *lost, void *arg,
             struct wire **ret_wire)
{
    struct wire *wire = calloc(1, sizeof *wire);
    int rc = wire == NULL ? -ENOMEM : 0;
    if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        free(wire);
        close(fd);
        return rc;
    }
    wire->fd = fd;
    wire->loop = loop;
    wire->message = message;
    wire->lost = lost;
    wire->arg = arg;
    wire->last = &wire->first;
    rc = ssh_loop_watch(loop, fd, POLLIN, on_ready, wire, &wire->watch);
    if (rc == 0) {
        rc = ssh_loop_hook(loop, on_turn, wire);
    }
    if (rc < 0) {
        wire_free(wire);
        return rc;
    }
    *ret_wire = wire;
    return 0;
}

static int enqueue(struct wire *wire, const struct buf *out, const int *fds, size_t fd_n)
{
    size_t n = buf_len(out);
    struct packet *p;
    if (wire->queued + n > QUEUE_MAX) {
        fail(wire, "the other process does not read");
        return -ENOBUFS;
    }
    p = calloc(1, sizeof *p + n);
    if (p == NULL) {
        fail(wire, "out of memory");
        return -ENOMEM;
    }
    p->n = n;
    memcpy(p->data, buf_data(out), n);
    for (; p->fd_n < fd_n; p->fd_n++) {
        p->fds[p->fd_n] = fcntl(fds[p->fd_n], F_DUPFD_CLOEXEC, 3);
        if (p->fds[p->fd_n] < 0) {
            int rc = -errno;
            packet_free(p);
            fail(wire, "out of descriptors");
            return rc;
        }
    }
    *wire->last = p;
    wire->last = &p->next;
    wire->queued += n;
    if (wire->watch != NULL) {
        ssh_loop_interest(wire->watch, POLLIN | POLLOUT);
    }
    return 0;
}

int wire_send(struct wire *wire, struct buf *out, const int *fds, size_t fd_n)
{
    int rc = buf_len(out) < HEAD ? -EMSGSIZE : fd_n > WIRE_FDS ? -EINVAL : 0;
    if (rc == 0 && wire->why != NULL) {
        rc = -EPIPE;
    }
    if (rc == 0) {
        rc = wire->first == NULL ? send_packet(wire, buf_data(out), buf_len(out), fds, fd_n) : -EAGAIN;
        if (rc == -EAGAIN) {
            rc = enqueue(wire, out, fds, fd_n);
        } else if (rc < 0) {
            fail(wire, "the other process cannot be written to");
        }
    }
    buf_wipe(out);
    return rc;
}

bool wire_idle(const struct wire *wire)
{
    return wire->why != NULL || wire->first == NULL;
}
