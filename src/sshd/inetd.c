/* The connection that is descriptor 0: who is at its other end. */
#include "sshd/inetd.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/io.h"
#include "sshd/proxyline.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int from_argument(const char *text, struct inetd *inetd, struct errmsg *err)
{
    struct addr_hostport hp;
    unsigned char address[16];
    /* addr_parse wants a default, and none is a port that somebody could name. */
    const bool bare = inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
    if ((!bare && addr_parse(text, 0, false, &hp) < 0) || (bare && addr_parse(text, 1, false, &hp) < 0) ||
        (inet_pton(AF_INET, hp.host, address) != 1 && inet_pton(AF_INET6, hp.host, address) != 1)) {
        return errmsg_set(err, -EINVAL, "--peer: '%.100s' is not an IP address, with or without a port",
                          text);
    }
    (void)snprintf(inetd->peer, sizeof inetd->peer, "%.*s", (int)sizeof inetd->peer - 1, hp.host);
    inetd->peer_port = bare ? 0 : hp.port;
    return 0;
}

static void from_socket(struct inetd *inetd)
{
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof name;
    if (inetd->peer[0] == '\0' && getpeername(inetd->fd, (struct sockaddr *)&name, &size) == 0 &&
        (name.ss_family == AF_INET || name.ss_family == AF_INET6)) {
        addr_ip((struct sockaddr *)&name, inetd->peer, sizeof inetd->peer);
        inetd->peer_port = addr_port((struct sockaddr *)&name);
    }
    name.ss_family = AF_UNSPEC;
    size = sizeof name;
    if (getsockname(inetd->fd, (struct sockaddr *)&name, &size) == 0 &&
        (name.ss_family == AF_INET || name.ss_family == AF_INET6)) {
        addr_ip((struct sockaddr *)&name, inetd->local, sizeof inetd->local);
        inetd->local_port = addr_port((struct sockaddr *)&name);
    }
}

/* One byte, before the clock reaches until. Returns 0 or a negative errno value. */
static int read_byte(int fd, uint64_t until, char *out)
{
    for (;;) {
        uint64_t now = clock_now_ms();
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        long n = -EAGAIN;
        if (now >= until) {
            return -ETIMEDOUT;
        }
        if (io_poll(&ready, 1, (int)(until - now)) > 0) {
            n = io_read(fd, out, 1);
        }
        if (n == 1) {
            return 0;
        }
        if (n != -EAGAIN) {
            return n == 0 ? -EPIPE : (int)n;
        }
    }
}

/* Byte by byte, for what follows is the SSH session's. */
static int from_line(struct inetd *inetd, uint64_t timeout_ms, struct errmsg *err)
{
    char line[PROXYLINE_MAX];
    struct proxyline got;
    uint64_t until = clock_now_ms() + timeout_ms;
    size_t n = 0;
    while (n == 0 || line[n - 1] != '\n') {
        int rc = n == sizeof line ? -EMSGSIZE : read_byte(inetd->fd, until, &line[n]);
        if (rc < 0) {
            return errmsg_set(err, rc, "no PROXY line came first, as --proxy-protocol says: %s",
                              rc == -EPIPE ? "the connection was closed" : strerror(-rc));
        }
        n++;
    }
    if (proxyline_parse(line, n, &got) < 0) {
        return errmsg_set(err, -EPROTO,
                          "what came first is not a PROXY line (version 1), as --proxy-protocol says");
    }
    (void)snprintf(inetd->peer, sizeof inetd->peer, "%s", got.peer);
    (void)snprintf(inetd->local, sizeof inetd->local, "%s", got.local);
    inetd->peer_port = got.peer_port;
    inetd->local_port = got.local_port;
    return 0;
}

int inetd_take(const char *peer, bool proxy_protocol, uint64_t timeout_ms, struct inetd *ret_inetd,
               struct errmsg *err)
{
    struct inetd inetd = {.fd = -1};
    bool bridged = false;
    int rc = peer != NULL ? from_argument(peer, &inetd, err) : 0;
    if (rc == 0) {
        rc = inetd_descriptor(&inetd.fd, &bridged, err);
    }
    if (rc == 0 && !bridged) {
        from_socket(&inetd);
    }
    if (rc == 0) {
        rc = proxy_protocol ? from_line(&inetd, timeout_ms, err) : 0;
    }
    if (rc < 0) {
        io_close(inetd.fd);
        return rc;
    }
    *ret_inetd = inetd;
    return 0;
}
