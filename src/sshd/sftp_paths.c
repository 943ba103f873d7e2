/* The requests about names: LSTAT, STAT, SETSTAT, REMOVE, REALPATH, RENAME, READLINK, SYMLINK. Touches files
 * through struct sftp_fs alone. */
#include "sshd/sftp_private.h"

static int stat_with(struct sftp *s, uint32_t id, struct sftp_packet *p, bool follow)
{
    char path[SFTP_FS_PATH_MAX];
    struct sftp_fs_attrs attrs;

    sftp_packet_path(p, path);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    r = sftp_tell(s, follow ? "stat" : "lstat", path,
                  s->config.fs->stat(s->config.fs_arg, path, follow, &attrs));
    return r != 0 ? r : sftp_answer_with_attrs(s, id, &attrs);
}

static int do_lstat(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    return stat_with(s, id, p, false);
}

static int do_stat(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    return stat_with(s, id, p, true);
}

static int do_setstat(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX];
    (void)id;
    sftp_packet_path(p, path);
    struct sftp_fs_attrs attrs = sftp_packet_attrs(p);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    return sftp_tell(s, "set the attributes of", path,
                     s->config.fs->setstat(s->config.fs_arg, path, true, &attrs));
}

static int do_remove(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX];
    (void)id;
    sftp_packet_path(p, path);
    int r = sftp_complete(p);
    return r != 0 ? r : sftp_tell(s, "remove", path, s->config.fs->remove(s->config.fs_arg, path));
}

static int do_realpath(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX], found[SFTP_FS_PATH_MAX];

    sftp_packet_path(p, path);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    r = s->config.fs->realpath(s->config.fs_arg, path[0] == '\0' ? "." : path, found);
    sftp_tell(s, "realpath", path, r);
    return r != 0 ? r : sftp_answer_with_name(s, id, found);
}

static int do_readlink(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX], target[SFTP_FS_PATH_MAX];

    sftp_packet_path(p, path);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    r = sftp_tell(s, "readlink", path, s->config.fs->readlink(s->config.fs_arg, path, target));
    return r != 0 ? r : sftp_answer_with_name(s, id, target);
}

static int do_rename(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char from[SFTP_FS_PATH_MAX], to[SFTP_FS_PATH_MAX];
    (void)id;
    sftp_packet_path(p, from);
    sftp_packet_path(p, to);
    int r = sftp_complete(p);
    return r != 0 ? r : sftp_tell(s, "rename", from, s->config.fs->rename(s->config.fs_arg, from, to, false));
}

/* The draft has the link first and the target second; OpenSSH has it the other way round, and every client
 * follows it. */
static int do_symlink(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char target[SFTP_FS_PATH_MAX], link[SFTP_FS_PATH_MAX];
    (void)id;
    sftp_packet_path(p, target);
    sftp_packet_path(p, link);
    int r = sftp_complete(p);
    return r != 0 ? r : sftp_tell(s, "symlink", link, s->config.fs->symlink(s->config.fs_arg, target, link));
}

const struct sftp_request_kind sftp_paths_requests[] = {
    {"lstat", 7, false, do_lstat},        {"setstat", 9, true, do_setstat},  {"remove", 13, true, do_remove},
    {"realpath", 16, false, do_realpath}, {"stat", 17, false, do_stat},      {"rename", 18, true, do_rename},
    {"readlink", 19, false, do_readlink}, {"symlink", 20, true, do_symlink}, {0},
};
