/* A folder of listening sockets, one for each process that outlives the hub: there the next hub finds it. The hub binds
 * the socket and hands it to the process; a socket at which nobody listens any more is taken out by the next search. Knows
 * nothing of what is said there. */
#ifndef MULTISSH_HUB_BERTHS_H
#define MULTISSH_HUB_BERTHS_H

#include <stddef.h>
#include <sys/types.h>

#define BERTHS_NAME_MAX 64 /* bytes, without NUL */

struct berths;

/* Opens, or makes with mode 0700, the folder of that name in the state folder. Returns 0 or a negative code. */
int berths_new(const char *state_dir, const char *folder, struct berths **ret_b);
void berths_free(struct berths *b); /* leaves what is there. NULL-safe */

/* Makes a SOCK_SEQPACKET socket that listens, close-on-exec, under a name that begins with this hub's own random mark and
 * is found in name[BERTHS_NAME_MAX + 1] (16 hex digits). Whoever gets it should call listen() itself once more, so that its
 * process id is told to who connects. Returns 0 or a negative code. */
int berths_make(struct berths *b, char *name, int *ret_fd);
/* A name that is not there, or "", is ignored. */
void berths_remove(struct berths *b, const char *name);

/* Somebody listens there: fd is the connection (non-blocking, close-on-exec), the callee's. pid is whose call of listen()
 * was the last, 0 when it cannot be told. */
typedef void berths_found_fn(void *arg, const char *name, int fd, pid_t pid);
/* Looks at up to max names more, those of this hub left out, and takes away those where nobody listens. Returns how many
 * were looked at (less than max: the search is done and the next call begins anew), -EAGAIN (somebody's queue is full; the
 * rest was looked at: search again in a moment), or another negative code (out of descriptors, say: go on in a moment). */
int berths_search(struct berths *b, unsigned max, berths_found_fn *found, void *arg);

#endif
