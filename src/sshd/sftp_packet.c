/* Reading a request's fields. Owns nothing. */
#include "sshd/sftp_packet.h"

#include <string.h>

#define ATTRS_EXTENDED 0x80000000u

/* Points at the next n bytes, or at NULL. */
static const uint8_t *take(struct sftp_packet *p, size_t n)
{
    if (p->bad || n > p->n) {
        p->bad = true;
        return NULL;
    }
    const uint8_t *at = p->at;
    p->at += n;
    p->n -= n;
    return at;
}

static uint64_t number(struct sftp_packet *p, size_t bytes)
{
    uint64_t value = 0;
    const uint8_t *at = take(p, bytes);
    for (size_t i = 0; at != NULL && i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

uint8_t sftp_packet_u8(struct sftp_packet *p)
{
    return (uint8_t)number(p, 1);
}

uint32_t sftp_packet_u32(struct sftp_packet *p)
{
    return (uint32_t)number(p, 4);
}

uint64_t sftp_packet_u64(struct sftp_packet *p)
{
    return number(p, 8);
}

const uint8_t *sftp_packet_string(struct sftp_packet *p, size_t *ret_n)
{
    size_t n = sftp_packet_u32(p);
    const uint8_t *at = take(p, n);
    *ret_n = at == NULL ? 0 : n;
    return at;
}

void sftp_packet_path(struct sftp_packet *p, char out[static SFTP_FS_PATH_MAX])
{
    size_t n = 0;
    const uint8_t *text = sftp_packet_string(p, &n);
    out[0] = '\0';
    /* Some clients send C strings. */
    if (n > 0 && text[n - 1] == '\0')
        n--;
    if (text == NULL || n == 0)
        return;
    if (memchr(text, '\0', n) != NULL) {
        p->bad = true;
    } else if (n >= SFTP_FS_PATH_MAX) {
        p->too_long = true;
    } else {
        memcpy(out, text, n);
        out[n] = '\0';
    }
}

struct sftp_fs_attrs sftp_packet_attrs(struct sftp_packet *p)
{
    uint32_t has = sftp_packet_u32(p);
    struct sftp_fs_attrs attrs = {.has = has & (SFTP_FS_SIZE | SFTP_FS_OWNER | SFTP_FS_MODE | SFTP_FS_TIMES)};

    if ((has & SFTP_FS_SIZE) != 0)
        attrs.size = sftp_packet_u64(p);
    if ((has & SFTP_FS_OWNER) != 0) {
        attrs.uid = sftp_packet_u32(p);
        attrs.gid = sftp_packet_u32(p);
    }
    if ((has & SFTP_FS_MODE) != 0)
        attrs.mode = sftp_packet_u32(p);
    if ((has & SFTP_FS_TIMES) != 0) {
        attrs.atime = sftp_packet_u32(p);
        attrs.mtime = sftp_packet_u32(p);
    }
    if ((has & ATTRS_EXTENDED) != 0) {
        /* Pairs of type and value, none of them known here. */
        for (uint32_t left = sftp_packet_u32(p); left > 0 && !p->bad; left--) {
            size_t n = 0;
            sftp_packet_string(p, &n);
            sftp_packet_string(p, &n);
        }
    }
    return attrs;
}
