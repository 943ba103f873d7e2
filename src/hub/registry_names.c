/* What admins do with names: approve, revoke, rename. */
#include "hub/registry_internal.h"

#include "base/clock.h"
#include "base/keyline.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int store_failed(struct errmsg *err, int rc)
{
    return errmsg_set(err, rc, "the hub cannot write its database now (%s); nothing was changed",
                      strerror(-rc));
}

static int add_lease(struct registry *r, const char *name, const char *key, struct errmsg *err)
{
    struct store_lease lease;
    struct machine *m;
    if (r->n >= r->limits.machines_max)
        return errmsg_set(err, -ENOSPC, "there are as many machines as there may be (machines-max = %llu)",
                          (unsigned long long)r->limits.machines_max);
    int rc = registry_machine_new(name, key, &m);
    if (rc < 0)
        return errmsg_set(err, rc, "out of memory");
    rc = registry_insert(r, m);
    if (rc < 0) {
        registry_machine_free(m);
        return errmsg_set(err, rc, "out of memory");
    }
    m->leased_s = r->now_s;
    registry_lease_of(m, r->now_s, &lease);
    rc = store_lease_set(r->store, &lease);
    if (rc < 0) {
        registry_remove(r, m);
        registry_machine_free(m);
        return store_failed(err, rc);
    }
    return 0;
}

int registry_approve(struct registry *r, const char *name, const char *fingerprint, struct errmsg *err)
{
    if (!names_machine_ok(name))
        return errmsg_set(err, -EINVAL,
                          "\"%.70s\" is not a machine name (1 to %d of letters, digits, - and _)", name,
                          NAMES_MACHINE_MAX);
    if (!keyline_fingerprint_ok(fingerprint))
        return errmsg_set(
            err, -EINVAL,
            "\"%.70s\" is not a fingerprint (SHA256: and 43 characters, as the agent prints it)",
            fingerprint);
    struct machine *m = registry_find(r, name);
    if (m != NULL && strcmp(m->holder, fingerprint) != 0)
        return errmsg_set(err, -EEXIST,
                          "the name %s is held by another key (%s): revoke it first, or approve this one "
                          "under another name",
                          m->name, m->holder);
    if (m == NULL && !registry_is_pending(r, fingerprint))
        return errmsg_set(err, -ENOENT, "no machine with the fingerprint %s is waiting for approval",
                          fingerprint);
    if (m == NULL) {
        int rc = add_lease(r, name, fingerprint, err);
        if (rc < 0)
            return rc;
    }
    struct registry_held waiting = registry_take_pending(r, fingerprint);
    if (waiting.link != NULL && r->approved != NULL)
        r->approved(waiting.link, r->approved_arg);
    return 0;
}

int registry_revoke(struct registry *r, const char *name)
{
    struct machine *m = registry_find(r, name);
    if (m == NULL)
        return -ENOENT;
    int rc = store_lease_delete(r->store, m->name);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    struct link *link = m->link;
    registry_remove(r, m);
    if (link != NULL)
        link->ops->drop(link, "revoked", "the name was taken back by the hub's admin");
    registry_drop_clones(r, m->name, "the name was taken back by the hub's admin");
    registry_machine_free(m);
    return 0;
}

int registry_rename(struct registry *r, const char *from, const char *to, struct errmsg *err)
{
    struct machine *m = registry_find(r, from), *other = registry_find(r, to);
    if (m == NULL)
        return errmsg_set(err, -ENOENT, "there is no machine %.70s", from);
    if (!names_machine_ok(to))
        return errmsg_set(err, -EINVAL,
                          "\"%.70s\" is not a machine name (1 to %d of letters, digits, - and _)", to,
                          NAMES_MACHINE_MAX);
    if (other != NULL && other != m)
        return errmsg_set(err, -EEXIST, "the name %s is taken", other->name);
    int rc = store_lease_rename(r->store, m->name, to, clock_wall_s());
    if (rc < 0)
        return store_failed(err, rc);
    struct link *link = m->link;
    char old[sizeof m->name];
    snprintf(old, sizeof old, "%s", m->name);
    registry_rename_machine(r, m, to);
    registry_rename_clones(r, old, m->name);
    if (link != NULL)
        link->ops->renamed(link, m->name);
    return 0;
}
