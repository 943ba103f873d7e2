/* What the files that make up the POSIX sftp_fs share. Private to sftp_fs_posix*.c. */
#ifndef MULTISSH_SSHD_SFTP_FS_POSIX_H
#define MULTISSH_SSHD_SFTP_FS_POSIX_H

#include "sshd/sftp_fs.h"
#include <sys/stat.h>

#define SFTP_FS_POSIX_CACHED 64u /* accounts, and as many groups */

struct sftp_fs_posix_name {
    bool used;
    uint32_t id;
    char name[257]; /* "": the number has no name */
};

/* The names of numbers asked for lately: a listing asks for the same few again and again. */
struct sftp_fs_posix {
    struct sftp_fs_posix_name users[SFTP_FS_POSIX_CACHED], groups[SFTP_FS_POSIX_CACHED];
};

/* sftp_fs_posix_path.c and sftp_fs_posix_names.c: as in struct sftp_fs. */
int sftp_fs_posix_realpath(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX]);
int sftp_fs_posix_home(void *arg, const char *name, char out[static SFTP_FS_PATH_MAX]);
const char *sftp_fs_posix_user_name(void *arg, uint32_t uid);
const char *sftp_fs_posix_group_name(void *arg, uint32_t gid);

/* The line of `ls -l` as OpenSSH writes it, cut to size. */
void sftp_fs_posix_long_name(void *arg, const char *name, const struct stat *st, char *out, size_t size);

#endif
