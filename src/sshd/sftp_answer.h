/* Writing an answer, field by field, behind those that wait. Owns the answer that is being written; the
 * buffer is the caller's.
 *
 * begin, fields, end: in the buffer there is room for SFTP_INPUT_MIN more bytes before begin, made by
 * sftp_answer_reserve. A field that does not fit any more spoils the answer, and end tells. */
#ifndef MULTISSH_SSHD_SFTP_ANSWER_H
#define MULTISSH_SSHD_SFTP_ANSWER_H

#include "base/buf.h"
#include "sshd/sftp_fs.h"

enum sftp_answer_type {
    SFTP_VERSION = 2,
    SFTP_STATUS = 101,
    SFTP_HANDLE = 102,
    SFTP_DATA = 103,
    SFTP_NAME = 104,
    SFTP_ATTRS = 105,
    SFTP_EXTENDED_REPLY = 201,
};

enum sftp_status {
    SFTP_OK = 0,
    SFTP_EOF = 1,
    SFTP_NO_SUCH_FILE = 2,
    SFTP_PERMISSION_DENIED = 3,
    SFTP_FAILURE = 4,
    SFTP_BAD_MESSAGE = 5,
    SFTP_OP_UNSUPPORTED = 8,
};

struct sftp_answer {
    struct buf *out;
    uint8_t *start; /* where the length will be */
    size_t n;       /* so far, with the length */
    bool spoilt;
};

/* Returns 0, -ENOBUFS or -ENOMEM. */
int sftp_answer_reserve(struct buf *out);
void sftp_answer_begin(struct sftp_answer *a, struct buf *out, enum sftp_answer_type type, uint32_t id);
void sftp_answer_u32(struct sftp_answer *a, uint32_t value);
void sftp_answer_u64(struct sftp_answer *a, uint64_t value);
void sftp_answer_string(struct sftp_answer *a, const void *data, size_t n);
void sftp_answer_text(struct sftp_answer *a, const char *text);
void sftp_answer_attrs(struct sftp_answer *a, const struct sftp_fs_attrs *attrs);
/* A string of at most n bytes that the caller writes himself: NULL or where to; then how many there are, k ≤
 * n. */
uint8_t *sftp_answer_open_string(struct sftp_answer *a, size_t n);
void sftp_answer_close_string(struct sftp_answer *a, size_t k);
/* Puts value where a number was written when the answer had n bytes. */
void sftp_answer_patch_u32(struct sftp_answer *a, size_t n, uint32_t value);
/* The answer now waits. Returns 0, or -EMSGSIZE: it was spoilt and is gone. */
int sftp_answer_end(struct sftp_answer *a);

#endif
