/* The first line of a plain or TLS stream connection, read by the hub, and the line with which the hub
 * refuses one. Both are signed with the stream's key: whoever only saw a ticket can neither join a stream nor
 * cut it, and nobody but the hub ends one by a refusal.
 *
 * "MULTISSH/1 ticket=… edge=a|b epoch=N mac=…\n"
 *   mac = b64url(HMAC-SHA-256(key, "multissh preamble v1" 0x00 | edge | epoch (u32 BE) | ticket))
 * "MULTISSH/1 refused final=yes|no mac=… text=…\n", in place of the other edge's bytes, whose first one is
 * never 'M'; the text goes to the end of the line
 *   mac = b64url(HMAC-SHA-256(key, "multissh refused v1" 0x00 | edge | epoch (u32 BE) | 'y' or 'n' | text))
 *
 * An epoch is taken once for each edge of a stream, and none that is not above the highest one seen: a line
 * that is sent again has no effect. */
#ifndef MULTISSH_STREAM_PREAMBLE_H
#define MULTISSH_STREAM_PREAMBLE_H

#include "stream/ticket.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PREAMBLE_MAX 480      /* bytes of either line, the newline included */
#define PREAMBLE_TEXT_MAX 200 /* bytes of a refusal's text */
#define PREAMBLE_MAC_SIZE CRYPTO_HASH_SIZE

struct preamble {
    char ticket[TICKET_TEXT_MAX];
    char edge; /* 'a': the user's side; 'b': the machine's side */
    uint32_t epoch;
    uint8_t mac[PREAMBLE_MAC_SIZE];
};

/* Fills mac. Returns 0, -EINVAL (an edge or ticket that the parser would refuse) or -EIO. */
int preamble_sign(struct preamble *p, const uint8_t key[TICKET_KEY_SIZE]);
/* Does the mac hold? In constant time. */
bool preamble_verify(const struct preamble *p, const uint8_t key[TICKET_KEY_SIZE]);

/* Writes the line, signed before, with its newline and a NUL. Returns the length without NUL, -ENOBUFS, or
 * -EINVAL (an edge or ticket that the parser would refuse). */
int preamble_format(const struct preamble *p, char *out, size_t size);
/* Looks at the first n bytes of a connection (peeked). Returns the length of the preamble including the
 * newline (> 0), -EAGAIN (a proper beginning, incomplete), or -EPROTO (can never become one, or no newline
 * within PREAMBLE_MAX). Unknown key=value words are ignored; a missing or doubled ticket, edge, epoch or mac
 * is -EPROTO. Whether the mac holds is not looked at: preamble_verify. */
int preamble_parse(const char *data, size_t n, struct preamble *ret_p);

struct preamble_refusal {
    bool final;                       /* yes: the stream is over; no: this connection only */
    char text[PREAMBLE_TEXT_MAX + 1]; /* valid UTF-8 without control characters */
};

/* Writes the line that refuses the connection of p, with its newline and a NUL; text is cut and cleaned as
 * needed. Returns the length without NUL, -ENOBUFS, -EINVAL (an edge that the parser would refuse) or -EIO. */
int preamble_refuse_format(const struct preamble *p, const uint8_t key[TICKET_KEY_SIZE], bool final,
                           const char *text, char *out, size_t size);
/* Looks at the first n bytes that came back on the connection whose preamble was p. Returns the length of the
 * line including the newline (> 0; the mac holds), -EAGAIN (a proper beginning, incomplete; also n = 0),
 * -EPROTO (no refusal, and can never become one: the other edge's frames, perhaps), -EPERM (the mac does not
 * hold: a broken connection, nothing more) or -EIO. */
int preamble_refuse_parse(const char *data, size_t n, const struct preamble *p,
                          const uint8_t key[TICKET_KEY_SIZE], struct preamble_refusal *ret_r);

#endif
