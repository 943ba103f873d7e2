/* One table per program says everything about its options: name, type, bounds, default, unit, help. The table
 * drives the ini file parser, the command line, --help, --check and (through --dump-options) the test of the
 * man page.
 *
 * A row's value lives in the caller's struct at .offset, in the C type of its kind. Strings are copied into
 * heap memory owned by the struct: release with options_release. */
#ifndef MULTISSH_BASE_OPTIONS_H
#define MULTISSH_BASE_OPTIONS_H

#include "base/errmsg.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
    OPTION_BOOL,     /* bool: yes|no|true|false|on|off|1|0; as a flag also without a value */
    OPTION_UINT,     /* uint64_t within [min, max] */
    OPTION_SIZE,     /* uint64_t bytes; K, M, G suffixes (1024) */
    OPTION_DURATION, /* uint64_t ms; clock_parse_duration; min and max in ms */
    OPTION_STRING,   /* char *; max = longest, in bytes; NULL default = unset */
    OPTION_ENUM,     /* unsigned index into choices ("a|b|c") */
    OPTION_ADDR,     /* char *, checked by addr_parse with allow_any; min = default port */
    OPTION_LIST,     /* struct option_list of addresses, each checked as OPTION_ADDR; given several times or
                        comma-separated */
};

#define OPTION_LIST_MAX 16
struct option_list {
    char *item[OPTION_LIST_MAX];
    size_t n;
};

struct option {
    const char *name; /* as in the file and after "--" */
    enum option_kind kind;
    size_t offset;
    int64_t min, max;
    const char *fallback; /* the default, as a person would write it; NULL: none */
    const char *unit;     /* for help: "seconds", "bytes", NULL */
    const char *choices;  /* OPTION_ENUM */
    const char *help;     /* one sentence, no full stop */
    bool reloads;         /* takes effect on reload; otherwise at the next start */
};

/* Sets every option to its default. values points at the zeroed struct. Returns 0 or -ENOMEM. */
int options_defaults(const struct option *table, size_t n, void *values);
/* Sets one option from text. A list's first item from a new source replaces (see options_begin). Returns 0,
 * -ENOENT (no such option), -EINVAL/-ERANGE/-ENOMEM with err filled. */
int options_set(const struct option *table, size_t n, void *values, const char *name, const char *text,
                struct errmsg *err);
/* Reads an ini file (no sections needed; a section header is ignored) of at most 1 MiB. Unknown names and bad
 * values are errors naming file and line. Returns 0, -ENOENT (no such file) or a negative code with err
 * filled; values may then be half set. */
int options_file(const struct option *table, size_t n, void *values, const char *path, struct errmsg *err);
/* Parses --name VALUE and --name=VALUE from argv[1..]; stops at the first argument that is not an option, or
 * after "--". *ret_next is its index. Handles no --help: look for it in extra: names in extra
 * (NULL-terminated, may be NULL) are reported by *ret_extra pointing at the entry met and parsing stops
 * there. Returns 0 or a negative code with err filled. */
int options_args(const struct option *table, size_t n, void *values, int argc, char **argv,
                 const char *const *extra, int *ret_next, const char **ret_extra, struct errmsg *err);
/* Two columns: "--name VALUE" and help with unit, bounds and default, wrapped at 100 columns. */
void options_help(const struct option *table, size_t n, FILE *to);
/* Tab-separated: name, kind, min, max, default, unit, help; one row an option; for tests. */
void options_dump(const struct option *table, size_t n, FILE *to);
/* The current value as text (heap, the caller frees), for --check and logs; NULL when out of memory. */
char *options_show(const struct option *opt, const void *values);
void options_release(const struct option *table, size_t n, void *values);

#endif
