/* A machine says hello: what becomes of it. */
#include "hub/registry_internal.h"

#include "base/clock.h"
#include "base/crypto.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_SIZE 16

void registry_refuse(struct registry_answer *ret_a, const char *code, const char *fmt, ...)
{
    va_list args;
    ret_a->verdict = REGISTRY_REFUSED;
    ret_a->code = code;
    ret_a->machine = NULL;
    ret_a->joined = false;
    va_start(args, fmt);
    vsnprintf(ret_a->text, sizeof ret_a->text, fmt, args);
    va_end(args);
}

static void refuse_busy(struct registry_answer *ret_a, int rc)
{
    if (rc == -ENOMEM)
        registry_refuse(ret_a, "busy", "the hub is out of memory; try again later");
    else
        registry_refuse(ret_a, "busy", "the hub cannot write its database now; try again later");
}

static void refuse_name(struct registry_answer *ret_a, const char *name)
{
    registry_refuse(ret_a, "name-taken",
                    "the name %s belongs to another key; if this is that machine, reinstalled, join with an "
                    "invitation for the name "
                    "(multissh-hub invite %s), else choose another name (--name)",
                    name, name);
}

static void refuse_full(const struct registry *r, struct registry_answer *ret_a)
{
    registry_refuse(ret_a, "full", "the hub has as many machines as it may (machines-max = %llu)",
                    (unsigned long long)r->limits.machines_max);
}

static bool was_replaced(const struct machine *m, const char *start_id)
{
    for (int i = 0; i < REGISTRY_REPLACED_MAX; i++) {
        if (m->replaced[i][0] != '\0' && strcmp(m->replaced[i], start_id) == 0)
            return true;
    }
    return false;
}

static void welcome(struct registry *r, const struct registry_hello *h, struct machine *m, int64_t now_s,
                    struct registry_answer *ret_a)
{
    int rc = registry_attach(r, m, h, now_s);
    if (rc < 0) {
        refuse_busy(ret_a, rc);
        return;
    }
    ret_a->verdict = REGISTRY_WELCOME;
    ret_a->machine = m;
    if (names_same(m->name, h->name))
        snprintf(ret_a->text, sizeof ret_a->text, "welcome, %s", m->name);
    else
        snprintf(ret_a->text, sizeof ret_a->text, "welcome; on this hub the name of this key is %s, not %s",
                 m->name, h->name);
}

/* The holder's key comes: take over, unless it was replaced by what is there now. */
static void come_back(struct registry *r, const struct registry_hello *h, struct machine *m,
                      const char *start_id, int64_t now_s, struct registry_answer *ret_a)
{
    struct link *old = m->link;
    int64_t since_s = m->since_s;
    bool same = *start_id != '\0' && strcmp(m->start_id, start_id) == 0;
    if (old != NULL && old != h->link && !same && was_replaced(m, start_id) &&
        !(h->probe_failed && m->probed == old)) {
        m->probed = old;
        ret_a->verdict = REGISTRY_PROBE;
        ret_a->machine = m;
        snprintf(ret_a->text, sizeof ret_a->text, "%s is asked whether its present connection still lives",
                 m->name);
        return;
    }
    if (old != NULL && !same && m->start_id[0] != '\0') {
        memmove(m->replaced[1], m->replaced[0], sizeof m->replaced - sizeof m->replaced[0]);
        snprintf(m->replaced[0], sizeof m->replaced[0], "%s", m->start_id);
    }
    registry_detach(r, m);
    welcome(r, h, m, now_s, ret_a);
    if (old != NULL && same && ret_a->verdict == REGISTRY_WELCOME)
        m->since_s = since_s; /* the same process, over a newer connection */
    if (old != NULL && old != h->link)
        old->ops->drop(old, "replaced",
                       same ? "this agent has connected again"
                            : "another instance with this key has connected");
}

/* A lease that is new in memory and on disk; with a token hash it uses up one of the invitation's uses. NULL:
 * ret_a says why. */
static struct machine *new_lease(struct registry *r, const struct registry_hello *h, const char *name,
                                 const uint8_t *token_hash, int64_t now_s, struct registry_answer *ret_a)
{
    struct store_lease lease;
    struct machine *m;
    if (r->n >= r->limits.machines_max) {
        refuse_full(r, ret_a);
        return NULL;
    }
    int rc = registry_machine_new(name, h->key, &m);
    if (rc == 0 && (rc = registry_insert(r, m)) < 0)
        registry_machine_free(m);
    if (rc < 0) {
        refuse_busy(ret_a, rc);
        return NULL;
    }
    m->leased_s = now_s;
    registry_lease_of(m, now_s, &lease);
    lease.seen_s = now_s; /* also when the hub is killed before it notes that the machine is online */
    rc = token_hash != NULL ? store_join(r->store, token_hash, now_s, &lease)
                            : store_lease_set(r->store, &lease);
    if (rc < 0) {
        registry_remove(r, m);
        registry_machine_free(m);
        refuse_busy(ret_a, rc);
        return NULL;
    }
    return m;
}

/* An invitation for this very name: the lease goes to the new key, what the old one left is forgotten. */
static int move_lease(struct registry *r, const struct registry_hello *h, struct machine *m,
                      const uint8_t *token_hash, int64_t now_s)
{
    struct store_lease lease;
    registry_lease_of(m, now_s, &lease);
    if (strcmp(m->holder, h->key) == 0) /* the holder itself: only the invitation is used up */
        return store_join(r->store, token_hash, now_s, &lease);
    char holder[sizeof m->holder];
    snprintf(holder, sizeof holder, "%s", m->holder);
    snprintf(lease.holder, sizeof lease.holder, "%s", h->key);
    lease.since_s = now_s;
    snprintf(lease.facts, sizeof lease.facts, "{}");
    /* Memory first: what may fail of it has not failed when the disk says yes. */
    int rc = registry_set_holder(r, m, h->key);
    if (rc < 0)
        return rc;
    rc = store_join(r->store, token_hash, now_s, &lease);
    if (rc < 0) {
        (void)registry_set_holder(r, m, holder); /* its place is free: nothing is allocated */
        return rc;
    }
    m->leased_s = now_s;
    registry_facts_clear(m);
    m->source[0] = '\0';
    struct link *old = m->link;
    registry_detach(r, m);
    registry_drop_clones(r, m->name, "the name was given to another key by an invitation");
    memset(m->replaced, 0, sizeof m->replaced);
    m->start_id[0] = '\0';
    m->clone_seen = false;
    if (old != NULL && old != h->link)
        old->ops->drop(old, "revoked", "the name was given to another key by an invitation");
    return 0;
}

/* Is there something wrong with the invitation? Says so in words for the agent. */
static bool invitation_bad(const struct store_invitation *i, int found, int64_t now_s, char *why, size_t size)
{
    char ago[32];
    if (found == -ENOENT) {
        snprintf(why, size, "the hub does not know this invitation");
    } else if (i->uses_left == 0) {
        snprintf(why, size, "this invitation was used up");
    } else if (now_s >= i->expires_s) {
        clock_format_ago((uint64_t)(now_s - i->expires_s) * 1000, ago, sizeof ago);
        snprintf(why, size, "this invitation expired %s ago", ago);
    } else {
        return false;
    }
    return true;
}

/* Returns false when the hello is to be judged as if it had no token. */
static bool by_invitation(struct registry *r, const struct registry_hello *h, const char *start_id,
                          int64_t now_s, struct registry_answer *ret_a)
{
    uint8_t token[TOKEN_SIZE], hash[CRYPTO_HASH_SIZE];
    struct store_invitation inv;
    char why[80];
    int found = -ENOENT;
    if (crypto_b64url_decode(h->token, strlen(h->token), token, sizeof token) == TOKEN_SIZE &&
        crypto_sha256(token, sizeof token, hash) == 0)
        found = store_invitation_find(r->store, hash, &inv);
    crypto_wipe(token, sizeof token);
    if (found < 0 && found != -ENOENT) {
        refuse_busy(ret_a, found);
        return true;
    }
    if (invitation_bad(&inv, found, now_s, why, sizeof why)) {
        /* A machine that has joined, and did not hear the answer, comes with its spent token. */
        if (registry_own(r, h->key, h->name) != NULL)
            return false;
        registry_refuse(ret_a, "bad-token", "%s; ask the hub's admin for a new one (multissh-hub invite %s)",
                        why, h->name);
        return true;
    }
    const char *name = inv.name[0] != '\0' ? inv.name : h->name;
    struct machine *m = registry_find(r, name);
    bool own = m != NULL && strcmp(m->holder, h->key) == 0;
    ret_a->joined = true;
    if (m == NULL) {
        m = new_lease(r, h, name, hash, now_s, ret_a);
        if (m == NULL)
            return true;
    } else if (inv.name[0] != '\0') {
        int rc = move_lease(r, h, m, hash, now_s);
        if (rc < 0) {
            refuse_busy(ret_a, rc);
            return true;
        }
    } else if (!own) {
        refuse_name(ret_a, name);
        return true;
    }
    come_back(r, h, m, start_id, now_s, ret_a);
    return true;
}

void registry_hello(struct registry *r, const struct registry_hello *h, int64_t now_s,
                    struct registry_answer *ret_a)
{
    struct errmsg err = {""};
    const char *start_id = "";
    memset(ret_a, 0, sizeof *ret_a);
    r->now_s = now_s;
    if (!names_machine_ok(h->name)) {
        registry_refuse(ret_a, "bad-hello", "the name is not one (1 to %d of letters, digits, - and _)",
                        NAMES_MACHINE_MAX);
        return;
    }
    if (h->message != NULL) {
        if (registry_facts_check(h->message, &err) < 0) {
            registry_refuse(ret_a, "bad-hello", "the hello cannot be taken: %.200s", err.text);
            return;
        }
        start_id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(h->message, "start_id"));
    }
    if (h->token != NULL && by_invitation(r, h, start_id, now_s, ret_a))
        return;
    struct machine *m = registry_own(r, h->key, h->name);
    if (m != NULL) {
        come_back(r, h, m, start_id, now_s, ret_a);
    } else if (registry_find(r, h->name) != NULL) {
        refuse_name(ret_a, h->name);
    } else if (h->message != NULL) {
        registry_hold_pending(r, h, now_s, ret_a);
    } else { /* a publisher: its user's publish= is its approval */
        m = new_lease(r, h, h->name, NULL, now_s, ret_a);
        if (m != NULL)
            welcome(r, h, m, now_s, ret_a);
    }
}
