/* Owns the indexes over the jumps and their counts per user, machine and caller. Decides nothing. */
#include "base/clock.h"
#include "hub/jumps_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEY_MAX 80

static uint64_t hash_id(uint64_t id)
{
    return id * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t hash_stream(const uint8_t *stream)
{
    uint64_t h = 0;

    memcpy(&h, stream, sizeof h); /* random bytes are their own hash */
    return h;
}

static uint64_t hash_channel(const struct caller *c, uint64_t channel)
{
    return hashmap_hash_ptr(c) ^ hash_id(channel);
}

static bool same_id(const void *value, const void *arg)
{
    return ((const struct jump *)value)->id == *(const uint64_t *)arg;
}

static bool same_stream(const void *value, const void *arg)
{
    return memcmp(((const struct jump *)value)->stream, arg, TICKET_ID_SIZE) == 0;
}

static bool same_channel(const void *value, const void *arg)
{
    const struct jump *a = value, *b = arg;

    return a->caller == b->caller && a->channel == b->channel;
}

struct jump *jumps_table_id(const struct jumps *j, uint64_t id)
{
    return hashmap_find(&j->by_id, hash_id(id), same_id, &id);
}

struct jump *jumps_table_stream(const struct jumps *j, const uint8_t stream[TICKET_ID_SIZE])
{
    return hashmap_find(&j->by_stream, hash_stream(stream), same_stream, stream);
}

struct jump *jumps_table_channel(const struct jumps *j, const struct caller *c, uint64_t channel)
{
    struct jump like = {.caller = (struct caller *)c, .channel = channel};

    return hashmap_find(&j->by_channel, hash_channel(c, channel), same_channel, &like);
}

/* --- counts --- */

static const char *key_of_user(char out[KEY_MAX], const char *user)
{
    (void)snprintf(out, KEY_MAX, "u:%s", user);
    return out;
}

/* Names that differ only in case are the same machine. */
static const char *key_of_machine(char out[KEY_MAX], const char *machine)
{
    (void)snprintf(out, KEY_MAX, "m:%s", machine);
    for (char *c = out; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    return out;
}

static const char *key_of_parked(char out[KEY_MAX], const char *machine)
{
    (void)key_of_machine(out, machine);
    out[0] = 'p';
    return out;
}

static const char *key_of_caller(char out[KEY_MAX], const struct caller *c)
{
    (void)snprintf(out, KEY_MAX, "c:%p", (const void *)c);
    return out;
}

unsigned jumps_table_of_user(const struct jumps *j, const char *user)
{
    char key[KEY_MAX];

    return tally_count(j->tally, key_of_user(key, user));
}

unsigned jumps_table_of_machine(const struct jumps *j, const char *machine)
{
    char key[KEY_MAX];

    return tally_count(j->tally, key_of_machine(key, machine));
}

size_t jumps_of_caller(const struct jumps *j, const struct caller *c)
{
    char key[KEY_MAX];

    return tally_count(j->tally, key_of_caller(key, c));
}

static void show_sessions(struct jumps *j, const char *machine)
{
    struct machine *m = registry_find(j->hub->registry, machine);

    if (m != NULL)
        m->sessions = jumps_table_of_machine(j, machine);
}

unsigned jumps_table_parked(const struct jumps *j, const char *machine)
{
    char key[KEY_MAX];

    return tally_count(j->tally, key_of_parked(key, machine));
}

void jumps_table_park(struct jumps *j, struct jump *p, bool parked)
{
    char key[KEY_MAX];

    if (parked == p->parked)
        return;
    if (!parked)
        tally_leave(j->tally, key_of_parked(key, p->machine));
    else if (tally_enter(j->tally, key_of_parked(key, p->machine)) < 0)
        return; /* not counted then */
    p->parked = parked;
    j->n_parked += parked ? 1 : (size_t)-1;
}

static int count_in(struct jumps *j, struct jump *p)
{
    char key[KEY_MAX];

    p->counted_user = tally_enter(j->tally, key_of_user(key, p->user)) == 0;
    p->counted_machine = tally_enter(j->tally, key_of_machine(key, p->machine)) == 0;
    p->counted_caller = tally_enter(j->tally, key_of_caller(key, p->caller)) == 0;
    show_sessions(j, p->machine);
    return p->counted_user && p->counted_machine && p->counted_caller ? 0 : -ENOMEM;
}

static void count_out(struct jumps *j, struct jump *p)
{
    char key[KEY_MAX];

    if (p->counted_user)
        tally_leave(j->tally, key_of_user(key, p->user));
    if (p->counted_machine)
        tally_leave(j->tally, key_of_machine(key, p->machine));
    if (p->counted_caller)
        tally_leave(j->tally, key_of_caller(key, p->caller));
    jumps_table_park(j, p, false);
    show_sessions(j, p->machine);
}

/* --- the table --- */

static void list_remove(struct jump *p)
{
    *p->at = p->next;
    if (p->next != NULL)
        p->next->at = p->at;
}

static void list_insert(struct jump *p, struct jump **list)
{
    p->next = *list;
    p->at = list;
    if (p->next != NULL)
        p->next->at = &p->next;
    *list = p;
}

static void index_remove(struct jumps *j, struct jump *p)
{
    hashmap_remove(&j->by_id, hash_id(p->id), p);
    hashmap_remove(&j->by_stream, hash_stream(p->stream), p);
    hashmap_remove(&j->by_channel, hash_channel(p->caller, p->channel), p);
    count_out(j, p);
}

int jumps_table_add(struct jumps *j, struct jump *p)
{
    int rc = hashmap_add(&j->by_id, hash_id(p->id), p);

    if (rc == 0)
        rc = hashmap_add(&j->by_stream, hash_stream(p->stream), p);
    if (rc == 0)
        rc = hashmap_add(&j->by_channel, hash_channel(p->caller, p->channel), p);
    if (rc == 0)
        rc = count_in(j, p);
    if (rc < 0) {
        index_remove(j, p);
        return rc;
    }
    list_insert(p, &j->dialling);
    j->n++;
    return 0;
}

void jumps_table_remove(struct jumps *j, struct jump *p)
{
    index_remove(j, p);
    list_remove(p);
    j->n--;
}

void jumps_table_opened(struct jumps *j, struct jump *p)
{
    p->open = true;
    p->link = NULL;
    list_remove(p);
    list_insert(p, &j->open);
}

size_t jumps_count(const struct jumps *j)
{
    return j->n;
}

void jumps_renamed(struct jumps *j, const char *from, const char *to)
{
    char a[KEY_MAX], b[KEY_MAX];

    if (strcmp(from, to) == 0 || tally_move(j->tally, key_of_machine(a, from), key_of_machine(b, to)) < 0)
        return;
    (void)tally_move(j->tally, key_of_parked(a, from), key_of_parked(b, to));
    for (int i = 0; i < 2; i++) {
        for (struct jump *p = i == 0 ? j->dialling : j->open; p != NULL; p = p->next) {
            if (names_same(p->machine, from))
                (void)snprintf(p->machine, sizeof p->machine, "%s", to);
        }
    }
    show_sessions(j, to);
}

static int each(const struct jump *list, jumps_fn *fn, void *arg)
{
    for (const struct jump *p = list, *next = NULL; p != NULL; p = next) {
        struct jump_info i = {.id = p->id,
                              .user = p->user,
                              .source = p->source,
                              .machine = p->machine,
                              .started_s = p->started_s,
                              .open = p->open,
                              .parked = p->parked,
                              .parked_ms = p->parked ? clock_now_ms() - p->parked_at : 0};
        int rc = 0;

        next = p->next;
        rc = fn(&i, arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int jumps_each(struct jumps *j, jumps_fn *fn, void *arg)
{
    int rc = each(j->dialling, fn, arg);

    return rc != 0 ? rc : each(j->open, fn, arg);
}

bool jumps_has(const struct jumps *j, const struct caller *c, uint64_t channel)
{
    return jumps_table_channel(j, c, channel) != NULL;
}
