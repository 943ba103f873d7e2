/* A pair's talk with the hub: the one that started it, and, when that one is gone, the next one, which comes to the
 * listening socket. Messages: PROTOCOL.md, "Pairs". Keeps what the hub said of the pair, to tell the next one; what that means it
 * does not know. */
#ifndef MULTISSH_RELAY_DESK_H
#define MULTISSH_RELAY_DESK_H

#include "base/errmsg.h"
#include <cjson/cJSON.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define DESK_FDS 3

struct desk {
    int hub, listener, candidate; /* -1: none */
    uint64_t candidate_until;     /* for its first message (ms, monotonic) */
    uint64_t alone_since;         /* without a hub; 0: there is one */
    uint64_t deaf_until;          /* the listener is left alone: a descriptor could not be had */
    uint64_t orphan_ms;
    cJSON *facts; /* the message `pair` */
    bool ordered; /* the hub wants the end */
};

/* What has passed so far, before this pair too; the pair adds its own. */
struct desk_counts {
    uint64_t to_machine, from_machine;
};

/* Waits for `pair`, at most 10 s. The descriptors stay the caller's, but control is closed when that hub is gone. Returns 0 or
 * a negative code with err filled. */
int desk_init(struct desk *d, int control, int listener, struct errmsg *err);
void desk_release(struct desk *d);
/* Fills fds[DESK_FDS] (fd -1: not waited for). */
void desk_poll(const struct desk *d, struct pollfd *fds);
/* What poll found, and what is due. */
void desk_turn(struct desk *d, const struct pollfd *fds, const struct desk_counts *now);
/* When desk_turn is to be called at the latest (ms, monotonic), UINT64_MAX for never. */
uint64_t desk_due(const struct desk *d);
/* No hub has been there for as long as one waits for it. */
bool desk_orphaned(const struct desk *d);
/* Tell the hub, when there is one. */
void desk_ending(struct desk *d, const char *reason);
void desk_ended(struct desk *d, const char *reason, bool orderly, const struct desk_counts *now);

#endif
