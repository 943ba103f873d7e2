/* Owns the reading of a ClientHello that nobody has consumed. Pure: no state, no allocation, no OpenSSL;
 * every length is checked against what is there before it is believed. */
#include "tls/hello.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define RECORD_HEADER 5 /* RFC 8446 §5.1 */
#define RECORD_MAX 16384
#define RECORD_HANDSHAKE 0x16
#define HANDSHAKE_HEADER 4 /* RFC 8446 §4 */
#define HANDSHAKE_CLIENT_HELLO 1
#define BODY_MIN 41       /* version, random and the four shortest vectors */
#define EXTENSION_ALPN 16 /* RFC 7301 §3.1 */

/* What is left to read of one vector. */
struct cursor {
    const uint8_t *at;
    size_t n;
};

static bool take(struct cursor *c, size_t n, struct cursor *ret_part)
{
    if (n > c->n)
        return false;
    ret_part->at = c->at;
    ret_part->n = n;
    c->at += n;
    c->n -= n;
    return true;
}

/* A vector whose length stands before it in width (1 or 2) bytes (RFC 8446 §3.4). */
static bool take_vector(struct cursor *c, size_t width, struct cursor *ret_part)
{
    struct cursor length;

    if (!take(c, width, &length))
        return false;
    return take(c, width == 1 ? length.at[0] : (size_t)(length.at[0] << 8 | length.at[1]), ret_part);
}

static int protocol_of(const struct cursor *name)
{
    static const char control[] = "multissh-control/1", stream[] = "multissh-stream/1";

    if (name->n == sizeof(control) - 1 && memcmp(name->at, control, name->n) == 0)
        return HELLO_CONTROL;
    if (name->n == sizeof(stream) - 1 && memcmp(name->at, stream, name->n) == 0)
        return HELLO_STREAM;
    return 0;
}

/* The first of our protocols in an ALPN extension, 0 for none of ours, -EPROTO when it is malformed. */
static int read_alpn(struct cursor extension)
{
    struct cursor list, name;
    int found = 0;

    if (!take_vector(&extension, 2, &list) || extension.n != 0 || list.n == 0)
        return -EPROTO;
    while (list.n > 0) {
        if (!take_vector(&list, 1, &name) || name.n == 0)
            return -EPROTO;
        if (!found)
            found = protocol_of(&name);
    }
    return found;
}

/* A whole ClientHello without its handshake header (RFC 8446 §4.1.2). */
static int read_body(struct cursor body)
{
    struct cursor part, extensions, type, data;
    bool seen = false;
    int found = 0;

    if (!take(&body, 2, &part) || part.at[0] != 3 || part.at[1] != 3 || !take(&body, 32, &part))
        return -EPROTO;
    if (!take_vector(&body, 1, &part) || part.n > 32)
        return -EPROTO;
    if (!take_vector(&body, 2, &part) || part.n < 2 || part.n % 2 != 0)
        return -EPROTO;
    if (!take_vector(&body, 1, &part) || part.n < 1)
        return -EPROTO;
    if (!take_vector(&body, 2, &extensions) || body.n != 0)
        return -EPROTO;
    while (extensions.n > 0) {
        if (!take(&extensions, 2, &type) || !take_vector(&extensions, 2, &data))
            return -EPROTO;
        if ((type.at[0] << 8 | type.at[1]) != EXTENSION_ALPN)
            continue;
        if (seen)
            return -EPROTO;
        seen = true;
        found = read_alpn(data);
        if (found < 0)
            return found;
    }
    return found > 0 ? found : -EPROTO;
}

/* The handshake bytes gathered so far, out of one record or several. */
struct gathered {
    uint8_t bytes[HELLO_MAX];
    size_t n;
    size_t want; /* the whole message; the header alone until that is there */
};

static int gather(struct gathered *g, const uint8_t *data, size_t n)
{
    memcpy(g->bytes + g->n, data, n); /* fits: never more than went in, and that is at most HELLO_MAX */
    g->n += n;
    if (g->n >= 1 && g->bytes[0] != HANDSHAKE_CLIENT_HELLO)
        return -EPROTO;
    if (g->n >= HANDSHAKE_HEADER) {
        size_t body = (size_t)g->bytes[1] << 16 | (size_t)g->bytes[2] << 8 | g->bytes[3];

        g->want = HANDSHAKE_HEADER + body;
        if (body < BODY_MIN || g->want > HELLO_MAX - RECORD_HEADER)
            return -EPROTO;
    }
    return 0;
}

/* The length of a record, -EAGAIN while its header is incomplete, -EPROTO as soon as one byte of it is wrong.
 */
static int record_length(const uint8_t *at, size_t n)
{
    size_t length;

    if ((n > 0 && at[0] != RECORD_HANDSHAKE) || (n > 1 && at[1] != 3) || (n > 2 && at[2] > 4))
        return -EPROTO;
    if (n < RECORD_HEADER)
        return -EAGAIN;
    length = (size_t)(at[3] << 8 | at[4]);
    return length == 0 || length > RECORD_MAX ? -EPROTO : (int)length;
}

static int wait_for(size_t total, size_t *ret_need)
{
    if (total > HELLO_MAX)
        return -EPROTO;
    *ret_need = total;
    return -EAGAIN;
}

int hello_alpn(const uint8_t *data, size_t n, size_t *ret_need)
{
    struct gathered g;
    size_t at = 0;

    g.n = 0;
    g.want = HANDSHAKE_HEADER;
    if (n > HELLO_MAX)
        n = HELLO_MAX;
    for (;;) {
        int length = record_length(data + at, n - at);
        size_t have, missing;

        if (length == -EAGAIN)
            return wait_for(at + RECORD_HEADER, ret_need);
        if (length < 0)
            return length;
        at += RECORD_HEADER;
        have = n - at < (size_t)length ? n - at : (size_t)length;
        if (gather(&g, data + at, have) < 0)
            return -EPROTO;
        if (g.n >= HANDSHAKE_HEADER && g.n >= g.want)
            return read_body((struct cursor){g.bytes + HANDSHAKE_HEADER, g.want - HANDSHAKE_HEADER});
        missing = g.want - g.n;
        if (have < (size_t)length) /* the rest of this record, or the part of it that ends the message */
            return wait_for(at + have + (missing < (size_t)length - have ? missing : (size_t)length - have),
                            ret_need);
        at += have;
    }
}
