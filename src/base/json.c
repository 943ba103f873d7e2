/* JSON messages: a guarded door in front of cJSON.
 *
 * cJSON takes any nesting up to 1000, control bytes, broken UTF-8 and repeated keys. So the text is scanned
 * first, without recursion, for everything that can be told without building the tree; keys are compared
 * afterwards. */
#include "base/json.h"

#include "base/utf8.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MAX 32
#define VALUES_MAX 4096
#define EXACT_IN_CJSON INT64_C(1000000000000000)
#define WHOLE_MAX INT64_C(9007199254740992) /* 2^53: beyond it a double is not exact */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Steps over the string whose opening quote is at text[at]; returns the index behind its closing quote, 0
 * when it is not fit. cJSON checks the escapes; here only that none of them is a NUL. */
static size_t scan_string(const char *text, size_t n, size_t at)
{
    for (at++; at < n;) {
        uint32_t code;
        size_t len = utf8_next(text + at, n - at, &code);
        if (len == 0 || code < 0x20)
            return 0;
        if (code == '"')
            return at + 1;
        if (code == '\\') {
            if (n - at < 2 || (n - at >= 6 && memcmp(text + at, "\\u0000", 6) == 0))
                return 0;
            len = 2;
        }
        at += len;
    }
    return 0;
}

/* Bounds the nesting and the number of values. Each value but the outermost follows an opening bracket, a
 * comma or a colon; counting brackets and commas counts them all (and an empty array or object once too
 * often). */
static bool scan(const char *text, size_t n)
{
    size_t depth = 0, values = 1, at = 0;
    while (at < n && is_space(text[at]))
        at++;
    if (at == n || text[at] != '{')
        return false;
    while (at < n) {
        switch (text[at]) {
        case '"':
            at = scan_string(text, n, at);
            if (at == 0)
                return false;
            continue;
        case '{':
        case '[':
            if (++depth > NESTING_MAX)
                return false;
            values++;
            break;
        case '}':
        case ']':
            if (depth-- == 0)
                return false;
            break;
        case ',':
            values++;
            break;
        default:
            if ((unsigned char)text[at] <= ' ' && !is_space(text[at]))
                return false;
            break;
        }
        if (values > VALUES_MAX)
            return false;
        at++;
    }
    return depth == 0;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* keys has room for all keys of the whole text. */
static bool keys_differ(const cJSON *obj, const char **keys)
{
    size_t n = 0;
    for (const cJSON *child = obj->child; child != NULL; child = child->next)
        keys[n++] = child->string;
    if (n > 1)
        qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0)
            return false;
    }
    return true;
}

/* Recursion is bounded by NESTING_MAX. */
static bool all_keys_differ(const cJSON *value, const char **keys)
{
    if (cJSON_IsObject(value) && !keys_differ(value, keys))
        return false;
    for (const cJSON *child = value->child; child != NULL; child = child->next) {
        if (!all_keys_differ(child, keys))
            return false;
    }
    return true;
}

int json_parse(const char *text, size_t n, size_t max, cJSON **ret_obj)
{
    const char *end = NULL;
    if (n > max)
        return -EMSGSIZE;
    if (!scan(text, n))
        return -EINVAL;

    int r = -EINVAL;
    const char **keys = malloc(VALUES_MAX * sizeof *keys);
    cJSON *obj = cJSON_ParseWithLengthOpts(text, n, &end, false);
    if (keys == NULL) {
        r = -ENOMEM;
        goto out;
    }
    if (obj == NULL)
        goto out;
    while (end < text + n && is_space(*end))
        end++;
    if (end != text + n || !cJSON_IsObject(obj) || !all_keys_differ(obj, keys))
        goto out;
    *ret_obj = obj;
    obj = NULL;
    r = 0;
out:
    cJSON_Delete(obj);
    free(keys);
    return r;
}

const char *json_str(const cJSON *obj, const char *name, size_t max)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(obj, name));
    return text != NULL && strnlen(text, max + 1) <= max ? text : NULL;
}

const char *json_str_or(const cJSON *obj, const char *name, size_t max, const char *fallback)
{
    const char *text = json_str(obj, name, max);
    return text != NULL ? text : fallback;
}

int json_int(const cJSON *obj, const char *name, int64_t min, int64_t max, int64_t *ret_value)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(obj, name);
    if (item == NULL)
        return -ENOENT;
    if (!cJSON_IsNumber(item))
        return -ERANGE;
    double value = item->valuedouble;
    if (!(value >= (double)-WHOLE_MAX && value <= (double)WHOLE_MAX))
        return -ERANGE;
    int64_t whole = (int64_t)value;
    if ((double)whole != value || whole < min || whole > max)
        return -ERANGE;
    *ret_value = whole;
    return 0;
}

int64_t json_int_or(const cJSON *obj, const char *name, int64_t min, int64_t max, int64_t fallback)
{
    int64_t value;
    return json_int(obj, name, min, max, &value) == 0 ? value : fallback;
}

bool json_bool(const cJSON *obj, const char *name, bool fallback)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(obj, name);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : fallback;
}

cJSON *json_new(const char *type)
{
    cJSON *obj = cJSON_CreateObject();
    if (obj != NULL && cJSON_AddStringToObject(obj, "type", type) == NULL) {
        cJSON_Delete(obj);
        obj = NULL;
    }
    return obj;
}

/* Each byte that is not UTF-8 becomes U+FFFD. */
static char *repaired(const char *text, size_t n)
{
    static const char replacement[] = "\xEF\xBF\xBD";
    char *out = malloc(n * 3 + 1);
    size_t o = 0;
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t len = utf8_next(text + i, n - i, &code);
        memcpy(out + o, len > 0 ? text + i : replacement, len > 0 ? len : 3);
        o += len > 0 ? len : 3;
        i += len > 0 ? len : 1;
    }
    out[o] = '\0';
    return out;
}

int json_add_str(cJSON *obj, const char *name, const char *value)
{
    size_t n = strlen(value);
    if (obj == NULL)
        return 0;
    if (utf8_ok(value, n))
        return cJSON_AddStringToObject(obj, name, value) != NULL ? 0 : -ENOMEM;
    char *fixed = repaired(value, n);
    int r = fixed != NULL && cJSON_AddStringToObject(obj, name, fixed) != NULL ? 0 : -ENOMEM;
    free(fixed);
    return r;
}

/* cJSON rounds a number of more than 15 digits. */
int json_add_int(cJSON *obj, const char *name, int64_t value)
{
    char digits[24];
    if (obj == NULL)
        return 0;
    if (value > -EXACT_IN_CJSON && value < EXACT_IN_CJSON)
        return cJSON_AddNumberToObject(obj, name, (double)value) != NULL ? 0 : -ENOMEM;
    snprintf(digits, sizeof digits, "%" PRId64, value);
    return cJSON_AddRawToObject(obj, name, digits) != NULL ? 0 : -ENOMEM;
}

int json_add_bool(cJSON *obj, const char *name, bool value)
{
    return obj == NULL || cJSON_AddBoolToObject(obj, name, value) != NULL ? 0 : -ENOMEM;
}

int json_take(cJSON *obj, struct buf *out)
{
    if (obj == NULL)
        return -ENOMEM;
    char *text = cJSON_PrintUnformatted(obj);
    cJSON_Delete(obj);
    if (text == NULL)
        return -ENOMEM;
    int r = buf_append_str(out, text);
    cJSON_free(text);
    return r;
}
