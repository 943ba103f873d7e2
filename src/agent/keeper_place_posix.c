/* A Unix socket beside the file. */
#include "agent/keeper_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The path of a Unix socket has about 100 bytes, and a state folder may be deeper: the way leads through the folder's
 * descriptor, which is the caller's. */
static int socket_path(const struct keeper_place *p, char *out, size_t size)
{
    int fd = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    snprintf(out, size, "/proc/self/fd/%d/%s.socket", fd, p->id);
    return fd;
}

int keeper_place_bind(const struct keeper_place *p, uv_pipe_t *pipe)
{
    char path[100];
    int fd = socket_path(p, path, sizeof path);
    if (fd < 0)
        return fd;
    int r = uv_pipe_bind(pipe, path);
    close(fd);
    return r;
}

int keeper_place_connect(const struct keeper_place *p, uv_pipe_t *pipe)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket_path(p, to.sun_path, sizeof to.sun_path);
    int s = fd < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? fd : s < 0 || connect(s, (const struct sockaddr *)&to, sizeof to) != 0 ? -errno : 0;
    if (r == 0)
        r = uv_pipe_open(pipe, s);
    if (r != 0 && s >= 0)
        close(s);
    if (fd >= 0)
        close(fd);
    return r;
}

void keeper_place_unbind(const struct keeper_place *p)
{
    char path[FS_PATH_MAX], name[KEEPER_ID_TEXT + sizeof ".socket"];
    snprintf(name, sizeof name, "%s.socket", p->id);
    if (fs_join(path, sizeof path, p->folder, name) == 0)
        (void)unlink(path); /* it may be gone */
}
