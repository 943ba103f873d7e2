/* Descriptor 0 as a connection. */
#include "sshd/inetd.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "sshd/bridge.h"
#include "sshd/proxyline.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

static void to_syslog(void *arg, enum log_level level, const char *text)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    (void)arg;
    syslog(priorities[level], "%s", text);
}

static bool same_socket(int a, int b)
{
    struct stat one;
    struct stat other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && S_ISSOCK(one.st_mode) &&
           one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* Returns 0 or a negative errno value. */
static int empty(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int rc = null < 0 || dup2(null, fd) < 0 ? -errno : 0;
    if (null >= 0) {
        close(null);
    }
    return rc;
}

bool inetd_log(void)
{
    if (!same_socket(STDIN_FILENO, STDERR_FILENO)) {
        return false;
    }
    openlog("multissh-sshd", LOG_PID | LOG_NDELAY, LOG_AUTHPRIV);
    log_set_sink(to_syslog, NULL);
    (void)empty(STDERR_FILENO);
    return true;
}

/* --- who is there --- */

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
        ssize_t n;
        if (now >= until || poll(&ready, 1, (int)(until - now)) == 0) {
            return -ETIMEDOUT;
        }
        n = recv(fd, out, 1, MSG_DONTWAIT);
        if (n == 1) {
            return 0;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return n == 0 ? -EPIPE : -errno;
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

/* --- the descriptor --- */

static int take_descriptor(struct inetd *inetd, struct errmsg *err)
{
    struct stat in;
    struct stat out;
    int type = 0;
    socklen_t size = sizeof type;
    int rc;
    if (fstat(STDIN_FILENO, &in) < 0) {
        return errmsg_set(err, -errno, "--inetd: descriptor 0, which should be the connection, is not open");
    }
    if (S_ISFIFO(in.st_mode) && fstat(STDOUT_FILENO, &out) == 0 && S_ISFIFO(out.st_mode)) {
        rc = bridge_start(STDIN_FILENO, STDOUT_FILENO, &inetd->fd);
    } else if (!S_ISSOCK(in.st_mode) || getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
               type != SOCK_STREAM) {
        return errmsg_set(
            err, -ENOTSOCK,
            "--inetd: descriptor 0 is not a connection: this program is started by multissh-agent, "
            "by inetd or systemd, or as `ssh -o ProxyCommand='multissh-sshd --inetd' HOST`");
    } else {
        inetd->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        rc = inetd->fd < 0 ? -errno : 0;
    }
    if (rc == 0) {
        rc = empty(STDIN_FILENO);
    }
    if (rc == 0) {
        rc = empty(STDOUT_FILENO);
    }
    return rc < 0 ? errmsg_set(err, rc, "cannot take the connection on descriptor 0: %s", strerror(-rc)) : 0;
}

int inetd_take(const char *peer, bool proxy_protocol, uint64_t timeout_ms, struct inetd *ret_inetd,
               struct errmsg *err)
{
    struct inetd inetd = {.fd = -1};
    int rc = peer != NULL ? from_argument(peer, &inetd, err) : 0;
    if (rc == 0) {
        rc = take_descriptor(&inetd, err);
    }
    if (rc == 0) {
        from_socket(&inetd);
        rc = proxy_protocol ? from_line(&inetd, timeout_ms, err) : 0;
    }
    if (rc < 0) {
        if (inetd.fd >= 0) {
            close(inetd.fd);
        }
        return rc;
    }
    *ret_inetd = inetd;
    return 0;
}
