/* Reading a request's fields (draft-ietf-secsh-filexfer-02, sections 3 to 5). Owns nothing: what it points at
 * is the request.
 *
 * A field that is not there or not well-formed makes the packet bad for good, and whatever is read from then
 * on is 0 or empty: read all fields, then ask once. */
#ifndef MULTISSH_SSHD_SFTP_PACKET_H
#define MULTISSH_SSHD_SFTP_PACKET_H

#include "sshd/sftp_fs.h"

struct sftp_packet {
    const uint8_t *at;
    size_t n;
    bool bad;      /* not well-formed */
    bool too_long; /* a path was, and is "" now */
};

uint8_t sftp_packet_u8(struct sftp_packet *p);
uint32_t sftp_packet_u32(struct sftp_packet *p);
uint64_t sftp_packet_u64(struct sftp_packet *p);
/* The bytes of a string, where they are in the packet. */
const uint8_t *sftp_packet_string(struct sftp_packet *p, size_t *ret_n);
/* A string that is to be a path or a name, with its NUL. One that holds a NUL elsewhere than at its end is
 * bad. */
void sftp_packet_path(struct sftp_packet *p, char out[static SFTP_FS_PATH_MAX]);
struct sftp_fs_attrs sftp_packet_attrs(struct sftp_packet *p);

#endif
