/* Channels: data in both directions, and an orderly end.
 *
 * libssh's callbacks only note what happened, or hand input on; whatever writes is done from the loop. A
 * channel is freed when both sides have closed it: one whose peer never answers CLOSE keeps its place in the
 * count. */
#include "ssh/ssh_internal.h"
#include "ssh/ssh_os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes in one call, which is what may wait in libssh's output buffer afterwards. It starts low and grows as
 * long as the peer's maximum packet size, which libssh does not tell, lets a call be sent in few packets. */
#define WRITE_MAX (128u << 10)
#define WRITE_MIN 64u
#define FIRST_WRITE 4096u
#define PACKETS_MAX 32u
#define HELD_MAX ((2u << 20) + (64u << 10)) /* more than the window that any libssh grants */

/* --- from libssh --- */

static int on_data(ssh_session session, ssh_channel ch, void *data, uint32_t n, int is_stderr, void *arg)
{
    struct ssh_chan *chan = arg;
    size_t took = 0;
    (void)session;
    (void)ch;
    if (n > HELD_MAX) {
        chan->server->violation = "more data came than the window allowed";
    }
    if (chan->close_sent) {
        return 0; /* taking it would make libssh widen the window of a channel that is closed */
    }
    if (is_stderr || chan->discard || chan->close_wanted) {
        return (int)n;
    }
    if (chan->data != NULL) {
        took = chan->data(chan->arg, data, n);
    }
    chan->held = n - took;
    return (int)took;
}

static void on_eof(ssh_session session, ssh_channel ch, void *arg)
{
    (void)session;
    (void)ch;
    ((struct ssh_chan *)arg)->peer_eof = true;
}

static void on_close(ssh_session session, ssh_channel ch, void *arg)
{
    struct ssh_chan *chan = arg;
    (void)session;
    (void)ch;
    chan->peer_eof = true;
    chan->peer_closed = true;
}

static void on_signal(ssh_session session, ssh_channel ch, const char *name, void *arg)
{
    (void)session;
    (void)ch;
    ssh_ask_late(arg, SSH_ASK_SIGNAL, name);
}

static void on_agent(ssh_session session, ssh_channel ch, void *arg)
{
    (void)session;
    (void)ch;
    ssh_ask_late(arg, SSH_ASK_AGENT, "");
}

/* --- life --- */

struct ssh_chan *ssh_chan_add(struct ssh_server *server, ssh_channel ch)
{
    struct ssh_chan *chan = calloc(1, sizeof *chan);
    if (chan == NULL) {
        ssh_channel_free(ch);
        return NULL;
    }
    chan->server = server;
    chan->ch = ch;
    chan->write_max = FIRST_WRITE;
    chan->callbacks.userdata = chan;
    chan->callbacks.channel_data_function = on_data;
    chan->callbacks.channel_eof_function = on_eof;
    chan->callbacks.channel_close_function = on_close;
    chan->callbacks.channel_signal_function = on_signal;
    if (server->take_agents) {
        chan->callbacks.channel_auth_agent_req_function = on_agent;
    }
    ssh_callbacks_init(&chan->callbacks);
    if (ssh_set_channel_callbacks(ch, &chan->callbacks) != SSH_OK) {
        ssh_channel_free(ch);
        free(chan);
        return NULL;
    }
    chan->next = server->chans;
    server->chans = chan;
    server->chan_count++;
    return chan;
}

struct ssh_chan *ssh_chan_find(struct ssh_server *server, ssh_channel ch)
{
    for (struct ssh_chan *c = server->chans; c != NULL; c = c->next) {
        if (c->ch == ch) {
            return c;
        }
    }
    return NULL;
}

static void chan_free(struct ssh_chan *chan)
{
    if (chan->ch != NULL) {
        (void)ssh_remove_channel_callbacks(chan->ch, &chan->callbacks);
        ssh_channel_free(chan->ch);
    }
    free(chan->host);
    free(chan->origin);
    free(chan);
}

void ssh_chan_reap(struct ssh_server *server)
{
    struct ssh_chan **at = &server->chans;
    while (*at != NULL) {
        struct ssh_chan *chan = *at;
        bool over = chan->denied ? chan->close_wanted : chan->close_sent && chan->peer_closed;
        if (over && chan->asks == 0) {
            *at = chan->next;
            server->chan_count--;
            chan_free(chan);
        } else {
            at = &chan->next;
        }
    }
}

void ssh_chan_orphan_all(struct ssh_server *server)
{
    for (struct ssh_chan *c = server->chans; c != NULL; c = c->next) {
        if (c->ch != NULL) {
            (void)ssh_remove_channel_callbacks(c->ch, &c->callbacks);
            c->ch = NULL;
        }
        c->held = 0;
        c->peer_eof = true;
        c->peer_closed = true;
    }
}

void ssh_chan_free_all(struct ssh_server *server)
{
    while (server->chans != NULL) {
        struct ssh_chan *chan = server->chans;
        server->chans = chan->next;
        chan_free(chan);
    }
    server->chan_count = 0;
}

void ssh_chan_own(struct ssh_chan *chan, void *arg, ssh_chan_data_fn data)
{
    chan->arg = arg;
    chan->data = data;
}

void *ssh_chan_owner(const struct ssh_chan *chan)
{
    return chan->arg;
}

void ssh_chan_discard(struct ssh_chan *chan)
{
    chan->discard = true;
    chan->data = NULL;
    while (chan->held > 0) {
        char scratch[4096];
        if (ssh_chan_read(chan, scratch, sizeof scratch) == 0) {
            break;
        }
    }
}

/* --- data --- */

bool ssh_chan_unread(const struct ssh_chan *chan)
{
    return chan->held > 0;
}

/* Never asks libssh for more than it holds: it would read the socket, and hand newer input to the owner's
 * hook before the older is returned from here. */
size_t ssh_chan_read(struct ssh_chan *chan, void *out, size_t n)
{
    int got;
    if (chan->ch == NULL || chan->held == 0 || n == 0) {
        return 0;
    }
    got = ssh_channel_read_nonblocking(chan->ch, out, (uint32_t)(n < chan->held ? n : chan->held), 0);
    if (got <= 0) {
        chan->held = 0;
        return 0;
    }
    chan->held -= (size_t)got;
    return (size_t)got;
}

bool ssh_chan_eof(const struct ssh_chan *chan)
{
    return chan->peer_eof && chan->held == 0;
}

bool ssh_chan_closed(const struct ssh_chan *chan)
{
    return chan->peer_closed || chan->ch == NULL;
}

size_t ssh_chan_room(const struct ssh_chan *chan)
{
    const struct ssh_server *s = chan->server;
    size_t window;
    if (ssh_chan_closed(chan) || chan->end_wanted || chan->close_wanted || chan->denied || chan->opening ||
        s->phase != SSH_PHASE_OPEN || ssh_server_dead(s) || ssh_server_pending(s)) {
        return 0;
    }
    window = ssh_channel_window_size(chan->ch);
    return window < chan->write_max ? window : chan->write_max;
}

long ssh_chan_write(struct ssh_chan *chan, const void *data, size_t n, bool error)
{
    struct ssh_server *s = chan->server;
    uint64_t packets = s->packets.out_packets;
    size_t room;
    int wrote;
    if (ssh_chan_closed(chan) || chan->end_wanted || chan->close_wanted || chan->denied) {
        return -EPIPE;
    }
    room = ssh_chan_room(chan);
    n = n < room ? n : room;
    if (n == 0) {
        return 0;
    }
    if (!chan->wrote) {
        /* A maximum packet size of just its header sends libssh 0.10 into a loop. */
        ssh_os_guard(true);
    }
    wrote = error ? ssh_channel_write_stderr(chan->ch, data, (uint32_t)n)
                  : ssh_channel_write(chan->ch, data, (uint32_t)n);
    if (!chan->wrote) {
        ssh_os_guard(false);
        chan->wrote = wrote > 0;
    }
    if (wrote < 0) {
        return -EPIPE;
    }
    if (s->packets.out_packets - packets > PACKETS_MAX) {
        chan->write_max = chan->write_max / 2 > WRITE_MIN ? chan->write_max / 2 : WRITE_MIN;
    } else if (chan->write_max < WRITE_MAX && (size_t)wrote == chan->write_max) {
        chan->write_max *= 2;
    }
    return wrote;
}

void ssh_chan_end(struct ssh_chan *chan)
{
    if (!chan->end_wanted) {
        chan->end_wanted = true;
        ssh_loop_again(chan->server->loop);
    }
}

void ssh_chan_exit(struct ssh_chan *chan, unsigned status)
{
    chan->exit_wanted = true;
    chan->exit_status = status;
    ssh_loop_again(chan->server->loop);
}

void ssh_chan_exit_signal(struct ssh_chan *chan, const char *name, bool core)
{
    (void)snprintf(chan->exit_signal, sizeof chan->exit_signal, "%s", name);
    chan->exit_core = core;
    ssh_chan_exit(chan, 0);
}

void ssh_chan_close(struct ssh_chan *chan)
{
    if (chan == NULL) {
        return;
    }
    ssh_chan_discard(chan);
    chan->arg = NULL;
    chan->close_wanted = true;
    ssh_server_kick(chan->server);
}

/* --- what is due --- */

static void advance_open(struct ssh_chan *chan)
{
    struct ssh_server *s = chan->server;
    int rc = chan->agent ? ssh_channel_open_auth_agent(chan->ch)
                         : ssh_channel_open_reverse_forward(chan->ch, chan->host, (int)chan->port,
                                                            chan->origin, (int)chan->origin_port);
    if (rc == SSH_AGAIN) {
        return;
    }
    chan->opening = false;
    chan->denied = rc != SSH_OK;
    if (!chan->close_wanted) {
        s->events.opened(s->arg, chan, chan->denied ? -ECONNREFUSED : 0,
                         chan->denied ? ssh_get_error(s->session) : "");
    }
}

static void send_exit(struct ssh_chan *chan)
{
    if (chan->exit_signal[0] == '\0') {
        (void)ssh_channel_request_send_exit_status(chan->ch, (int)chan->exit_status);
    } else {
        (void)ssh_channel_request_send_exit_signal(chan->ch, chan->exit_signal, chan->exit_core, "", "");
    }
}

static void advance(struct ssh_chan *chan)
{
    struct ssh_server *s = chan->server;
    if (chan->opening) {
        advance_open(chan);
    }
    if (chan->opening || chan->denied) {
        return;
    }
    if (chan->exit_wanted && !ssh_server_pending(s)) {
        chan->exit_wanted = false;
        if (!chan->peer_closed) {
            send_exit(chan);
        }
    }
    if (chan->end_wanted && !chan->end_sent && !chan->exit_wanted && !ssh_server_pending(s)) {
        chan->end_sent = true;
        if (!chan->peer_closed) {
            (void)ssh_channel_send_eof(chan->ch);
        }
    }
    if (chan->close_wanted && !chan->close_sent && !chan->exit_wanted && !ssh_server_pending(s)) {
        /* SSH_AGAIN: the EOF before it may be all that was sent. */
        chan->close_sent = ssh_channel_close(chan->ch) != SSH_AGAIN;
        if (chan->close_sent) {
            ssh_server_kick(s);
        }
    }
}

void ssh_chan_advance_all(struct ssh_server *server)
{
    for (struct ssh_chan *c = server->chans; c != NULL && !ssh_server_dead(server); c = c->next) {
        if (c->ch != NULL) {
            advance(c);
        }
    }
}

/* A channel that the peer is asked to open, as far as it needs no names. */
static struct ssh_chan *open_here(struct ssh_server *server)
{
    struct ssh_chan *chan = NULL;
    ssh_channel ch;
    if (server->phase != SSH_PHASE_OPEN || ssh_server_dead(server) ||
        server->chan_count + server->open_asks >= server->config.channels_max) {
        return NULL;
    }
    ch = ssh_channel_new(server->session);
    if (ch != NULL) {
        chan = ssh_chan_add(server, ch);
    }
    if (chan != NULL) {
        chan->opening = true;
        ssh_loop_again(server->loop);
    }
    return chan;
}

struct ssh_chan *ssh_chan_open_forwarded(struct ssh_server *server, const char *host, unsigned port,
                                         const char *origin, unsigned origin_port)
{
    struct ssh_chan *chan = open_here(server);
    if (chan == NULL) {
        return NULL;
    }
    chan->port = port;
    chan->origin_port = origin_port;
    chan->host = strdup(host);
    chan->origin = strdup(origin);
    if (chan->host == NULL || chan->origin == NULL) {
        chan->opening = false;
        chan->denied = true;
        chan->close_wanted = true;
        ssh_server_kick(server);
        return NULL;
    }
    return chan;
}

struct ssh_chan *ssh_chan_open_agent(struct ssh_server *server)
{
    struct ssh_chan *chan = open_here(server);
    if (chan != NULL) {
        chan->agent = true;
    }
    return chan;
}
