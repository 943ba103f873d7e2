/* The files an SFTP server works on: what an operating system has to give. sftp_fs_posix.c gives the
 * machine's own; another system needs only another one of these.
 *
 * Every call does its work before it returns and is made with the rights of the process: who may do what is
 * decided by the system, not here. Paths are NUL-terminated bytes in any encoding, shorter than
 * SFTP_FS_PATH_MAX, separated by '/'; a relative one begins at the process' working folder. "/C:/…" are
 * the drives of a Windows machine, and "/" is their list. Calls return 0
 * (or what is said) or a negative errno value; an interrupted system call is repeated inside. */
#ifndef MULTISSH_SSHD_SFTP_FS_H
#define MULTISSH_SSHD_SFTP_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SFTP_FS_PATH_MAX 4096 /* with the NUL */
#define SFTP_FS_NAME_MAX 1024 /* of a directory entry or an account, with the NUL */
#define SFTP_FS_LONG_NAME_MAX (SFTP_FS_NAME_MAX + 640)

/* What of struct sftp_fs_attrs is given; the protocol's numbers. */
enum {
    SFTP_FS_SIZE = 0x1,
    SFTP_FS_OWNER = 0x2,
    SFTP_FS_MODE = 0x4,
    SFTP_FS_TIMES = 0x8,
};

/* Types in a mode; POSIX's numbers. */
enum {
    SFTP_FS_TYPE = 0170000, /* its bits */
    SFTP_FS_FOLDER = 0040000,
    SFTP_FS_REGULAR = 0100000,
    SFTP_FS_LINK = 0120000,
};

struct sftp_fs_attrs {
    uint32_t has; /* SFTP_FS_… */
    uint64_t size;
    uint32_t uid, gid;
    uint32_t mode;         /* POSIX's numbers; with the type when asked for, and only 07777 counts when set */
    uint32_t atime, mtime; /* seconds since 1970, as the protocol has them */
};

/* How to open; the protocol's numbers. Neither READ nor WRITE: as READ. */
enum {
    SFTP_FS_READ = 0x01,
    SFTP_FS_WRITE = 0x02,
    SFTP_FS_APPEND = 0x04,
    SFTP_FS_CREATE = 0x08,
    SFTP_FS_TRUNCATE = 0x10,
    SFTP_FS_EXCLUSIVE = 0x20,
};

struct sftp_fs_entry {
    char name[SFTP_FS_NAME_MAX];
    char long_name[SFTP_FS_LONG_NAME_MAX]; /* a line as of `ls -l` */
    struct sftp_fs_attrs attrs;
};

struct sftp_fs_space { /* as struct statvfs */
    uint64_t block_size, fragment_size, blocks, blocks_free, blocks_available, files, files_free,
        files_available, id, name_max;
    bool read_only, no_setuid;
};

struct sftp_fs_file; /* the system's own */
struct sftp_fs_dir;

/* arg is what sftp_fs_new gave. */
struct sftp_fs {
    /* Never waits for another process (a FIFO's other end). mode: of a new file, before the umask. */
    int (*open)(void *arg, const char *path, unsigned flags, uint32_t mode, struct sftp_fs_file **ret_file);
    /* The file is closed whatever is returned. */
    int (*close)(void *arg, struct sftp_fs_file *file);
    /* Returns how many bytes were read; 0: the end, or n is 0. n ≤ SSIZE_MAX. */
    long (*read)(void *arg, struct sftp_fs_file *file, void *data, size_t n, uint64_t offset);
    /* Writes all n bytes or fails; with APPEND at the end, whatever the offset. */
    int (*write)(void *arg, struct sftp_fs_file *file, const void *data, size_t n, uint64_t offset);
    int (*fsync)(void *arg, struct sftp_fs_file *file);
    int (*fstat)(void *arg, struct sftp_fs_file *file, struct sftp_fs_attrs *ret_attrs);
    /* Size, mode, times, owner, in this order, each tried even when another failed. Returns the last
     * failure. */
    int (*fsetstat)(void *arg, struct sftp_fs_file *file, const struct sftp_fs_attrs *attrs);
    int (*fstatvfs)(void *arg, struct sftp_fs_file *file, struct sftp_fs_space *ret_space);

    /* follow: of what a symbolic link leads to, else of the link. */
    int (*stat)(void *arg, const char *path, bool follow, struct sftp_fs_attrs *ret_attrs);
    int (*setstat)(void *arg, const char *path, bool follow,
                   const struct sftp_fs_attrs *attrs); /* as fsetstat */
    int (*statvfs)(void *arg, const char *path, struct sftp_fs_space *ret_space);

    int (*opendir)(void *arg, const char *path, struct sftp_fs_dir **ret_dir);
    void (*closedir)(void *arg, struct sftp_fs_dir *dir);
    /* Returns 1 with the next entry, or 0 at the end. "." and ".." are entries; what vanished meanwhile is
     * not. */
    int (*readdir)(void *arg, struct sftp_fs_dir *dir, struct sftp_fs_entry *ret_entry);

    int (*mkdir)(void *arg, const char *path, uint32_t mode);
    int (*rmdir)(void *arg, const char *path);
    int (*remove)(void *arg, const char *path);
    /* replace: as POSIX rename; else it fails with -EEXIST when to exists. */
    int (*rename)(void *arg, const char *from, const char *to, bool replace);
    int (*hardlink)(void *arg, const char *from, const char *to);
    int (*symlink)(void *arg, const char *target, const char *link);
    int (*readlink)(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX]);
    /* The absolute path without links, "." and "..". The last component may be missing. */
    int (*realpath)(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX]);

    /* The home folder of an account; name "": of this one. -ENOENT: no such account. */
    int (*home)(void *arg, const char *name, char out[static SFTP_FS_PATH_MAX]);
    /* The account's (or group's) name, or "" when the number has none. Valid until the next call. */
    const char *(*user_name)(void *arg, uint32_t uid);
    const char *(*group_name)(void *arg, uint32_t gid);

    /* Why the call that failed just now did, for the client and the log, where its error number does not tell
     * it well; NULL: it does. Valid until the next call, and told once. The member may be NULL. */
    const char *(*words)(void *arg);
};

/* The machine's own files, and what these calls keep between them. Returns 0 or -ENOMEM. */
extern const struct sftp_fs sftp_fs_native;
int sftp_fs_new(void **ret_arg);
void sftp_fs_free(void *arg); /* NULL-safe; after the last file and directory is closed */

#endif
