/* Owns nothing. Must not wait for systemd, nor fail because of it. */
#include "hub/activation.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FIRST 3 /* SD_LISTEN_FDS_START */

/* The whole variable as a number; -1: it is not there, or no number. */
static long number_of(const char *name)
{
    const char *text = getenv(name);
    char *end = NULL;
    long value = 0;

    if (text == NULL || *text == '\0')
        return -1;
    errno = 0;
    value = strtol(text, &end, 10);
    return errno == 0 && *end == '\0' && value >= 0 ? value : -1;
}

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t n = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &n) == 0 ? value : -1;
}

/* A stream socket of the Internet that listens. */
static bool fits(int fd)
{
    int domain = option_of(fd, SO_DOMAIN);

    return (domain == AF_INET || domain == AF_INET6) && option_of(fd, SO_TYPE) == SOCK_STREAM &&
           option_of(fd, SO_ACCEPTCONN) == 1;
}

static int prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return fits(fd) ? 0 : -EINVAL;
}

int activation_take(int *ret_fd, struct errmsg *err)
{
    long pid = number_of("LISTEN_PID"), n = number_of("LISTEN_FDS");
    bool ours = pid == (long)getpid() && n > 0;
    int rc = 0;

    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (!ours)
        return 0;
    if (n > ACTIVATION_MAX)
        return errmsg_set(err, -E2BIG, "LISTEN_FDS: %ld sockets were passed, at most %d can be used", n,
                          ACTIVATION_MAX);
    for (int i = 0; i < (int)n && rc == 0; i++) {
        rc = prepare(FIRST + i);
        if (rc == -EINVAL)
            (void)errmsg_set(
                err, rc,
                "LISTEN_FDS: descriptor %d is not a listening TCP socket (in multissh-hub.socket: "
                "ListenStream= with a port or an address, Accept=no)",
                FIRST + i);
        else if (rc < 0)
            (void)errmsg_set(err, rc, "LISTEN_FDS: descriptor %d: %s", FIRST + i, strerror(-rc));
        ret_fd[i] = FIRST + i;
    }
    if (rc == 0)
        return (int)n;
    for (int i = 0; i < (int)n; i++)
        (void)close(FIRST + i);
    return rc;
}

void activation_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t n = path == NULL ? 0 : strlen(path);
    int fd = -1;

    if (n == 0 || n >= sizeof sa.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(sa.sun_path, path, n);
    if (path[0] == '@') /* an abstract one */
        sa.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&sa,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        log_debug("NOTIFY_SOCKET: %s", strerror(errno));
    (void)close(fd);
}

void activation_notify_reloading(void)
{
    struct timespec now = {0};
    char text[80];

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
                   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    activation_notify(text);
}
