/* A hash index over things that somebody else owns: 64-bit hash → pointer, several with the same hash
 * allowed.
 *
 * Knows nothing of the things: the caller says by a function whether one found is the one it looks for. Open
 * addressing, removal without tombstones. Not thread-safe. */
#ifndef MULTISSH_HUB_HASHMAP_H
#define MULTISSH_HUB_HASHMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hashmap {
    struct hashmap_slot *slots; /* private */
    size_t cap, used;
};

void hashmap_init(struct hashmap *h); /* allocates nothing */
void hashmap_release(struct hashmap *h);

/* Hashes of a string (ASCII case folded when fold) and of an address. Seeded at random once a process. */
uint64_t hashmap_hash_str(const char *s, bool fold);
uint64_t hashmap_hash_ptr(const void *p);

/* Adds value (not NULL), even when it is there already. Returns 0 or -ENOMEM. */
int hashmap_add(struct hashmap *h, uint64_t hash, void *value);
/* The first value with this hash that same(value, arg) accepts; NULL when there is none. */
void *hashmap_find(const struct hashmap *h, uint64_t hash, bool (*same)(const void *value, const void *arg),
                   const void *arg);
/* Removes this very value once. Nothing happens when it is not there. */
void hashmap_remove(struct hashmap *h, uint64_t hash, const void *value);

#endif
