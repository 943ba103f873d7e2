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
    OPTION_STRING, /* char *; max = longest, in bytes; no control bytes; with no default, "" unsets it to NULL
                    */
    OPTION_ENUM,   /* unsigned index into choices ("a|b|c") */
    OPTION_ADDR,   /* char *, checked by addr_parse with allow_any; min = default port; "" as OPTION_STRING */
    OPTION_LIST,   /* struct option_list of addresses, each checked as OPTION_ADDR; given several times or
                      comma-separated */
};

#define OPTION_LIST_MAX 16
struct option_list {
    char *item[OPTION_LIST_MAX];
    size_t n;
    bool inherited; /* private: the items are of an earlier source, the next one replaces them */
};

struct option {
    const char *name; /* as in the file and after "--" */
    enum option_kind kind;
    size_t offset;
    int64_t min, max;     /* max 0: no upper bound (strings: 4,096 bytes) */
    const char *fallback; /* the default, as a person would write it; NULL: none (false, 0, unset, empty) */
    const char *unit; /* for help: "seconds", "bytes", NULL; of a string: what stands for its value, "FILE" */
    const char *choices; /* OPTION_ENUM */
    const char *help;    /* one sentence, no full stop */
    bool reloads;        /* takes effect on reload; otherwise at the next start */
};

/* Sets every option to its default. values points at the zeroed struct (or at one that was set before).
 * Returns 0, -ENOMEM, or -EINVAL for a table whose default is not a value of its option. */
int options_defaults(const struct option *table, size_t n, void *values);
/* A new source of values begins: the first item that it gives for a list replaces the list, later ones add to
 * it. options_file, options_args and options_defaults do this themselves. */
void options_begin(const struct option *table, size_t n, void *values);
/* Sets one option from text. Returns 0, -ENOENT (no such option), -EINVAL, -ERANGE or -ENOMEM with err
 * filled; on error the option has the value it had. */
int options_set(const struct option *table, size_t n, void *values, const char *name, const char *text,
                struct errmsg *err);
/* The row called name, or NULL. */
const struct option *options_find(const struct option *table, size_t n, const char *name);
/* Reads an ini file (base/ini.h says its syntax) of at most 1 MiB. Unknown names, bad values and lines too
 * long are errors naming file and line. Returns 0, -ENOENT (no such file) or a negative code with err filled;
 * values may then be half set. */
int options_file(const struct option *table, size_t n, void *values, const char *path, struct errmsg *err);
/* Parses --name VALUE and --name=VALUE from argv[1..]; stops at the first argument that is not an option, or
 * after "--". *ret_next is its index. A flag takes the argument behind it for its value only when that is
 * yes, no, true, false, on, off, 1 or 0. Handles no --help: the names in extra (NULL-terminated, may be NULL;
 * "help" is met as --help,
 * "-h" as itself) are reported by *ret_extra pointing at the entry met, and parsing stops behind it.
 * *ret_extra is NULL when none was. Returns 0 or a negative code with err filled. */
int options_args(const struct option *table, size_t n, void *values, int argc, char **argv,
                 const char *const *extra, int *ret_next, const char **ret_extra, struct errmsg *err);
/* Two columns: "--name VALUE" and help with unit, bounds and default, wrapped at 100 columns. */
void options_help(const struct option *table, size_t n, FILE *to);
/* Tab-separated: name, kind, min, max, default, unit (choices of an enum), help; one row an option; for
 * tests. */
void options_dump(const struct option *table, size_t n, FILE *to);
/* The current value as text (heap, the caller frees), for --check and logs; "" when unset, NULL when out of
 * memory. */
char *options_show(const struct option *opt, const void *values);
/* An amount as a person would write it for an option of this kind: 4194304 → "4M", 90000 → "90s". */
void options_amount(enum option_kind kind, uint64_t amount, char *out, size_t size);
void options_release(const struct option *table, size_t n, void *values);

#endif
