/* Descriptor 0 as a connection, on POSIX systems: a socket, or pipes that are bridged to one. */
#include "sshd/inetd.h"

#include "base/log.h"
#include "sshd/bridge.h"
#include <errno.h>
#include <fcntl.h>
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

int inetd_descriptor(int *ret_fd, bool *ret_bridged, struct errmsg *err)
{
    struct stat in;
    struct stat out;
    int type = 0;
    socklen_t size = sizeof type;
    int fd = -1;
    int rc;
    if (fstat(STDIN_FILENO, &in) < 0) {
        return errmsg_set(err, -errno, "--inetd: descriptor 0, which should be the connection, is not open");
    }
    *ret_bridged = false;
    if (S_ISFIFO(in.st_mode) && fstat(STDOUT_FILENO, &out) == 0 && S_ISFIFO(out.st_mode)) {
        *ret_bridged = true;
        rc = bridge_start(STDIN_FILENO, STDOUT_FILENO, &fd);
    } else if (!S_ISSOCK(in.st_mode) || getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
               type != SOCK_STREAM) {
        return errmsg_set(
            err, -ENOTSOCK,
            "--inetd: descriptor 0 is not a connection: this program is started by multissh-agent, "
            "by inetd or systemd, or as `ssh -o ProxyCommand='multissh-sshd --inetd' HOST`");
    } else {
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        rc = fd < 0 ? -errno : 0;
    }
    if (rc == 0) {
        rc = empty(STDIN_FILENO);
    }
    if (rc == 0) {
        rc = empty(STDOUT_FILENO);
    }
    if (rc < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return errmsg_set(err, rc, "cannot take the connection on descriptor 0: %s", strerror(-rc));
    }
    *ret_fd = fd;
    return 0;
}

void inetd_finish(void)
{
    /* The bridge is a process of its own, and ends when it is done. */
}
