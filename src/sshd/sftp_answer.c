/* Writing an answer field by field. Owns the answer that is being written. */
#include "sshd/sftp_answer.h"

#include "sshd/sftp.h"
#include <errno.h>
#include <string.h>

static void put_number(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = bytes; i > 0; i--, value >>= 8)
        at[i - 1] = (uint8_t)value;
}

/* Where the next n bytes go; NULL when they do not fit. */
static uint8_t *room(struct sftp_answer *a, size_t n)
{
    if (a->spoilt || n > SFTP_INPUT_MIN - a->n) {
        a->spoilt = true;
        return NULL;
    }
    uint8_t *at = a->start + a->n;
    a->n += n;
    return at;
}

static void number(struct sftp_answer *a, uint64_t value, size_t bytes)
{
    uint8_t *at = room(a, bytes);
    if (at != NULL)
        put_number(at, value, bytes);
}

int sftp_answer_reserve(struct buf *out)
{
    uint8_t *at = NULL;
    return buf_reserve(out, SFTP_INPUT_MIN, &at);
}

void sftp_answer_begin(struct sftp_answer *a, struct buf *out, enum sftp_answer_type type, uint32_t id)
{
    *a = (struct sftp_answer){.out = out, .n = 4};
    a->spoilt = buf_reserve(out, SFTP_INPUT_MIN, &a->start) != 0;
    number(a, type, 1);
    number(a, id, 4);
}

void sftp_answer_u32(struct sftp_answer *a, uint32_t value)
{
    number(a, value, 4);
}

void sftp_answer_u64(struct sftp_answer *a, uint64_t value)
{
    number(a, value, 8);
}

void sftp_answer_string(struct sftp_answer *a, const void *data, size_t n)
{
    uint8_t *at = sftp_answer_open_string(a, n);
    if (at == NULL)
        return;
    if (n > 0)
        memcpy(at, data, n);
    sftp_answer_close_string(a, n);
}

void sftp_answer_text(struct sftp_answer *a, const char *text)
{
    sftp_answer_string(a, text, strlen(text));
}

void sftp_answer_attrs(struct sftp_answer *a, const struct sftp_fs_attrs *attrs)
{
    sftp_answer_u32(a, attrs->has);
    if ((attrs->has & SFTP_FS_SIZE) != 0)
        sftp_answer_u64(a, attrs->size);
    if ((attrs->has & SFTP_FS_OWNER) != 0) {
        sftp_answer_u32(a, attrs->uid);
        sftp_answer_u32(a, attrs->gid);
    }
    if ((attrs->has & SFTP_FS_MODE) != 0)
        sftp_answer_u32(a, attrs->mode);
    if ((attrs->has & SFTP_FS_TIMES) != 0) {
        sftp_answer_u32(a, attrs->atime);
        sftp_answer_u32(a, attrs->mtime);
    }
}

uint8_t *sftp_answer_open_string(struct sftp_answer *a, size_t n)
{
    if (a->spoilt || a->n + 4 > SFTP_INPUT_MIN || n > SFTP_INPUT_MIN - 4 - a->n) {
        a->spoilt = true;
        return NULL;
    }
    return a->start + a->n + 4;
}

void sftp_answer_close_string(struct sftp_answer *a, size_t k)
{
    put_number(a->start + a->n, k, 4);
    a->n += 4 + k;
}

void sftp_answer_patch_u32(struct sftp_answer *a, size_t n, uint32_t value)
{
    if (!a->spoilt)
        put_number(a->start + n, value, 4);
}

int sftp_answer_end(struct sftp_answer *a)
{
    if (a->spoilt)
        return -EMSGSIZE;
    put_number(a->start, a->n - 4, 4);
    buf_commit(a->out, a->n);
    return 0;
}
