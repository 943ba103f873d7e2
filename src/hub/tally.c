/* Owns a hash table of rows, one a key. Must not keep a row that says nothing (see tally_sweep), so that
 * strangers cannot make it grow. */
#include "hub/tally.h"
#include "base/crypto.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TALLY_BUCKETS 1024u
#define TOKEN 1000u /* tokens are counted in thousandths: one ms at a rate of 1 per second */

struct row {
    struct row *next;
    unsigned count;
    uint64_t tokens, at; /* at 0: the bucket was never used */
    char key[];
};

struct tally {
    struct row *bucket[TALLY_BUCKETS];
    size_t total;
    uint32_t seed;
};

int tally_new(struct tally **ret_t)
{
    struct tally *t = calloc(1, sizeof *t);
    int rc = 0;

    if (t == NULL)
        return -ENOMEM;
    rc = crypto_random(&t->seed, sizeof t->seed);
    if (rc < 0)
        goto out;
    *ret_t = t;
    t = NULL;
out:
    tally_free(t);
    return rc;
}

void tally_free(struct tally *t)
{
    if (t == NULL)
        return;
    for (unsigned i = 0; i < TALLY_BUCKETS; i++) {
        while (t->bucket[i] != NULL) {
            struct row *r = t->bucket[i];

            t->bucket[i] = r->next;
            free(r);
        }
    }
    free(t);
}

/* FNV-1a from a random start: enough against somebody who picks addresses to collide. */
static unsigned bucket_of(const struct tally *t, const char *key)
{
    uint32_t h = 2166136261u ^ t->seed;

    for (; *key != '\0'; key++)
        h = (h ^ (uint8_t)*key) * 16777619u;
    return (h ^ (h >> 16)) % TALLY_BUCKETS;
}

static struct row *row_find(const struct tally *t, const char *key)
{
    struct row *r = t->bucket[bucket_of(t, key)];

    while (r != NULL && strcmp(r->key, key) != 0)
        r = r->next;
    return r;
}

static struct row *row_get(struct tally *t, const char *key)
{
    struct row *r = row_find(t, key);
    size_t n = strlen(key) + 1;
    unsigned b = 0;

    if (r != NULL)
        return r;
    r = calloc(1, sizeof *r + n);
    if (r == NULL)
        return NULL;
    memcpy(r->key, key, n);
    b = bucket_of(t, key);
    r->next = t->bucket[b];
    t->bucket[b] = r;
    return r;
}

static void row_drop_if_idle(struct tally *t, const char *key)
{
    struct row **at = &t->bucket[bucket_of(t, key)];

    while (*at != NULL && strcmp((*at)->key, key) != 0)
        at = &(*at)->next;
    if (*at != NULL && (*at)->count == 0 && (*at)->at == 0) {
        struct row *r = *at;

        *at = r->next;
        free(r);
    }
}

int tally_enter(struct tally *t, const char *key)
{
    struct row *r = row_get(t, key);

    if (r == NULL)
        return -ENOMEM;
    r->count++;
    t->total++;
    return 0;
}

void tally_leave(struct tally *t, const char *key)
{
    struct row *r = row_find(t, key);

    if (r == NULL || r->count == 0)
        return;
    r->count--;
    t->total--;
    row_drop_if_idle(t, key);
}

int tally_move(struct tally *t, const char *from, const char *to)
{
    struct row *f = row_find(t, from), *r = NULL;

    if (f == NULL || f->count == 0 || strcmp(from, to) == 0)
        return 0;
    r = row_get(t, to);
    if (r == NULL)
        return -ENOMEM;
    r->count += f->count;
    f->count = 0;
    row_drop_if_idle(t, from);
    return 0;
}

unsigned tally_count(const struct tally *t, const char *key)
{
    const struct row *r = row_find(t, key);

    return r == NULL ? 0 : r->count;
}

size_t tally_total(const struct tally *t)
{
    return t->total;
}

bool tally_take(struct tally *t, const char *key, uint64_t per_second, uint64_t now)
{
    struct row *r = row_get(t, key);
    uint64_t full = per_second * TOKEN;
    uint64_t gained = 0;

    if (r == NULL || per_second == 0)
        return false;
    if (r->at == 0) {
        r->tokens = full;
    } else {
        gained = now > r->at ? now - r->at : 0;
        gained = gained > TOKEN ? full : gained * per_second;
        r->tokens = r->tokens + gained > full ? full : r->tokens + gained;
    }
    r->at = now == 0 ? 1 : now;
    if (r->tokens < TOKEN)
        return false;
    r->tokens -= TOKEN;
    return true;
}

void tally_sweep(struct tally *t, uint64_t now)
{
    for (unsigned i = 0; i < TALLY_BUCKETS; i++) {
        struct row **at = &t->bucket[i];

        while (*at != NULL) {
            struct row *r = *at;

            /* A bucket fills within a second, whatever its rate. */
            if (r->at != 0 && now > r->at + TOKEN)
                r->at = 0;
            if (r->count == 0 && r->at == 0) {
                *at = r->next;
                free(r);
            } else {
                at = &r->next;
            }
        }
    }
}
