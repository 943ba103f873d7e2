/* The open files and folders of a client, by number. Owns the table, its bound and the counts of bytes;
 * opening and closing is for the caller. */
#ifndef MULTISSH_SSHD_SFTP_HANDLES_H
#define MULTISSH_SSHD_SFTP_HANDLES_H

#include "sshd/sftp_fs.h"

struct sftp_handle {
    struct sftp_fs_file *file; /* one of the two */
    struct sftp_fs_dir *dir;
    int dir_error; /* to be told with the next request of entries */
    char *path;    /* for the log */
    uint64_t bytes_read, bytes_written;
    uint32_t number; /* what the client calls it */
};

struct sftp_handles {
    struct sftp_handle *slots; /* private */
    uint16_t *turns;           /* how often a slot was used: the upper half of its number */
    unsigned size, open, max;
    unsigned lowest_free; /* no free slot is below it */
};

/* max ≤ 65536. Allocates nothing. */
void sftp_handles_init(struct sftp_handles *h, unsigned max);
/* After every handle was taken out. */
void sftp_handles_release(struct sftp_handles *h);

/* A new handle with a copy of path, to be filled; valid until the next one is added. Returns 0, -EMFILE (as
 * many as may be are open) or -ENOMEM. */
int sftp_handles_add(struct sftp_handles *h, const char *path, struct sftp_handle **ret_handle);
/* NULL: the client has no such handle open. */
struct sftp_handle *sftp_handles_find(struct sftp_handles *h, uint32_t number);
void sftp_handles_remove(struct sftp_handles *h, struct sftp_handle *handle);
/* Any that is open; NULL: none. */
struct sftp_handle *sftp_handles_any(struct sftp_handles *h);

#endif
