/* The machines: their indexes, their order, and their coming and going. Owns every struct machine. Sends
 * nothing but drop and renamed to links. */
#include "hub/registry_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "hub/describe.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int registry_machine_new(const char *name, const char *holder, struct machine **ret_m)
{
    struct machine *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    snprintf(m->name, sizeof m->name, "%s", name);
    snprintf(m->holder, sizeof m->holder, "%s", holder);
    *ret_m = m;
    return 0;
}

void registry_machine_free(struct machine *m)
{
    if (m == NULL)
        return;
    registry_facts_clear(m);
    free(m);
}

static size_t skip_zeros(const char *s, size_t at)
{
    while (s[at] == '0' && isdigit((unsigned char)s[at + 1]))
        at++;
    return at;
}

/* Case ignored, runs of digits as numbers; never 0 for two different names. */
static int compare_names(const char *a, const char *b)
{
    size_t i = 0, j = 0;
    while (a[i] != '\0' && b[j] != '\0') {
        if (isdigit((unsigned char)a[i]) && isdigit((unsigned char)b[j])) {
            i = skip_zeros(a, i);
            j = skip_zeros(b, j);
            size_t n = strspn(a + i, "0123456789"), k = strspn(b + j, "0123456789");
            int order = n != k ? (n < k ? -1 : 1) : strncmp(a + i, b + j, n);
            if (order != 0)
                return order;
            i += n;
            j += k;
            continue;
        }
        int order = tolower((unsigned char)a[i]) - tolower((unsigned char)b[j]);
        if (order != 0)
            return order;
        i++;
        j++;
    }
    int order = (unsigned char)a[i] - (unsigned char)b[j];
    return order != 0 ? order : strcasecmp(a, b);
}

static int compare_machines(const void *a, const void *b)
{
    return compare_names((*(struct machine *const *)a)->name, (*(struct machine *const *)b)->name);
}

/* Where name is in the order, or would be. */
static size_t position(const struct registry *r, const char *name)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_names(r->sorted[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int grow(struct registry *r)
{
    if (r->n < r->cap)
        return 0;
    size_t cap = r->cap == 0 ? 64 : r->cap * 2;
    struct machine **sorted = reallocarray(r->sorted, cap, sizeof(struct machine *));
    if (sorted == NULL)
        return -ENOMEM;
    r->sorted = sorted;
    r->cap = cap;
    return 0;
}

static int add_indexes(struct registry *r, struct machine *m)
{
    int rc = hashmap_add(&r->by_name, hashmap_hash_str(m->name, true), m);
    if (rc < 0)
        return rc;
    rc = hashmap_add(&r->by_holder, hashmap_hash_str(m->holder, false), m);
    if (rc < 0)
        hashmap_remove(&r->by_name, hashmap_hash_str(m->name, true), m);
    return rc;
}

int registry_insert(struct registry *r, struct machine *m)
{
    int rc = grow(r);
    if (rc < 0)
        return rc;
    rc = add_indexes(r, m);
    if (rc < 0)
        return rc;
    size_t at = position(r, m->name);
    memmove(r->sorted + at + 1, r->sorted + at, (r->n - at) * sizeof(struct machine *));
    r->sorted[at] = m;
    r->n++;
    return 0;
}

void registry_remove(struct registry *r, struct machine *m)
{
    size_t at = position(r, m->name);
    registry_detach(r, m);
    hashmap_remove(&r->by_name, hashmap_hash_str(m->name, true), m);
    hashmap_remove(&r->by_holder, hashmap_hash_str(m->holder, false), m);
    memmove(r->sorted + at, r->sorted + at + 1, (r->n - at - 1) * sizeof(struct machine *));
    r->n--;
}

int registry_set_holder(struct registry *r, struct machine *m, const char *holder)
{
    int rc = hashmap_add(&r->by_holder, hashmap_hash_str(holder, false), m);
    if (rc < 0)
        return rc;
    hashmap_remove(&r->by_holder, hashmap_hash_str(m->holder, false), m);
    snprintf(m->holder, sizeof m->holder, "%s", holder);
    return 0;
}

void registry_rename_machine(struct registry *r, struct machine *m, const char *to)
{
    size_t at = position(r, m->name);
    hashmap_remove(&r->by_name, hashmap_hash_str(m->name, true), m);
    memmove(r->sorted + at, r->sorted + at + 1, (r->n - at - 1) * sizeof(struct machine *));
    r->n--;
    snprintf(m->name, sizeof m->name, "%s", to);
    hashmap_add(&r->by_name, hashmap_hash_str(m->name, true),
                m); /* its place is free: nothing is allocated */
    at = position(r, m->name);
    memmove(r->sorted + at + 1, r->sorted + at, (r->n - at) * sizeof(struct machine *));
    r->sorted[at] = m;
    r->n++;
}

static bool has_name(const void *m, const void *name)
{
    return names_same(((const struct machine *)m)->name, name);
}

static bool has_link(const void *m, const void *link)
{
    return ((const struct machine *)m)->link == link;
}

struct machine *registry_find(struct registry *r, const char *name)
{
    return hashmap_find(&r->by_name, hashmap_hash_str(name, true), has_name, name);
}

struct machine *registry_by_link(struct registry *r, const struct link *link)
{
    return link == NULL ? NULL : hashmap_find(&r->by_link, hashmap_hash_ptr(link), has_link, link);
}

struct count {
    const char *key;
    const struct machine **last;
    unsigned *n;
};

/* Looks at all of a key's machines: accepts none, counts them. */
static bool count_held(const void *value, const void *arg)
{
    const struct count *c = arg;
    const struct machine *m = value;
    if (strcmp(m->holder, c->key) == 0) {
        *c->last = m;
        ++*c->n;
    }
    return false;
}

struct machine *registry_own(struct registry *r, const char *key, const char *name)
{
    struct machine *m = registry_find(r, name);
    if (m != NULL && strcmp(m->holder, key) == 0)
        return m;
    if (strncmp(key, "user:", 5) == 0) /* a publisher chooses its names itself */
        return NULL;
    const struct machine *last = NULL;
    unsigned n = 0;
    struct count c = {key, &last, &n};
    hashmap_find(&r->by_holder, hashmap_hash_str(key, false), count_held, &c);
    return n == 1 ? registry_find(r, last->name) : NULL;
}

int registry_each(struct registry *r, registry_fn *fn, void *arg)
{
    for (size_t i = 0; i < r->n; i++) {
        int rc = fn(r->sorted[i], arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}

size_t registry_count(const struct registry *r, bool online_only)
{
    return online_only ? r->online : r->n;
}

static void set_start_id(struct registry *r, struct machine *m, const char *start_id)
{
    if (strcmp(m->start_id, start_id) == 0)
        return;
    for (int i = 0; i < REGISTRY_REPLACED_MAX; i++) { /* the current instance is not a replaced one */
        if (strcmp(m->replaced[i], start_id) == 0) {
            memmove(m->replaced[i], m->replaced[i + 1],
                    (size_t)(REGISTRY_REPLACED_MAX - 1 - i) * sizeof m->replaced[0]);
            m->replaced[REGISTRY_REPLACED_MAX - 1][0] = '\0';
            break;
        }
    }
    snprintf(m->start_id, sizeof m->start_id, "%s", start_id);
    m->clone_seen = registry_has_clones(r, m->name);
}

int registry_attach(struct registry *r, struct machine *m, const struct registry_hello *h, int64_t now_s)
{
    char facts[sizeof((struct store_lease *)0)->facts];
    const char *start_id = "", *boot_id = "";
    int rc = hashmap_add(&r->by_link, hashmap_hash_ptr(h->link), m);
    if (rc < 0)
        return rc;
    if (h->message != NULL) {
        start_id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(h->message, "start_id"));
        boot_id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(h->message, "boot_id"));
    }
    m->link = h->link;
    m->left = false;
    m->probed = NULL;
    m->since_s = now_s;
    m->reason[0] = '\0';
    r->online++;
    registry_forget_link(r, h->link, false);
    set_start_id(r, m, start_id == NULL ? "" : start_id);
    snprintf(m->boot_id, sizeof m->boot_id, "%s", boot_id == NULL ? "" : boot_id);
    bool changed = strcmp(m->source, h->source) != 0;
    snprintf(m->source, sizeof m->source, "%s", h->source);
    if (h->message != NULL)
        changed |= registry_facts_apply(m, h->message, true);
    else
        registry_facts_clear(m);
    if (changed) {
        registry_facts_save(m, facts, sizeof facts);
        store_lease_facts(r->store, m->name, facts);
    }
    store_lease_seen(r->store, m->name, now_s, "");
    return 0;
}

void registry_detach(struct registry *r, struct machine *m)
{
    if (m->link == NULL)
        return;
    hashmap_remove(&r->by_link, hashmap_hash_ptr(m->link), m);
    m->link = NULL;
    m->probed = NULL;
    r->online--;
}

void registry_leaves(struct registry *r, struct link *link)
{
    struct machine *m = registry_by_link(r, link);
    if (m != NULL)
        m->left = true;
}

bool registry_soon_back(const struct registry *r, const struct machine *m, int64_t now_s, int64_t within_s)
{
    bool hub = strcmp(m->reason, REGISTRY_HUB_STOPPED) == 0;
    if (m->link != NULL || m->left || (strncmp(m->holder, "user:", 5) == 0 && !hub))
        return false;
    int64_t gone_s = hub ? r->made_s : m->since_s;
    return gone_s <= now_s && now_s - gone_s < within_s;
}

void registry_gone(struct registry *r, struct link *link, const char *reason, int64_t now_s)
{
    struct machine *m = registry_by_link(r, link);
    if (m == NULL) {
        registry_forget_link(r, link, true);
        return;
    }
    registry_detach(r, m);
    m->since_s = now_s;
    describe_clean(reason == NULL || *reason == '\0' ? "connection closed" : reason, m->reason,
                   sizeof m->reason);
    store_lease_seen(r->store, m->name, now_s, m->reason);
}

void registry_state(struct registry *r, struct machine *m, const cJSON *message)
{
    char facts[sizeof((struct store_lease *)0)->facts];
    if (!registry_facts_apply(m, message, false))
        return;
    registry_facts_save(m, facts, sizeof facts);
    store_lease_facts(r->store, m->name, facts);
}

void registry_lease_of(const struct machine *m, int64_t now_s, struct store_lease *ret_l)
{
    memset(ret_l, 0, sizeof *ret_l);
    snprintf(ret_l->name, sizeof ret_l->name, "%s", m->name);
    snprintf(ret_l->holder, sizeof ret_l->holder, "%s", m->holder);
    ret_l->since_s = m->leased_s;
    ret_l->seen_s = m->link != NULL ? now_s : m->since_s;
    snprintf(ret_l->offline_reason, sizeof ret_l->offline_reason, "%s", m->reason);
    registry_facts_save(m, ret_l->facts, sizeof ret_l->facts);
}

static int load_lease(const struct store_lease *l, void *arg)
{
    struct registry *r = arg;
    struct machine *m;
    if (!names_machine_ok(l->name) || registry_find(r, l->name) != NULL) {
        log_warn("the database holds a machine with the impossible name \"%s\"; it is left out", l->name);
        return 0;
    }
    int rc = registry_machine_new(l->name, l->holder, &m);
    if (rc < 0)
        return rc;
    bool was_online = l->seen_s != 0 && l->offline_reason[0] == '\0';
    m->leased_s = l->since_s;
    m->since_s = was_online && r->alive_s > l->seen_s ? r->alive_s : l->seen_s;
    snprintf(m->reason, sizeof m->reason, "%s", was_online ? REGISTRY_HUB_STOPPED : l->offline_reason);
    m->left = strcmp(m->reason, REGISTRY_HUB_STOPPED) != 0;
    registry_facts_load(m, l->facts);
    rc = grow(r);
    if (rc == 0)
        rc = add_indexes(r, m);
    if (rc < 0) {
        registry_machine_free(m);
        return rc;
    }
    r->sorted[r->n++] = m;
    return 0;
}

int registry_new(struct store *store, const struct registry_limits *limits, struct registry **ret_r,
                 struct errmsg *err)
{
    struct registry *r = calloc(1, sizeof *r);
    if (r == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    r->store = store;
    r->limits = *limits;
    hashmap_init(&r->by_name);
    hashmap_init(&r->by_link);
    hashmap_init(&r->by_holder);
    r->alive_s = store_alive(store);
    r->made_s = clock_wall_s();
    int rc = store_leases(store, load_lease, r);
    if (rc < 0) {
        registry_free(r);
        return errmsg_set(err, rc, "the machines cannot be read from the database: %s", strerror(-rc));
    }
    if (r->n > 0)
        qsort(r->sorted, r->n, sizeof(struct machine *), compare_machines);
    *ret_r = r;
    return 0;
}

void registry_free(struct registry *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n; i++)
        registry_machine_free(r->sorted[i]);
    free(r->sorted);
    free(r->held);
    hashmap_release(&r->by_name);
    hashmap_release(&r->by_link);
    hashmap_release(&r->by_holder);
    free(r);
}

void registry_set_limits(struct registry *r, const struct registry_limits *limits)
{
    r->limits = *limits;
}
