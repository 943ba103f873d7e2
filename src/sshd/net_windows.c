/* Sockets for forwards, on Windows. */
#include "sshd/net_windows.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/win.h"
#include "sshd/netops.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define BACKLOG 128
#define SENTENCE_MAX 256

/* What Windows says of a socket, in words. Returns the code. */
static int words(DWORD error, char out[SENTENCE_MAX])
{
    win_words(error, out, SENTENCE_MAX);
    return win_errno(error);
}

static int last_words(char out[SENTENCE_MAX])
{
    return words((DWORD)WSAGetLastError(), out);
}

/* Returns 0 or a negative errno value with why. */
static int resolve(const char *host, unsigned port, int flags, ADDRINFOW **ret_list, char why[SENTENCE_MAX])
{
    const ADDRINFOW hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    wchar_t service[16];
    wchar_t *name = NULL;
    int rc = win_utf16(host, &name);
    if (rc < 0) {
        (void)snprintf(why, SENTENCE_MAX, "the name is not UTF-8");
        return rc;
    }
    (void)swprintf(service, sizeof service / sizeof service[0], L"%u", port);
    int error = GetAddrInfoW(name, service, &hints, ret_list);
    free(name);
    return error == 0 ? 0 : words((DWORD)error, why);
}

static SOCKET new_socket(const ADDRINFOW *at)
{
    u_long on = 1;
    SOCKET s = WSASocketW(at->ai_family, at->ai_socktype, at->ai_protocol, NULL, 0,
                          WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (s != INVALID_SOCKET && ioctlsocket(s, (long)FIONBIO, &on) != 0) {
        closesocket(s);
        s = INVALID_SOCKET;
    }
    return s;
}

/* --- connect --- */

static int await_connection(SOCKET s, uint64_t wait_ms, char why[SENTENCE_MAX])
{
    struct pollfd p = {.fd = s, .events = POLLOUT};
    int error = 0;
    int size = sizeof error;
    int n = io_poll(&p, 1, (int)wait_ms);
    if (n == 0) {
        return words(WSAETIMEDOUT, why);
    }
    if (n < 0 || getsockopt(s, SOL_SOCKET, SO_ERROR, (char *)&error, &size) != 0) {
        return last_words(why);
    }
    return error == 0 ? 0 : words((DWORD)error, why);
}

/* Returns 0 with *ret_fd, or a negative errno value with why. */
static int try_address(const ADDRINFOW *at, uint64_t wait_ms, int *ret_fd, char why[SENTENCE_MAX])
{
    int on = 1;
    int rc = 0;
    SOCKET s = new_socket(at);
    if (s == INVALID_SOCKET) {
        return last_words(why);
    }
    if (connect(s, at->ai_addr, (int)at->ai_addrlen) != 0) {
        rc = WSAGetLastError() == WSAEWOULDBLOCK ? await_connection(s, wait_ms, why) : last_words(why);
    }
    if (rc < 0) {
        closesocket(s);
        return rc;
    }
    (void)setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof on);
    *ret_fd = (int)s;
    return 0;
}

int net_connect(const char *host, unsigned port, int *ret_fd, struct errmsg *err)
{
    uint64_t deadline = clock_now_ms() + NETOPS_CONNECT_MS;
    char why[SENTENCE_MAX] = "it has no address";
    ADDRINFOW *list = NULL;
    unsigned left = 0;
    int rc = resolve(host, port, 0, &list, why);
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot find %.255s: %s", host, why);
    }
    rc = -EADDRNOTAVAIL;
    for (const ADDRINFOW *at = list; at != NULL; at = at->ai_next) {
        left++;
    }
    for (const ADDRINFOW *at = list; at != NULL && rc < 0; at = at->ai_next, left--) {
        uint64_t now = clock_now_ms();
        if (now >= deadline) {
            break;
        }
        /* An address that is silent leaves its share of the time to those behind it. */
        rc = try_address(at, (deadline - now) / left, ret_fd, why);
    }
    FreeAddrInfoW(list);
    return rc < 0 ? errmsg_set(err, rc, "connect to %.255s port %u: %s", host, port, why) : 0;
}

/* --- listen --- */

/* Returns 0 with *ret_fd and *ret_port, or a negative errno value with why. */
static int listen_at(const ADDRINFOW *at, int *ret_fd, unsigned *ret_port, char why[SENTENCE_MAX])
{
    struct sockaddr_storage bound = {0};
    int size = sizeof bound;
    int one = 1, zero = 0;
    SOCKET s = new_socket(at);
    if (s == INVALID_SOCKET) {
        return last_words(why);
    }
    /* Elsewhere SO_REUSEADDR lets a port be used again at once; here everybody could take it over with that. */
    (void)setsockopt(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&one, sizeof one);
    if (at->ai_family == AF_INET6 &&
        IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)at->ai_addr)->sin6_addr)) {
        (void)setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, (const char *)&zero, sizeof zero); /* :: is IPv4 too */
    }
    if (bind(s, at->ai_addr, (int)at->ai_addrlen) != 0 || listen(s, BACKLOG) != 0 ||
        getsockname(s, (struct sockaddr *)&bound, &size) != 0) {
        int rc = last_words(why);
        closesocket(s);
        return rc;
    }
    *ret_fd = (int)s;
    *ret_port = addr_port((const struct sockaddr *)&bound);
    return 0;
}

static int listen_on(const char *host, unsigned port, int *ret_fd, unsigned *ret_port, char why[SENTENCE_MAX])
{
    ADDRINFOW *list = NULL;
    int rc = resolve(host, port, AI_PASSIVE, &list, why);
    if (rc < 0) {
        return rc;
    }
    rc = listen_at(list, ret_fd, ret_port, why);
    FreeAddrInfoW(list);
    return rc;
}

static bool loopback(const char *host)
{
    struct in_addr ip4;
    struct in6_addr ip6;
    if (inet_pton(AF_INET, host, &ip4) == 1) {
        return (ntohl(ip4.s_addr) >> 24) == 127;
    }
    return inet_pton(AF_INET6, host, &ip6) == 1 && IN6_IS_ADDR_LOOPBACK(&ip6);
}

int net_listen(const char *host, unsigned port, bool anywhere, int ret_fds[2], unsigned *ret_port,
               struct errmsg *err)
{
    const char *hosts[2] = {"127.0.0.1", "::1"};
    const bool all = anywhere && (host[0] == '\0' || strcmp(host, "*") == 0);
    char why[SENTENCE_MAX] = "there is no such address";
    int fds[2] = {-1, -1};
    unsigned other;
    int rc;
    if (all) {
        hosts[0] = "::";
        hosts[1] = "0.0.0.0";
    } else if (loopback(host) || (anywhere && strcmp(host, "localhost") != 0)) {
        hosts[0] = host;
        hosts[1] = NULL;
    }
    rc = listen_on(hosts[0], port, &fds[0], ret_port, why);
    if (rc < 0 && hosts[1] != NULL && (rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT)) {
        rc = listen_on(hosts[1], port, &fds[0], ret_port, why); /* this machine has but one family */
    } else if (rc == 0 && hosts[1] != NULL && !all) {
        /* Programs try ::1 for "localhost" first. That it cannot be had is no reason to do without the other. */
        (void)listen_on(hosts[1], *ret_port, &fds[1], &other, why);
    }
    if (rc < 0) {
        return errmsg_set(err, rc, "listen at %.255s port %u: %s", hosts[0], port, why);
    }
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return 0;
}
