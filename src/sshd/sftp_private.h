/* What the files that make up the SFTP server share. Private to sftp*.c. */
#ifndef MULTISSH_SSHD_SFTP_PRIVATE_H
#define MULTISSH_SSHD_SFTP_PRIVATE_H

#include "base/buf.h"
#include "base/log.h"
#include "sshd/sftp.h"
#include "sshd/sftp_answer.h"
#include "sshd/sftp_fs.h"
#include "sshd/sftp_handles.h"
#include "sshd/sftp_packet.h"

struct sftp {
    struct sftp_config config;
    uint32_t version; /* the client's */
    bool begun;       /* it said which */
    struct buf out;
    struct sftp_handles handles;
    struct sftp_fs_entry entry; /* too large for the stack */
    struct log_limit faults;
    const char *why; /* the request being worked on failed, by struct sftp_fs' words; NULL: it has none */
    uint64_t files_read, bytes_read, files_written, bytes_written;
};

/* What the working on a request returns, when no negative errno value. */
enum {
    SFTP_DONE = 0,     /* answer that it succeeded */
    SFTP_ANSWERED = 1, /* the answer is written */
    SFTP_MALFORMED = 2,
};

/* A request: its fields are in p; nothing was answered yet. */
typedef int sftp_request(struct sftp *s, uint32_t id, struct sftp_packet *p);

struct sftp_request_kind {
    const char *name;
    uint8_t type; /* of the packet; 0: none, in the table of extensions */
    bool changes; /* refused to those who may only read */
    sftp_request *work;
};

/* sftp_files.c: requests about open files; sftp_paths.c: about names; sftp_folders.c: folders and their
 * entries; sftp_extended.c: OpenSSH's own. */
extern const struct sftp_request_kind sftp_files_requests[], sftp_paths_requests[], sftp_folders_requests[];
/* Works on an extended request whose name was not yet read. */
int sftp_extended(struct sftp *s, uint32_t id, struct sftp_packet *p);
/* The extensions offered, each as name and version. */
void sftp_extended_offer(struct sftp *s, struct sftp_answer *a);

int sftp_refuse(struct sftp *s, uint32_t id, enum sftp_status status,
                const char *message); /* SFTP_ANSWERED */
int sftp_answer_with_handle(struct sftp *s, uint32_t id, const struct sftp_handle *handle);
int sftp_answer_with_attrs(struct sftp *s, uint32_t id, const struct sftp_fs_attrs *attrs);
int sftp_answer_with_name(struct sftp *s, uint32_t id, const char *name);

/* As sftp_handles_add; with SFTP_ANSWERED there are too many, and the client was told. */
int sftp_new_handle(struct sftp *s, uint32_t id, const char *path, struct sftp_handle **ret_handle);
/* The handle that the next field names; NULL: none. */
struct sftp_handle *sftp_handle_of(struct sftp *s, struct sftp_packet *p);
/* Closes it and counts what went through it. Returns 0 or a negative errno value. */
int sftp_close(struct sftp *s, struct sftp_handle *handle);
/* Is everything of the request there? SFTP_DONE, SFTP_MALFORMED or -ENAMETOOLONG. */
int sftp_complete(const struct sftp_packet *p);
/* Logs what a call of struct sftp_fs tried, keeps why it failed for the answer, and passes r on. To be called before
 * the next one. */
int sftp_tell(struct sftp *s, const char *what, const char *path, int r);

#endif
