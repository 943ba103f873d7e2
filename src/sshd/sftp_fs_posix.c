/* The machine's files for the SFTP server, by POSIX calls with the rights of the process. Owns open files and
 * folders; decides nothing: who may do what is the kernel's to say. */
#include "sshd/sftp_fs_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) >= 8, "files beyond 2 GiB: build with _FILE_OFFSET_BITS=64");

struct sftp_fs_file {
    int fd;
    bool append;
};

struct sftp_fs_dir {
    DIR *stream;
};

static int result(int r)
{
    return r < 0 ? -errno : 0;
}

static struct sftp_fs_attrs attrs_of(const struct stat *st)
{
    return (struct sftp_fs_attrs){
        .has = SFTP_FS_SIZE | SFTP_FS_OWNER | SFTP_FS_MODE | SFTP_FS_TIMES,
        .size = (uint64_t)st->st_size,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mode = st->st_mode,
        .atime = (uint32_t)st->st_atime,
        .mtime = (uint32_t)st->st_mtime,
    };
}

static void times_of(const struct sftp_fs_attrs *attrs, struct timespec out[static 2])
{
    out[0] = (struct timespec){.tv_sec = (time_t)attrs->atime};
    out[1] = (struct timespec){.tv_sec = (time_t)attrs->mtime};
}

static int open_file(void *arg, const char *path, unsigned flags, uint32_t mode,
                     struct sftp_fs_file **ret_file)
{
    static const struct {
        unsigned flag;
        int posix;
    } also[] = {{SFTP_FS_APPEND, O_APPEND},
                {SFTP_FS_CREATE, O_CREAT},
                {SFTP_FS_TRUNCATE, O_TRUNC},
                {SFTP_FS_EXCLUSIVE, O_EXCL}};
    /* O_NONBLOCK: the opening of a FIFO must not wait for its other end, and nobody is served meanwhile. */
    int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    (void)arg;

    if ((flags & SFTP_FS_WRITE) != 0)
        how |= (flags & SFTP_FS_READ) != 0 ? O_RDWR : O_WRONLY;
    for (size_t i = 0; i < sizeof also / sizeof also[0]; i++)
        how |= (flags & also[i].flag) != 0 ? also[i].posix : 0;
    struct sftp_fs_file *file = malloc(sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    do
        file->fd = open(path, how, (mode_t)(mode & 07777));
    while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0) {
        int r = -errno;
        free(file);
        return r;
    }
    file->append = (flags & SFTP_FS_APPEND) != 0;
    *ret_file = file;
    return 0;
}

static int close_file(void *arg, struct sftp_fs_file *file)
{
    (void)arg;
    int r = result(close(file->fd));
    free(file);
    /* Linux has closed it all the same. */
    return r == -EINTR ? 0 : r;
}

static long read_file(void *arg, struct sftp_fs_file *file, void *data, size_t n, uint64_t offset)
{
    ssize_t got;
    (void)arg;
    if (offset > INT64_MAX)
        return -EINVAL;
    if (n == 0)
        return 0;
    do
        got = pread(file->fd, data, n, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : (long)got;
}

static int write_file(void *arg, struct sftp_fs_file *file, const void *data, size_t n, uint64_t offset)
{
    const uint8_t *at = data;
    (void)arg;
    if (!file->append && offset > INT64_MAX)
        return -EINVAL;
    /* At least once: that the file is not open for writing is told for no bytes too. */
    do {
        ssize_t put = file->append ? write(file->fd, at, n) : pwrite(file->fd, at, n, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        if (put == 0 && n > 0)
            return -EIO;
        at += put;
        n -= (size_t)put;
        offset += (uint64_t)put;
    } while (n > 0);
    return 0;
}

static int fsync_file(void *arg, struct sftp_fs_file *file)
{
    (void)arg;
    return result(fsync(file->fd));
}

static int fstat_file(void *arg, struct sftp_fs_file *file, struct sftp_fs_attrs *ret_attrs)
{
    struct stat st;
    (void)arg;
    if (fstat(file->fd, &st) != 0)
        return -errno;
    *ret_attrs = attrs_of(&st);
    return 0;
}

static int fsetstat_file(void *arg, struct sftp_fs_file *file, const struct sftp_fs_attrs *attrs)
{
    struct timespec times[2];
    int r = 0;
    (void)arg;
    times_of(attrs, times);
    if ((attrs->has & SFTP_FS_SIZE) != 0 && attrs->size > INT64_MAX)
        r = -EINVAL;
    else if ((attrs->has & SFTP_FS_SIZE) != 0 && ftruncate(file->fd, (off_t)attrs->size) != 0)
        r = -errno;
    if ((attrs->has & SFTP_FS_MODE) != 0 && fchmod(file->fd, (mode_t)(attrs->mode & 07777)) != 0)
        r = -errno;
    if ((attrs->has & SFTP_FS_TIMES) != 0 && futimens(file->fd, times) != 0)
        r = -errno;
    if ((attrs->has & SFTP_FS_OWNER) != 0 && fchown(file->fd, attrs->uid, attrs->gid) != 0)
        r = -errno;
    return r;
}

static struct sftp_fs_space space_of(const struct statvfs *st)
{
    return (struct sftp_fs_space){
        .block_size = st->f_bsize,
        .fragment_size = st->f_frsize,
        .blocks = st->f_blocks,
        .blocks_free = st->f_bfree,
        .blocks_available = st->f_bavail,
        .files = st->f_files,
        .files_free = st->f_ffree,
        .files_available = st->f_favail,
        .id = st->f_fsid,
        .name_max = st->f_namemax,
        .read_only = (st->f_flag & ST_RDONLY) != 0,
        .no_setuid = (st->f_flag & ST_NOSUID) != 0,
    };
}

static int fstatvfs_file(void *arg, struct sftp_fs_file *file, struct sftp_fs_space *ret_space)
{
    struct statvfs st;
    (void)arg;
    if (fstatvfs(file->fd, &st) != 0)
        return -errno;
    *ret_space = space_of(&st);
    return 0;
}

static int statvfs_path(void *arg, const char *path, struct sftp_fs_space *ret_space)
{
    struct statvfs st;
    (void)arg;
    if (statvfs(path, &st) != 0)
        return -errno;
    *ret_space = space_of(&st);
    return 0;
}

static int stat_path(void *arg, const char *path, bool follow, struct sftp_fs_attrs *ret_attrs)
{
    struct stat st;
    (void)arg;
    if ((follow ? stat(path, &st) : lstat(path, &st)) != 0)
        return -errno;
    *ret_attrs = attrs_of(&st);
    return 0;
}

static int setstat_path(void *arg, const char *path, bool follow, const struct sftp_fs_attrs *attrs)
{
    struct timespec times[2];
    int nofollow = follow ? 0 : AT_SYMLINK_NOFOLLOW;
    int r = 0;
    (void)arg;
    times_of(attrs, times);
    if ((attrs->has & SFTP_FS_SIZE) != 0 && (!follow || attrs->size > INT64_MAX))
        r = -EINVAL;
    else if ((attrs->has & SFTP_FS_SIZE) != 0 && truncate(path, (off_t)attrs->size) != 0)
        r = -errno;
    if ((attrs->has & SFTP_FS_MODE) != 0 &&
        fchmodat(AT_FDCWD, path, (mode_t)(attrs->mode & 07777), nofollow) != 0)
        r = -errno;
    if ((attrs->has & SFTP_FS_TIMES) != 0 && utimensat(AT_FDCWD, path, times, nofollow) != 0)
        r = -errno;
    if ((attrs->has & SFTP_FS_OWNER) != 0 && fchownat(AT_FDCWD, path, attrs->uid, attrs->gid, nofollow) != 0)
        r = -errno;
    return r;
}

static int open_dir(void *arg, const char *path, struct sftp_fs_dir **ret_dir)
{
    (void)arg;
    struct sftp_fs_dir *dir = malloc(sizeof *dir);
    if (dir == NULL)
        return -ENOMEM;
    dir->stream = opendir(path);
    if (dir->stream == NULL) {
        int r = -errno;
        free(dir);
        return r;
    }
    *ret_dir = dir;
    return 0;
}

static void close_dir(void *arg, struct sftp_fs_dir *dir)
{
    (void)arg;
    closedir(dir->stream);
    free(dir);
}

static int read_dir(void *arg, struct sftp_fs_dir *dir, struct sftp_fs_entry *ret_entry)
{
    for (;;) {
        struct stat st;
        errno = 0;
        const struct dirent *found = readdir(dir->stream);
        /* A folder that was removed has no more entries. */
        if (found == NULL)
            return errno == ENOENT ? 0 : -errno;
        size_t n = strlen(found->d_name);
        if (n >= sizeof ret_entry->name ||
            fstatat(dirfd(dir->stream), found->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        memcpy(ret_entry->name, found->d_name, n + 1);
        ret_entry->attrs = attrs_of(&st);
        sftp_fs_posix_long_name(arg, ret_entry->name, &st, ret_entry->long_name, sizeof ret_entry->long_name);
        return 1;
    }
}

static int mkdir_path(void *arg, const char *path, uint32_t mode)
{
    (void)arg;
    return result(mkdir(path, (mode_t)(mode & 07777)));
}

static int rmdir_path(void *arg, const char *path)
{
    (void)arg;
    return result(rmdir(path));
}

static int remove_path(void *arg, const char *path)
{
    (void)arg;
    return result(unlink(path));
}

/* For a filesystem that cannot rename without replacing: files by a second name, which is free of races; the
 * rest by looking first, which is not. */
static int rename_carefully(const char *from, const char *to)
{
    struct stat st;
    if (lstat(from, &st) != 0)
        return -errno;
    if (S_ISREG(st.st_mode)) {
        if (link(from, to) == 0) {
            int r = result(unlink(from));
            if (r != 0)
                unlink(to);
            return r;
        }
        if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM && errno != EMLINK)
            return -errno;
    }
    if (lstat(to, &st) == 0)
        return -EEXIST;
    return errno == ENOENT ? result(rename(from, to)) : -errno;
}

static int rename_path(void *arg, const char *from, const char *to, bool replace)
{
    (void)arg;
    if (replace)
        return result(rename(from, to));
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    return errno == EINVAL || errno == ENOSYS ? rename_carefully(from, to) : -errno;
}

static int hardlink_path(void *arg, const char *from, const char *to)
{
    (void)arg;
    return result(link(from, to));
}

static int symlink_path(void *arg, const char *target, const char *link_path)
{
    (void)arg;
    return result(symlink(target, link_path));
}

static int readlink_path(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX])
{
    (void)arg;
    ssize_t n = readlink(path, out, SFTP_FS_PATH_MAX - 1);
    if (n < 0)
        return -errno;
    out[n] = '\0';
    return 0;
}

int sftp_fs_new(void **ret_arg)
{
    tzset(); /* localtime_r need not */
    *ret_arg = calloc(1, sizeof(struct sftp_fs_posix));
    return *ret_arg == NULL ? -ENOMEM : 0;
}

void sftp_fs_free(void *arg)
{
    free(arg);
}

const struct sftp_fs sftp_fs_native = {
    .open = open_file,
    .close = close_file,
    .read = read_file,
    .write = write_file,
    .fsync = fsync_file,
    .fstat = fstat_file,
    .fsetstat = fsetstat_file,
    .fstatvfs = fstatvfs_file,
    .stat = stat_path,
    .setstat = setstat_path,
    .statvfs = statvfs_path,
    .opendir = open_dir,
    .closedir = close_dir,
    .readdir = read_dir,
    .mkdir = mkdir_path,
    .rmdir = rmdir_path,
    .remove = remove_path,
    .rename = rename_path,
    .hardlink = hardlink_path,
    .symlink = symlink_path,
    .readlink = readlink_path,
    .realpath = sftp_fs_posix_realpath,
    .home = sftp_fs_posix_home,
    .user_name = sftp_fs_posix_user_name,
    .group_name = sftp_fs_posix_group_name,
};
