/* Owns the listening sockets and one spare descriptor. Must not spin when descriptors run out: it takes the
 * connection with the spare one, closes it, and rests. */
#include "hub/listener.h"
#include "base/addr.h"
#include "base/log.h"
#include "hub/activation.h"
#include "hub/door.h"
#include "hub/hub.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096 /* the kernel takes no more than its own limit (net.core.somaxconn) */
#define ACCEPTS_A_TURN 512
#define REST_MS 200

_Static_assert(OPTION_LIST_MAX >= ACTIVATION_MAX, "there is room for the sockets that are passed");

struct listening {
    uv_poll_t poll;
    uv_timer_t rest;
    struct listener *owner;
    int fd;
};

struct listener {
    struct hub *hub;
    struct listening sockets[OPTION_LIST_MAX];
    size_t n, open_handles;
    int spare;
    uint16_t port;
    struct log_limit limit;
};

static void poll_cb(uv_poll_t *h, int status, int events);

static void rest_over_cb(uv_timer_t *h)
{
    struct listening *s = h->data;

    (void)uv_poll_start(&s->poll, UV_READABLE, poll_cb);
}

static void rest(struct listening *s)
{
    (void)uv_poll_stop(&s->poll);
    (void)uv_timer_start(&s->rest, rest_over_cb, REST_MS, 0);
}

/* No descriptor is left: the caller at the head of the queue gets a closed connection instead of silence. */
static void out_of_descriptors(struct listening *s, int error)
{
    struct listener *l = s->owner;
    int fd = -1;

    log_limited(
        &l->limit, LOG_LEVEL_ERROR,
        "cannot take a connection: %s; raise the limit of open files (LimitNOFILE) or lower fronts-max and "
        "machines-max",
        strerror(error));
    if (l->spare >= 0) {
        close(l->spare);
        fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    } else {
        l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    rest(s);
}

static void taken(struct listener *l, int fd, const struct sockaddr *from)
{
    char ip[64];
    int one = 1;

    addr_ip(from, ip, sizeof ip);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    door_enter(l->hub->door, fd, ip, addr_port(from));
}

static void poll_cb(uv_poll_t *h, int status, int events)
{
    struct listening *s = h->data;

    (void)events;
    if (status < 0) {
        rest(s);
        return;
    }
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage from;
        socklen_t n = sizeof from;
        int fd = accept4(s->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            taken(s->owner, fd, (struct sockaddr *)&from);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            out_of_descriptors(s, errno);
            return;
        }
        /* Everything else (ECONNABORTED, EPERM of a packet filter …) concerns that one connection. */
    }
}

static int bind_one(const struct addrinfo *a, bool any, int *ret_fd)
{
    int one = 1, zero = 0;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    int rc = 0;

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &zero : &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* "*" is one socket for IPv6 and IPv4, or IPv4 alone where the host has no IPv6. */
static int open_socket(const char *text, int *ret_fd, struct errmsg *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    struct addr_hostport hp;
    char port[8];
    bool any = false;
    int rc = addr_parse(text, 2244, true, &hp);

    if (rc < 0)
        return errmsg_set(err, rc, "listen: '%s' is not ADDR:PORT", text);
    any = hp.host[0] == '\0';
    (void)snprintf(port, sizeof port, "%u", (unsigned)hp.port);
    rc = getaddrinfo(any ? "::" : hp.host, port, &hints, &list);
    if (rc != 0)
        return errmsg_set(err, -EINVAL, "listen: '%s': %s", text, gai_strerror(rc));
    rc = bind_one(list, any, ret_fd);
    freeaddrinfo(list);
    if (any && (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL)) {
        if (getaddrinfo("0.0.0.0", port, &hints, &list) != 0)
            return errmsg_set(err, rc, "listen: '%s': no IPv4 address either", text);
        rc = bind_one(list, true, ret_fd);
        freeaddrinfo(list);
    }
    if (rc < 0)
        return errmsg_set(err, rc, "cannot listen on %s: %s%s", text, strerror(-rc),
                          rc == -EADDRINUSE ? " (another program has this port: choose another with --listen)"
                          : rc == -EACCES   ? " (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
                                            : "");
    return 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;

    return getsockname(fd, (struct sockaddr *)&at, &n) == 0 ? addr_port((struct sockaddr *)&at) : 0;
}

/* Takes fd in every case. */
static int add(struct listener *l, int fd, const char *text, struct errmsg *err)
{
    struct listening *s = &l->sockets[l->n];
    int rc = uv_poll_init(l->hub->loop, &s->poll, fd);

    if (rc < 0) {
        close(fd);
        return errmsg_set(err, rc, "cannot listen on %s: %s", text, uv_strerror(rc));
    }
    (void)uv_timer_init(l->hub->loop, &s->rest);
    s->poll.data = s->rest.data = s;
    s->owner = l;
    s->fd = fd;
    l->n++;
    l->open_handles += 2;
    if (l->n == 1)
        l->port = port_of(fd);
    log_info("listening on %s (port %u)", text, (unsigned)port_of(fd));
    return 0;
}

/* What systemd passed, or else what the option says. */
static int add_all(struct listener *l, struct errmsg *err)
{
    struct hub *hub = l->hub;
    int rc = 0;

    for (size_t i = 0; i < hub->n_passed; i++) {
        char text[64];

        (void)snprintf(text, sizeof text, "the passed socket %d", hub->passed[i]);
        rc = rc < 0 ? rc : add(l, hub->passed[i], text, err);
    }
    for (size_t i = 0; hub->n_passed == 0 && i < hub->opt.listen.n && rc == 0; i++) {
        int fd = -1;

        rc = open_socket(hub->opt.listen.item[i], &fd, err);
        if (rc == 0)
            rc = add(l, fd, hub->opt.listen.item[i], err);
    }
    hub->n_passed = 0; /* they are the listener's now */
    return rc;
}

int listener_new(struct hub *hub, struct listener **ret_l, struct errmsg *err)
{
    struct listener *l = calloc(1, sizeof *l);
    int rc = 0;

    if (l == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    l->hub = hub;
    l->limit = (struct log_limit){.burst = 3, .interval_ms = 10000};
    l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rc = add_all(l, err);
    if (rc < 0) {
        listener_free(l);
        return rc;
    }
    *ret_l = l;
    return 0;
}

void listener_begin(struct listener *l)
{
    for (size_t i = 0; i < l->n; i++)
        rest_over_cb(&l->sockets[i].rest);
}

static void closed_cb(uv_handle_t *h)
{
    struct listening *s = h->data;
    struct listener *l = s->owner;

    if (--l->open_handles == 0)
        free(l);
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    if (l->spare >= 0)
        close(l->spare);
    for (size_t i = 0; i < l->n; i++) {
        uv_close((uv_handle_t *)&l->sockets[i].poll, closed_cb);
        uv_close((uv_handle_t *)&l->sockets[i].rest, closed_cb);
        close(l->sockets[i].fd);
    }
    if (l->n == 0)
        free(l);
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}
