/* The machines that `ssh HUB list --json` prints: a JSON array of objects. What comes is bounded, and safe to show. Pure. */
#ifndef MULTISSH_CLIENT_MACHINES_H
#define MULTISSH_CLIENT_MACHINES_H

#include "base/errmsg.h"
#include "base/names.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINES_MAX 100000
#define MACHINES_TEXT_MAX (64u << 20) /* bytes of the list */

struct machine {
    char name[NAMES_MACHINE_MAX + 1];
    bool online;
    int64_t since_s; /* 1970, UTC; 0: not known */
    char os[64];     /* UTF-8; "" when not known */
};

struct machines {
    struct machine *item; /* those that are online first, else as the hub has them */
    size_t n;
};

/* Returns 0, -EPROTO with err filled, or -ENOMEM. */
int machines_parse(const char *text, size_t n, struct machines *ret_m, struct errmsg *err);
void machines_release(struct machines *m);

/* "online 14 min", "offline", … */
void machines_since(const struct machine *m, int64_t now_s, char *out, size_t size);
/* "2026-11-22T12:46:00Z" → seconds since 1970; 0 when it is not of that form. */
int64_t machines_time(const char *text);

#endif
