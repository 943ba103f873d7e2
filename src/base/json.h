/* JSON messages: a guarded door in front of cJSON.
 *
 * Every message that comes from outside is parsed here: bounded in length, in nesting (32) and in the number
 * of its values (4,096), strict UTF-8, no NUL in strings (\u0000 is refused), no key twice in one object.
 * Fields are fetched with their bounds, so that no caller sees a string longer or a number larger than it
 * asked for. */
#ifndef MULTISSH_BASE_JSON_H
#define MULTISSH_BASE_JSON_H

#include "base/buf.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses exactly one JSON object of n ≤ max bytes. On success *ret_obj is the caller's, to be freed with
 * cJSON_Delete. Returns 0, -EMSGSIZE (n > max), -EINVAL (not one well-formed object within the bounds) or
 * -ENOMEM. */
int json_parse(const char *text, size_t n, size_t max, cJSON **ret_obj);

/* The string field name, at most max bytes long; valid as long as obj. NULL when absent, not a string, or
 * longer. */
const char *json_str(const cJSON *obj, const char *name, size_t max);
/* Like json_str but fallback when absent or unfit. */
const char *json_str_or(const cJSON *obj, const char *name, size_t max, const char *fallback);
/* The integer field name, when it is a whole number within [min, max]. Returns 0, -ENOENT (absent) or
 * -ERANGE. */
int json_int(const cJSON *obj, const char *name, int64_t min, int64_t max, int64_t *ret_value);
int64_t json_int_or(const cJSON *obj, const char *name, int64_t min, int64_t max, int64_t fallback);
bool json_bool(const cJSON *obj, const char *name, bool fallback);

/* A new object with "type": type; NULL when out of memory. */
cJSON *json_new(const char *type);
/* Add a field; obj may be NULL (then nothing happens). Return 0 or -ENOMEM. What is not UTF-8 in a string is
 * written as U+FFFD, so that no message is refused for it: cut long text at characters (utf8_cut). Integers
 * are exact to 2^53. */
int json_add_str(cJSON *obj, const char *name, const char *value);
int json_add_int(cJSON *obj, const char *name, int64_t value);
int json_add_bool(cJSON *obj, const char *name, bool value);

/* Appends obj as compact JSON (one line, no newline) to out, and frees obj in every case. obj NULL: -ENOMEM.
 * Returns 0, -ENOBUFS or -ENOMEM. */
int json_take(cJSON *obj, struct buf *out);

#endif
