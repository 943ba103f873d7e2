/* An SFTP server, version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions (PROTOCOL, section 4):
 * posix-rename, hardlink, fsync, statvfs, fstatvfs, lsetstat, limits, expand-path, home-directory.
 *
 * Bytes in, bytes out: owns the packets, the handles and their bounds; touches files only through struct
 * sftp_fs, so that another system needs only another one of these. */
#ifndef MULTISSH_SSHD_SFTP_H
#define MULTISSH_SSHD_SFTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sftp;
struct sftp_fs; /* sftp_fs.h */

#define SFTP_PACKET_MAX 262144u /* a request or answer, its length not counted; as OpenSSH's */
#define SFTP_DATA_MAX 261120u   /* of one read or write */

struct sftp_config {
    const struct sftp_fs *fs;
    void *fs_arg;
    bool read_only;
    unsigned handles_max; /* open at once */
};

/* Returns 0 or -ENOMEM. */
int sftp_new(const struct sftp_config *config, struct sftp **ret_sftp);
void sftp_free(struct sftp *sftp); /* NULL-safe; closes every handle */

/* Takes bytes of the client's and works on each packet that is whole, as long as there is room for answers.
 * Returns how many it took (fewer: answers wait to be sent, offer the rest again), or -EPROTO (what came is no
 * SFTP: the client is to be given up). */
long sftp_input(struct sftp *sftp, const void *data, size_t n);
/* The answers that wait, and how many bytes of them were sent. */
size_t sftp_output(const struct sftp *sftp, const uint8_t **ret_data);
void sftp_sent(struct sftp *sftp, size_t n);

/* Serves descriptors 0 and 1 until the end of input (sftp_main.c): `multissh-sshd --sftp`. Returns the exit
 * code. */
int sftp_main(bool read_only);

#endif
