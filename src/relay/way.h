/* One direction of a pair: bytes from one socket to the other through a pipe, by splice(2), so that they are never copied
 * into this process. What the other socket does not take fills the pipe, and then nothing more is read. */
#ifndef MULTISSH_RELAY_WAY_H
#define MULTISSH_RELAY_WAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct way {
    int from, to, in, out;  /* in, out: the pipe's ends */
    size_t held;            /* bytes in the pipe */
    bool full;              /* the pipe may have no room: ask again when some has left */
    bool ended;             /* nothing more comes: end of file, or the socket failed */
    bool deaf;              /* nobody takes it any more: what comes is thrown away */
    bool shut;              /* the other side was told of the end */
    int from_code, to_code; /* the negative errno values of sockets that failed; else 0 */
    uint64_t total;         /* bytes that the other socket took */
};

/* The sockets, non-blocking, stay the caller's. Returns 0 or a negative code. */
int way_init(struct way *w, int from, int to);
void way_release(struct way *w);
/* Moves what can be moved now. Returns whether anything did. */
bool way_move(struct way *w);
/* The peer of `to` is gone. Idempotent. */
void way_deafen(struct way *w);
bool way_wants_in(const struct way *w);  /* poll `from` for input */
bool way_wants_out(const struct way *w); /* poll `to` for room */
bool way_over(const struct way *w);      /* all that came was passed on, or thrown away, and so was the end */

#endif
