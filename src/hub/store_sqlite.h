/* Inside the store: the connection, its prepared statements and how a change is made. Included by
 * store_sqlite*.c only. */
#ifndef MULTISSH_HUB_STORE_SQLITE_H
#define MULTISSH_HUB_STORE_SQLITE_H

#include "base/log.h"
#include "hub/store.h"
#include <sqlite3.h>

enum store_statement {
    STORE_BEGIN,
    STORE_COMMIT,
    STORE_ROLLBACK,
    STORE_ALIVE_SET,
    STORE_ALIVE_GET,
    STORE_LEASES,
    STORE_LEASE_SET,
    STORE_LEASE_RENAME,
    STORE_RENAME_ADD,
    STORE_RENAME_FIND,
    STORE_RENAME_TRIM,
    STORE_LEASE_DELETE,
    STORE_LEASE_SEEN,
    STORE_LEASE_FACTS,
    STORE_INVITATION_ADD,
    STORE_INVITATION_FIND,
    STORE_INVITATION_USE,
    STORE_INVITATION_PURGE,
    STORE_KILL_ADD,
    STORE_KILL_HAS,
    STORE_KILL_PURGE,
    STORE_EVENT_ADD,
    STORE_EVENTS,
    STORE_EVENTS_TRIM,
    STORE_STATEMENTS,
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statement[STORE_STATEMENTS];
    struct log_limit complaints;
    char path[1024];
};

/* store_sqlite_schema.c: checks the file, then makes the tables or brings them up to date. Returns 0 or a
 * negative code with err filled. */
int store_sqlite_migrate(struct store *s, struct errmsg *err);

/* The statement, reset and with nothing bound. */
sqlite3_stmt *store_sqlite_get(struct store *s, enum store_statement which);
void store_sqlite_bind_text(sqlite3_stmt *st, int at, const char *text); /* NULL = NULL */
/* Copies a text column; "" for NULL; cut to fit. */
void store_sqlite_text(sqlite3_stmt *st, int column, char *out, size_t size);

/* A change is between these two. begin opens the transaction that gathers when there is none. end(rc,
 * durable): rc of the change; commits when durable; logs a failure, and undoes everything that was gathered
 * when SQLite did not undo the change alone. Returns the code for the caller. */
int store_sqlite_begin(struct store *s);
int store_sqlite_end(struct store *s, int sqlite_rc, bool durable, const char *what);
/* Runs a bound statement that returns no rows as one change. *ret_changes may be NULL. */
int store_sqlite_change(struct store *s, sqlite3_stmt *st, bool durable, const char *what, int *ret_changes);
/* Logs (limited) and turns SQLite's code into a negative errno value. */
int store_sqlite_failed(struct store *s, int sqlite_rc, const char *what);

#endif
