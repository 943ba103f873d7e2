/* Counts and rates by a text key (a source address, a user, a machine): how many are there now, and may one
 * more begin this second? Memory only; knows nothing of sockets. */
#ifndef MULTISSH_HUB_TALLY_H
#define MULTISSH_HUB_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tally;

/* Returns 0, -ENOMEM or -EIO (no random bytes for the hash). */
int tally_new(struct tally **ret_t);
void tally_free(struct tally *t);

/* One more under key. Returns 0 or -ENOMEM. */
int tally_enter(struct tally *t, const char *key);
/* One less; a key that is not there is ignored. */
void tally_leave(struct tally *t, const char *key);
/* All that stood under from stands under to as well from now on. Returns 0 or -ENOMEM (nothing moved). */
int tally_move(struct tally *t, const char *from, const char *to);
unsigned tally_count(const struct tally *t, const char *key);
size_t tally_total(const struct tally *t);

/* Takes a token out of key's bucket, which holds per_second tokens and fills at that rate. False: it is empty
 * (or out of memory). now in ms, monotonic. */
bool tally_take(struct tally *t, const char *key, uint64_t per_second, uint64_t now);
/* Forgets the keys that count nothing and whose bucket has had time to fill. Call now and then. */
void tally_sweep(struct tally *t, uint64_t now);

#endif
