/* The store's records: leases, invitations, killed streams. */
#include "hub/store_sqlite.h"

#include <errno.h>
#include <string.h>

int store_alive_set(struct store *s, int64_t now_s)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_ALIVE_SET);
    sqlite3_bind_int64(st, 1, now_s);
    return store_sqlite_change(s, st, false, "the hub's time", NULL);
}

int64_t store_alive(struct store *s)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_ALIVE_GET);
    int64_t at_s = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_reset(st);
    return at_s;
}

/* --- leases --- */

int store_leases(struct store *s, store_lease_fn *fn, void *arg)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_LEASES);
    int rc, stop = 0;
    while (stop == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_lease l;
        store_sqlite_text(st, 0, l.name, sizeof l.name);
        store_sqlite_text(st, 1, l.holder, sizeof l.holder);
        l.since_s = sqlite3_column_int64(st, 2);
        l.seen_s = sqlite3_column_int64(st, 3);
        store_sqlite_text(st, 4, l.offline_reason, sizeof l.offline_reason);
        store_sqlite_text(st, 5, l.facts, sizeof l.facts);
        stop = fn(&l, arg);
    }
    if (stop == 0 && rc != SQLITE_DONE)
        stop = store_sqlite_failed(s, rc, "the list of machines (reading it)");
    sqlite3_reset(st);
    return stop;
}

static sqlite3_stmt *bind_lease(struct store *s, const struct store_lease *l)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_LEASE_SET);
    store_sqlite_bind_text(st, 1, l->name);
    store_sqlite_bind_text(st, 2, l->holder);
    sqlite3_bind_int64(st, 3, l->since_s);
    sqlite3_bind_int64(st, 4, l->seen_s);
    store_sqlite_bind_text(st, 5, l->offline_reason);
    store_sqlite_bind_text(st, 6, l->facts);
    return st;
}

int store_lease_set(struct store *s, const struct store_lease *l)
{
    return store_sqlite_change(s, bind_lease(s, l), true, "a machine's name", NULL);
}

int store_lease_rename(struct store *s, const char *from, const char *to, int64_t now_s)
{
    static const char what[] = "a machine's new name";
    /* What was gathered is committed first, so that undoing this undoes nothing else. */
    int changes = 0, rc = store_flush(s);
    if (rc < 0)
        return rc;
    sqlite3_stmt *st = store_sqlite_get(s, STORE_LEASE_RENAME);
    store_sqlite_bind_text(st, 1, from);
    store_sqlite_bind_text(st, 2, to);
    rc = store_sqlite_change(s, st, false, what, &changes);
    if (rc == -EEXIST)
        (void)store_flush(s);
    if (rc < 0)
        return rc;
    if (changes == 0)
        return store_flush(s) < 0 ? -EIO : -ENOENT;
    rc = store_sqlite_change(s, store_sqlite_get(s, STORE_RENAME_TRIM), false, what, NULL);
    if (rc < 0)
        return rc;
    st = store_sqlite_get(s, STORE_RENAME_ADD);
    store_sqlite_bind_text(st, 1, from);
    store_sqlite_bind_text(st, 2, to);
    sqlite3_bind_int64(st, 3, now_s);
    return store_sqlite_change(s, st, true, what, NULL);
}

void store_renamed(struct store *s, const char *name, int64_t since_s, char ret_name[NAMES_MACHINE_MAX + 1])
{
    int64_t id = 0;
    int step = SQLITE_ROW;
    snprintf(ret_name, NAMES_MACHINE_MAX + 1, "%s", name);
    while (step == SQLITE_ROW) { /* each time a later one */
        sqlite3_stmt *st = store_sqlite_get(s, STORE_RENAME_FIND);
        store_sqlite_bind_text(st, 1, ret_name);
        sqlite3_bind_int64(st, 2, since_s);
        sqlite3_bind_int64(st, 3, id);
        step = sqlite3_step(st);
        if (step == SQLITE_ROW) {
            id = sqlite3_column_int64(st, 0);
            store_sqlite_text(st, 1, ret_name, NAMES_MACHINE_MAX + 1);
        }
        sqlite3_reset(st);
    }
    if (step != SQLITE_DONE)
        store_sqlite_failed(s, step, "the machines' earlier names (reading them)");
}

int store_lease_delete(struct store *s, const char *name)
{
    int changes;
    sqlite3_stmt *st = store_sqlite_get(s, STORE_LEASE_DELETE);
    store_sqlite_bind_text(st, 1, name);
    int rc = store_sqlite_change(s, st, true, "that a machine was removed", &changes);
    return rc == 0 && changes == 0 ? -ENOENT : rc;
}

int store_lease_seen(struct store *s, const char *name, int64_t seen_s, const char *offline_reason)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_LEASE_SEEN);
    store_sqlite_bind_text(st, 1, name);
    sqlite3_bind_int64(st, 2, seen_s);
    store_sqlite_bind_text(st, 3, offline_reason);
    return store_sqlite_change(s, st, false, "when a machine was seen", NULL);
}

int store_lease_facts(struct store *s, const char *name, const char *facts_json)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_LEASE_FACTS);
    store_sqlite_bind_text(st, 1, name);
    store_sqlite_bind_text(st, 2, facts_json);
    return store_sqlite_change(s, st, false, "a machine's facts", NULL);
}

/* --- invitations --- */

int store_invitation_add(struct store *s, const struct store_invitation *i)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_INVITATION_ADD);
    sqlite3_bind_blob(st, 1, i->token_hash, sizeof i->token_hash, SQLITE_TRANSIENT);
    store_sqlite_bind_text(st, 2, i->name);
    sqlite3_bind_int64(st, 3, i->expires_s);
    sqlite3_bind_int64(st, 4, i->uses_left);
    store_sqlite_bind_text(st, 5, i->by);
    return store_sqlite_change(s, st, true, "an invitation", NULL);
}

int store_invitation_find(struct store *s, const uint8_t token_hash[32], struct store_invitation *ret_i)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_INVITATION_FIND);
    sqlite3_bind_blob(st, 1, token_hash, 32, SQLITE_TRANSIENT);
    int step = sqlite3_step(st), rc = -ENOENT;
    if (step == SQLITE_ROW) {
        memset(ret_i, 0, sizeof *ret_i);
        memcpy(ret_i->token_hash, token_hash, 32);
        store_sqlite_text(st, 0, ret_i->name, sizeof ret_i->name);
        ret_i->expires_s = sqlite3_column_int64(st, 1);
        ret_i->uses_left = (uint32_t)sqlite3_column_int64(st, 2);
        store_sqlite_text(st, 3, ret_i->by, sizeof ret_i->by);
        rc = 0;
    } else if (step != SQLITE_DONE) {
        rc = store_sqlite_failed(s, step, "an invitation (reading it)");
    }
    sqlite3_reset(st);
    return rc;
}

int store_join(struct store *s, const uint8_t token_hash[32], int64_t now_s, const struct store_lease *l)
{
    /* What was gathered is committed first, so that undoing this undoes nothing else. */
    int changes = 0, rc = store_flush(s);
    if (rc < 0)
        return rc;
    sqlite3_stmt *st = store_sqlite_get(s, STORE_INVITATION_USE);
    sqlite3_bind_blob(st, 1, token_hash, 32, SQLITE_TRANSIENT);
    sqlite3_bind_int64(st, 2, now_s);
    rc = store_sqlite_change(s, st, false, "that an invitation was used", &changes);
    if (rc < 0)
        return rc;
    if (changes == 0)
        return store_flush(s) < 0 ? -EIO : -ENOENT;
    return store_lease_set(s, l);
}

int store_invitation_purge(struct store *s, int64_t now_s)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_INVITATION_PURGE);
    sqlite3_bind_int64(st, 1, now_s);
    return store_sqlite_change(s, st, false, "that invitations have expired", NULL);
}

/* --- killed streams --- */

int store_kill_add(struct store *s, const uint8_t stream[TICKET_ID_SIZE], int64_t until_s)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_KILL_ADD);
    sqlite3_bind_blob(st, 1, stream, TICKET_ID_SIZE, SQLITE_TRANSIENT);
    sqlite3_bind_int64(st, 2, until_s);
    return store_sqlite_change(s, st, true, "that a session was killed", NULL);
}

bool store_kill_has(struct store *s, const uint8_t stream[TICKET_ID_SIZE])
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_KILL_HAS);
    sqlite3_bind_blob(st, 1, stream, TICKET_ID_SIZE, SQLITE_TRANSIENT);
    int step = sqlite3_step(st);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        store_sqlite_failed(s, step, "the killed sessions (reading them)");
    sqlite3_reset(st);
    return step != SQLITE_DONE; /* unreadable: taken for killed */
}

int store_kill_purge(struct store *s, int64_t now_s)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_KILL_PURGE);
    sqlite3_bind_int64(st, 1, now_s);
    return store_sqlite_change(s, st, false, "that killed sessions are over", NULL);
}
