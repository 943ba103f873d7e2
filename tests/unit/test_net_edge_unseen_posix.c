/* An edge whose owner has a TCP connection on its other side, and moves bulk data without looking at it: every byte arrives, in its
 * order, whatever is cut, full or slow. */
#include "net_side.h"

#include "base/pace.h"
#include "net/stash.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1u << 20)

/* What the process at the other end of the connection does. */
struct far {
    size_t writes; /* bytes at a time */
    int receive;   /* its SO_RCVBUF; 0: the system's */
};

/* The owner of edge b. */
struct owner {
    struct side s;
    uv_poll_t poll;
    int fd, send_size;
    pid_t far;
    bool full, was_far;
    uint64_t unseen_in, unseen_out;
};

static void far_read(int fd, uint64_t *got)
{
    static uint8_t data[100000];
    ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        _exit(3);
    for (ssize_t i = 0; i < n; i++)
        if (data[i] != pattern('a', *got + (uint64_t)i))
            _exit(4);
    *got += n > 0 ? (uint64_t)n : 0;
}

static void far_write(int fd, const struct far *far, uint64_t total, uint64_t *sent)
{
    static uint8_t data[1u << 18];
    size_t n = far->writes < total - *sent ? far->writes : (size_t)(total - *sent);
    for (size_t i = 0; i < n; i++)
        data[i] = pattern('b', *sent + i);
    ssize_t r = send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (r < 0 && errno != EAGAIN)
        _exit(5);
    *sent += r > 0 ? (uint64_t)r : 0;
}

/* Sends b's bytes, checks those of a. */
static void far_run(int fd, const struct far *far, uint64_t out, uint64_t in)
{
    uint64_t sent = 0, got = 0;
    alarm(2 * DEADLINE_MS / 1000);
    while (sent < out || got < in) {
        struct pollfd p = {.fd = fd, .events = (short)(POLLIN | (sent < out ? POLLOUT : 0))};
        if (poll(&p, 1, -1) < 0)
            _exit(2);
        if ((p.revents & POLLOUT) != 0)
            far_write(fd, far, out, &sent);
        if ((p.revents & ~POLLOUT) != 0)
            far_read(fd, &got);
    }
    _exit(0);
}

static void connect_far(struct owner *o, const struct far *far, uint64_t in)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    assert_int_equal(bind(listener, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    int other = socket(AF_INET, SOCK_STREAM, 0);
    if (far->receive != 0)
        assert_int_equal(setsockopt(other, SOL_SOCKET, SO_RCVBUF, &far->receive, sizeof far->receive), 0);
    assert_int_equal(connect(other, (struct sockaddr *)&at, size), 0);
    o->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(o->fd >= 0);
    if (o->send_size != 0)
        assert_int_equal(setsockopt(o->fd, SOL_SOCKET, SO_SNDBUF, &o->send_size, sizeof o->send_size), 0);
    assert_int_equal(setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    close(listener);
    o->far = fork();
    if (o->far == 0)
        far_run(other, far, o->s.total, in);
    assert_true(o->far > 0);
    close(other);
}

static void give(struct owner *o)
{
    struct stream *stream = edge_stream(o->s.e);
    const uint8_t *at;
    size_t n;
    long r = 0;
    CALL(r = edge_give(o->s.e, o->fd));
    assert_true(r >= 0);
    o->unseen_in += (uint64_t)r;
    o->s.got += (uint64_t)r;
    o->full = false;
    while (!o->full && (n = stream_sink_peek(stream, &at)) > 0) {
        ssize_t sent = send(o->fd, at, n, MSG_NOSIGNAL);
        o->full = sent < (ssize_t)n;
        if (sent > 0) {
            o->s.got += (uint64_t)sent;
            stream_sink_consumed(stream, (size_t)sent);
        }
    }
    CALL(edge_pass(o->s.e, !o->full));
    if (stream_sink_eof(stream) && !o->s.peer_eof) {
        o->s.peer_eof = true;
        stream_sink_eof_delivered(stream);
    }
}

/* One read. */
static void take(struct owner *o)
{
    struct stream *stream = edge_stream(o->s.e);
    uint8_t *to;
    size_t n;
    long r = -ENOTSUP;
    if (o->s.sent > MIB)
        CALL(r = edge_take(o->s.e, o->fd, PACE_WAKE));
    if (r > 0)
        o->unseen_out += (uint64_t)r;
    else if (r == -ENOTSUP && stream_round_trip(stream) > STREAM_NEAR_MS)
        o->was_far = true; /* or the machine was busy */
    if (r == -ENOTSUP && stream_source_reserve(stream, PACE_WAKE, &to, &n) == 0) {
        ssize_t got = recv(o->fd, to, n, MSG_DONTWAIT);
        r = got < 0 ? -errno : got;
        if (got > 0)
            stream_source_commit(stream, (size_t)got);
    }
    if (r <= 0)
        assert_true(r == -EAGAIN || r == -EBUSY || r == -ENOTSUP);
    o->s.sent += r > 0 ? (uint64_t)r : 0;
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void turn(struct owner *o)
{
    struct edge *e = o->s.e;
    give(o);
    if (o->s.sent < o->s.total && edge_room(e) > 0)
        take(o);
    if (o->s.sent == o->s.total && !o->s.eof_said) {
        o->s.eof_said = true;
        stream_source_eof(edge_stream(e));
    }
    int events = (o->full ? UV_WRITABLE : 0) | (o->s.sent < o->s.total && edge_room(e) > 0 ? UV_READABLE : 0);
    if (events != 0)
        uv_poll_start(&o->poll, events, on_poll);
    else
        uv_poll_stop(&o->poll);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct owner *o = handle->data;
    (void)status;
    (void)events;
    turn(o);
    CALL(edge_poke(o->s.e));
}

static void on_owner_turn(void *arg)
{
    struct owner *o = arg;
    assert_int_equal(in_calls, 0);
    o->s.turns++;
    turn(o);
}

static struct edge_calls owner_calls;

static void begin_owner(struct owner *o, const struct far *far, uint64_t in)
{
    struct edge_config config = {.loop = &loop,
                                 .stream = {.role = 'b', .patience_ms = 30000},
                                 .ticket = ticket,
                                 .scratch = scratch,
                                 .label = "edge b"};
    connect_far(o, far, in);
    owner_calls = calls;
    owner_calls.turn = on_owner_turn;
    o->s.role = 'b';
    o->s.to = (struct addr_hostport){.host = "127.0.0.1", .port = hub.port};
    memcpy(config.stream.key, key, sizeof key);
    assert_int_equal(uv_poll_init(&loop, &o->poll, o->fd), 0);
    o->poll.data = o;
    assert_int_equal(edge_new(&config, &owner_calls, o, &o->s.e), 0);
    edge_follow(o->s.e, true);
}

static void finish_owner(struct side *a, struct owner *o)
{
    int status;
    finish(a, &o->s);
    assert_int_equal(waitpid(o->far, &status, 0), o->far);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the other end ended with status %x", (unsigned)status);
    uv_close((uv_handle_t *)&o->poll, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    close(o->fd);
}

static void run(struct owner *o, const struct far *far, enum edge_streams streams, unsigned cuts)
{
    struct side a = {.total = 40u * MIB, .streams = streams};
    struct stream_stats stats;
    o->s.total = 40u * MIB;
    o->s.streams = streams;
    begin(&a, 'a', false);
    begin_owner(o, far, a.total);
    for (unsigned i = 1; i <= cuts; i++) {
        RUN_UNTIL(a.got > i * 5u * MIB && o->s.got > i * 5u * MIB);
        pairing_cut(&hub);
    }
    RUN_UNTIL(a.got == o->s.total && o->s.got == a.total);
    stream_get_stats(edge_stream(o->s.e), &stats);
    assert_true(stats.resumes >= (cuts > 0 ? 1u : 0u));
    finish_owner(&a, o);
}

static bool can(void)
{
    struct stash *s = NULL;
    bool able = stash_new(true, &s) == 0;
    stash_free(s);
    return able;
}

static void not_looked_at(void **state)
{
    struct owner o = {0};
    (void)state;
    run(&o, &(struct far){.writes = 32768}, EDGE_PLAIN, 0);
    if (!can())
        skip();
    assert_true(o.unseen_out > 0 || o.was_far);
    assert_true(o.unseen_in > 0);
}

static void cut(void **state)
{
    struct owner o = {0};
    (void)state;
    run(&o, &(struct far){.writes = 32768}, EDGE_PLAIN, 6);
}

/* The pipes are full of pieces long before they are full of bytes. */
static void small_pieces(void **state)
{
    struct owner o = {0};
    (void)state;
    run(&o, &(struct far){.writes = 700}, EDGE_PLAIN, 2);
}

/* The other end takes little at a time. */
static void slow_reader(void **state)
{
    struct owner o = {.send_size = 8192};
    (void)state;
    run(&o, &(struct far){.writes = 20000, .receive = 8192}, EDGE_PLAIN, 2);
}

static void in_tls(void **state)
{
    struct owner o = {0};
    (void)state;
    run(&o, &(struct far){.writes = 32768}, EDGE_TLS, 1);
    assert_int_equal(o.unseen_out, 0);
    assert_int_equal(o.unseen_in, 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(not_looked_at), TEST(cut), TEST(small_pieces), TEST(slow_reader), TEST(in_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
