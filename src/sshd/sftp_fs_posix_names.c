/* Accounts and groups by name and number, and the lines of a listing. Owns the cache of names; asks the
 * system's databases. */
#include "sshd/sftp_fs_posix.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HALF_A_YEAR (365L * 24 * 60 * 60 / 2)

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

static char type_letter(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return 'd';
    case S_IFCHR:
        return 'c';
    case S_IFBLK:
        return 'b';
    case S_IFREG:
        return '-';
    case S_IFLNK:
        return 'l';
    case S_IFSOCK:
        return 's';
    case S_IFIFO:
        return 'p';
    default:
        return '?';
    }
}

/* BSD's strmode: ten letters, and a blank for what may stand there in other systems. */
static void mode_letters(mode_t mode, char out[static 12])
{
    static const struct {
        mode_t bit;
        char both, alone;
    } special[3] = {{S_ISUID, 's', 'S'}, {S_ISGID, 's', 'S'}, {S_ISVTX, 't', 'T'}};

    out[0] = type_letter(mode);
    for (int who = 0; who < 3; who++) {
        mode_t bits = mode >> (6 - 3 * who);
        char *at = out + 1 + 3 * who;
        at[0] = (bits & 4) != 0 ? 'r' : '-';
        at[1] = (bits & 2) != 0 ? 'w' : '-';
        at[2] = (bits & 1) != 0 ? 'x' : '-';
        if ((mode & special[who].bit) != 0)
            at[2] = (bits & 1) != 0 ? special[who].both : special[who].alone;
    }
    out[10] = ' ';
    out[11] = '\0';
}

static void time_words(time_t when, char *out, size_t size)
{
    struct tm tm;
    time_t now = time(NULL);
    out[0] = '\0';
    if (localtime_r(&when, &tm) == NULL)
        return;
    bool recent = now - HALF_A_YEAR < when && now >= when;
    if (strftime(out, size, recent ? "%b %e %H:%M" : "%b %e  %Y", &tm) == 0)
        out[0] = '\0';
}

void sftp_fs_posix_long_name(void *arg, const char *name, const struct stat *st, char *out, size_t size)
{
    char mode[12], when[32], uid[16], gid[16];
    const char *user = sftp_fs_posix_user_name(arg, st->st_uid);
    const char *group = sftp_fs_posix_group_name(arg, st->st_gid);

    if (user[0] == '\0') {
        snprintf(uid, sizeof uid, "%u", (unsigned)st->st_uid);
        user = uid;
    }
    if (group[0] == '\0') {
        snprintf(gid, sizeof gid, "%u", (unsigned)st->st_gid);
        group = gid;
    }
    mode_letters(st->st_mode, mode);
    time_words(st->st_mtime, when, sizeof when);
    snprintf(out, size, "%s %3u %-8s %-8s %8llu %s %s", mode, (unsigned)st->st_nlink, user, group,
             (unsigned long long)st->st_size, when, name);
}
