/* The bulk path: channel ↔ stream ↔ connections.
 *
 * Connections are always read, so that the stream's PINGs pass when the user's side is stuck; the stream
 * bounds what it keeps. The channel is read by its data hook as far as the stream has room, and the rest
 * stays within the SSH window.
 *
 * libssh opens that window again with every read, however much it still holds; a machine slower than its user would
 * make it hold ever more. So once a read is begun, all that libssh holds is taken: what the stream has no
 * room for goes to the spill, and nothing is read while there is a spill. */
#include "front/splice.h"

#include "base/buf.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_SIZE (64u << 10)
#define TURN_BUDGET (256u << 10) /* bytes moved in one direction in one turn */
#define SPILL_MAX (4u << 20)     /* more than libssh holds at once */
#define PIECES 18
#define HANG_UP_MS 10000 /* for what the user sent last to be delivered */
#define OVER_MS 5000     /* for the last frames, and what the user has not read yet */
#define CLOSE_MS 2000    /* for the peer to close a connection that has been shut down */

struct line { /* one connection of the stream */
    struct splice *splice;
    struct ssh_loop_watch *watch; /* NULL: free */
    int fd;
    int index; /* the stream's; -1 once detached: waiting for the peer to close */
    uint64_t close_at;
};

struct splice {
    struct ssh_loop *loop;
    struct stream *stream;
    struct ssh_chan *chan; /* NULL: not yet, or closed */
    struct line lines[STREAM_CONNS * 2];
    struct buf spill; /* read from the channel, and not in the stream yet */
    bool joined, hung_up, eof_told;
    uint64_t hang_up_at; /* when an unfinished stream is reset */
    uint64_t over_at;    /* when everything that is left is dropped */
};

static unsigned char scratch[READ_SIZE];

/* --- connections --- */

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
    uint64_t now = ssh_loop_now(line->splice->loop);
    if (line->index >= 0) {
        stream_detach(line->splice->stream, line->index, now);
        line->index = -1;
    }
    (void)shutdown(line->fd, SHUT_WR);
    ssh_loop_interest(line->watch, POLLIN);
    line->close_at = now + CLOSE_MS;
}

static void line_lost(struct line *line)
{
    if (line->index >= 0) {
        stream_detach(line->splice->stream, line->index, ssh_loop_now(line->splice->loop));
        line->index = -1;
    }
    line_close(line);
}

static void line_read(struct line *line)
{
    size_t budget = TURN_BUDGET;
    uint64_t now = ssh_loop_now(line->splice->loop);
    while (budget >= sizeof scratch) {
        ssize_t n = recv(line->fd, scratch, sizeof scratch, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            line_lost(line);
            return;
        }
        if (line->index >= 0 &&
            stream_input(line->splice->stream, line->index, scratch, (size_t)n, now) < 0) {
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
    struct stream *stream = line->splice->stream;
    uint64_t now = ssh_loop_now(line->splice->loop);
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

static bool lines_turn(struct splice *s)
{
    uint64_t now = ssh_loop_now(s->loop);
    bool left = false;
    for (size_t i = 0; i < sizeof s->lines / sizeof s->lines[0]; i++) {
        struct line *line = &s->lines[i];
        if (line->watch != NULL && line->index >= 0) {
            line_write(line);
        }
        if (line->watch != NULL && line->index < 0 && now >= line->close_at) {
            line_close(line);
        }
        left = left || line->watch != NULL;
    }
    return left;
}

int splice_connect(struct splice *splice, uint32_t epoch, int fd)
{
    struct line *line = NULL;
    int on = 1;
    int rc;
    for (size_t i = 0; i < sizeof splice->lines / sizeof splice->lines[0] && line == NULL; i++) {
        if (splice->lines[i].watch == NULL) {
            line = &splice->lines[i];
        }
    }
    rc = line == NULL ? -EBUSY : ssh_loop_watch(splice->loop, fd, POLLIN, on_ready, line, &line->watch);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    line->splice = splice;
    line->fd = fd;
    line->close_at = SSH_LOOP_NEVER;
    line->index = stream_attach(splice->stream, epoch, ssh_loop_now(splice->loop));
    if (line->index < 0) {
        rc = line->index;
        line_close(line);
        return rc;
    }
    ssh_loop_again(splice->loop);
    return 0;
}

/* --- the channel --- */

/* Called by the SSH session as data is unpacked. */
static size_t on_data(void *arg, const void *data, size_t n)
{
    struct splice *s = arg;
    size_t room = buf_len(&s->spill) > 0 ? 0 : stream_source_room(s->stream);
    n = n < room ? n : room;
    return n > 0 && stream_source_push(s->stream, data, n) == 0 ? n : 0;
}

void splice_join(struct splice *splice, struct ssh_chan *chan)
{
    splice->chan = chan;
    splice->joined = true;
    ssh_chan_own(chan, splice, on_data);
}

void splice_hang_up(struct splice *splice)
{
    if (splice->hung_up) {
        return;
    }
    splice->hung_up = true;
    splice->hang_up_at = ssh_loop_now(splice->loop) + HANG_UP_MS;
    ssh_chan_close(splice->chan);
    splice->chan = NULL;
    ssh_loop_again(splice->loop);
}

static void from_spill(struct splice *s)
{
    size_t n;
    while ((n = buf_len(&s->spill)) > 0) {
        size_t room = stream_source_room(s->stream);
        n = n < room ? n : room;
        if (n == 0 || stream_source_push(s->stream, buf_data(&s->spill), n) < 0) {
            break;
        }
        buf_consume(&s->spill, n);
    }
}

/* What the data hook left behind when the stream was full. */
static void from_channel(struct splice *s)
{
    bool begun = buf_len(&s->spill) == 0 && stream_source_room(s->stream) > 0;
    while (begun && ssh_chan_unread(s->chan)) {
        uint8_t *at;
        size_t n;
        if (buf_len(&s->spill) == 0 && stream_source_reserve(s->stream, READ_SIZE, &at, &n) == 0) {
            n = ssh_chan_read(s->chan, at, n);
            stream_source_commit(s->stream, n);
        } else if (buf_reserve(&s->spill, READ_SIZE, &at) == 0) {
            n = ssh_chan_read(s->chan, at, READ_SIZE);
            buf_commit(&s->spill, n);
        } else {
            break;
        }
        if (n == 0) {
            break;
        }
    }
}

static void from_user(struct splice *s)
{
    from_spill(s);
    if (s->chan != NULL) {
        from_channel(s);
        if (ssh_chan_closed(s->chan) && !ssh_chan_unread(s->chan)) {
            splice_hang_up(s);
        }
    }
    if (buf_len(&s->spill) == 0 && (s->hung_up || (s->chan != NULL && ssh_chan_eof(s->chan)))) {
        stream_source_eof(s->stream);
    }
}

static void to_channel(struct splice *s)
{
    size_t budget = TURN_BUDGET;
    const uint8_t *at;
    size_t n;
    while ((n = stream_sink_peek(s->stream, &at)) > 0) {
        long wrote = s->chan == NULL ? (long)n : ssh_chan_write(s->chan, at, n, false);
        if (wrote == 0) {
            break;
        }
        if (wrote < 0) {
            splice_hang_up(s);
            continue;
        }
        stream_sink_consumed(s->stream, (size_t)wrote);
        if ((size_t)wrote >= budget) {
            ssh_loop_again(s->loop);
            break;
        }
        budget -= (size_t)wrote;
    }
    if (stream_sink_eof(s->stream) && !s->eof_told) {
        s->eof_told = true;
        if (s->chan != NULL) {
            ssh_chan_end(s->chan);
        }
        stream_sink_eof_delivered(s->stream);
    }
}

/* --- the whole --- */

int splice_new(struct ssh_loop *loop, const struct stream_config *config, struct splice **ret_splice)
{
    struct splice *s = calloc(1, sizeof *s);
    int rc;
    if (s == NULL) {
        return -ENOMEM;
    }
    s->loop = loop;
    s->hang_up_at = s->over_at = SSH_LOOP_NEVER;
    buf_init(&s->spill, SPILL_MAX);
    rc = stream_new(config, ssh_loop_now(loop), &s->stream);
    if (rc < 0) {
        free(s);
        return rc;
    }
    *ret_splice = s;
    return 0;
}

void splice_free(struct splice *splice)
{
    if (splice == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof splice->lines / sizeof splice->lines[0]; i++) {
        if (splice->lines[i].watch != NULL) {
            line_close(&splice->lines[i]);
        }
    }
    ssh_chan_close(splice->chan);
    buf_wipe(&splice->spill);
    stream_free(splice->stream);
    free(splice);
}

bool splice_turn(struct splice *splice)
{
    uint64_t now = ssh_loop_now(splice->loop);
    const uint8_t *at;
    bool left;
    if (now >= stream_next_tick(splice->stream)) {
        stream_tick(splice->stream, now);
    }
    from_user(splice);
    if (splice->joined) {
        to_channel(splice);
    }
    if (splice->hung_up && now >= splice->hang_up_at) {
        stream_reset(splice->stream, STREAM_CODE_LOCAL, "the user has gone");
    }
    left = lines_turn(splice);
    if (stream_state(splice->stream) == STREAM_OPEN) {
        return true;
    }
    if (splice->over_at == SSH_LOOP_NEVER) {
        splice->over_at = now + OVER_MS;
    }
    if (splice->chan != NULL && (stream_sink_peek(splice->stream, &at) == 0 || now >= splice->over_at)) {
        ssh_chan_close(splice->chan);
        splice->chan = NULL;
    }
    return (left || splice->chan != NULL) && now < splice->over_at;
}

uint64_t splice_next_turn(const struct splice *splice)
{
    uint64_t at = stream_next_tick(splice->stream);
    at = splice->hung_up && stream_state(splice->stream) == STREAM_OPEN && splice->hang_up_at < at
             ? splice->hang_up_at
             : at;
    at = splice->over_at < at ? splice->over_at : at;
    for (size_t i = 0; i < sizeof splice->lines / sizeof splice->lines[0]; i++) {
        const struct line *line = &splice->lines[i];
        if (line->watch != NULL && line->index < 0 && line->close_at < at) {
            at = line->close_at;
        }
    }
    return at;
}

void splice_reset(struct splice *splice, enum stream_code code, const char *text)
{
    stream_reset(splice->stream, (uint16_t)code, text);
    ssh_loop_again(splice->loop);
}

const char *splice_reason(const struct splice *splice)
{
    return stream_reason(splice->stream);
}

void splice_stats(const struct splice *splice, struct stream_stats *ret_stats)
{
    stream_get_stats(splice->stream, ret_stats);
}
