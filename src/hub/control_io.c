/* Owns the bytes of a control connection: socket, TLS, lines. Must not keep a buffer that is empty, and must
 * not hold more than CONTROL_OUTPUT_MAX for an agent that does not read. */
#include "base/clock.h"
#include "base/json.h"
#include "hub/control_private.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define READ_CHUNK 16384
#define READS_A_TURN 4

static void poll_cb(uv_poll_t *h, int status, int events);

static int listen_for(struct control *c, bool out)
{
    c->events_out = out;
    return uv_poll_start(&c->poll, UV_READABLE | (out ? UV_WRITABLE : 0), poll_cb);
}

int control_io_start(struct control *c)
{
    return listen_for(c, false);
}

static void fail_soon(struct control *c, const char *why)
{
    if (c->state == CONTROL_DEAD || c->failure != NULL)
        return;
    c->failure = why;
    control_soon(c);
}

static size_t pending(const struct control *c)
{
    return buf_len(&c->out) + session_output_len(c->tls);
}

/* Sends what there is. Returns 0 or a negative code. */
static int flush(struct control *c)
{
    bool blocked = false;

    while (pending(c) > 0 && !blocked) {
        ssize_t k = 0;
        int rc = session_output(c->tls, &c->out);

        if (rc < 0)
            return rc;
        k = send(c->fd, buf_data(&c->out), buf_len(&c->out), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k >= 0)
            buf_consume(&c->out, (size_t)k);
        else if (errno == EAGAIN)
            blocked = true;
        else if (errno != EINTR)
            return -errno;
    }
    if (!blocked)
        buf_release(&c->out);
    if (blocked != c->events_out)
        return listen_for(c, blocked);
    return 0;
}

/* Half-closing first and reading on until the agent closes too: a reset would take the last words with it. */
static void flush_or_fail(struct control *c)
{
    if (flush(c) < 0) {
        fail_soon(c, "its connection broke");
        return;
    }
    if (c->state == CONTROL_CLOSING && !c->shut && pending(c) == 0) {
        c->shut = true;
        (void)shutdown(c->fd, SHUT_WR);
    }
}

int control_io_send_line(struct control *c, const char *line, size_t n)
{
    int rc = c->state == CONTROL_DEAD || c->failure != NULL ? -EPIPE : session_write(c->tls, line, n);

    if (rc == 0)
        flush_or_fail(c);
    else if (rc != -EPIPE)
        fail_soon(c, rc == -ENOMEM ? "out of memory" : "a message could not be sent");
    if (rc == 0 && pending(c) > CONTROL_OUTPUT_MAX) {
        fail_soon(c, "it does not read its messages");
        rc = -ENOBUFS;
    }
    return rc;
}

int control_io_send(struct control *c, cJSON *message)
{
    struct buf text;
    int rc = 0;

    buf_init(&text, CONTROL_LINE_MAX);
    rc = json_take(message, &text);
    if (rc == 0)
        rc = buf_append(&text, "\n", 1);
    if (rc == 0)
        rc = control_io_send_line(c, (const char *)buf_data(&text), buf_len(&text));
    else
        fail_soon(c, rc == -ENOMEM ? "out of memory" : "a message could not be sent");
    buf_wipe(&text);
    return rc;
}

void control_io_finish(struct control *c)
{
    if (c->state == CONTROL_DEAD || c->state == CONTROL_CLOSING)
        return;
    c->state = CONTROL_CLOSING;
    c->deadline = clock_now_ms() + CONTROL_LINGER_MS;
    session_close(c->tls);
    flush_or_fail(c);
    control_reschedule(c);
}

/* Returns NULL or why the connection must be closed. */
static const char *take_lines(struct control *c)
{
    while (c->state != CONTROL_CLOSING && c->state != CONTROL_DEAD && buf_len(&c->plain) > 0) {
        const char *data = (const char *)buf_data(&c->plain);
        size_t n = buf_len(&c->plain);
        const char *end = memchr(data, '\n', n < CONTROL_LINE_MAX ? n : CONTROL_LINE_MAX);
        const char *why = NULL;

        if (end == NULL)
            return n < CONTROL_LINE_MAX ? NULL : "a message of more than 16,384 bytes";
        why = control_messages_line(c, data, (size_t)(end - data));
        if (why != NULL)
            return why;
        buf_consume(&c->plain, (size_t)(end - data) + 1);
    }
    buf_release(&c->plain);
    return NULL;
}

/* One read. Returns false when there is nothing more to do in this turn. */
static bool read_once(struct control *c)
{
    static uint8_t data[READ_CHUNK]; /* one loop, one reader at a time */
    struct errmsg err = {""};
    const char *why = NULL;
    ssize_t k = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
    int rc = 0;

    if (k < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (k <= 0) {
        control_close(c, k < 0 ? strerror(errno) : "connection closed by the agent");
        return false;
    }
    if (c->state == CONTROL_CLOSING)
        return true; /* our last word is said */
    c->heard = clock_now_ms();
    rc = session_input(c->tls, data, (size_t)k, &c->plain, &err);
    if (session_ready(c->tls))
        lobby_done(&c->place);
    if (rc == 0 || rc == -ECONNRESET)
        why = take_lines(c);
    if (c->state == CONTROL_DEAD)
        return false;
    if (why == NULL && rc == -ECONNRESET)
        why = "connection closed by the agent";
    else if (why == NULL && rc < 0)
        why = err.text[0] != '\0' ? err.text : "TLS failed";
    (void)flush(c); /* an alert, where there is one */
    if (why != NULL && c->state != CONTROL_CLOSING) {
        control_close(c, why);
        return false;
    }
    return (size_t)k == sizeof data; /* else there was no more */
}

static void poll_cb(uv_poll_t *h, int status, int events)
{
    struct control *c = h->data;

    if (status < 0) {
        control_close(c, "its connection broke");
        return;
    }
    if ((events & UV_WRITABLE) != 0)
        flush_or_fail(c);
    if ((events & UV_READABLE) == 0)
        return;
    for (int i = 0; i < READS_A_TURN; i++) {
        if (!read_once(c))
            return;
    }
}
