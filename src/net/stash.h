/* Bytes on their way from one socket to another that this process does not look at: they stay in the kernel, in pipes
 * (splice(2)), and are kept there (tee(2)) until they are known to have arrived. So they are copied neither into this
 * process nor out of it, but when one of them is wanted again: then all are to be read into memory.
 *
 * SIGPIPE must be ignored: splice(2) knows no MSG_NOSIGNAL.
 *
 * Bytes are numbered. Those of [first, end) are kept; those of [sent, end) were not sent yet. Knows nothing of what
 * they are. Siblings: stash_linux.c, stash_windows.c (there is none). */
#ifndef MULTISSH_NET_STASH_H
#define MULTISSH_NET_STASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that it keeps at most: of a stream at least twice as many as may come before one ACK. */
#define STASH_ROOM (3u << 19)

struct stash;

/* keep false: bytes are not kept, but gone when they are sent: first is then sent, and bytes may be taken at any time. Takes up to five
 * descriptors. Returns 0, -ENOTSUP (not on this system, or its pipes may not be large enough), -ENOMEM or
 * another negative errno value. */
int stash_new(bool keep, struct stash **ret_s);
void stash_free(struct stash *s); /* NULL-safe */

uint64_t stash_first(const struct stash *s);
uint64_t stash_sent(const struct stash *s);
uint64_t stash_end(const struct stash *s);

/* Takes up to n bytes, which are numbered from `at` on, from the TCP socket fd: only when all that was taken was sent, and `at` is
 * stash_end or nothing is kept. Returns how many, 0 at the end of the input, -EAGAIN (there are none now) or another negative errno
 * value. *ret_split: part of them is not kept (they came in small pieces, of which a pipe holds few), and all is to be read into memory (stash_recall) before anything else is done. */
long stash_take(struct stash *s, int fd, uint64_t at, size_t n, bool *ret_split);
/* Gives up to n of the bytes not sent to the TCP socket fd; more: others will follow at once. Returns how many, -EAGAIN or
 * another negative errno value. */
long stash_send(struct stash *s, int fd, size_t n, bool more);
/* The same into memory: they count as sent. Returns how many. */
size_t stash_copy(struct stash *s, void *out, size_t n);
/* Those before `to` have arrived. */
void stash_release(struct stash *s, uint64_t to);
/* Reads the first n kept ones (at most) into memory, and keeps them no longer. To be repeated until it is empty. Returns
 * how many; 0: it is empty. */
size_t stash_recall(struct stash *s, void *out, size_t n);

/* Sends memory to the TCP socket fd; more: other bytes will follow at once, and a packet is not to end behind these. Returns
 * how many bytes, -EAGAIN or another negative errno value. */
long stash_send_memory(int fd, const void *data, size_t n, bool more);

#endif
