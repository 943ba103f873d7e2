/* keys_place with link(2), which fails where rename(2) would replace. */
#include "tls/keys_place.h"

#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int sync_folder_of(const char *path)
{
    char dir[FS_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 1;
    int fd, rc = 0;

    if (n >= sizeof(dir))
        return -ENAMETOOLONG;
    memcpy(dir, slash ? path : ".", n);
    if (n == 0)
        dir[n++] = '/';
    dir[n] = '\0';
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fsync(fd) < 0 && errno != EINVAL) /* EINVAL: this file system has nothing to sync */
        rc = -errno;
    close(fd);
    return rc;
}

int keys_place(const char *from, const char *to)
{
    int rc = 0;

    if (link(from, to) < 0)
        rc = -errno;
    if (rc == -EPERM || rc == -EOPNOTSUPP || rc == -ENOSYS) { /* a file system without hard links */
        if (access(to, F_OK) == 0)
            rc = -EEXIST;
        else
            rc = rename(from, to) < 0 ? -errno : 0;
    }
    (void)unlink(from);
    return rc < 0 ? rc : sync_folder_of(to);
}
