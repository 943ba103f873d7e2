/* Connecting, listening and the agent's socket, in helpers that are the account. May block: who asks does not. */
#include "sshd/netops.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/printf.h"
#include "sshd/helper.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define AGENT_FOLDER "/tmp/ssh-XXXXXX"

LIKE_PRINTF(2, 3) static int fail(int fd, const char *fmt, ...)
{
    struct netops_answer answer = {.failed = 1};
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(answer.text, sizeof answer.text, fmt, args);
    va_end(args);
    (void)helper_say(fd, &answer, sizeof answer, -1);
    return 1;
}

/* Returns 0, or the text of why there is no address. */
static const char *resolve(const char *host, unsigned port, int flags, struct addrinfo **ret_list)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    char service[16];
    int r;
    (void)snprintf(service, sizeof service, "%u", port);
    r = getaddrinfo(host, service, &hints, ret_list);
    return r == 0 ? NULL : r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r);
}

/* --- connect --- */

static int await_connection(int fd, uint64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    int n;
    do {
        uint64_t now = clock_now_ms();
        n = poll(&p, 1, now >= deadline ? 0 : (int)(deadline - now));
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        return -ETIMEDOUT;
    if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return -errno;
    return -error;
}

/* Returns a connected, non-blocking socket or a negative errno value. */
static int try_address(const struct addrinfo *at, uint64_t deadline)
{
    int one = 1;
    int r;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return -errno;
    r = connect(fd, at->ai_addr, at->ai_addrlen) == 0 ? 0 : -errno;
    if (r == -EINPROGRESS)
        r = await_connection(fd, deadline);
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

int netops_connect(void *arg, int fd)
{
    const struct netops_target *target = arg;
    struct netops_answer answer = {0};
    uint64_t deadline = clock_now_ms() + NETOPS_CONNECT_MS;
    struct addrinfo *list = NULL;
    unsigned left = 0;
    int connected = -EADDRNOTAVAIL;
    /* getaddrinfo has no deadline of its own. */
    (void)alarm(NETOPS_CONNECT_MS / 1000 + 2);
    const char *why = resolve(target->host, target->port, 0, &list);
    if (why != NULL)
        return fail(fd, "cannot find %s: %s", target->host, why);
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
        left++;
    for (const struct addrinfo *at = list; at != NULL && connected < 0; at = at->ai_next, left--) {
        uint64_t now = clock_now_ms();
        if (now >= deadline)
            break;
        /* An address that is silent leaves its share of the time to those behind it. */
        connected = try_address(at, now + (deadline - now) / left);
    }
    freeaddrinfo(list);
    if (connected < 0)
        return fail(fd, "connect to %s port %u: %s", target->host, target->port, strerror(-connected));
    return helper_say(fd, &answer, sizeof answer, connected) < 0;
}

/* --- listen --- */

static int listen_at(const struct addrinfo *at, unsigned *ret_port)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    int one = 1, zero = 0;
    int r;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (at->ai_family == AF_INET6) /* :: is IPv4 too */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &size) != 0) {
        r = -errno;
        (void)close(fd);
        return r;
    }
    *ret_port = addr_port((const struct sockaddr *)&bound);
    return fd;
}

static bool loopback(const char *host)
{
    struct in_addr ip4;
    struct in6_addr ip6;
    if (inet_pton(AF_INET, host, &ip4) == 1)
        return (ntohl(ip4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &ip6) == 1 && IN6_IS_ADDR_LOOPBACK(&ip6);
}

/* At the first of the names that this machine has. */
static int listen_in_turn(const char *const *hosts, unsigned port, unsigned *ret_port, const char **ret_why)
{
    int listener = -EADDRNOTAVAIL;
    for (; *hosts != NULL && (listener == -EADDRNOTAVAIL || listener == -EAFNOSUPPORT); hosts++) {
        struct addrinfo *list = NULL;
        *ret_why = resolve(*hosts, port, AI_PASSIVE, &list);
        if (*ret_why != NULL)
            continue;
        listener = listen_at(list, ret_port);
        freeaddrinfo(list);
        if (listener < 0)
            *ret_why = strerror(-listener);
    }
    return listener;
}

int netops_listen(void *arg, int fd)
{
    const struct netops_target *target = arg;
    struct netops_answer answer = {0};
    const char *hosts[3] = {"127.0.0.1", "::1", NULL};
    const char *why = NULL;
    unsigned port = 0;
    int listener;
    (void)alarm(NETOPS_CONNECT_MS / 1000 + 2);
    if (target->anywhere && (target->host[0] == '\0' || strcmp(target->host, "*") == 0)) {
        hosts[0] = "::";
        hosts[1] = "0.0.0.0";
    } else if (loopback(target->host) || (target->anywhere && strcmp(target->host, "localhost") != 0)) {
        hosts[0] = target->host;
        hosts[1] = NULL;
    }
    listener = listen_in_turn(hosts, target->port, &port, &why);
    if (listener < 0)
        return fail(fd, "listen at %s port %u: %s", hosts[0], target->port, why);
    answer.port = port;
    return helper_say(fd, &answer, sizeof answer, listener) < 0;
}

/* --- agent --- */

/* Who kills all processes of the account would leave the folder behind: only the monitor's end ends it. */
static void stay(int fd)
{
    char byte;
    ssize_t n;
    do {
        n = recv(fd, &byte, 1, 0);
    } while (n > 0 || (n < 0 && errno == EINTR));
}

static void ignore_ends(void)
{
    const int ends[] = {SIGHUP, SIGINT, SIGTERM};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        (void)signal(ends[i], SIG_IGN);
}

static int listen_agent(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int r = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    memcpy(at.sun_path, path, strlen(path) + 1);
    (void)umask(0177);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0)
        r = -errno;
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    return fd;
}

int netops_agent(void *arg, int fd)
{
    struct netops_answer answer = {0};
    char folder[] = AGENT_FOLDER;
    int listener, r;
    (void)arg;
    ignore_ends();
    (void)umask(077);
    if (mkdtemp(folder) == NULL)
        return fail(fd, "cannot make a folder in /tmp for the agent's socket: %s", strerror(errno));
    (void)snprintf(answer.text, sizeof answer.text, "%s/agent.%ld", folder, (long)getpid());
    listener = listen_agent(answer.text);
    if (listener < 0) {
        r = fail(fd, "cannot make the agent's socket %s: %s", answer.text, strerror(-listener));
    } else {
        r = helper_say(fd, &answer, sizeof answer, listener) < 0;
        (void)close(listener);
        if (r == 0)
            stay(fd);
    }
    (void)unlink(answer.text);
    (void)rmdir(folder);
    return r;
}
