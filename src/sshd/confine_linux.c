/* Confinement on Linux: chroot, setresuid, seccomp. */
#include "sshd/confine.h"

#include "base/sandbox.h"
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The descriptor behind syslog(3), which tells nobody its number: a datagram socket with a peer of that name. */
static bool is_syslog(int fd)
{
    static const char *const names[] = {"/dev/log", "/run/systemd/journal/dev-log"};
    struct sockaddr_un name;
    socklen_t size = sizeof name;
    memset(&name, 0, sizeof name);
    if (getpeername(fd, (struct sockaddr *)&name, &size) < 0 || name.sun_family != AF_UNIX) {
        return false;
    }
    name.sun_path[sizeof name.sun_path - 1] = '\0';
    return strcmp(name.sun_path, names[0]) == 0 || strcmp(name.sun_path, names[1]) == 0;
}

static bool kept(int fd, const int *keep, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (keep[i] == fd) {
            return true;
        }
    }
    return fd <= STDERR_FILENO || is_syslog(fd);
}

int confine_descriptors(const int *keep, size_t n)
{
    const struct dirent *entry;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        long max = sysconf(_SC_OPEN_MAX);
        for (int fd = 0; fd < (max < 0 || max > 65536 ? 65536 : (int)max); fd++) {
            if (!kept(fd, keep, n)) {
                close(fd);
            }
        }
        return 0;
    }
    while ((entry = readdir(dir)) != NULL) {
        int fd = entry->d_name[0] == '.' ? dirfd(dir) : (int)strtol(entry->d_name, NULL, 10);
        if (fd != dirfd(dir) && !kept(fd, keep, n)) {
            close(fd);
        }
    }
    return closedir(dir) < 0 ? -errno : 0;
}

/* --- as root --- */

static int find_user(uid_t *ret_uid, gid_t *ret_gid)
{
    static const char *const names[] = {"multissh-sshd", "sshd", "nobody"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct passwd *pw = getpwnam(names[i]);
        if (pw != NULL && pw->pw_uid != 0) {
            *ret_uid = pw->pw_uid;
            *ret_gid = pw->pw_gid;
            return 0;
        }
    }
    return -ENOENT;
}

/* An empty folder without a name: nothing can be opened in it, and nothing made. */
static int enter_nowhere(void)
{
    char places[][32] = {"/run/multissh-sshd.XXXXXX", "/tmp/multissh-sshd.XXXXXX"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int rc = 0;
        if (mkdtemp(places[i]) == NULL) {
            continue;
        }
        if (chdir(places[i]) < 0) {
            rc = -errno;
        }
        if (rmdir(places[i]) < 0 && rc == 0) {
            rc = -errno;
        }
        if (rc == 0 && chroot(".") < 0) {
            rc = -errno;
        }
        return rc;
    }
    return -errno;
}

static int become(uid_t uid, gid_t gid)
{
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) {
        return -errno;
    }
    return setuid(0) == 0 || geteuid() != uid || getegid() != gid ? -EPERM : 0;
}

int confine_process(unsigned allow, struct errmsg *err)
{
    int rc;
    tzset(); /* the time zone is a file */
    if (geteuid() == 0) {
        uid_t uid = 0;
        gid_t gid = 0;
        rc = find_user(&uid, &gid);
        if (rc < 0) {
            return errmsg_set(err, rc,
                              "there is no user that the process which speaks SSH could be: make one called "
                              "multissh-sshd, or have sshd or nobody");
        }
        rc = enter_nowhere();
        if (rc < 0) {
            return errmsg_set(
                err, rc,
                "cannot make an empty folder in /run or /tmp the root of the process that speaks SSH: %s",
                strerror(-rc));
        }
        rc = become(uid, gid);
        if (rc < 0) {
            return errmsg_set(err, rc, "cannot become user %ld: %s", (long)uid, strerror(-rc));
        }
    }
    rc = sandbox_enter_with(allow);
    return rc < 0 ? errmsg_set(err, rc, "cannot close the sandbox: %s", strerror(-rc)) : 0;
}
