/* Who is kept waiting: machines without an invitation until an admin approves them, clones until their
 * machine is gone. */
#include "hub/registry_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLONE_PATIENCE_S 30 /* a machine that blinks does not lose its place */
#define ALIVE_EVERY_S 60

static void remove_at(struct registry *r, size_t i)
{
    r->n_held--;
    memmove(r->held + i, r->held + i + 1, (r->n_held - i) * sizeof r->held[0]);
}

static size_t count(const struct registry *r, bool clone)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_held; i++)
        n += r->held[i].clone == clone;
    return n;
}

static struct registry_held *add(struct registry *r)
{
    if (r->n_held == r->cap_held) {
        size_t cap = r->cap_held == 0 ? 16 : r->cap_held * 2;
        struct registry_held *held = reallocarray(r->held, cap, sizeof *held);
        if (held == NULL)
            return NULL;
        r->held = held;
        r->cap_held = cap;
    }
    struct registry_held *e = &r->held[r->n_held++];
    memset(e, 0, sizeof *e);
    return e;
}

static void drop(struct link *link, const char *code, const char *reason)
{
    if (link != NULL)
        link->ops->drop(link, code, reason);
}

static struct registry_held *find_pending(struct registry *r, const char *key)
{
    for (size_t i = 0; i < r->n_held; i++) {
        if (!r->held[i].clone && strcmp(r->held[i].key, key) == 0)
            return &r->held[i];
    }
    return NULL;
}

/* Makes room by forgetting the oldest of those that went away again. */
static bool forget_absent(struct registry *r)
{
    for (size_t i = 0; i < r->n_held; i++) {
        if (!r->held[i].clone && r->held[i].link == NULL) {
            remove_at(r, i);
            return true;
        }
    }
    return false;
}

static void set_connection(struct registry_held *e, const struct registry_hello *h)
{
    struct link *old = e->link;
    e->link = h->link;
    snprintf(e->source, sizeof e->source, "%s", h->source);
    if (old != NULL && old != h->link)
        drop(old, "replaced", "the same machine has connected again");
}

void registry_hold_pending(struct registry *r, const struct registry_hello *h, int64_t now_s,
                           struct registry_answer *ret_a)
{
    struct registry_held *e = find_pending(r, h->key);
    if (e == NULL) {
        if (count(r, false) >= r->limits.pending_max && !forget_absent(r)) {
            registry_refuse(ret_a, "full",
                            "too many machines are waiting for approval on the hub; join with an invitation "
                            "(multissh-hub invite %s)",
                            h->name);
            return;
        }
        e = add(r);
        if (e == NULL) {
            registry_refuse(ret_a, "busy", "the hub is out of memory");
            return;
        }
        snprintf(e->key, sizeof e->key, "%s", h->key);
        e->since_s = now_s;
    }
    snprintf(e->name, sizeof e->name, "%s", h->name);
    set_connection(e, h);
    ret_a->verdict = REGISTRY_HELD;
    snprintf(ret_a->text, sizeof ret_a->text,
             "waiting for approval; on the hub's host run: multissh-hub approve %s %s", h->name, h->key);
}

static const char *start_id_of(const struct registry_hello *h)
{
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(h->message, "start_id"));
    return id == NULL ? "" : id;
}

void registry_hold_clone(struct registry *r, const struct registry_hello *h, struct machine *m,
                         struct registry_answer *ret_a)
{
    if (m == NULL || m->link == NULL) {
        registry_hello(r, h, r->now_s, ret_a);
        return;
    }
    memset(ret_a, 0, sizeof *ret_a);
    struct registry_held *e = NULL;
    for (size_t i = 0; i < r->n_held && e == NULL; i++) {
        if (r->held[i].clone && names_same(r->held[i].name, m->name) &&
            strcmp(r->held[i].start_id, start_id_of(h)) == 0)
            e = &r->held[i];
    }
    if (e == NULL) {
        e = count(r, true) >= r->limits.pending_max ? NULL : add(r);
        if (e == NULL) {
            registry_refuse(
                ret_a, "busy",
                "%s is in use by another instance with the same key, and too many such are waiting", m->name);
            return;
        }
        snprintf(e->name, sizeof e->name, "%s", m->name);
        snprintf(e->key, sizeof e->key, "%s", h->key);
        snprintf(e->start_id, sizeof e->start_id, "%s", start_id_of(h));
        e->since_s = r->now_s;
        e->clone = true;
    }
    set_connection(e, h);
    m->clone_seen = true;
    m->probed = NULL;
    snprintf(m->clone_source, sizeof m->clone_source, "%s", h->source);
    ret_a->verdict = REGISTRY_HELD;
    snprintf(ret_a->text, sizeof ret_a->text,
             "another instance with the same key is %s (from %s): two machines were made from one image; on "
             "one of them remove the "
             "agent's key and join again",
             m->name, m->source);
}

bool registry_has_clones(const struct registry *r, const char *name)
{
    for (size_t i = 0; i < r->n_held; i++) {
        if (r->held[i].clone && names_same(r->held[i].name, name))
            return true;
    }
    return false;
}

void registry_drop_clones(struct registry *r, const char *name, const char *reason)
{
    for (size_t i = r->n_held; i-- > 0;) {
        if (r->held[i].clone && names_same(r->held[i].name, name)) {
            struct link *link = r->held[i].link;
            remove_at(r, i);
            drop(link, "revoked", reason);
        }
    }
}

void registry_rename_clones(struct registry *r, const char *from, const char *to)
{
    for (size_t i = 0; i < r->n_held; i++) {
        if (r->held[i].clone && names_same(r->held[i].name, from))
            snprintf(r->held[i].name, sizeof r->held[i].name, "%s", to);
    }
}

void registry_forget_link(struct registry *r, const struct link *link, bool keep_pending)
{
    for (size_t i = 0; i < r->n_held; i++) {
        if (r->held[i].link != link)
            continue;
        if (keep_pending && !r->held[i].clone)
            r->held[i].link = NULL;
        else
            remove_at(r, i);
        return;
    }
}

bool registry_is_pending(struct registry *r, const char *key)
{
    return find_pending(r, key) != NULL;
}

struct registry_held registry_take_pending(struct registry *r, const char *key)
{
    struct registry_held taken = {.link = NULL};
    struct registry_held *e = find_pending(r, key);
    if (e != NULL) {
        taken = *e;
        remove_at(r, (size_t)(e - r->held));
    }
    return taken;
}

int registry_pendings(struct registry *r, registry_pending_fn *fn, void *arg)
{
    for (size_t i = 0; i < r->n_held; i++) {
        const struct registry_held *e = &r->held[i];
        struct registry_pending p = {e->name, e->key, e->source, e->link, e->since_s, e->clone};
        int rc = fn(&p, arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void registry_on_approved(struct registry *r, void (*fn)(struct link *link, void *arg), void *arg)
{
    r->approved = fn;
    r->approved_arg = arg;
}

/* Is this one's waiting over? */
static bool is_due(struct registry *r, const struct registry_held *e, int64_t now_s)
{
    if (!e->clone)
        return now_s - e->since_s >= (int64_t)(r->limits.pending_ms / 1000);
    const struct machine *m = registry_find(r, e->name);
    return m == NULL || (m->link == NULL && now_s - m->since_s >= CLONE_PATIENCE_S);
}

void registry_expire(struct registry *r, int64_t now_s, void (*fn)(struct link *link, void *arg), void *arg)
{
    r->now_s = now_s;
    for (size_t i = 0; i < r->n_held;) {
        struct registry_held e = r->held[i];
        if (!is_due(r, &e, now_s)) {
            i++;
            continue;
        }
        remove_at(r, i);
        if (e.clone && r->approved != NULL)
            r->approved(e.link, r->approved_arg);
        else if (e.link != NULL)
            fn(e.link, arg);
        i = 0; /* the callee may have changed the list */
    }
    if (now_s - r->alive_s >= ALIVE_EVERY_S || now_s < r->alive_s) {
        r->alive_s = now_s;
        store_alive_set(r->store, now_s);
    }
}
