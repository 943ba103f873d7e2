/* The store's connection to SQLite: statements, transactions, errors. The records are in
 * store_sqlite_records.c, the audit log in store_sqlite_events.c, the tables in store_sqlite_schema.c. */
#include "hub/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS 500 /* somebody looks into the file with the sqlite3 shell */

static const char *const sql[STORE_STATEMENTS] = {
    [STORE_BEGIN] = "BEGIN IMMEDIATE",
    [STORE_COMMIT] = "COMMIT",
    [STORE_ROLLBACK] = "ROLLBACK",
    [STORE_ALIVE_SET] = "INSERT INTO meta(name, value) VALUES('alive', ?1) "
                        "ON CONFLICT(name) DO UPDATE SET value = excluded.value",
    [STORE_ALIVE_GET] = "SELECT value FROM meta WHERE name = 'alive'",
    [STORE_LEASES] = "SELECT name, holder, since_s, seen_s, offline_reason, facts FROM lease",
    [STORE_LEASE_SET] =
        "INSERT INTO lease(name, holder, since_s, seen_s, offline_reason, facts) "
        "VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(name) DO UPDATE SET name = excluded.name, "
        "holder = excluded.holder, since_s = excluded.since_s, seen_s = excluded.seen_s, "
        "offline_reason = excluded.offline_reason, facts = excluded.facts",
    [STORE_LEASE_RENAME] = "UPDATE lease SET name = ?2 WHERE name = ?1",
    [STORE_RENAME_ADD] = "INSERT INTO rename(from_name, to_name, at_s) VALUES(?1, ?2, ?3)",
    [STORE_RENAME_FIND] = "SELECT id, to_name FROM rename WHERE from_name = ?1 AND at_s >= ?2 AND id > ?3 "
                          "ORDER BY id LIMIT 1",
    [STORE_RENAME_TRIM] = "DELETE FROM rename WHERE id <= (SELECT max(id) FROM rename) - 10000",
    [STORE_LEASE_DELETE] = "DELETE FROM lease WHERE name = ?1",
    [STORE_LEASE_SEEN] = "UPDATE lease SET seen_s = ?2, offline_reason = ?3 WHERE name = ?1",
    [STORE_LEASE_FACTS] = "UPDATE lease SET facts = ?2 WHERE name = ?1",
    [STORE_INVITATION_ADD] = "INSERT INTO invitation(token_hash, name, expires_s, uses_left, by_user) "
                             "VALUES(?1, ?2, ?3, ?4, ?5)",
    [STORE_INVITATION_FIND] =
        "SELECT name, expires_s, uses_left, by_user FROM invitation WHERE token_hash = ?1",
    [STORE_INVITATION_USE] = "UPDATE invitation SET uses_left = uses_left - 1 "
                             "WHERE token_hash = ?1 AND uses_left > 0 AND expires_s > ?2",
    [STORE_INVITATION_PURGE] = "DELETE FROM invitation WHERE expires_s < ?1 - 86400",
    [STORE_KILL_ADD] = "INSERT INTO kill(stream, until_s) VALUES(?1, ?2) "
                       "ON CONFLICT(stream) DO UPDATE SET until_s = max(until_s, excluded.until_s)",
    [STORE_KILL_HAS] = "SELECT 1 FROM kill WHERE stream = ?1",
    [STORE_KILL_PURGE] = "DELETE FROM kill WHERE until_s < ?1",
    [STORE_EVENT_ADD] =
        "INSERT INTO event(at_s, kind, user, machine, source, text) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [STORE_EVENTS] = "SELECT at_s, kind, user, machine, source, text FROM (SELECT * FROM event "
                     "WHERE (?1 IS NULL OR machine = ?1 COLLATE NOCASE) AND (?2 IS NULL OR user = ?2) "
                     "ORDER BY id DESC LIMIT ?3) ORDER BY id",
    [STORE_EVENTS_TRIM] = "DELETE FROM event WHERE id IN (SELECT id FROM event "
                          "WHERE id <= (SELECT max(id) FROM event) - ?1 ORDER BY id LIMIT 50000)",
};

static int code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return -EACCES;
    default:
        return -EIO;
    }
}

int store_sqlite_failed(struct store *s, int rc, const char *what)
{
    log_limited(&s->complaints, LOG_LEVEL_ERROR,
                "%s: cannot write %s: %s; what depends on it is refused until this works", s->path, what,
                sqlite3_errmsg(s->db));
    return code_of(rc);
}

sqlite3_stmt *store_sqlite_get(struct store *s, enum store_statement which)
{
    sqlite3_reset(s->statement[which]);
    sqlite3_clear_bindings(s->statement[which]);
    return s->statement[which];
}

void store_sqlite_bind_text(sqlite3_stmt *st, int at, const char *text)
{
    if (text == NULL)
        sqlite3_bind_null(st, at);
    else
        sqlite3_bind_text(st, at, text, -1, SQLITE_TRANSIENT);
}

void store_sqlite_text(sqlite3_stmt *st, int column, char *out, size_t size)
{
    const unsigned char *text = sqlite3_column_text(st, column);
    snprintf(out, size, "%s", text == NULL ? "" : (const char *)text);
}

static int run(struct store *s, enum store_statement which)
{
    sqlite3_stmt *st = store_sqlite_get(s, which);
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    return rc;
}

int store_sqlite_begin(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        return 0;
    int rc = run(s, STORE_BEGIN);
    return rc == SQLITE_DONE ? 0 : store_sqlite_failed(s, rc, "a change");
}

int store_sqlite_end(struct store *s, int sqlite_rc, bool durable, const char *what)
{
    if (sqlite_rc != SQLITE_DONE) {
        if ((sqlite_rc & 0xff) == SQLITE_CONSTRAINT)
            return -EEXIST; /* the statement alone was undone; not a fault of the disk */
        int code = store_sqlite_failed(s, sqlite_rc, what);
        if (!sqlite3_get_autocommit(s->db))
            run(s, STORE_ROLLBACK);
        return code;
    }
    if (!durable)
        return 0;
    int rc = run(s, STORE_COMMIT);
    if (rc == SQLITE_DONE)
        return 0;
    int code = store_sqlite_failed(s, rc, what);
    if (!sqlite3_get_autocommit(s->db))
        run(s, STORE_ROLLBACK);
    return code;
}

int store_sqlite_change(struct store *s, sqlite3_stmt *st, bool durable, const char *what, int *ret_changes)
{
    int rc = store_sqlite_begin(s);
    if (rc < 0)
        return rc;
    int step = sqlite3_step(st);
    if (ret_changes != NULL)
        *ret_changes = step == SQLITE_DONE ? sqlite3_changes(s->db) : 0;
    sqlite3_reset(st);
    return store_sqlite_end(s, step, durable, what);
}

int store_flush(struct store *s)
{
    return sqlite3_get_autocommit(s->db) ? 0 : store_sqlite_end(s, SQLITE_DONE, true, "gathered records");
}

static int prepare_all(struct store *s, struct errmsg *err)
{
    for (int i = 0; i < STORE_STATEMENTS; i++) {
        int rc = sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statement[i], NULL);
        if (rc != SQLITE_OK)
            return errmsg_set(err, code_of(rc), "%s: %s", s->path, sqlite3_errmsg(s->db));
    }
    return 0;
}

/* Makes an empty file with the right mode first: SQLite would follow the umask, and gives its -wal and -shm
 * files the mode of the database. */
static int make_private(const char *path, struct errmsg *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errmsg_set(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
    close(fd);
    return 0;
}

int store_open(const char *path, struct store **ret_s, struct errmsg *err)
{
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    s->complaints.burst = 1;
    s->complaints.interval_ms = 60000;
    int rc;
    if ((size_t)snprintf(s->path, sizeof s->path, "%s", path) >= sizeof s->path) {
        rc = errmsg_set(err, -ENAMETOOLONG, "the state folder's name is too long");
        goto out;
    }
    rc = make_private(path, err);
    if (rc < 0)
        goto out;
    int opened = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (opened != SQLITE_OK) {
        rc = errmsg_set(err, code_of(opened), "%s cannot be opened: %s", path, sqlite3_errstr(opened));
        goto out;
    }
    sqlite3_busy_timeout(s->db, BUSY_MS);
    rc = store_sqlite_migrate(s, err);
    if (rc < 0)
        goto out;
    rc = prepare_all(s, err);
    if (rc < 0)
        goto out;
    *ret_s = s;
    s = NULL;
out:
    store_close(s);
    return rc;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    if (s->statement[STORE_COMMIT] != NULL)
        store_flush(s);
    for (int i = 0; i < STORE_STATEMENTS; i++)
        sqlite3_finalize(s->statement[i]);
    sqlite3_close(s->db);
    free(s);
}
