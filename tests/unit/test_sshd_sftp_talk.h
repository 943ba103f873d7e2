/* A client's side of an SFTP session without descriptors: requests are written into a buffer, given to the
 * server, and its answers taken apart. */
#ifndef MULTISSH_TESTS_SFTP_TALK_H
#define MULTISSH_TESTS_SFTP_TALK_H

#include "cmocka_all.h"

#include "base/buf.h"
#include "sshd/sftp.h"
#include "sshd/sftp_answer.h"
#include "sshd/sftp_fs.h"
#include "sshd/sftp_packet.h"
#include <string.h>

enum {
    OPEN = 3,
    CLOSE,
    READ,
    WRITE,
    LSTAT,
    FSTAT,
    SETSTAT,
    FSETSTAT,
    OPENDIR,
    READDIR,
    REMOVE,
    MKDIR,
    RMDIR,
    REALPATH,
    STAT,
    RENAME,
    READLINK,
    SYMLINK,
    EXTENDED = 200
};

/* A session, the request that is being written (its length and type in front), and the last answer. */
struct talk {
    struct sftp *sftp;
    void *fs_arg;
    struct buf request;
    uint32_t next_id;
    uint8_t answer[SFTP_INPUT_MIN];
    struct sftp_packet fields; /* of the answer, behind its number */
    uint8_t type;
    uint32_t id;
};

static inline void talk_u32(struct talk *t, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                              (uint8_t)value};
    assert_int_equal(buf_append(&t->request, bytes, 4), 0);
}

static inline void talk_u64(struct talk *t, uint64_t value)
{
    talk_u32(t, (uint32_t)(value >> 32));
    talk_u32(t, (uint32_t)value);
}

static inline void talk_bytes(struct talk *t, const void *data, size_t n)
{
    talk_u32(t, (uint32_t)n);
    assert_int_equal(buf_append(&t->request, data, n), 0);
}

static inline void talk_text(struct talk *t, const char *text)
{
    talk_bytes(t, text, strlen(text));
}

static inline void talk_handle(struct talk *t, uint32_t handle)
{
    talk_u32(t, 4);
    talk_u32(t, handle);
}

/* Begins a request. */
static inline void talk_ask(struct talk *t, uint8_t type)
{
    buf_clear(&t->request);
    talk_u32(t, 0);
    assert_int_equal(buf_append(&t->request, &type, 1), 0);
    t->id = t->next_id++;
    talk_u32(t, t->id);
}

/* The request as it goes over the wire. */
static inline const uint8_t *talk_wire(struct talk *t, size_t *ret_n)
{
    uint8_t *data = (uint8_t *)(uintptr_t)buf_data(&t->request);
    *ret_n = buf_len(&t->request);
    for (int i = 0; i < 4; i++)
        data[i] = (uint8_t)((*ret_n - 4) >> (24 - 8 * i));
    return data;
}

/* Takes the next answer out of those that wait. */
static inline void talk_next(struct talk *t)
{
    const uint8_t *out = NULL;
    size_t n = sftp_output(t->sftp, &out);
    assert_true(n >= 9);
    struct sftp_packet head = {.at = out, .n = n};
    size_t length = sftp_packet_u32(&head);
    assert_true(length >= 5 && length <= SFTP_PACKET_MAX && length + 4 <= n);
    memcpy(t->answer, out + 4, length);
    sftp_sent(t->sftp, 4 + length);
    t->fields = (struct sftp_packet){.at = t->answer, .n = length};
    t->type = sftp_packet_u8(&t->fields);
    t->id = sftp_packet_u32(&t->fields);
}

/* Sends the request that was begun and takes its answer. */
static inline uint8_t talk_answer(struct talk *t)
{
    const uint8_t *out = NULL;
    size_t n = 0;
    uint32_t id = t->id;
    const uint8_t *wire = talk_wire(t, &n);
    assert_int_equal(sftp_input(t->sftp, wire, n), n);
    talk_next(t);
    assert_int_equal(t->id, id);
    assert_int_equal(sftp_output(t->sftp, &out), 0);
    return t->type;
}

/* The status that is the answer; its words go to t->request, as a string. */
static inline uint32_t talk_status(struct talk *t)
{
    size_t n = 0;
    assert_int_equal(talk_answer(t), SFTP_STATUS);
    uint32_t status = sftp_packet_u32(&t->fields);
    const uint8_t *words = sftp_packet_string(&t->fields, &n);
    buf_clear(&t->request);
    assert_int_equal(buf_append(&t->request, words, n), 0);
    assert_false(t->fields.bad);
    return status;
}

static inline const char *talk_words(struct talk *t)
{
    return buf_str(&t->request);
}

static inline uint32_t talk_open(struct talk *t, const char *path, uint32_t flags)
{
    talk_ask(t, OPEN);
    talk_text(t, path);
    talk_u32(t, flags);
    talk_u32(t, 0);
    assert_int_equal(talk_answer(t), SFTP_HANDLE);
    assert_int_equal(sftp_packet_u32(&t->fields), 4);
    return sftp_packet_u32(&t->fields);
}

static inline uint32_t talk_close(struct talk *t, uint32_t handle)
{
    talk_ask(t, CLOSE);
    talk_handle(t, handle);
    return talk_status(t);
}

/* A request whose only field is a path. */
static inline void talk_path(struct talk *t, uint8_t type, const char *path)
{
    talk_ask(t, type);
    talk_text(t, path);
}

static inline void talk_begin_with(struct talk *t, const struct sftp_config *config)
{
    static const uint8_t hello[9] = {0, 0, 0, 5, 1, 0, 0, 0, 3};
    buf_init(&t->request, (size_t)4 * SFTP_INPUT_MIN);
    assert_int_equal(sftp_new(config, &t->sftp), 0);
    assert_int_equal(sftp_input(t->sftp, hello, sizeof hello), sizeof hello);
    talk_next(t);
    assert_int_equal(t->type, SFTP_VERSION);
    assert_int_equal(t->id, 3);
}

static inline void talk_begin(struct talk *t, bool read_only, unsigned handles_max)
{
    *t = (struct talk){.next_id = 100};
    assert_int_equal(sftp_fs_new(&t->fs_arg), 0);
    talk_begin_with(t, &(struct sftp_config){.fs = &sftp_fs_native,
                                             .fs_arg = t->fs_arg,
                                             .read_only = read_only,
                                             .handles_max = handles_max,
                                             .who = "a test"});
}

static inline void talk_end(struct talk *t)
{
    sftp_free(t->sftp);
    sftp_fs_free(t->fs_arg);
    buf_release(&t->request);
}

#endif
