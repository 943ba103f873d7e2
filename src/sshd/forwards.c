/* Forwarded connections and the listeners that make them. */
#include "sshd/forwards.h"

#include "base/addr.h"
#include "sshd/pump.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTENERS_MAX 128
#define ACCEPTS_A_TURN 16
#define PAUSE_MS 1000 /* without descriptors, before accepting again */
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

struct listener {
    struct listener *next;
    struct sshd *sshd;
    bool agent, over;
    char *host; /* as the client named it */
    unsigned port;
    struct ssh_ask *ask;
    struct host_wait *wait;
    struct {
        struct listener *listener;
        struct ssh_loop_watch *watch;
        int fd;
    } doors[2];
    uint64_t paused_until;
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
    if (forward->fd >= 0) {
        close(forward->fd);
    }
    free(forward);
}

/* Takes fd. */
static void join(struct forward *forward, int fd)
{
    int on = 1;
    int rc;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a Unix socket */
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
        close(fd);
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

/* Takes fd, a connection that came to the listener. */
static void forward_back(struct listener *listener, int fd, const struct sockaddr *from)
{
    struct sshd *sshd = listener->sshd;
    struct forward *forward = forward_new(sshd);
    char ip[64];
    if (forward == NULL) {
        close(fd);
        return;
    }
    forward->fd = fd;
    if (listener->agent) {
        forward->chan = ssh_chan_open_agent(sshd->server);
    } else {
        addr_ip(from, ip, sizeof ip);
        forward->chan =
            ssh_chan_open_forwarded(sshd->server, listener->host, listener->port, ip, addr_port(from));
    }
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

/* --- listeners --- */

static void listener_free(struct listener *listener)
{
    host_wait_cancel(listener->wait);
    if (listener->ask != NULL) {
        ssh_ask_refuse(listener->ask);
    }
    for (int i = 0; i < 2; i++) {
        ssh_loop_unwatch(listener->doors[i].watch);
        if (listener->doors[i].fd >= 0) {
            close(listener->doors[i].fd);
        }
    }
    listener->sshd->listener_count--;
    free(listener->host);
    free(listener);
}

/* No descriptors, no memory: a connection that waits would be told of again and again. */
static void pause_doors(struct listener *listener)
{
    listener->paused_until = ssh_loop_now(listener->sshd->loop) + PAUSE_MS;
    for (int i = 0; i < 2; i++) {
        if (listener->doors[i].watch != NULL) {
            ssh_loop_interest(listener->doors[i].watch, SSH_LOOP_DEAF);
        }
    }
}

static void accept_all(struct listener *listener, int door)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        int fd = accept4(door, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            forward_back(listener, fd, (struct sockaddr *)&from);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            log_limited(&listener->sshd->refusals, LOG_LEVEL_WARN,
                        "cannot accept a connection to be forwarded: %s", strerror(errno));
            pause_doors(listener);
            return;
        }
    }
}

static void on_door(void *arg, short ready)
{
    struct listener *listener = arg;
    (void)ready;
    for (int i = 0; i < 2; i++) {
        if (listener->doors[i].fd >= 0 && !listener->over && listener->paused_until == 0) {
            accept_all(listener, listener->doors[i].fd);
        }
    }
}

static struct listener *listener_new(struct sshd *sshd, const char *host, unsigned port)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        return NULL;
    }
    listener->sshd = sshd;
    listener->port = port;
    listener->doors[0].fd = listener->doors[1].fd = -1;
    listener->host = strdup(host);
    if (listener->host == NULL) {
        free(listener);
        return NULL;
    }
    listener->next = sshd->listeners;
    sshd->listeners = listener;
    sshd->listener_count++;
    return listener;
}

static int open_door(struct listener *listener, int which, int fd)
{
    listener->doors[which].fd = fd;
    return fd < 0 ? 0
                  : ssh_loop_watch(listener->sshd->loop, fd, POLLIN, on_door, listener,
                                   &listener->doors[which].watch);
}

static void on_listening(void *arg, int fd, int other, unsigned port, const char *text)
{
    struct listener *listener = arg;
    struct ssh_ask *ask = listener->ask;
    listener->ask = NULL;
    listener->wait = NULL;
    if (fd >= 0 && (open_door(listener, 0, fd) < 0 || open_door(listener, 1, other) < 0)) {
        text = "out of memory";
        listener->over = true;
    } else if (fd < 0) {
        listener->over = true;
    }
    if (listener->over) {
        log_info("no listener at '%.255s' port %u for '%s': %s", listener->host, listener->port,
                 listener->sshd->user, text);
        ssh_ask_refuse(ask);
        return;
    }
    if (listener->port == 0) {
        listener->port = port;
    }
    ssh_ask_accept_port(ask, listener->port);
}

static struct listener *find_listener(struct sshd *sshd, const char *host, unsigned port)
{
    struct listener *l = sshd->listeners;
    while (l != NULL && (l->agent || l->over || l->port != port || strcmp(l->host, host) != 0)) {
        l = l->next;
    }
    return l;
}

void forwards_listen(struct sshd *sshd, struct ssh_ask *ask)
{
    struct listener *listener = NULL;
    const char *why = NULL;
    int rc;
    if (!sshd->options->remote_forwarding || !sshd_may(sshd, HOST_RIGHT_REMOTE_FORWARD)) {
        why = "forwarding is not allowed";
    } else if (ask->port > 65535 || strlen(ask->host) > HOST_MAX) {
        why = "there is no such address";
    } else if (sshd->listener_count >= LISTENERS_MAX) {
        why = "this connection has as many listeners as it may have";
    } else if (ask->port != 0 && find_listener(sshd, ask->host, ask->port) != NULL) {
        why = "it is there already";
    } else if ((listener = listener_new(sshd, ask->host, ask->port)) == NULL) {
        why = "out of memory";
    }
    if (why == NULL) {
        rc = host_listen(sshd->host, ask->host, ask->port, on_listening, listener, &listener->wait);
        why = rc < 0 ? strerror(-rc) : NULL;
    }
    if (why != NULL) {
        log_limited(&sshd->refusals, LOG_LEVEL_INFO, "no listener at '%.255s' port %u for '%s': %s",
                    ask->host, ask->port, sshd->user, why);
        ssh_ask_refuse(ask);
        if (listener != NULL) {
            listener->over = true;
        }
        return;
    }
    listener->ask = ask;
}

void forwards_unlisten(struct sshd *sshd, struct ssh_ask *ask)
{
    struct listener *listener = find_listener(sshd, ask->host, ask->port);
    if (listener == NULL) {
        ssh_ask_refuse(ask);
        return;
    }
    listener->over = true;
    ssh_loop_again(sshd->loop);
    ssh_ask_accept(ask);
}

/* Returns false when it is over. */
static bool listener_turn(struct listener *listener)
{
    if (listener->over || ssh_server_ended(listener->sshd->server)) {
        return false;
    }
    if (listener->paused_until == 0) {
        return true;
    }
    if (ssh_loop_now(listener->sshd->loop) < listener->paused_until) {
        sshd_wake(listener->sshd, listener->paused_until);
        return true;
    }
    listener->paused_until = 0;
    for (int i = 0; i < 2; i++) {
        if (listener->doors[i].watch != NULL) {
            ssh_loop_interest(listener->doors[i].watch, POLLIN);
        }
    }
    return true;
}

/* --- the agent --- */

static void on_agent(void *arg, int fd, unsigned port, const char *text)
{
    struct listener *listener = arg;
    (void)port;
    listener->wait = NULL;
    if (fd < 0 || open_door(listener, 0, fd) < 0) {
        log_warn("no socket for the agent of '%s': %s", listener->sshd->user,
                 fd < 0 ? text : "out of memory");
        listener->over = true;
    }
    ssh_loop_again(listener->sshd->loop); /* programs may have waited */
}

static struct listener *agent_listener(const struct sshd *sshd)
{
    struct listener *l = sshd->listeners;
    while (l != NULL && !l->agent) {
        l = l->next;
    }
    return l;
}

void forwards_agent(struct sshd *sshd)
{
    struct listener *listener;
    int rc;
    if (!sshd->options->agent_forwarding || !sshd_may(sshd, HOST_RIGHT_AGENT) ||
        agent_listener(sshd) != NULL) {
        return;
    }
    listener = listener_new(sshd, "", 0);
    if (listener == NULL) {
        return;
    }
    listener->agent = true;
    rc = host_agent(sshd->host, on_agent, listener, &listener->wait);
    if (rc < 0) {
        log_warn("no socket for the agent of '%s': %s", sshd->user, strerror(-rc));
        listener->over = true;
    }
}

bool forwards_agent_pending(const struct sshd *sshd)
{
    const struct listener *listener = agent_listener(sshd);
    return listener != NULL && listener->wait != NULL;
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
    struct listener **door = &sshd->listeners;
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
    while (*door != NULL) {
        struct listener *listener = *door;
        if (listener_turn(listener)) {
            door = &listener->next;
        } else {
            *door = listener->next;
            listener_free(listener);
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
    while (sshd->listeners != NULL) {
        struct listener *listener = sshd->listeners;
        sshd->listeners = listener->next;
        listener_free(listener);
    }
}
