/* Owns the folder's descriptor and the place of the search in it. Must not believe a name or a process there: it is
 * whoever runs the hub that can write into the folder, but files may be left over from anything. */
#include "hub/berths.h"
#include "base/crypto.h"
#include "base/fs.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4
#define MARK 8 /* hex digits of the hub, the first of the name */

struct berths {
    char path[FS_PATH_MAX];
    int dir;
    DIR *search; /* NULL: between two searches */
    bool busy;   /* somebody's queue was full in this search */
    uint32_t last;
    char mark[MARK + 1];
};

static int open_folder(const char *path, int *ret_fd)
{
    int rc = fs_mkdir_private(path);

    if (rc < 0)
        return rc;
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

int berths_new(const char *state_dir, const char *folder, struct berths **ret_b)
{
    uint8_t mark[MARK / 2];
    struct berths *b = calloc(1, sizeof *b);
    int rc = b == NULL ? -ENOMEM : fs_join(b->path, sizeof b->path, state_dir, folder);

    if (rc == 0)
        rc = crypto_random(mark, sizeof mark);
    if (rc == 0)
        rc = open_folder(b->path, &b->dir);
    if (rc < 0) {
        free(b);
        return rc;
    }
    crypto_hex_encode(mark, sizeof mark, b->mark, sizeof b->mark);
    *ret_b = b;
    return 0;
}

void berths_free(struct berths *b)
{
    if (b == NULL)
        return;
    if (b->search != NULL)
        (void)closedir(b->search);
    (void)close(b->dir);
    free(b);
}

/* A path in sun_path is at most 107 bytes long; through the descriptor it always is. */
static void address(const struct berths *b, const char *name, struct sockaddr_un *ret_sa)
{
    memset(ret_sa, 0, sizeof *ret_sa);
    ret_sa->sun_family = AF_UNIX;
    (void)snprintf(ret_sa->sun_path, sizeof ret_sa->sun_path, "/proc/self/fd/%d/%.*s", b->dir,
                   BERTHS_NAME_MAX, name);
}

/* The folder is gone (somebody tidied up): another one is made. */
static int renew(struct berths *b)
{
    int dir = -1, rc = open_folder(b->path, &dir);

    if (rc < 0)
        return rc;
    (void)close(b->dir);
    b->dir = dir;
    return 0;
}

static int make(struct berths *b, char *name, int *ret_fd)
{
    struct sockaddr_un sa;
    mode_t old = 0;
    int rc = 0, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)snprintf(name, BERTHS_NAME_MAX + 1, "%s%08x", b->mark, (unsigned)++b->last);
    address(b, name, &sa);
    old = umask(0177);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        rc = -errno;
    (void)umask(old);
    if (rc == 0 && listen(fd, BACKLOG) < 0) {
        rc = -errno;
        berths_remove(b, name);
    }
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

int berths_make(struct berths *b, char *name, int *ret_fd)
{
    int rc = make(b, name, ret_fd);

    if (rc == -ENOENT)
        rc = renew(b);
    else
        return rc;
    return rc < 0 ? rc : make(b, name, ret_fd);
}

void berths_remove(struct berths *b, const char *name)
{
    if (*name != '\0')
        (void)unlinkat(b->dir, name, 0);
}

/* --- the search --- */

static bool is_name(const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++) {
        if (!isxdigit((unsigned char)name[i]) && name[i] != '.')
            return false;
    }
    return n > 0 && n <= BERTHS_NAME_MAX && name[0] != '.';
}

static pid_t listener_of(int fd)
{
    struct ucred peer = {.pid = 0, .uid = (uid_t)-1};
    socklen_t n = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || (peer.uid != 0 && peer.uid != geteuid()))
        return -1;
    return peer.pid;
}

/* Returns 0, or what keeps the search from going on. */
static int look(struct berths *b, const char *name, berths_found_fn *found, void *arg)
{
    struct sockaddr_un sa;
    pid_t pid = 0;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    address(b, name, &sa);
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        int error = errno;

        (void)close(fd);
        if (error == EAGAIN)
            b->busy = true;
        else if (error == ECONNREFUSED) /* also what is no socket */
            berths_remove(b, name);
        return 0; /* EPROTOTYPE and the like: nothing of ours */
    }
    pid = listener_of(fd);
    if (pid < 0)
        (void)close(fd);
    else
        found(arg, name, fd, pid);
    return 0;
}

static int search_begin(struct berths *b)
{
    int fd = b->search != NULL ? -1 : openat(b->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (b->search != NULL)
        return 0;
    if (fd < 0)
        return -errno;
    b->busy = false;
    b->search = fdopendir(fd);
    if (b->search == NULL) {
        (void)close(fd);
        return -ENOMEM;
    }
    return 0;
}

int berths_search(struct berths *b, unsigned max, berths_found_fn *found, void *arg)
{
    int rc = search_begin(b), n = 0;

    if (rc < 0)
        return rc;
    for (; n < (int)max; n++) {
        long at = telldir(b->search);
        const struct dirent *e = readdir(b->search);

        if (e == NULL) {
            (void)closedir(b->search);
            b->search = NULL;
            return b->busy ? -EAGAIN : n;
        }
        if (!is_name(e->d_name) || strncmp(e->d_name, b->mark, MARK) == 0)
            continue;
        rc = look(b, e->d_name, found, arg);
        if (rc < 0) {
            seekdir(b->search, at);
            return rc;
        }
    }
    return n;
}
