/* The line of `ls -l` that a listing has for each entry, as OpenSSH writes it. Owns nothing. */
#ifndef MULTISSH_SSHD_SFTP_LINE_H
#define MULTISSH_SSHD_SFTP_LINE_H

#include "sshd/sftp_fs.h"
#include <time.h>

struct sftp_line {
    const char *name, *user, *group; /* user and group "": their numbers stand in their place */
    uint32_t mode, uid, gid;
    unsigned links;
    uint64_t size;
    time_t mtime;
    const struct tm *local; /* the same by the machine's clock; NULL: it cannot be told */
};

/* Cut to size. */
void sftp_line_write(const struct sftp_line *line, char *out, size_t size);

#endif
