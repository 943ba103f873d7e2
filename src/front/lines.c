/* Connections of a stream. They are always read, so that the stream's PINGs pass when the user's side is stuck;
 * the stream bounds what it keeps. */
#include "front/lines.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_SIZE (64u << 10)
#define TURN_BUDGET (256u << 10) /* bytes read from one connection in one turn */
#define PIECES 18
#define CLOSE_MS 2000 /* for the peer to close a connection that has been shut down */

static unsigned char scratch[READ_SIZE];

void lines_init(struct lines *lines, struct ssh_loop *loop, struct stream *stream)
{
    *lines = (struct lines){.loop = loop, .stream = stream};
}

static void line_close(struct line *line)
{
    ssh_loop_unwatch(line->watch);
    line->watch = NULL;
    close(line->fd);
}

/* No more bytes from us. The peer is given time to read the last ones and to close: closing with unread input
 * would reset the connection and destroy them. */
static void line_finish(struct line *line)
{
    uint64_t now = ssh_loop_now(line->lines->loop);
    if (line->index >= 0) {
        stream_detach(line->lines->stream, line->index, now);
        line->index = -1;
    }
    (void)shutdown(line->fd, SHUT_WR);
    ssh_loop_interest(line->watch, POLLIN);
    line->close_at = now + CLOSE_MS;
}

static void line_lost(struct line *line)
{
    if (line->index >= 0) {
        stream_detach(line->lines->stream, line->index, ssh_loop_now(line->lines->loop));
        line->index = -1;
    }
    line_close(line);
}

static void line_read(struct line *line)
{
    size_t budget = TURN_BUDGET;
    uint64_t now = ssh_loop_now(line->lines->loop);
    while (budget >= sizeof scratch) {
        ssize_t n = recv(line->fd, scratch, sizeof scratch, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            line_lost(line);
            return;
        }
        if (line->tcp) {
            pace_read(&line->pace, line->fd, (size_t)n, (size_t)n == sizeof scratch, now);
        }
        if (line->index >= 0 && stream_input(line->lines->stream, line->index, scratch, (size_t)n, now) < 0) {
            line->index = -1;
            line_close(line);
            return;
        }
        if ((size_t)n < sizeof scratch) {
            return;
        }
        budget -= (size_t)n;
    }
}

static void on_ready(void *arg, short ready)
{
    struct line *line = arg;
    if ((ready & ~POLLOUT) != 0) {
        line_read(line);
    }
}

/* Sends what the stream has for this connection. */
static void line_write(struct line *line)
{
    struct stream *stream = line->lines->stream;
    uint64_t now = ssh_loop_now(line->lines->loop);
    short events = POLLIN;
    for (;;) {
        struct stream_iov pieces[PIECES];
        struct iovec iov[PIECES];
        struct msghdr header = {.msg_iov = iov};
        ssize_t n;
        size_t all = 0;
        size_t count = stream_output(stream, line->index, pieces, PIECES, now);
        if (count == 0) {
            break;
        }
        for (size_t i = 0; i < count; i++) {
            iov[i] = (struct iovec){.iov_base = (void *)(uintptr_t)pieces[i].data, .iov_len = pieces[i].n};
            all += pieces[i].n;
        }
        header.msg_iovlen = count;
        n = sendmsg(line->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
        stream_sent(stream, line->index, n > 0 ? (size_t)n : 0, now);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            line_lost(line);
            return;
        }
        if (n < (ssize_t)all) {
            events |= POLLOUT;
            break;
        }
    }
    ssh_loop_interest(line->watch, events);
    if (stream_wants_close(stream, line->index)) {
        line_finish(line);
    }
}

void lines_turn(struct lines *lines)
{
    uint64_t now = ssh_loop_now(lines->loop);
    for (size_t i = 0; i < sizeof lines->line / sizeof lines->line[0]; i++) {
        struct line *line = &lines->line[i];
        if (line->watch != NULL) {
            pace_tick(&line->pace, line->fd, now);
        }
        if (line->watch != NULL && line->index >= 0) {
            line_write(line);
        }
        if (line->watch != NULL && line->index < 0 && now >= line->close_at) {
            line_close(line);
        }
    }
}

int lines_connect(struct lines *lines, uint32_t epoch, int fd)
{
    struct line *line = NULL;
    int on = 1;
    int rc;
    for (size_t i = 0; i < sizeof lines->line / sizeof lines->line[0] && line == NULL; i++) {
        if (lines->line[i].watch == NULL) {
            line = &lines->line[i];
        }
    }
    rc = line == NULL ? -EBUSY : ssh_loop_watch(lines->loop, fd, POLLIN, on_ready, line, &line->watch);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    line->tcp = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
    line->lines = lines;
    line->fd = fd;
    line->close_at = SSH_LOOP_NEVER;
    line->pace = (struct pace){0};
    line->index = stream_attach(lines->stream, epoch, ssh_loop_now(lines->loop));
    if (line->index < 0) {
        rc = line->index;
        line_close(line);
        return rc;
    }
    /* The peer's first words came before the hub passed the connection on: they are answered together with our own. */
    line_read(line);
    ssh_loop_again(lines->loop);
    return 0;
}

bool lines_any(const struct lines *lines)
{
    for (size_t i = 0; i < sizeof lines->line / sizeof lines->line[0]; i++) {
        if (lines->line[i].watch != NULL) {
            return true;
        }
    }
    return false;
}

uint64_t lines_next_turn(const struct lines *lines)
{
    uint64_t at = SSH_LOOP_NEVER;
    for (size_t i = 0; i < sizeof lines->line / sizeof lines->line[0]; i++) {
        const struct line *line = &lines->line[i];
        if (line->watch != NULL && line->index < 0 && line->close_at < at) {
            at = line->close_at;
        }
        if (line->watch != NULL && pace_due(&line->pace) < at) {
            at = pace_due(&line->pace);
        }
    }
    return at;
}

void lines_release(struct lines *lines)
{
    for (size_t i = 0; i < sizeof lines->line / sizeof lines->line[0]; i++) {
        if (lines->line[i].watch != NULL) {
            line_close(&lines->line[i]);
        }
    }
}
