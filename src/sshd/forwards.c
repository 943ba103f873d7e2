/* Forwarded connections: their opening, their bytes, their end. */
#include "sshd/forwards.h"

#include "base/io.h"
#include "sshd/pump.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_MS 10000
#define HOST_MAX 1025u /* NI_MAXHOST */

struct forward { /* one connection */
    struct forward *next;
    struct sshd *sshd;
    struct ssh_ask *ask;    /* DIRECT: waits for the connection */
    struct host_wait *wait; /* the same, at the host */
    struct ssh_chan *chan;
    int fd; /* accepted here, and the client has not answered yet; else -1 */
    struct pump *pump;
    bool over, end_told;
    uint64_t drain_until;
};

/* --- connections --- */

static struct forward *forward_new(struct sshd *sshd)
{
    struct forward *forward = calloc(1, sizeof *forward);
    if (forward != NULL) {
        forward->sshd = sshd;
        forward->fd = -1;
        forward->next = sshd->forwards;
        sshd->forwards = forward;
        ssh_loop_again(sshd->loop);
    }
    return forward;
}

static void forward_free(struct forward *forward)
{
    host_wait_cancel(forward->wait);
    if (forward->ask != NULL) {
        ssh_ask_refuse(forward->ask);
    }
    pump_free(forward->pump);
    ssh_chan_close(forward->chan);
    io_close(forward->fd);
    free(forward);
}

/* Takes fd. */
static void join(struct forward *forward, int fd)
{
    int on = 1;
    int rc;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof on); /* fails on a Unix socket */
    rc = pump_new(forward->sshd->loop, forward->chan, PUMP_SOCKET, fd, fd, -1, &forward->pump);
    if (rc < 0) {
        log_error("cannot pass a connection on: %s", strerror(-rc));
        forward->over = true;
    }
}

static void on_connected(void *arg, int fd, unsigned port, const char *text)
{
    struct forward *forward = arg;
    struct ssh_ask *ask = forward->ask;
    (void)port;
    forward->ask = NULL;
    forward->wait = NULL;
    if (fd < 0) {
        log_limited(&forward->sshd->refusals, LOG_LEVEL_INFO, "no connection to %.255s port %u for '%s': %s",
                    ask->host, ask->port, forward->sshd->user, text);
        ssh_ask_refuse(ask);
        forward->over = true;
        return;
    }
    forward->chan = ssh_ask_accept_channel(ask);
    if (forward->chan == NULL) {
        io_close(fd);
        forward->over = true;
        return;
    }
    join(forward, fd);
}

void forwards_direct(struct sshd *sshd, struct ssh_ask *ask)
{
    struct forward *forward = NULL;
    int rc = -EACCES;
    if (sshd->options->local_forwarding && sshd_may(sshd, HOST_RIGHT_LOCAL_FORWARD) && ask->host != NULL &&
        strlen(ask->host) <= HOST_MAX && ask->port > 0 && ask->port <= 65535) {
        forward = forward_new(sshd);
        rc = forward == NULL
                 ? -ENOMEM
                 : host_connect(sshd->host, ask->host, ask->port, on_connected, forward, &forward->wait);
    }
    if (rc < 0) {
        log_limited(&sshd->refusals, LOG_LEVEL_INFO, "no connection to %.255s port %u for '%s': %s",
                    ask->host == NULL ? "" : ask->host, ask->port, sshd->user,
                    rc == -EACCES ? "forwarding is not allowed" : strerror(-rc));
        ssh_ask_refuse(ask);
        if (forward != NULL) {
            forward->over = true;
        }
        return;
    }
    forward->ask = ask;
}

void forwards_back(struct sshd *sshd, int fd, const char *host, unsigned port, const char *origin,
                   unsigned origin_port)
{
    struct forward *forward = forward_new(sshd);
    if (forward == NULL) {
        io_close(fd);
        return;
    }
    forward->fd = fd;
    forward->chan = host == NULL ? ssh_chan_open_agent(sshd->server)
                                 : ssh_chan_open_forwarded(sshd->server, host, port, origin, origin_port);
    if (forward->chan == NULL) {
        log_limited(
            &sshd->refusals, LOG_LEVEL_WARN,
            "a forwarded connection for '%s' was closed: as many channels are open as channels-max allows",
            sshd->user);
        forward->over = true;
        return;
    }
    ssh_chan_own(forward->chan, forward, NULL);
}

void forwards_opened(struct sshd *sshd, struct ssh_chan *chan, int error, const char *why)
{
    struct forward *forward = sshd->forwards;
    int fd;
    while (forward != NULL && forward->chan != chan) {
        forward = forward->next;
    }
    if (forward == NULL) {
        return;
    }
    if (error != 0) {
        log_debug("the client of '%s' refused a forwarded connection: %s", sshd->user, why);
        forward->over = true;
        return;
    }
    fd = forward->fd;
    forward->fd = -1;
    join(forward, fd);
}

/* Returns false when it is over. */
static bool forward_turn(struct forward *forward)
{
    uint64_t now = ssh_loop_now(forward->sshd->loop);
    if (forward->over || (forward->ask != NULL && ssh_server_ended(forward->sshd->server))) {
        return false;
    }
    if (forward->pump != NULL) {
        pump_turn(forward->pump);
        if (!forward->end_told && pump_output_over(forward->pump)) {
            forward->end_told = true;
            ssh_chan_end(forward->chan);
        }
    }
    if (forward->chan == NULL) {
        return true;
    }
    if (ssh_chan_closed(forward->chan)) {
        /* What the client sent before is still delivered, in bounded time. */
        if (forward->drain_until == 0) {
            forward->drain_until = now + DRAIN_MS;
        }
        sshd_wake(forward->sshd, forward->drain_until);
        return forward->pump != NULL && pump_input_waits(forward->pump) && now < forward->drain_until;
    }
    return forward->pump == NULL || !pump_output_over(forward->pump) || !pump_input_over(forward->pump);
}

/* --- all --- */

/* The first in the list gets the room that there is: another one the next time. */
static void rotate(struct sshd *sshd)
{
    struct forward *first = sshd->forwards;
    struct forward **at = &sshd->forwards;
    if (first == NULL || first->next == NULL) {
        return;
    }
    sshd->forwards = first->next;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = first;
    first->next = NULL;
}

void forwards_turn_all(struct sshd *sshd)
{
    struct forward **at = &sshd->forwards;
    rotate(sshd);
    while (*at != NULL) {
        struct forward *forward = *at;
        if (forward_turn(forward)) {
            at = &forward->next;
        } else {
            *at = forward->next;
            forward_free(forward);
        }
    }
}

void forwards_free_all(struct sshd *sshd)
{
    while (sshd->forwards != NULL) {
        struct forward *forward = sshd->forwards;
        sshd->forwards = forward->next;
        forward_free(forward);
    }
}
