/* The SFTP server: takes the packets apart, finds who works on each, and answers with a status what was not
 * answered otherwise. Owns the session; does no I/O of its own. */
#include "sshd/sftp_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SFTP_INIT 1
#define SFTP_EXTENDED 200
#define OUR_VERSION 3

int sftp_new(const struct sftp_config *config, struct sftp **ret_sftp)
{
    struct sftp *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->config = *config;
    s->faults = (struct log_limit){.burst = 10, .interval_ms = 10000};
    buf_init(&s->out, (size_t)SFTP_WAITING_MAX + SFTP_INPUT_MIN);
    sftp_handles_init(&s->handles,
                      config->handles_max < SFTP_HANDLES_MAX ? config->handles_max : SFTP_HANDLES_MAX);
    *ret_sftp = s;
    return 0;
}

void sftp_free(struct sftp *s)
{
    if (s == NULL)
        return;
    unsigned left = s->handles.open;
    for (struct sftp_handle *handle; (handle = sftp_handles_any(&s->handles)) != NULL;)
        sftp_close(s, handle);
    if (s->begun)
        log_info("SFTP session of %s ended: %" PRIu64 " file(s) read, %" PRIu64 " bytes; %" PRIu64
                 " file(s) written, %" PRIu64 " bytes; %u handle(s) never closed",
                 s->config.who, s->files_read, s->bytes_read, s->files_written, s->bytes_written, left);
    sftp_handles_release(&s->handles);
    buf_release(&s->out);
    free(s);
}

int sftp_close(struct sftp *s, struct sftp_handle *handle)
{
    int r = 0;
    if (handle->dir != NULL)
        s->config.fs->closedir(s->config.fs_arg, handle->dir);
    else
        r = s->config.fs->close(s->config.fs_arg, handle->file);
    s->files_read += handle->bytes_read > 0;
    s->files_written += handle->bytes_written > 0;
    s->bytes_read += handle->bytes_read;
    s->bytes_written += handle->bytes_written;
    log_debug("close \"%s\": %" PRIu64 " bytes read, %" PRIu64 " written", handle->path, handle->bytes_read,
              handle->bytes_written);
    if (r != 0)
        sftp_tell(s, "close", handle->path, r);
    sftp_handles_remove(&s->handles, handle);
    return r;
}

/* Is it the machine's fault? Then an operator wants to know. It is not what a client can bring about at any
 * time by what it asks for. */
static bool is_fault(int r)
{
    static const int asked_for[] = {ENOENT,    ENOTDIR,      EACCES, EPERM,   EEXIST,     ENOTEMPTY, EINVAL,
                                    ELOOP,     ENAMETOOLONG, EISDIR, EXDEV,   EBADF,      EROFS,     ENOSYS,
                                    EMLINK,    ESPIPE,       EFBIG,  EBUSY,   ETXTBSY,    EAGAIN,    ENXIO,
                                    EOVERFLOW, EFAULT,       ENOTTY, ENOTSUP, EOPNOTSUPP, EILSEQ,    ENODEV};
    for (size_t i = 0; i < sizeof asked_for / sizeof asked_for[0]; i++)
        if (-r == asked_for[i])
            return false;
    return true;
}

int sftp_tell(struct sftp *s, const char *what, const char *path, int r)
{
    if (r < 0)
        s->why = s->config.fs->words == NULL ? NULL : s->config.fs->words(s->config.fs_arg);
    const char *why = r >= 0 ? "" : s->why != NULL ? s->why : strerror(-r);
    if (r < 0 && is_fault(r))
        log_limited(&s->faults, LOG_LEVEL_WARN, "SFTP of %s: %s \"%s\": %s", s->config.who, what, path, why);
    else
        log_debug("%s \"%s\"%s%s", what, path, r < 0 ? ": " : "", why);
    return r;
}

/* As OpenSSH's server; of a code that does not say why, the words do. */
static enum sftp_status status_of(int r, const char **ret_message)
{
    *ret_message = strerror(-r);
    switch (-r) {
    case ENOENT:
        *ret_message = "No such file";
        return SFTP_NO_SUCH_FILE;
    case ENOTDIR:
    case EBADF:
    case ELOOP:
        return SFTP_NO_SUCH_FILE;
    case EPERM:
    case EACCES:
    case EFAULT:
        *ret_message = "Permission denied";
        return SFTP_PERMISSION_DENIED;
    case ENAMETOOLONG:
    case EINVAL:
        return SFTP_BAD_MESSAGE;
    case ENOSYS:
        *ret_message = "Operation unsupported";
        return SFTP_OP_UNSUPPORTED;
    default:
        return SFTP_FAILURE;
    }
}

int sftp_refuse(struct sftp *s, uint32_t id, enum sftp_status status, const char *message)
{
    struct sftp_answer a;
    sftp_answer_begin(&a, &s->out, SFTP_STATUS, id);
    sftp_answer_u32(&a, status);
    if (s->version >= 3) {
        sftp_answer_text(&a, message);
        sftp_answer_text(&a, ""); /* the language */
    }
    sftp_answer_end(&a);
    return SFTP_ANSWERED;
}

int sftp_new_handle(struct sftp *s, uint32_t id, const char *path, struct sftp_handle **ret_handle)
{
    int r = sftp_handles_add(&s->handles, path, ret_handle);
    if (r != -EMFILE)
        return r;
    log_limited(
        &s->faults, LOG_LEVEL_WARN,
        "SFTP of %s: \"%s\" is not opened: the client has %u files open already, and may not have more",
        s->config.who, path, s->handles.open);
    return sftp_refuse(s, id, SFTP_FAILURE, "Too many open files: close some first");
}

int sftp_answer_with_handle(struct sftp *s, uint32_t id, const struct sftp_handle *handle)
{
    struct sftp_answer a;
    sftp_answer_begin(&a, &s->out, SFTP_HANDLE, id);
    sftp_answer_u32(&a, 4);
    sftp_answer_u32(&a, handle->number);
    sftp_answer_end(&a);
    return SFTP_ANSWERED;
}

int sftp_answer_with_attrs(struct sftp *s, uint32_t id, const struct sftp_fs_attrs *attrs)
{
    struct sftp_answer a;
    sftp_answer_begin(&a, &s->out, SFTP_ATTRS, id);
    sftp_answer_attrs(&a, attrs);
    sftp_answer_end(&a);
    return SFTP_ANSWERED;
}

int sftp_answer_with_name(struct sftp *s, uint32_t id, const char *name)
{
    struct sftp_answer a;
    sftp_answer_begin(&a, &s->out, SFTP_NAME, id);
    sftp_answer_u32(&a, 1);
    sftp_answer_text(&a, name);
    sftp_answer_text(&a, name);
    sftp_answer_attrs(&a, &(struct sftp_fs_attrs){0});
    sftp_answer_end(&a);
    return SFTP_ANSWERED;
}

struct sftp_handle *sftp_handle_of(struct sftp *s, struct sftp_packet *p)
{
    size_t n = 0;
    const uint8_t *text = sftp_packet_string(p, &n);
    struct sftp_packet number = {.at = text, .n = n};
    return n == 4 ? sftp_handles_find(&s->handles, sftp_packet_u32(&number)) : NULL;
}

int sftp_complete(const struct sftp_packet *p)
{
    return p->bad ? SFTP_MALFORMED : p->too_long ? -ENAMETOOLONG : SFTP_DONE;
}

static int begin(struct sftp *s, struct sftp_packet *p)
{
    struct sftp_answer a;
    uint32_t version = sftp_packet_u32(p);
    if (p->bad) {
        log_warn("SFTP of %s: the client's first packet has no version: its session ends", s->config.who);
        return -EPROTO;
    }
    s->version = version;
    s->begun = true;
    log_debug("SFTP of %s: the client's version is %u", s->config.who, version);
    sftp_answer_begin(&a, &s->out, SFTP_VERSION, OUR_VERSION);
    sftp_extended_offer(s, &a);
    return sftp_answer_end(&a);
}

static const struct sftp_request_kind *find_kind(uint8_t type)
{
    static const struct sftp_request_kind *const tables[] = {sftp_files_requests, sftp_paths_requests,
                                                             sftp_folders_requests};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct sftp_request_kind *kind = tables[i]; kind->work != NULL; kind++)
            if (kind->type == type)
                return kind;
    return NULL;
}

static int work(struct sftp *s, uint8_t type, uint32_t id, struct sftp_packet *p)
{
    if (type == SFTP_EXTENDED)
        return sftp_extended(s, id, p);
    const struct sftp_request_kind *kind = find_kind(type);
    if (kind == NULL)
        return sftp_refuse(s, id, SFTP_OP_UNSUPPORTED, "Operation unsupported");
    if (kind->changes && s->config.read_only)
        return -EPERM;
    return kind->work(s, id, p);
}

/* Returns 0 or a negative errno value: the session is over. */
static int packet(struct sftp *s, struct sftp_packet *p)
{
    const char *message = NULL;
    uint8_t type = sftp_packet_u8(p);
    int r = sftp_answer_reserve(&s->out);
    if (r != 0)
        return r;
    if (type == SFTP_INIT)
        return begin(s, p);
    uint32_t id = sftp_packet_u32(p);
    if (p->bad || !s->begun) {
        log_warn("SFTP of %s: the client sent %s: its session ends", s->config.who,
                 p->bad ? "a packet without a number" : "a request before its version");
        return -EPROTO;
    }
    s->why = NULL;
    r = work(s, type, id, p);
    if (r == SFTP_DONE)
        sftp_refuse(s, id, SFTP_OK, "Success");
    else if (r == SFTP_MALFORMED)
        sftp_refuse(s, id, SFTP_BAD_MESSAGE, "Bad message");
    else if (r < 0) {
        enum sftp_status status = status_of(r, &message);
        sftp_refuse(s, id, status, s->why != NULL ? s->why : message);
    }
    return 0;
}

long sftp_input(struct sftp *s, const void *data, size_t n)
{
    const uint8_t *bytes = data;
    size_t done = 0;

    while (n - done >= 4 && buf_len(&s->out) < SFTP_WAITING_MAX) {
        struct sftp_packet head = {.at = bytes + done, .n = 4};
        size_t length = sftp_packet_u32(&head);
        if (length == 0 || length > SFTP_PACKET_MAX) {
            log_warn("SFTP of %s: the client sent a packet of %zu bytes, and 1 to %u are possible: its "
                     "session ends",
                     s->config.who, length, SFTP_PACKET_MAX);
            return -EPROTO;
        }
        if (n - done - 4 < length)
            break;
        struct sftp_packet p = {.at = bytes + done + 4, .n = length};
        int r = packet(s, &p);
        if (r != 0)
            return r;
        done += 4 + length;
    }
    return (long)done;
}

size_t sftp_output(const struct sftp *s, const uint8_t **ret_data)
{
    *ret_data = buf_data(&s->out);
    return buf_len(&s->out);
}

void sftp_sent(struct sftp *s, size_t n)
{
    buf_consume(&s->out, n);
}
