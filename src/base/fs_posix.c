/* Files that must survive a power cut, and private folders. Owns nothing between calls. */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP 4096

/* The size in stat is a hint only: files in /proc have none, and any file may grow while it is read. */
static int read_all(int fd, size_t hint, struct buf *out)
{
    for (;;) {
        uint8_t *at = NULL;
        uint8_t beyond;
        size_t room = buf_room(out);
        size_t want = hint >= READ_STEP ? hint + 1 : READ_STEP;
        if (want > room)
            want = room;
        if (want > 0) {
            int r = buf_reserve(out, want, &at);
            if (r != 0)
                return r;
        }
        ssize_t got = want > 0 ? read(fd, at, want) : read(fd, &beyond, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        if (want == 0)
            return -EFBIG;
        buf_commit(out, (size_t)got);
        hint = hint > (size_t)got ? hint - (size_t)got : 0;
    }
}

int fs_read(const char *path, struct buf *out)
{
    size_t before = buf_len(out);
    struct stat st;
    /* O_NONBLOCK: a FIFO put in a file's place must not hang the program. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int r = 0;
    if (fstat(fd, &st) != 0)
        r = -errno;
    else if (S_ISDIR(st.st_mode))
        r = -EISDIR;
    else if (!S_ISREG(st.st_mode))
        r = -EINVAL;
    else if ((uintmax_t)st.st_size > buf_room(out))
        r = -EFBIG;
    else
        r = read_all(fd, (size_t)st.st_size, out);
    if (r != 0)
        buf_truncate(out, before);
    close(fd);
    return r;
}

static int write_all(int fd, const uint8_t *data, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, data, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        data += put;
        n -= (size_t)put;
    }
    return 0;
}

/* Some file systems cannot sync a folder: EINVAL. */
int fs_sync_folder_of(const char *path)
{
    char folder[FS_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);
    if (n >= sizeof folder)
        return -ENAMETOOLONG;
    memcpy(folder, path, n);
    folder[n] = '\0';
    int fd = open(slash == NULL ? "." : n == 0 ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) == 0 || errno == EINVAL ? 0 : -errno;
    close(fd);
    return r;
}

int fs_write_atomic(const char *path, const void *data, size_t n, unsigned mode)
{
    char temporary[FS_PATH_MAX];
    int len = snprintf(temporary, sizeof temporary, "%s.tmp.XXXXXX", path);
    if (len < 0 || (size_t)len >= sizeof temporary)
        return -ENAMETOOLONG;
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, data, n);
    if (r == 0 && (fchmod(fd, (mode_t)mode) != 0 || fsync(fd) != 0))
        r = -errno;
    if (close(fd) != 0 && r == 0)
        r = -errno;
    if (r == 0 && rename(temporary, path) != 0)
        r = -errno;
    if (r != 0) {
        unlink(temporary);
        return r;
    }
    return fs_sync_folder_of(path);
}

static int make_folder(const char *path, mode_t mode)
{
    struct stat st;
    if (mkdir(path, mode) == 0)
        return 0;
    int code = -errno;
    /* What there is decides, whatever mkdir said: on a read-only file system it says EROFS for a folder that
     * exists. */
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    return code;
}

int fs_mkdir_private(const char *path)
{
    char part[FS_PATH_MAX];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0)
        return -ENOENT;
    if (n >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, n);
    part[n] = '\0';
    for (size_t i = 1; i < n; i++) {
        if (part[i] != '/' || part[i - 1] == '/')
            continue;
        part[i] = '\0';
        int r = make_folder(part, 0755);
        if (r != 0)
            return r;
        part[i] = '/';
    }
    return make_folder(part, 0700);
}

const char fs_private_advice[] = "chmod 600 it, and own it";

int fs_check_private(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return -errno;
    if ((st.st_uid != geteuid() && st.st_uid != 0) ||
        (st.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) != 0)
        return -EPERM;
    return 0;
}

bool fs_absolute(const char *path)
{
    return path[0] == '/';
}

int fs_join(char *out, size_t size, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    const char *between = n > 0 && dir[n - 1] == '/' ? "" : "/";
    int len = snprintf(out, size, "%s%s%s", dir, between, name);
    return len >= 0 && (size_t)len < size ? 0 : -ENAMETOOLONG;
}

int fs_sibling_program(const char *name, char *out, size_t size)
{
    char self[FS_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    int r;
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        if (slash != NULL) {
            *slash = '\0';
            r = fs_join(out, size, self, name);
            if (r != 0 || access(out, X_OK) == 0)
                return r;
        }
    }
    r = fs_join(out, size, MULTISSH_LIBEXEC, name);
    if (r != 0 || access(out, X_OK) == 0)
        return r;
    int len = snprintf(out, size, "%s", name);
    return len >= 0 && (size_t)len < size ? 0 : -ENAMETOOLONG;
}
