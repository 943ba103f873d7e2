/* Accounts and groups by name and number, also in the lines of a listing. Owns the cache of names; asks the
 * system's databases. */
#include "sshd/sftp_fs_posix.h"

#include "sshd/sftp_line.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct sftp_fs_posix_name *slot_of(struct sftp_fs_posix_name *table, uint32_t id)
{
    return &table[id % SFTP_FS_POSIX_CACHED];
}

static const char *keep(struct sftp_fs_posix_name *slot, uint32_t id, const char *name)
{
    slot->used = true;
    slot->id = id;
    snprintf(slot->name, sizeof slot->name, "%s", name == NULL ? "" : name);
    return slot->name;
}

const char *sftp_fs_posix_user_name(void *arg, uint32_t uid)
{
    struct sftp_fs_posix_name *slot = slot_of(((struct sftp_fs_posix *)arg)->users, uid);
    if (slot->used && slot->id == uid)
        return slot->name;
    const struct passwd *account = getpwuid((uid_t)uid);
    return keep(slot, uid, account == NULL ? NULL : account->pw_name);
}

const char *sftp_fs_posix_group_name(void *arg, uint32_t gid)
{
    struct sftp_fs_posix_name *slot = slot_of(((struct sftp_fs_posix *)arg)->groups, gid);
    if (slot->used && slot->id == gid)
        return slot->name;
    const struct group *group = getgrgid((gid_t)gid);
    return keep(slot, gid, group == NULL ? NULL : group->gr_name);
}

int sftp_fs_posix_home(void *arg, const char *name, char out[static SFTP_FS_PATH_MAX])
{
    (void)arg;
    errno = 0;
    const struct passwd *account = name[0] == '\0' ? getpwuid(getuid()) : getpwnam(name);
    if (account == NULL)
        return errno == ENOMEM || errno == EMFILE || errno == ENFILE || errno == EIO ? -errno : -ENOENT;
    int n = snprintf(out, SFTP_FS_PATH_MAX, "%s", account->pw_dir);
    return n >= 0 && n < SFTP_FS_PATH_MAX ? 0 : -ENAMETOOLONG;
}

void sftp_fs_posix_long_name(void *arg, const char *name, const struct stat *st, char *out, size_t size)
{
    struct tm local;
    sftp_line_write(&(struct sftp_line){.name = name,
                                        .user = sftp_fs_posix_user_name(arg, st->st_uid),
                                        .group = sftp_fs_posix_group_name(arg, st->st_gid),
                                        .mode = st->st_mode,
                                        .uid = st->st_uid,
                                        .gid = st->st_gid,
                                        .links = (unsigned)st->st_nlink,
                                        .size = (uint64_t)st->st_size,
                                        .mtime = st->st_mtime,
                                        .local = localtime_r(&st->st_mtime, &local)},
                    out, size);
}
