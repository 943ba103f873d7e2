/* Owns the two directions of one relayed connection. Each direction stops reading when what it reads cannot
 * be passed on, and never because of the other direction; a socket that waits for nothing is not polled, so
 * that nothing spins. */
#include "pump.h"

#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 32768         /* one read */
#define PAUSE_AT 65536      /* a direction with this much waiting is not read */
#define TO_LOCAL_MAX 131072 /* PAUSE_AT, one chunk, and a record that was incomplete before it */
#define TO_TCP_MAX                                                                                           \
    131072              /* PAUSE_AT and one chunk as records; the session bounds what it answers by itself */
#define LINGER_MS 30000 /* without progress, when only the client's taking its last bytes is waited for */

struct pump {
    struct session *session;
    int tcp, local;
    struct buf to_local, to_tcp;
    uint64_t deadline;  /* 0: none */
    bool tcp_ended;     /* close_notify came */
    bool tcp_lost;      /* it ended without; why is in lost */
    bool tcp_shut;      /* our last byte and FIN were sent */
    bool local_ended;   /* end of file was read */
    bool local_shut;    /* the other side has been given end of file */
    bool local_gone;    /* nobody reads there any more */
    bool local_hung_up; /* poll said so: do not ask again */
    struct errmsg lost;
    uint8_t chunk[CHUNK];
};

/* Writes what fits. Returns 0, or the negative errno value of a socket that takes nothing more. */
static int flush(int fd, struct buf *b)
{
    while (buf_len(b) > 0) {
        ssize_t n = write(fd, buf_data(b), buf_len(b));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
        buf_consume(b, (size_t)n);
    }
    return 0;
}

/* The number of bytes in p->chunk, 0 at the end of file, or a negative errno value; -EAGAIN when there is
 * nothing yet. */
static ssize_t fill(struct pump *p, int fd)
{
    ssize_t n;

    do
        n = read(fd, p->chunk, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return n;
}

static void lose_tcp(struct pump *p, int code)
{
    if (p->tcp_lost)
        return;
    p->tcp_lost = true;
    buf_clear(&p->to_tcp);
    if (code == 0)
        errmsg_set(&p->lost, -ECONNRESET, "the client's connection ended without a TLS close");
    else
        errmsg_set(&p->lost, -ECONNRESET, "the client's connection was lost: %s", strerror(-code));
}

static void lose_local(struct pump *p)
{
    if (p->local_gone)
        return;
    p->local_gone = true;
    buf_clear(&p->to_local);
}

static size_t waiting_for_tcp(const struct pump *p)
{
    return buf_len(&p->to_tcp) + session_output_len(p->session);
}

/* With nobody left on the local side it is read and thrown away: closing over unread bytes would reset the
 * connection and destroy the last ones on their way to the client. */
static bool wants_tcp(const struct pump *p)
{
    return !p->tcp_ended && !p->tcp_lost && buf_len(&p->to_local) <= PAUSE_AT;
}

static bool wants_local(const struct pump *p)
{
    return session_ready(p->session) && !p->local_ended && !p->tcp_lost && waiting_for_tcp(p) <= PAUSE_AT;
}

/* The handshake is done with this input: is it a stream's? */
static int check_protocol(struct pump *p, struct errmsg *err)
{
    if (strcmp(session_alpn(p->session), TLS_ALPN_STREAM) != 0)
        return errmsg_set(err, -EPROTO, "the client asked for %s where %s is served",
                          session_alpn(p->session), TLS_ALPN_STREAM);
    return 0;
}

static int read_tcp(struct pump *p, struct errmsg *err)
{
    bool was_ready = session_ready(p->session);
    ssize_t n = fill(p, p->tcp);
    int rc;

    if (n == -EAGAIN)
        return 0;
    if (n <= 0) {
        lose_tcp(p, (int)n);
        return 0;
    }
    rc = session_input(p->session, p->chunk, (size_t)n, &p->to_local, err);
    if (rc < 0 && rc != -ECONNRESET)
        return rc;
    if (!was_ready && session_ready(p->session) && check_protocol(p, err) < 0)
        return -EPROTO;
    p->tcp_ended = rc == -ECONNRESET;
    return 0;
}

static int read_local(struct pump *p, struct errmsg *err)
{
    ssize_t n = fill(p, p->local);
    int rc;

    if (n == -EAGAIN)
        return 0;
    if (n <= 0) {
        p->local_ended = true;
        if (n < 0)
            lose_local(p);
        session_close(p->session);
        return 0;
    }
    rc = session_write(p->session, p->chunk, (size_t)n);
    return rc < 0 ? errmsg_set(err, rc, "the TLS connection with the client failed in writing") : 0;
}

/* Returns 0 with the number of bytes that the client's socket took, or a negative code. */
static int push_tcp(struct pump *p, size_t *ret_sent, struct errmsg *err)
{
    int rc;

    *ret_sent = 0;
    do {
        size_t before;

        rc = session_output(p->session, &p->to_tcp);
        if (rc < 0)
            return errmsg_set(err, rc, "out of memory in relaying");
        if (p->tcp_lost || p->tcp_shut) /* answers to what the client still asks of the TLS layer */
            buf_clear(&p->to_tcp);
        before = buf_len(&p->to_tcp);
        rc = flush(p->tcp, &p->to_tcp);
        *ret_sent += before - buf_len(&p->to_tcp);
        if (rc < 0)
            lose_tcp(p, rc);
    } while (buf_len(&p->to_tcp) == 0 && session_output_len(p->session) > 0);
    return 0;
}

/* Two things must not last for ever: the handshake, and a client's not taking the last bytes. */
static void set_deadline(struct pump *p, bool progress)
{
    if (!session_ready(p->session))
        return;
    if (!p->local_gone && (!p->local_ended || p->tcp_shut))
        p->deadline = 0;
    else if (p->deadline == 0 || progress)
        p->deadline = clock_now_ms() + LINGER_MS;
}

/* Moves what is ready on its way, and carries an end on once everything before it has left. */
static int push(struct pump *p, struct errmsg *err)
{
    size_t sent;
    int rc = push_tcp(p, &sent, err);

    if (rc < 0)
        return rc;
    if (p->local_gone)
        buf_clear(&p->to_local);
    if (flush(p->local, &p->to_local) < 0)
        lose_local(p);
    if (p->local_ended && !p->tcp_shut && waiting_for_tcp(p) == 0) {
        (void)shutdown(p->tcp, SHUT_WR);
        p->tcp_shut = true;
    }
    if (p->tcp_ended && !p->local_shut && buf_len(&p->to_local) == 0) {
        (void)shutdown(p->local, SHUT_WR);
        p->local_shut = true;
    }
    set_deadline(p, sent > 0);
    return 0;
}

/* Returns whether nothing is left to do. */
static bool is_over(const struct pump *p)
{
    if (p->tcp_lost)
        return buf_len(&p->to_local) == 0;
    return p->tcp_shut && p->local_shut;
}

static int wait_ms(const struct pump *p)
{
    uint64_t now;

    if (p->deadline == 0)
        return -1;
    now = clock_now_ms();
    return now >= p->deadline ? 0 : (int)(p->deadline - now);
}

static int run_out_of_time(const struct pump *p, uint64_t grace_ms, struct errmsg *err)
{
    if (!session_ready(p->session))
        return errmsg_set(err, -ETIMEDOUT, "no TLS handshake within %llu ms", (unsigned long long)grace_ms);
    if (p->tcp_shut) /* and the local side has gone: it is only the client's own end that did not come */
        return errmsg_set(err, -ECONNRESET, "the client did not close");
    return errmsg_set(err, -ECONNRESET, "the client did not take the last %zu bytes", waiting_for_tcp(p));
}

static int turn(struct pump *p, uint64_t grace_ms, struct errmsg *err)
{
    struct pollfd fds[2];
    bool tcp_in = wants_tcp(p), local_in = wants_local(p);
    int rc;

    fds[0].events = (short)((tcp_in ? POLLIN : 0) | (buf_len(&p->to_tcp) > 0 ? POLLOUT : 0));
    fds[0].fd = fds[0].events ? p->tcp : -1;
    fds[1].events = (short)((local_in ? POLLIN : 0) | (buf_len(&p->to_local) > 0 ? POLLOUT : 0));
    fds[1].fd = fds[1].events || !p->local_hung_up ? p->local : -1; /* its hanging up is always news, once */
    rc = poll(fds, 2, wait_ms(p));
    if (rc < 0)
        return errno == EINTR ? 0 : errmsg_set(err, -errno, "poll: %s", strerror(errno));
    if (p->deadline != 0 && clock_now_ms() >= p->deadline)
        return run_out_of_time(p, grace_ms, err);
    if (fds[1].revents & (POLLHUP | POLLERR)) {
        p->local_hung_up = true;
        if (!session_ready(p->session))
            return errmsg_set(err, -ECANCELED, "the local side closed before the TLS handshake was done");
        if (!p->local_shut) /* else it is our own shutdown that makes it look so */
            lose_local(p);
    }
    if (tcp_in && fds[0].revents) {
        rc = read_tcp(p, err);
        if (rc < 0)
            return rc;
    }
    return local_in && fds[1].revents ? read_local(p, err) : 0;
}

/* Gives the alert that says why a chance to arrive: unread input at close would destroy it. */
static void send_alert(struct pump *p)
{
    (void)session_output(p->session, &p->to_tcp);
    (void)flush(p->tcp, &p->to_tcp);
    (void)shutdown(p->tcp, SHUT_WR);
    (void)fill(p, p->tcp);
}

int pump_run(SSL_CTX *ctx, int tcp, int local, uint64_t grace_ms, struct errmsg *err)
{
    struct pump *p = OPENSSL_zalloc(sizeof(*p));
    int rc;

    if (!p)
        return errmsg_set(err, -ENOMEM, "out of memory");
    p->tcp = tcp;
    p->local = local;
    p->deadline = clock_now_ms() + grace_ms;
    buf_init(&p->to_local, TO_LOCAL_MAX);
    buf_init(&p->to_tcp, TO_TCP_MAX);
    rc = session_new_server(ctx, &p->session);
    if (rc < 0) {
        errmsg_set(err, rc, "a TLS session cannot be made: out of memory?");
        goto out;
    }
    do {
        rc = turn(p, grace_ms, err);
        if (rc == 0)
            rc = push(p, err);
    } while (rc == 0 && !is_over(p));
    if (rc == -EPROTO)
        send_alert(p);
    if (rc == 0 && p->tcp_lost && !(p->tcp_shut && p->local_gone))
        rc = errmsg_set(err, -ECONNRESET, "%s", p->lost.text);
out:
    session_free(p->session);
    buf_release(&p->to_local);
    buf_release(&p->to_tcp);
    OPENSSL_free(p);
    return rc;
}
