/* Sockets that listen here for the client. */
#include "sshd/listeners.h"

#include "base/addr.h"
#include "base/io.h"
#include "sshd/forwards.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LISTENERS_MAX 128
#define ACCEPTS_A_TURN 16
#define PAUSE_MS 1000  /* without descriptors, before accepting again */
#define HOST_MAX 1025u /* NI_MAXHOST */

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

static void listener_free(struct listener *listener)
{
    host_wait_cancel(listener->wait);
    if (listener->ask != NULL) {
        ssh_ask_refuse(listener->ask);
    }
    for (int i = 0; i < 2; i++) {
        ssh_loop_unwatch(listener->doors[i].watch);
        io_close(listener->doors[i].fd);
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

/* Takes fd. */
static void take_connection(struct listener *listener, int fd, const struct sockaddr *from)
{
    char ip[64];
    if (listener->agent) {
        forwards_back(listener->sshd, fd, NULL, 0, NULL, 0);
        return;
    }
    addr_ip(from, ip, sizeof ip);
    forwards_back(listener->sshd, fd, listener->host, listener->port, ip, addr_port(from));
}

static void accept_all(struct listener *listener, int door)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage from;
        int fd = -1;
        int rc = io_accept(door, &from, &fd);
        if (rc == 0) {
            take_connection(listener, fd, (struct sockaddr *)&from);
        } else if (rc == -EAGAIN) {
            return;
        } else if (rc != -ECONNABORTED) {
            log_limited(&listener->sshd->refusals, LOG_LEVEL_WARN,
                        "cannot accept a connection to be forwarded: %s", strerror(-rc));
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

static struct listener *find(struct sshd *sshd, const char *host, unsigned port)
{
    struct listener *l = sshd->listeners;
    while (l != NULL && (l->agent || l->over || l->port != port || strcmp(l->host, host) != 0)) {
        l = l->next;
    }
    return l;
}

void listeners_ask(struct sshd *sshd, struct ssh_ask *ask)
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
    } else if (ask->port != 0 && find(sshd, ask->host, ask->port) != NULL) {
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

void listeners_unask(struct sshd *sshd, struct ssh_ask *ask)
{
    struct listener *listener = find(sshd, ask->host, ask->port);
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

void listeners_agent(struct sshd *sshd)
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

bool listeners_agent_pending(const struct sshd *sshd)
{
    const struct listener *listener = agent_listener(sshd);
    return listener != NULL && listener->wait != NULL;
}

/* --- all --- */

void listeners_turn_all(struct sshd *sshd)
{
    struct listener **at = &sshd->listeners;
    while (*at != NULL) {
        struct listener *listener = *at;
        if (listener_turn(listener)) {
            at = &listener->next;
        } else {
            *at = listener->next;
            listener_free(listener);
        }
    }
}

void listeners_free_all(struct sshd *sshd)
{
    while (sshd->listeners != NULL) {
        struct listener *listener = sshd->listeners;
        sshd->listeners = listener->next;
        listener_free(listener);
    }
}
