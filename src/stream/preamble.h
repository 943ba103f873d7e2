/* The first line of a plain or TLS stream connection, read by the hub: "MULTISSH/1 ticket=… edge=a|b
 * epoch=N\n". */
#ifndef MULTISSH_STREAM_PREAMBLE_H
#define MULTISSH_STREAM_PREAMBLE_H

#include "stream/ticket.h"
#include <stddef.h>
#include <stdint.h>

#define PREAMBLE_MAX 400 /* bytes, the newline included */

struct preamble {
    char ticket[TICKET_TEXT_MAX];
    char edge; /* 'a': the user's side; 'b': the machine's side */
    uint32_t epoch;
};

/* Writes the line with its newline and a NUL. Returns the length without NUL, -ENOBUFS, or -EINVAL (an edge
 * or ticket that the parser would refuse). */
int preamble_format(const struct preamble *p, char *out, size_t size);
/* Looks at the first n bytes of a connection (peeked). Returns the length of the preamble including the
 * newline (> 0), -EAGAIN (a proper beginning, incomplete), or -EPROTO (can never become one, or no newline
 * within PREAMBLE_MAX). Unknown key=value words are ignored; a missing or doubled ticket, edge or epoch is
 * -EPROTO. */
int preamble_parse(const char *data, size_t n, struct preamble *ret_p);

#endif
