/* The store's audit log. */
#include "hub/store_sqlite.h"

#include <errno.h>
#include <string.h>

#define TEXT_MAX 500

/* Cut at TEXT_MAX bytes, not within a character. */
static void bind_cut(sqlite3_stmt *st, int at, const char *text)
{
    if (text == NULL) {
        sqlite3_bind_null(st, at);
        return;
    }
    size_t n = strnlen(text, TEXT_MAX + 1);
    if (n > TEXT_MAX) {
        n = TEXT_MAX;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    sqlite3_bind_text(st, at, text, (int)n, SQLITE_TRANSIENT);
}

int store_event_add(struct store *s, const struct store_event *e)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_EVENT_ADD);
    sqlite3_bind_int64(st, 1, e->at_s);
    bind_cut(st, 2, e->kind);
    bind_cut(st, 3, e->user);
    bind_cut(st, 4, e->machine);
    bind_cut(st, 5, e->source);
    bind_cut(st, 6, e->text);
    return store_sqlite_change(s, st, false, "the audit log", NULL);
}

int store_events(struct store *s, const char *machine, const char *user, unsigned max, store_event_fn *fn,
                 void *arg)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_EVENTS);
    int rc, stop = 0;
    store_sqlite_bind_text(st, 1, machine);
    store_sqlite_bind_text(st, 2, user);
    sqlite3_bind_int64(st, 3, max);
    while (stop == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_event e = {
            .at_s = sqlite3_column_int64(st, 0),
            .kind = (const char *)sqlite3_column_text(st, 1),
            .user = (const char *)sqlite3_column_text(st, 2),
            .machine = (const char *)sqlite3_column_text(st, 3),
            .source = (const char *)sqlite3_column_text(st, 4),
            .text = (const char *)sqlite3_column_text(st, 5),
        };
        stop = fn(&e, arg);
    }
    if (stop == 0 && rc != SQLITE_DONE)
        stop = store_sqlite_failed(s, rc, "the audit log (reading it)");
    sqlite3_reset(st);
    return stop;
}

int store_events_trim(struct store *s, uint64_t keep_rows)
{
    sqlite3_stmt *st = store_sqlite_get(s, STORE_EVENTS_TRIM);
    sqlite3_bind_int64(st, 1, (sqlite3_int64)keep_rows);
    return store_sqlite_change(s, st, false, "that old events are dropped", NULL);
}
