/* The store's tables: what they are, whether the file is ours and whole, and how an older one becomes a newer
 * one. */
#include "hub/store_sqlite.h"

#include <errno.h>
#include <string.h>

#define APPLICATION_ID 0x6d535348 /* "mSSH" */

/* Step i brings version i to i + 1, in one transaction. Released steps are never changed: new ones are added.
 */
static const char *const steps[] = {
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE lease(name TEXT PRIMARY KEY COLLATE NOCASE, holder TEXT NOT NULL, since_s INTEGER NOT NULL,"
    " seen_s INTEGER NOT NULL, offline_reason TEXT NOT NULL, facts TEXT NOT NULL) STRICT;"
    "CREATE TABLE invitation(token_hash BLOB PRIMARY KEY, name TEXT NOT NULL, expires_s INTEGER NOT NULL,"
    " uses_left INTEGER NOT NULL, by_user TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE kill(stream BLOB PRIMARY KEY, until_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE event(id INTEGER PRIMARY KEY AUTOINCREMENT, at_s INTEGER NOT NULL, kind TEXT NOT NULL,"
    " user TEXT, machine TEXT, source TEXT, text TEXT) STRICT;"
    "PRAGMA application_id = 1834177352;",
    "CREATE TABLE rename(id INTEGER PRIMARY KEY AUTOINCREMENT, from_name TEXT NOT NULL COLLATE NOCASE,"
    " to_name TEXT NOT NULL, at_s INTEGER NOT NULL) STRICT;"
    "CREATE INDEX rename_from ON rename(from_name);",
};
#define VERSION ((int)(sizeof steps / sizeof steps[0]))
_Static_assert(APPLICATION_ID == 1834177352, "the number in the first step");

/* The first column of the first row, as a number and as text. */
static int ask(struct store *s, const char *query, int *ret_number, char *text, size_t size)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, query, -1, &st, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
        if (ret_number != NULL)
            *ret_number = rc == SQLITE_ROW ? sqlite3_column_int(st, 0) : 0;
        if (text != NULL)
            store_sqlite_text(st, 0, text, size);
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
    }
    sqlite3_finalize(st);
    return rc;
}

static int refuse_damaged(struct store *s, const char *how, struct errmsg *err)
{
    return errmsg_set(err, -EBADMSG,
                      "%s is damaged (%.200s) and was left as it is: put a back-up in its place, or move it "
                      "away; with a new one every "
                      "machine must join again",
                      s->path, how);
}

static int check(struct store *s, int *ret_version, struct errmsg *err)
{
    char text[200] = "";
    int application = 0, tables = 0;
    int rc = ask(s, "PRAGMA quick_check(1)", NULL, text, sizeof text);
    int kind = rc & 0xff;
    if (rc != SQLITE_OK && kind != SQLITE_CORRUPT && kind != SQLITE_NOTADB)
        return errmsg_set(err, -EIO, "%s cannot be read: %s", s->path, sqlite3_errmsg(s->db));
    if (rc != SQLITE_OK || strcmp(text, "ok") != 0)
        return refuse_damaged(s, rc != SQLITE_OK ? sqlite3_errmsg(s->db) : text, err);
    if (ask(s, "PRAGMA user_version", ret_version, NULL, 0) != SQLITE_OK ||
        ask(s, "PRAGMA application_id", &application, NULL, 0) != SQLITE_OK ||
        ask(s, "SELECT count(*) FROM sqlite_schema", &tables, NULL, 0) != SQLITE_OK)
        return refuse_damaged(s, sqlite3_errmsg(s->db), err);
    if (application != APPLICATION_ID && (tables > 0 || application != 0 || *ret_version != 0))
        return errmsg_set(err, -ENOTSUP, "%s is not a database of multissh-hub: give another state folder",
                          s->path);
    if (*ret_version > VERSION)
        return errmsg_set(err, -ENOTSUP,
                          "%s was made by a newer multissh-hub (tables of version %d, this one knows %d): "
                          "run the newer one",
                          s->path, *ret_version, VERSION);
    return 0;
}

static int step_up(struct store *s, int from, struct errmsg *err)
{
    char *version = sqlite3_mprintf("PRAGMA user_version = %d", from + 1);
    int rc = version == NULL ? SQLITE_NOMEM : sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, steps[from], NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, version, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    sqlite3_free(version);
    if (rc == SQLITE_OK)
        return 0;
    rc = errmsg_set(err, (rc & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO, "%s cannot be written: %s", s->path,
                    sqlite3_errmsg(s->db));
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int store_sqlite_migrate(struct store *s, struct errmsg *err)
{
    int version = 0;
    char mode[16] = "";
    /* Until the file is known to be whole, closing it must not move the log into it. */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int rc = check(s, &version, err);
    if (rc < 0)
        return rc;
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (ask(s, "PRAGMA journal_mode = WAL", NULL, mode, sizeof mode) != SQLITE_OK ||
        sqlite3_exec(
            s->db,
            "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216; PRAGMA cell_size_check = ON",
            NULL, NULL, NULL) != SQLITE_OK)
        return errmsg_set(err, -EIO, "%s cannot be written: %s", s->path, sqlite3_errmsg(s->db));
    if (strcmp(mode, "wal") != 0)
        log_warn("%s: this file system takes no write-ahead log; the database uses \"%s\" and is slower",
                 s->path, mode);
    for (int i = version; i < VERSION; i++) {
        rc = step_up(s, i, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
