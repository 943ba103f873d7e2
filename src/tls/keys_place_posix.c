/* keys_place with link(2), which fails where rename(2) would replace. */
#include "tls/keys_place.h"

#include "base/fs.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

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
    return rc < 0 ? rc : fs_sync_folder_of(to);
}
