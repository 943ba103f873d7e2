/* A hash index with linear probing. Owns its slots, never what they point at. */
#include "hub/hashmap.h"

#include "base/crypto.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 64

struct hashmap_slot {
    uint64_t hash;
    void *value; /* NULL = empty */
};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

static uint64_t seed(void)
{
    static uint64_t value;
    /* Only makes collisions hard to prepare: without random bytes the map is still right. */
    if (value == 0 && (crypto_random(&value, sizeof value) < 0 || value == 0))
        value = 0x9e3779b97f4a7c15ULL;
    return value;
}

void hashmap_init(struct hashmap *h)
{
    memset(h, 0, sizeof *h);
}

void hashmap_release(struct hashmap *h)
{
    free(h->slots);
    hashmap_init(h);
}

uint64_t hashmap_hash_str(const char *s, bool fold)
{
    uint64_t x = seed();
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (fold && c >= 'A' && c <= 'Z')
            c = (unsigned char)(c | 0x20);
        x = (x ^ c) * 0x100000001b3ULL;
        x ^= x >> 29;
    }
    return mix(x);
}

uint64_t hashmap_hash_ptr(const void *p)
{
    return mix((uint64_t)(uintptr_t)p ^ seed());
}

static void place(struct hashmap_slot *slots, size_t cap, struct hashmap_slot slot)
{
    size_t i = slot.hash & (cap - 1);
    while (slots[i].value != NULL)
        i = (i + 1) & (cap - 1);
    slots[i] = slot;
}

int hashmap_add(struct hashmap *h, uint64_t hash, void *value)
{
    if (h->used + h->used / 2 >= h->cap) { /* at most two thirds full */
        size_t cap = h->cap == 0 ? CAP_MIN : h->cap * 2;
        struct hashmap_slot *slots = calloc(cap, sizeof *slots);
        if (slots == NULL)
            return -ENOMEM;
        for (size_t i = 0; i < h->cap; i++) {
            if (h->slots[i].value != NULL)
                place(slots, cap, h->slots[i]);
        }
        free(h->slots);
        h->slots = slots;
        h->cap = cap;
    }
    place(h->slots, h->cap, (struct hashmap_slot){hash, value});
    h->used++;
    return 0;
}

void *hashmap_find(const struct hashmap *h, uint64_t hash, bool (*same)(const void *value, const void *arg),
                   const void *arg)
{
    if (h->cap == 0)
        return NULL;
    for (size_t i = hash & (h->cap - 1); h->slots[i].value != NULL; i = (i + 1) & (h->cap - 1)) {
        if (h->slots[i].hash == hash && same(h->slots[i].value, arg))
            return h->slots[i].value;
    }
    return NULL;
}

void hashmap_remove(struct hashmap *h, uint64_t hash, const void *value)
{
    if (h->cap == 0)
        return;
    size_t mask = h->cap - 1, i = hash & mask;
    while (h->slots[i].value != value || h->slots[i].hash != hash) {
        if (h->slots[i].value == NULL)
            return;
        i = (i + 1) & mask;
    }
    h->used--;
    /* Pull back those behind the hole that would otherwise no longer be found. */
    for (size_t j = (i + 1) & mask; h->slots[j].value != NULL; j = (j + 1) & mask) {
        size_t home = h->slots[j].hash & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            h->slots[i] = h->slots[j];
            i = j;
        }
    }
    h->slots[i].value = NULL;
}
