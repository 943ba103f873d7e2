/* The line on the terminal that says that a lost connection is being awaited: drawn behind the cursor, so that nothing to
 * the left of it is touched, and taken away before anything else is shown. Only on a terminal. */
#ifndef MULTISSH_CLIENT_PROGRESS_H
#define MULTISSH_CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shorter troubles are not shown. */
#define PROGRESS_AFTER_MS 1000
/* How long "connected again" stays when nothing comes. */
#define PROGRESS_BACK_MS 2000

struct progress {
    bool on;          /* standard error is a terminal and the user wants it */
    bool first;       /* the owner's: there was no connection yet */
    bool utf8, drawn; /* private */
    uint64_t trouble_since, back_at;
    unsigned last_s;
    char name[64];
};

/* wanted: the option. name: of the machine. */
void progress_init(struct progress *p, bool wanted, const char *name);
/* Draws what is to be seen now. trouble_since: 0, or since when (ms). Returns when it is to be called again at the
 * latest; UINT64_MAX: only when something has changed. */
uint64_t progress_update(struct progress *p, uint64_t trouble_since, uint64_t now);
/* Takes it away: before anything is shown, and at the end. */
void progress_clear(struct progress *p);

/* "web01: reconnecting (12 s)…". */
enum progress_what { PROGRESS_CONNECTING, PROGRESS_RECONNECTING, PROGRESS_BACK };
void progress_text(const char *name, uint64_t ms, enum progress_what what, bool utf8, char *out, size_t size);

#endif
