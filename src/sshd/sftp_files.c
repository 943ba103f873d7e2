/* The requests about open files: OPEN, CLOSE, READ, WRITE, FSTAT, FSETSTAT. Touches files through struct
 * sftp_fs alone. */
#include "sshd/sftp_private.h"

#include <errno.h>

#define NEW_FILE_MODE 0666

static int no_file(struct sftp *s, uint32_t id)
{
    return sftp_refuse(s, id, SFTP_FAILURE, "No such open file");
}

static int do_open(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    char path[SFTP_FS_PATH_MAX];
    struct sftp_handle *handle = NULL;

    sftp_packet_path(p, path);
    uint32_t flags = sftp_packet_u32(p);
    struct sftp_fs_attrs attrs = sftp_packet_attrs(p);
    int r = sftp_complete(p);
    if (r != 0)
        return r;
    if (s->config.read_only && (flags & (SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_TRUNCATE)) != 0)
        return -EPERM;
    /* The handle first: no file is made or emptied for a client that cannot have it. */
    r = sftp_new_handle(s, id, path, &handle);
    if (r != 0)
        return r;
    r = s->config.fs->open(s->config.fs_arg, path, flags,
                           (attrs.has & SFTP_FS_MODE) != 0 ? attrs.mode : NEW_FILE_MODE, &handle->file);
    sftp_tell(s, "open", path, r);
    if (r != 0) {
        sftp_handles_remove(&s->handles, handle);
        return r;
    }
    return sftp_answer_with_handle(s, id, handle);
}

static int do_close(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    struct sftp_handle *handle = sftp_handle_of(s, p);
    (void)id;
    if (p->bad)
        return SFTP_MALFORMED;
    return handle == NULL ? -ENOENT : sftp_close(s, handle);
}

/* The bytes are read to where they are sent from. */
static int do_read(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    struct sftp_answer a;
    struct sftp_handle *handle = sftp_handle_of(s, p);
    uint64_t offset = sftp_packet_u64(p);
    size_t n = sftp_packet_u32(p);

    if (p->bad)
        return SFTP_MALFORMED;
    if (handle == NULL || handle->file == NULL)
        return no_file(s, id);
    if (n > SFTP_DATA_MAX)
        n = SFTP_DATA_MAX;
    sftp_answer_begin(&a, &s->out, SFTP_DATA, id);
    uint8_t *at = sftp_answer_open_string(&a, n);
    if (at == NULL)
        return -ENOMEM;
    long got = s->config.fs->read(s->config.fs_arg, handle->file, at, n, offset);
    if (got < 0)
        return sftp_tell(s, "read", handle->path, (int)got);
    if (got == 0 && n > 0)
        return sftp_refuse(s, id, SFTP_EOF, "End of file");
    handle->bytes_read += (uint64_t)got;
    sftp_answer_close_string(&a, (size_t)got);
    sftp_answer_end(&a);
    return SFTP_ANSWERED;
}

static int do_write(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    size_t n = 0;
    struct sftp_handle *handle = sftp_handle_of(s, p);
    uint64_t offset = sftp_packet_u64(p);
    const uint8_t *data = sftp_packet_string(p, &n);

    if (p->bad)
        return SFTP_MALFORMED;
    if (handle == NULL || handle->file == NULL)
        return no_file(s, id);
    int r = s->config.fs->write(s->config.fs_arg, handle->file, data, n, offset);
    if (r != 0)
        return sftp_tell(s, "write", handle->path, r);
    handle->bytes_written += n;
    return SFTP_DONE;
}

static int do_fstat(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    struct sftp_fs_attrs attrs;
    struct sftp_handle *handle = sftp_handle_of(s, p);
    if (p->bad)
        return SFTP_MALFORMED;
    if (handle == NULL || handle->file == NULL)
        return no_file(s, id);
    int r = s->config.fs->fstat(s->config.fs_arg, handle->file, &attrs);
    return r != 0 ? sftp_tell(s, "fstat", handle->path, r) : sftp_answer_with_attrs(s, id, &attrs);
}

static int do_fsetstat(struct sftp *s, uint32_t id, struct sftp_packet *p)
{
    struct sftp_handle *handle = sftp_handle_of(s, p);
    struct sftp_fs_attrs attrs = sftp_packet_attrs(p);
    if (p->bad)
        return SFTP_MALFORMED;
    if (handle == NULL || handle->file == NULL)
        return no_file(s, id);
    return sftp_tell(s, "set the attributes of", handle->path,
                     s->config.fs->fsetstat(s->config.fs_arg, handle->file, &attrs));
}

const struct sftp_request_kind sftp_files_requests[] = {
    {"open", 3, false, do_open}, /* refuses changes itself */
    {"close", 4, false, do_close}, {"read", 5, false, do_read},         {"write", 6, true, do_write},
    {"fstat", 8, false, do_fstat}, {"fsetstat", 10, true, do_fsetstat}, {0},
};
