/* OpenSSH's extensions (its PROTOCOL, section 4): names and versions offered at the start, and the work.
 * Touches files through struct sftp_fs alone. */
#include "sshd/sftp_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SPACE_READ_ONLY 1
#define SPACE_NO_SETUID 2

static int do_posix_rename(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char from[SFTP_FS_PATH_MAX], to[SFTP_FS_PATH_MAX];
    (void)id;
    sftp_packet_path(p, from);
    sftp_packet_path(p, to);
    int r = sftp_complete(p);
    return r != 0
               ? r
               : sftp_tell(s, "posix-rename", from, s->config.fs->rename(s->config.fs_arg, from, to, true));
}

static int do_hardlink(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char from[SFTP_FS_PATH_MAX], to[SFTP_FS_PATH_MAX];
    (void)id;
    sftp_packet_path(p, from);
    sftp_packet_path(p, to);
    int r = sftp_complete(p);
    return r != 0 ? r : sftp_tell(s, "hardlink", from, s->config.fs->hardlink(s->config.fs_arg, from, to));
}

static int answer_with_space(struct sftp *s, uint32_t id, const struct sftp_fs_space *space)
{
    struct sftp_answer a;
    sftp_answer_begin(&a, &s->out, SFTP_EXTENDED_REPLY, id);
    sftp_answer_u64(&a, space->block_size);
    sftp_answer_u64(&a, space->fragment_size);
    sftp_answer_u64(&a, space->blocks);
    sftp_answer_u64(&a, space->blocks_free);
    sftp_answer_u64(&a, space->blocks_available);
    sftp_answer_u64(&a, space->files);
    sftp_answer_u64(&a, space->files_free);
    sftp_answer_u64(&a, space->files_available);
    sftp_answer_u64(&a, space->id);
    sftp_answer_u64(&a, (space->read_only ? SPACE_READ_ONLY : 0) | (space->no_setuid ? SPACE_NO_SETUID : 0));
    sftp_answer_u64(&a, space->name_max);
    sftp_answer_end(&a);
    return SFTP_ANSWERED;
}

static int do_statvfs(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX];
    struct sftp_fs_space space;
    sftp_packet_path(p, path);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    r = sftp_tell(s, "statvfs", path, s->config.fs->statvfs(s->config.fs_arg, path, &space));
    return r != 0 ? r : answer_with_space(s, id, &space);
}

static int do_fstatvfs(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    struct sftp_fs_space space;
    struct sftp_handle *handle = sftp_handle_of(s, p);
    if (p->bad)
        return SFTP_MALFORMED;
    if (handle == NULL || handle->file == NULL)
        return sftp_refuse(s, id, SFTP_FAILURE, "No such open file");
    int r = sftp_tell(s, "fstatvfs", handle->path,
                      s->config.fs->fstatvfs(s->config.fs_arg, handle->file, &space));
    return r != 0 ? r : answer_with_space(s, id, &space);
}

static int do_fsync(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    struct sftp_handle *handle = sftp_handle_of(s, p);
    (void)id;
    if (p->bad)
        return SFTP_MALFORMED;
    if (handle == NULL || handle->file == NULL)
        return -ENOENT;
    return sftp_tell(s, "fsync", handle->path, s->config.fs->fsync(s->config.fs_arg, handle->file));
}

static int do_lsetstat(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX];
    sftp_packet_path(p, path);
    struct sftp_fs_attrs attrs = sftp_packet_attrs(p);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    if ((attrs.has & SFTP_FS_SIZE) != 0)
        return sftp_refuse(s, id, SFTP_BAD_MESSAGE, "A link has no size that could be set");
    return sftp_tell(s, "set the attributes of", path,
                     s->config.fs->setstat(s->config.fs_arg, path, false, &attrs));
}

static int do_limits(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    struct sftp_answer a;
    (void)p;
    sftp_answer_begin(&a, &s->out, SFTP_EXTENDED_REPLY, id);
    sftp_answer_u64(&a, SFTP_PACKET_MAX);
    sftp_answer_u64(&a, SFTP_DATA_MAX);
    sftp_answer_u64(&a, SFTP_DATA_MAX);
    sftp_answer_u64(&a, s->handles.max);
    sftp_answer_end(&a);
    return SFTP_ANSWERED;
}

/* "~", "~/…" and "~account/…" at the front of path, into out, for realpath. "~" is where the session began,
 * as at OpenSSH. */
static int expand_tilde(struct sftp *s, const char *path, char out[static SFTP_FS_PATH_MAX])
{
    char name[SFTP_FS_PATH_MAX], home[SFTP_FS_PATH_MAX];
    size_t name_len = strcspn(path + 1, "/");
    const char *rest = path + 1 + name_len;
    int n;

    if (name_len == 0) {
        n = snprintf(out, SFTP_FS_PATH_MAX, ".%s", rest);
    } else {
        memcpy(name, path + 1, name_len);
        name[name_len] = '\0';
        int r = s->config.fs->home(s->config.fs_arg, name, home);
        if (r != 0)
            return r;
        n = snprintf(out, SFTP_FS_PATH_MAX, "%s%s", home, rest);
    }
    return n >= 0 && n < SFTP_FS_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int do_expand_path(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX], expanded[SFTP_FS_PATH_MAX], found[SFTP_FS_PATH_MAX];

    sftp_packet_path(p, path);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    if (path[0] == '~') {
        r = expand_tilde(s, path, expanded);
        if (r == -ENOENT)
            return sftp_refuse(s, id, SFTP_NO_SUCH_FILE, "no such user");
    } else {
        memcpy(expanded, path[0] == '\0' ? "." : path, path[0] == '\0' ? 2 : strlen(path) + 1);
    }
    if (r == 0)
        r = s->config.fs->realpath(s->config.fs_arg, expanded, found);
    sftp_tell(s, "expand", path, r);
    return r != 0 ? r : sftp_answer_with_name(s, id, found);
}

static int do_home_directory(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char name[SFTP_FS_PATH_MAX], home[SFTP_FS_PATH_MAX];
    sftp_packet_path(p, name);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    r = sftp_tell(s, "the home folder of", name, s->config.fs->home(s->config.fs_arg, name, home));
    if (r == -ENOENT)
        return sftp_refuse(s, id, SFTP_FAILURE, "no such user");
    return r != 0 ? r : sftp_answer_with_name(s, id, home);
}

typedef const char *name_of(void *arg, uint32_t number);

/* A string of strings, a name for each number. */
static void put_names(struct sftp *s, struct sftp_answer *a, const uint8_t *numbers, size_t n, name_of *name)
{
    struct sftp_packet p = {.at = numbers, .n = n};
    size_t length_at = a->n;
    sftp_answer_u32(a, 0);
    size_t begin = a->n;
    while (p.n > 0 && !a->spoilt)
        sftp_answer_text(a, name(s->config.fs_arg, sftp_packet_u32(&p)));
    sftp_answer_patch_u32(a, length_at, (uint32_t)(a->n - begin));
}

static int do_users_groups(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    struct sftp_answer a;
    size_t users_n = 0, groups_n = 0;
    const uint8_t *users = sftp_packet_string(p, &users_n);
    const uint8_t *groups = sftp_packet_string(p, &groups_n);

    if (p->bad || users_n % 4 != 0 || groups_n % 4 != 0)
        return SFTP_MALFORMED;
    sftp_answer_begin(&a, &s->out, SFTP_EXTENDED_REPLY, id);
    put_names(s, &a, users, users_n, s->config.fs->user_name);
    put_names(s, &a, groups, groups_n, s->config.fs->group_name);
    if (sftp_answer_end(&a) != 0)
        return sftp_refuse(s, id, SFTP_FAILURE, "Too many numbers: ask for fewer at once");
    return SFTP_ANSWERED;
}

/* In the order in which they are offered. */
static const struct extension {
    const char *name, *version;
    bool changes;
    sftp_request *work;
} extensions[] = {
    {"posix-rename@openssh.com", "1", true, do_posix_rename},
    {"statvfs@openssh.com", "2", false, do_statvfs},
    {"fstatvfs@openssh.com", "2", false, do_fstatvfs},
    {"hardlink@openssh.com", "1", true, do_hardlink},
    {"fsync@openssh.com", "1", true, do_fsync},
    {"lsetstat@openssh.com", "1", true, do_lsetstat},
    {"limits@openssh.com", "1", false, do_limits},
    {"expand-path@openssh.com", "1", false, do_expand_path},
    {"home-directory", "1", false, do_home_directory},
    {"users-groups-by-id@openssh.com", "1", false, do_users_groups},
};

#define EXTENSIONS (sizeof extensions / sizeof extensions[0])

void sftp_extended_offer(struct sftp *s, struct sftp_answer *a)
{
    for (size_t i = 0; i < EXTENSIONS; i++) {
        if (extensions[i].changes && s->config.read_only)
            continue;
        sftp_answer_text(a, extensions[i].name);
        sftp_answer_text(a, extensions[i].version);
    }
}

int sftp_extended(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    size_t n = 0;
    const uint8_t *name = sftp_packet_string(p, &n);
    if (p->bad)
        return SFTP_MALFORMED;
    for (size_t i = 0; i < EXTENSIONS; i++) {
        if (strlen(extensions[i].name) != n || memcmp(extensions[i].name, name, n) != 0)
            continue;
        return extensions[i].changes && s->config.read_only ? -EPERM : extensions[i].work(s, id, p);
    }
    log_debug("unknown extension \"%.*s\"", (int)(n < 100 ? n : 100), (const char *)name);
    return sftp_refuse(s, id, SFTP_OP_UNSUPPORTED, "Operation unsupported");
}
