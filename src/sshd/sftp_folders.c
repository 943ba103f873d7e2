/* The requests about folders: OPENDIR, READDIR, MKDIR, RMDIR. Touches them through struct sftp_fs alone. */
#include "sshd/sftp_private.h"

#define NEW_FOLDER_MODE 0777
/* An answer with entries ends behind the one that passes this: what every client must be able to take
 * (section 3), less the largest entry. */
#define ENTRIES_BYTES (34000u - 3000u)

static int do_opendir(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX];
    struct sftp_handle *handle = NULL;

    sftp_packet_path(p, path);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    r = sftp_new_handle(s, id, path, &handle);
    if (r != 0)
        return r;
    r = s->config.fs->opendir(s->config.fs_arg, path, &handle->dir);
    sftp_tell(s, "opendir", path, r);
    if (r != 0) {
        sftp_handles_remove(&s->handles, handle);
        return r;
    }
    return sftp_answer_with_handle(s, id, handle);
}

static int do_readdir(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    struct sftp_answer a;
    uint32_t count = 0;
    struct sftp_handle *handle = sftp_handle_of(s, p);

    if (p->bad)
        return SFTP_MALFORMED;
    if (handle == NULL || handle->dir == NULL)
        return sftp_refuse(s, id, SFTP_FAILURE, "No such open folder");
    int r = handle->dir_error;
    handle->dir_error = 0;
    sftp_answer_begin(&a, &s->out, SFTP_NAME, id);
    size_t count_at = a.n;
    sftp_answer_u32(&a, 0);
    while (r == 0 && a.n < ENTRIES_BYTES) {
        r = s->config.fs->readdir(s->config.fs_arg, handle->dir, &s->entry);
        if (r != 1)
            break;
        sftp_answer_text(&a, s->entry.name);
        sftp_answer_text(&a, s->entry.long_name);
        sftp_answer_attrs(&a, &s->entry.attrs);
        count++;
        r = 0;
    }
    if (r < 0)
        sftp_tell(s, "read the folder", handle->path, r);
    if (count == 0)
        return r < 0 ? r : sftp_refuse(s, id, SFTP_EOF, "End of file");
    /* What was found is told first. */
    handle->dir_error = r;
    sftp_answer_patch_u32(&a, count_at, count);
    sftp_answer_end(&a);
    return SFTP_ANSWERED;
}

static int do_mkdir(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX];
    (void)id;
    sftp_packet_path(p, path);
    struct sftp_fs_attrs attrs = sftp_packet_attrs(p);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    uint32_t mode = (attrs.has & SFTP_FS_MODE) != 0 ? attrs.mode : NEW_FOLDER_MODE;
    return sftp_tell(s, "mkdir", path, s->config.fs->mkdir(s->config.fs_arg, path, mode));
}

static int do_rmdir(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX];
    (void)id;
    sftp_packet_path(p, path);
    int r = sftp_complete(p);
    return r != 0 ? r : sftp_tell(s, "rmdir", path, s->config.fs->rmdir(s->config.fs_arg, path));
}

const struct sftp_request_kind sftp_folders_requests[] = {
    {"opendir", 11, false, do_opendir},
    {"readdir", 12, false, do_readdir},
    {"mkdir", 14, true, do_mkdir},
    {"rmdir", 15, true, do_rmdir},
    {0},
};
