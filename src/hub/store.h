/* What the hub keeps on disk: names and the keys that hold them, invitations, pending machines' approvals,
 * killed streams, the audit log. SQLite (STATE/hub.db, WAL, synchronous=FULL); the only files that speak SQL
 * are store_sqlite*.c.
 *
 * Writes that a person waits for (leases, invitations, kills) are durable when the call returns. Audit rows
 * and last-seen times are gathered and committed by store_flush (the hub calls it every 200 ms, and at the
 * end). Every call is bounded; strings are checked by the caller. Errors are logged here (a burst of like
 * ones once); the calls return 0 or a negative code: -ENOSPC (disk full), -EIO and others, and then nothing
 * was changed. A later call may succeed again: nothing has to be opened anew. */
#ifndef MULTISSH_HUB_STORE_H
#define MULTISSH_HUB_STORE_H

#include "base/errmsg.h"
#include "base/names.h"
#include "stream/ticket.h"
#include <stdbool.h>
#include <stdint.h>

struct store;
/* Opens or makes the file (mode 0600). A damaged file, one of another program or of a newer version is
 * refused, with the next step in err, and not touched: -EBADMSG, -ENOTSUP. */
int store_open(const char *path, struct store **ret_s, struct errmsg *err);
void store_close(struct store *s); /* flushes; NULL-safe */
int store_flush(struct store *s);

/* When the hub was last known to run, so that after a crash the machines that were online then get a true
 * "last seen". */
int store_alive_set(struct store *s, int64_t now_s); /* gathered */
int64_t store_alive(struct store *s);                /* 0 = never */

/* --- leases: name → holder ("SHA256:…" of an agent's key, or "user:alice" for a published machine) --- */
struct store_lease {
    char name[NAMES_MACHINE_MAX + 1];
    char holder[80];
    int64_t since_s, seen_s;  /* since_s: holds the name since; seen_s: last known online, 0 never */
    char offline_reason[160]; /* "" = was online when this was written */
    char facts[8192]; /* JSON object: os, arch, version, ssh, host_keys …, as of the last hello; "{}" when
                         none */
};
typedef int store_lease_fn(const struct store_lease *l, void *arg); /* non-zero stops and is returned */
int store_leases(struct store *s, store_lease_fn *fn, void *arg);
int store_lease_set(struct store *s,
                    const struct store_lease *l); /* insert, or replace by name (case ignored) */
int store_lease_rename(struct store *s, const char *from, const char *to,
                       int64_t now_s); /* -ENOENT, -EEXIST */
/* What the machine is called now that was called name at since_s; name itself when it was not renamed since. */
void store_renamed(struct store *s, const char *name, int64_t since_s, char ret_name[NAMES_MACHINE_MAX + 1]);
int store_lease_delete(struct store *s, const char *name);
int store_lease_seen(struct store *s, const char *name, int64_t seen_s,
                     const char *offline_reason);                                 /* gathered */
int store_lease_facts(struct store *s, const char *name, const char *facts_json); /* gathered */

/* --- invitations: only the token's SHA-256 is kept --- */
struct store_invitation {
    uint8_t token_hash[32];
    char name[NAMES_MACHINE_MAX + 1]; /* "" = the machine chooses */
    int64_t expires_s;
    uint32_t uses_left;
    char by[NAMES_USER_MAX + 1];
};
int store_invitation_add(struct store *s, const struct store_invitation *i);
int store_invitation_find(struct store *s, const uint8_t token_hash[32],
                          struct store_invitation *ret_i); /* -ENOENT */
/* Uses it up by one and sets the lease, both or neither; -ENOENT when no use is left or it has expired
 * (now_s). Durable. */
int store_join(struct store *s, const uint8_t token_hash[32], int64_t now_s, const struct store_lease *l);
/* Forgets those that expired a day ago (until then an agent is told what happened to its invitation). */
int store_invitation_purge(struct store *s, int64_t now_s);

/* --- killed streams, so that a kill holds after a restart --- */
int store_kill_add(struct store *s, const uint8_t stream[TICKET_ID_SIZE], int64_t until_s);
bool store_kill_has(struct store *s, const uint8_t stream[TICKET_ID_SIZE]);
int store_kill_purge(struct store *s, int64_t now_s);

/* --- audit --- */
struct store_event {
    int64_t at_s;
    const char *kind; /* "join", "approve", "revoke", "login", "jump", "end", "refuse", "invite", "rename",
                         "kill", "publish", "offline", "online", "resume" (after a restart) */
    const char *user, *machine, *source, *text; /* NULL or a string */
};
int store_event_add(struct store *s, const struct store_event *e); /* gathered */
typedef int store_event_fn(const struct store_event *e, void *arg);
/* The newest max events that match (NULL = all), oldest first. */
int store_events(struct store *s, const char *machine, const char *user, unsigned max, store_event_fn *fn,
                 void *arg);
int store_events_trim(struct store *s, uint64_t keep_rows); /* gathered; at most 50,000 rows a call */

#endif
