/* An SFTP server, version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions (PROTOCOL, section 4):
 * posix-rename, hardlink, fsync, statvfs, fstatvfs, lsetstat, limits, expand-path, home-directory,
 * users-groups-by-id.
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

/* A request or answer, its length not counted; as OpenSSH's. */
#define SFTP_PACKET_MAX 262144u
/* What the caller must be able to hold of the client's bytes. */
#define SFTP_INPUT_MIN (4u + SFTP_PACKET_MAX)
/* Of one read or write. */
#define SFTP_DATA_MAX 261120u
/* No request is taken while so many bytes of answers wait. */
#define SFTP_WAITING_MAX 262144u
#define SFTP_HANDLES_MAX 65536u

struct sftp_config {
    const struct sftp_fs *fs;
    void *fs_arg;
    bool read_only;
    unsigned handles_max; /* open at once; 1 to SFTP_HANDLES_MAX */
    const char *who;      /* for the log: whose session it is; outlives the session */
};

/* Returns 0 or -ENOMEM. */
int sftp_new(const struct sftp_config *config, struct sftp **ret_sftp);
/* NULL-safe. Closes every handle and logs what the session did. */
void sftp_free(struct sftp *sftp);

/* Works on the packets that are whole at the front of data, in their order, while there is room for answers;
 * data is used where it is and not kept. Returns how many bytes it is done with: less than n when the rest is
 * no whole packet yet (offer it again with what follows it) or when answers wait (offer it again when some
 * were sent); or -EPROTO (what came is no SFTP) or -ENOMEM: the client is to be given up, best after the
 * answers that wait. */
long sftp_input(struct sftp *sftp, const void *data, size_t n);
/* The answers that wait, valid until the next sftp_input or sftp_sent; how many bytes of them were sent. */
size_t sftp_output(const struct sftp *sftp, const uint8_t **ret_data);
void sftp_sent(struct sftp *sftp, size_t n);

/* Serves descriptors 0 and 1 until the end of input (sftp_main_linux.c): `multissh-sshd --sftp`. Returns the
 * exit code: 0, or 1 when the client or the system is at fault. */
int sftp_main(bool read_only);

#endif
