/* Where the fronts' processes come from: a multissh-front that has everything loaded and forks one for each connection
 * (PROTOCOL.md, the nursery). The processes are this process's own children. Knows nothing of what they do. */
#ifndef MULTISSH_HUB_NURSERY_H
#define MULTISSH_HUB_NURSERY_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct nursery;

#define NURSERY_FDS_MAX 3

/* What became of a request: pidfd is the process, whose descriptor (pidfd_open(2)) is the callee's; or -1, and rc < 0. */
typedef void nursery_born_fn(void *arg, uint64_t id, int pidfd, int rc);

/* host_key: the file, which stays the caller's. born is called once for each request, in a later turn. Returns 0 or
 * -ENOMEM. */
int nursery_new(uv_loop_t *loop, const char *host_key, nursery_born_fn *born, void *arg,
                struct nursery **ret_n);
/* Nothing is called any more; the processes go on, and are the caller's. NULL-safe. */
void nursery_free(struct nursery *n);

/* Has one ready. Returns 0 or a negative code. */
int nursery_ready(struct nursery *n);
/* The processes that come from now on have another layout of memory than those before. That also happens by itself, from
 * time to time, and when the program or the host key has changed on disk. */
void nursery_renew(struct nursery *n);
/* Ends one that does not answer: to be called about every second. */
void nursery_tick(struct nursery *n);
/* Asks for a process with these descriptors, which stay the caller's: count is 2 or 3. What cannot be sent now waits: the
 * caller bounds how many. Returns 0 or a negative code, and then born is not called. */
int nursery_ask(struct nursery *n, uint64_t id, const int *fds, size_t count);

#endif
