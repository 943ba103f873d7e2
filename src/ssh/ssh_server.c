/* The session: the turn that drives libssh, limits of time and memory, and its end.
 *
 * Rules that libssh's behaviour imposes: the socket is non-blocking and libssh only writes from the loop,
 * never from one of its callbacks; channel data is written only when no output is pending; reading stops
 * while too much output is. */
#include "ssh/ssh_server.h"

#include "base/io.h"
#include "ssh/ssh_internal.h"
#include "ssh/ssh_os.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BUDGET (256u << 10) /* bytes in a turn, so that other descriptors have theirs */
#define READ_STEP 4096u          /* what libssh reads at once */
#define OUTPUT_MAX (256u << 10)  /* pending output at which nothing more is read: answers to a flood */
#define PACKET_OVERHEAD 128u     /* more than header, padding and MAC of any packet */
#define ASKS_MAX 32u             /* unanswered questions at which nothing more is read */
#define UNANSWERED_BYTES 40u     /* of payload: more than a keepalive, less than a login request */
#define UNANSWERED_MS 5000u
#define CLOSING_MS 2000u
#define KEEPALIVE_TICKS 6u /* two in keepalive_ms: one sends, the next one collects the answer */

/* --- state --- */

bool ssh_server_pending(const struct ssh_server *server)
{
    return (ssh_get_status(server->session) & SSH_WRITE_PENDING) != 0;
}

bool ssh_server_dead(const struct ssh_server *server)
{
    return server->phase >= SSH_PHASE_LINGER || !ssh_is_connected(server->session) ||
           (ssh_get_status(server->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0;
}

bool ssh_server_ended(const struct ssh_server *server)
{
    return server->phase == SSH_PHASE_ENDED;
}

void ssh_server_take_agents(struct ssh_server *server, bool take)
{
    server->take_agents = take;
}

void ssh_server_limit(struct ssh_server *server, unsigned channels_max, uint64_t keepalive_ms)
{
    server->config.channels_max = channels_max;
    if (server->config.keepalive_ms != keepalive_ms) {
        server->config.keepalive_ms = keepalive_ms;
        server->keepalive_missed = 0;
        server->keepalive_at =
            keepalive_ms == 0 ? SSH_LOOP_NEVER : ssh_loop_now(server->loop) + (keepalive_ms + 1) / 2;
        ssh_server_kick(server);
    }
}

void ssh_server_kick(struct ssh_server *server)
{
    server->again = true;
    ssh_loop_again(server->loop);
}

void ssh_server_trouble(struct ssh_server *server, const char *why)
{
    if (server->events.login_trouble != NULL) {
        server->events.login_trouble(server->arg, server->login, why);
    }
}

/* Not less than what waits in libssh's output buffer, whose length libssh does not tell. */
static uint64_t pending_bytes(struct ssh_server *s)
{
    uint64_t made, sent;
    if (!ssh_server_pending(s)) {
        s->wire_empty = s->wire;
        s->packets_empty = s->packets;
        return 0;
    }
    made = (s->packets.out_bytes - s->packets_empty.out_bytes) +
           PACKET_OVERHEAD * (s->packets.out_packets - s->packets_empty.out_packets);
    sent = s->wire.out_bytes - s->wire_empty.out_bytes;
    return made > sent ? made - sent : 0;
}

static bool paused(struct ssh_server *s)
{
    return s->phase >= SSH_PHASE_CLOSING || s->ask_count >= ASKS_MAX || s->ordered_ask ||
           pending_bytes(s) > OUTPUT_MAX;
}

/* --- the end --- */

static void finish(struct ssh_server *s, const char *why)
{
    if (s->phase == SSH_PHASE_ENDED) {
        return;
    }
    if (s->text[0] == '\0') {
        (void)snprintf(s->text, sizeof s->text, "%s", why);
    }
    ssh_loop_unwatch(s->watch);
    s->watch = NULL;
    ssh_loop_set(s->timer, SSH_LOOP_NEVER);
    ssh_chan_orphan_all(s);
    if (s->phase != SSH_PHASE_LINGER) {
        ssh_silent_disconnect(s->session);
    }
    io_close(s->fd);
    s->fd = -1;
    s->phase = SSH_PHASE_ENDED;
    ssh_loop_again(s->loop); /* the owner's turn hook sees it */
    if (s->events.ended != NULL) {
        s->events.ended(s->arg, s->text);
    }
}

/* libssh says "Socket error: " and the words of an errno that may be none, and puts its own words and a number
 * before what the peer says when it disconnects. */
static void finish_dead(struct ssh_server *s)
{
    static const char disconnect[] = "Received SSH_MSG_DISCONNECT: ";
    const char *why = ssh_get_error(s->session);
    if (why != NULL && strncmp(why, disconnect, sizeof disconnect - 1) == 0) {
        why += sizeof disconnect - 1;
        why += strspn(why, "0123456789");
        why += *why == ':';
    }
    bool closed = why == NULL || why[0] == '\0' || strcmp(why, "Socket error: disconnected") == 0 ||
                  strcmp(why, "Socket error: Success") == 0;
    finish(s, closed ? "the other side closed the connection" : why);
}

/* The message goes out in one piece because nothing is pending and the socket can take it; then the peer has
 * time to read it: a socket closed with unread input would be reset, and the text lost. */
static void say_goodbye(struct ssh_server *s)
{
    struct pollfd socket = {.fd = s->fd, .events = POLLOUT};
    if (ssh_server_pending(s) || io_poll(&socket, 1, 0) != 1 || (socket.revents & POLLOUT) == 0) {
        return;
    }
    ssh_session_set_disconnect_message(s->session, s->text);
    ssh_set_fd_towrite(s->session);
    ssh_chan_orphan_all(s);
    ssh_disconnect(s->session);
    (void)io_shut(s->fd);
    s->phase = SSH_PHASE_LINGER;
    s->closing_at = ssh_loop_now(s->loop) + CLOSING_MS;
}

static void drain(struct ssh_server *s)
{
    char scratch[READ_STEP];
    for (unsigned i = 0; i < 16; i++) {
        long n = io_read(s->fd, scratch, sizeof scratch);
        if (n == 0 || (n < 0 && n != -EAGAIN)) {
            finish(s, s->text);
            return;
        }
        if (n < 0) {
            return;
        }
    }
}

void ssh_server_disconnect(struct ssh_server *server, const char *text)
{
    if (server->phase >= SSH_PHASE_CLOSING) {
        return;
    }
    (void)snprintf(server->text, sizeof server->text, "%s", text);
    server->phase = SSH_PHASE_CLOSING;
    server->closing_at = ssh_loop_now(server->loop) + CLOSING_MS;
    pace_lift(&server->pace, server->fd);
    ssh_server_kick(server);
}

void ssh_server_debug(struct ssh_server *server, const char *text)
{
    if (server->phase == SSH_PHASE_OPEN) {
        (void)ssh_send_debug(server->session, text, 1);
        ssh_server_kick(server);
    }
}

/* --- time --- */

static void note_heard(struct ssh_server *s)
{
    s->heard.packets = s->packets.in_packets;
    s->heard.bytes = s->packets.in_bytes;
    s->heard.messages = s->messages;
}

static void keepalive(struct ssh_server *s)
{
    uint64_t limit = s->config.keepalive_ms * (KEEPALIVE_TICKS / 2);
    s->keepalive_missed = s->wire.in_bytes == s->keepalive_seen ? s->keepalive_missed + 1 : 0;
    s->keepalive_seen = s->wire.in_bytes;
    s->keepalive_at = ssh_loop_now(s->loop) + (s->config.keepalive_ms + 1) / 2;
    /* A client that is merely stopped has a kernel that still answers. */
    if (s->keepalive_missed >= KEEPALIVE_TICKS && ssh_os_peer_silence(s->fd) >= limit) {
        finish(s, "the other side has not answered for some time (keepalive)");
        return;
    }
    if (!ssh_server_pending(s)) {
        (void)ssh_send_keepalive(s->session);
        if (s->keepalive_missed > 0) {
            /* While one is unanswered libssh sends no other; this is answered by the peer's kernel at least.
             */
            (void)ssh_send_ignore(s->session, "");
        }
        ssh_server_kick(s);
    }
}

void ssh_server_timer(void *arg)
{
    struct ssh_server *s = arg;
    uint64_t now = ssh_loop_now(s->loop);
    pace_tick(&s->pace, s->fd, now);
    if (s->phase >= SSH_PHASE_CLOSING) {
        if (now >= s->closing_at) {
            finish(s, s->text);
        }
        return;
    }
    if (!s->logged_in && now >= s->grace_at) {
        ssh_server_trouble(s, "no login within the time allowed");
        ssh_server_disconnect(s, "no login within the time allowed");
    } else if (!s->logged_in && now >= s->short_at) {
        ssh_server_trouble(
            s, "a key or signature that cannot be read or does not hold, or of a kind that is not accepted");
        ssh_server_disconnect(
            s, "your key or its signature cannot be read here, or is of a kind that is not accepted: "
               "use an Ed25519, ECDSA or RSA (rsa-sha2) key");
    } else if (s->logged_in && now >= s->keepalive_at) {
        keepalive(s);
    }
}

/* libssh drops a login request with a bad key or signature without a word, and its sender would wait for
 * ever. It shows in packets that came and made no message; those that need no answer are small, or followed
 * by one that has one. */
static void watch_for_unanswered(struct ssh_server *s)
{
    uint64_t packets = s->packets.in_packets - s->heard.packets;
    uint64_t bytes = s->packets.in_bytes - s->heard.bytes;
    uint64_t messages = s->messages - s->heard.messages;
    if (s->phase != SSH_PHASE_AUTH) {
        s->short_at = SSH_LOOP_NEVER;
    } else if (packets > messages && bytes >= UNANSWERED_BYTES) {
        s->short_at = ssh_loop_now(s->loop) + UNANSWERED_MS;
    } else if (messages > 0) {
        s->short_at = SSH_LOOP_NEVER;
    }
    note_heard(s);
}

static void rearm(struct ssh_server *s)
{
    uint64_t at = SSH_LOOP_NEVER;
    short events = 0;
    if (s->phase == SSH_PHASE_ENDED) {
        return;
    }
    if (s->phase == SSH_PHASE_LINGER) {
        ssh_loop_interest(s->watch, POLLIN);
        ssh_loop_set(s->timer, s->closing_at);
        return;
    }
    if (!paused(s)) {
        events |= POLLIN;
    }
    /* Not by ssh_get_poll_flags, which after every write asks to be told once more that one may write. */
    if (s->phase == SSH_PHASE_CLOSING || ssh_server_pending(s)) {
        events |= POLLOUT;
    }
    ssh_loop_interest(s->watch, events);
    if (s->phase == SSH_PHASE_CLOSING) {
        at = s->closing_at;
    } else if (s->logged_in) {
        at = s->keepalive_at < pace_due(&s->pace) ? s->keepalive_at : pace_due(&s->pace);
    } else {
        at = s->grace_at < s->short_at ? s->grace_at : s->short_at;
    }
    ssh_loop_set(s->timer, at);
    /* Whatever libssh read while it was asked to write may have left messages in its queue. */
    if (s->wire.in_bytes != s->wire_read) {
        s->wire_read = s->wire.in_bytes;
        ssh_server_kick(s);
    }
}

/* --- the turn --- */

static void exchange_keys(struct ssh_server *s)
{
    uint64_t before;
    int rc;
    do {
        before = s->wire.in_bytes;
        rc = ssh_handle_key_exchange(s->session);
    } while (rc == SSH_AGAIN && s->wire.in_bytes - before >= READ_STEP);
    if (rc == SSH_OK && !ssh_server_dead(s)) {
        s->phase = SSH_PHASE_AUTH;
        note_heard(s);
    } else if (rc == SSH_ERROR && !ssh_server_dead(s)) {
        s->violation = "the key exchange failed";
    }
}

static void read_messages(struct ssh_server *s)
{
    uint64_t budget = READ_BUDGET;
    while (!ssh_server_dead(s) && s->phase < SSH_PHASE_CLOSING) {
        uint64_t before = s->wire.in_bytes;
        ssh_message message = ssh_message_get(s->session);
        uint64_t got = s->wire.in_bytes - before;
        if (message != NULL) {
            s->messages++;
            ssh_ask_take(s, message);
        } else {
            ssh_chan_reap(s);
            if (got < READ_STEP) {
                break;
            }
        }
        if (got >= budget) {
            ssh_server_kick(s);
            break;
        }
        budget -= got;
        if (paused(s)) {
            break;
        }
    }
}

static void drive(struct ssh_server *s)
{
    bool hung_up = (s->ready & (POLLERR | POLLHUP)) != 0;
    uint64_t before = s->wire.in_bytes;
    s->again = false;
    pace_lift(&s->pace, s->fd);
    errno = 0; /* libssh gives it as the reason of an end that has none */
    if (s->phase == SSH_PHASE_KEX) {
        exchange_keys(s);
    }
    if (s->phase == SSH_PHASE_KEX) {
        /* not yet */
    } else if (hung_up || !paused(s)) {
        read_messages(s);
        if (hung_up && s->phase == SSH_PHASE_CLOSING) {
            finish(s, s->text);
        }
    } else if ((s->ready & POLLOUT) != 0) {
        (void)ssh_blocking_flush(s->session, 0);
        if (!paused(s)) {
            ssh_server_kick(s);
        }
    }
    s->wire_read = s->wire.in_bytes;
    if (s->tcp && s->phase == SSH_PHASE_OPEN) {
        size_t got = (size_t)(s->wire.in_bytes - before);
        pace_read(&s->pace, s->fd, got, got >= READ_BUDGET, ssh_loop_now(s->loop));
    }
}

void ssh_server_turn(void *arg)
{
    struct ssh_server *s = arg;
    if (s->phase != SSH_PHASE_NEW && s->phase < SSH_PHASE_LINGER) {
        if (s->ready != 0 || s->again) {
            drive(s);
            if (!s->logged_in && s->fd >= 0) {
                ssh_os_quick_ack(s->fd);
            }
        }
        ssh_ask_deliver_late(s);
        ssh_chan_advance_all(s);
    }
    s->ready = 0;
    if (s->events.turn != NULL) {
        s->events.turn(s->arg);
    }
    if (s->phase == SSH_PHASE_NEW || s->phase == SSH_PHASE_ENDED) {
        return;
    }
    if (s->phase < SSH_PHASE_LINGER) {
        ssh_chan_advance_all(s);
        watch_for_unanswered(s);
        if (s->violation != NULL) {
            ssh_server_disconnect(s, s->violation);
        }
        if (ssh_server_dead(s)) {
            finish_dead(s);
        } else if (s->phase == SSH_PHASE_CLOSING) {
            say_goodbye(s);
        }
    }
    rearm(s);
}

void ssh_server_ready(void *arg, short ready)
{
    struct ssh_server *s = arg;
    if (s->phase == SSH_PHASE_LINGER) {
        drain(s);
        return;
    }
    s->ready = ready;
}
