/* One table per program says everything about its options. Here: setting, showing and releasing values. */
#include "base/options.h"

#include "base/addr.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096

static void *value_at(const struct option *opt, void *values)
{
    return (char *)values + opt->offset;
}

const struct option *options_find(const struct option *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

/* It may be a password. */
static void drop_text(char **value)
{
    if (*value != NULL)
        crypto_wipe(*value, strlen(*value));
    free(*value);
    *value = NULL;
}

static void list_clear(struct option_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->item[i]);
    *list = (struct option_list){0};
}

static int set_bool(const struct option *opt, bool *value, const char *text, struct errmsg *err)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *value = i % 2 == 1;
            return 0;
        }
    }
    return errmsg_set(err, -EINVAL, "%s: '%s' is neither yes nor no", opt->name, text);
}

/* Digits and, of a size, one of K, M, G. */
static int parse_number(enum option_kind kind, const char *text, uint64_t *ret)
{
    static const char suffixes[] = "KMG";
    const char *p = text;
    uint64_t value = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > (INT64_MAX - 9) / 10)
            return -ERANGE;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    if (p == text)
        return -EINVAL;
    if (kind == OPTION_SIZE && *p != '\0') {
        const char *at = strchr(suffixes, *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
        unsigned shift = at == NULL ? 0 : 10 * (unsigned)(at - suffixes + 1);
        if (at == NULL)
            return -EINVAL;
        if (value > (uint64_t)INT64_MAX >> shift)
            return -ERANGE;
        value <<= shift;
        p++;
    }
    *ret = value;
    return *p == '\0' ? 0 : -EINVAL;
}

static int set_amount(const struct option *opt, uint64_t *value, const char *text, struct errmsg *err)
{
    static const char *const wanted[] = {
        [OPTION_UINT] = "a whole number",
        [OPTION_SIZE] = "a size, for example 65536, 64K, 4M or 1G",
        [OPTION_DURATION] = "a length of time, for example 90, 90s, 15m, 1h, 7d or 250ms",
    };
    char low[32], high[32];
    uint64_t amount = 0;
    uint64_t max = opt->max > 0 ? (uint64_t)opt->max : INT64_MAX;
    int r = opt->kind == OPTION_DURATION ? clock_parse_duration(text, &amount)
                                         : parse_number(opt->kind, text, &amount);
    if (r == -EINVAL)
        return errmsg_set(err, r, "%s: '%s' is not %s", opt->name, text, wanted[opt->kind]);
    if (r == 0 && amount >= (uint64_t)opt->min && amount <= max) {
        *value = amount;
        return 0;
    }
    options_amount(opt->kind, (uint64_t)opt->min, low, sizeof low);
    options_amount(opt->kind, max, high, sizeof high);
    if (opt->max > 0)
        return errmsg_set(err, -ERANGE, "%s: %s is out of range, choose %s to %s", opt->name, text, low,
                          high);
    return errmsg_set(err, -ERANGE, "%s: %s is out of range, choose at least %s", opt->name, text, low);
}

static int set_text(const struct option *opt, char **value, const char *text, struct errmsg *err)
{
    char *copy = NULL;
    if (text[0] != '\0' || opt->fallback != NULL) {
        copy = strdup(text);
        if (copy == NULL)
            return errmsg_set(err, -ENOMEM, "%s: out of memory", opt->name);
    }
    drop_text(value);
    *value = copy;
    return 0;
}

static int set_string(const struct option *opt, char **value, const char *text, struct errmsg *err)
{
    size_t max = opt->max > 0 ? (size_t)opt->max : TEXT_MAX;
    if (strlen(text) > max)
        return errmsg_set(err, -ERANGE, "%s: longer than %zu bytes", opt->name, max);
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return errmsg_set(err, -EINVAL, "%s: has a control byte in it", opt->name);
    }
    return set_text(opt, value, text, err);
}

static int check_addr(const struct option *opt, const char *text, struct errmsg *err)
{
    struct addr_hostport unused;
    if (addr_parse(text, (uint16_t)opt->min, true, &unused) == 0)
        return 0;
    return errmsg_set(err, -EINVAL, "%s: '%s' is not %s, for example 192.0.2.7:2244 or [2001:db8::7]:2244",
                      opt->name, text, opt->min > 0 ? "HOST or HOST:PORT" : "HOST:PORT");
}

static int set_addr(const struct option *opt, char **value, const char *text, struct errmsg *err)
{
    int r = text[0] == '\0' && opt->fallback == NULL ? 0 : check_addr(opt, text, err);
    return r != 0 ? r : set_text(opt, value, text, err);
}

static int set_enum(const struct option *opt, unsigned *value, const char *text, struct errmsg *err)
{
    const char *p = opt->choices;
    size_t len = strlen(text);
    for (unsigned i = 0;; i++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, text, n) == 0) {
            *value = i;
            return 0;
        }
        if (p[n] == '\0')
            return errmsg_set(err, -EINVAL, "%s: '%s' is not one of %s", opt->name, text, opt->choices);
        p += n + 1;
    }
}

/* Adds all of the comma-separated items or none. */
static int set_list(const struct option *opt, struct option_list *list, const char *text, struct errmsg *err)
{
    struct option_list added = {0};
    size_t before = list->inherited ? 0 : list->n;
    int r = 0;
    for (const char *p = text; r == 0; p++) {
        size_t n = strcspn(p, ",");
        if (before + added.n == OPTION_LIST_MAX) {
            r = errmsg_set(err, -ERANGE, "%s: more than %d are given", opt->name, OPTION_LIST_MAX);
            break;
        }
        char *item = strndup(p, n);
        if (item == NULL) {
            r = errmsg_set(err, -ENOMEM, "%s: out of memory", opt->name);
            break;
        }
        added.item[added.n++] = item;
        r = check_addr(opt, item, err);
        p += n;
        if (*p == '\0')
            break;
    }
    if (r != 0) {
        list_clear(&added);
        return r;
    }
    if (list->inherited)
        list_clear(list);
    memcpy(list->item + list->n, added.item, added.n * sizeof added.item[0]);
    list->n += added.n;
    return 0;
}

static int set_value(const struct option *opt, void *values, const char *text, struct errmsg *err)
{
    void *at = value_at(opt, values);
    switch (opt->kind) {
    case OPTION_BOOL:
        return set_bool(opt, at, text, err);
    case OPTION_UINT:
    case OPTION_SIZE:
    case OPTION_DURATION:
        return set_amount(opt, at, text, err);
    case OPTION_STRING:
        return set_string(opt, at, text, err);
    case OPTION_ENUM:
        return set_enum(opt, at, text, err);
    case OPTION_ADDR:
        return set_addr(opt, at, text, err);
    case OPTION_LIST:
        return set_list(opt, at, text, err);
    }
    return errmsg_set(err, -EINVAL, "%s: unknown kind of option", opt->name);
}

int options_set(const struct option *table, size_t n, void *values, const char *name, const char *text,
                struct errmsg *err)
{
    const struct option *opt = options_find(table, n, name);
    if (opt == NULL)
        return errmsg_set(err, -ENOENT, "%s: there is no such option, --help shows them all", name);
    return set_value(opt, values, text, err);
}

void options_begin(const struct option *table, size_t n, void *values)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].kind == OPTION_LIST)
            ((struct option_list *)value_at(&table[i], values))->inherited = true;
    }
}

static void clear(const struct option *opt, void *values)
{
    void *at = value_at(opt, values);
    switch (opt->kind) {
    case OPTION_BOOL:
        *(bool *)at = false;
        break;
    case OPTION_UINT:
    case OPTION_SIZE:
    case OPTION_DURATION:
        *(uint64_t *)at = 0;
        break;
    case OPTION_ENUM:
        *(unsigned *)at = 0;
        break;
    case OPTION_STRING:
    case OPTION_ADDR:
        drop_text(at);
        break;
    case OPTION_LIST:
        list_clear(at);
        break;
    }
}

int options_defaults(const struct option *table, size_t n, void *values)
{
    for (size_t i = 0; i < n; i++) {
        clear(&table[i], values);
        if (table[i].fallback == NULL)
            continue;
        int r = set_value(&table[i], values, table[i].fallback, NULL);
        if (r != 0)
            return r == -ENOMEM ? r : -EINVAL;
    }
    options_begin(table, n, values);
    return 0;
}

void options_release(const struct option *table, size_t n, void *values)
{
    for (size_t i = 0; i < n; i++)
        clear(&table[i], values);
}

void options_amount(enum option_kind kind, uint64_t amount, char *out, size_t size)
{
    static const struct {
        enum option_kind kind;
        uint64_t factor;
        const char *suffix;
    } units[] = {
        {OPTION_SIZE, UINT64_C(1) << 30, "G"}, {OPTION_SIZE, UINT64_C(1) << 20, "M"},
        {OPTION_SIZE, UINT64_C(1) << 10, "K"}, {OPTION_DURATION, 86400000, "d"},
        {OPTION_DURATION, 3600000, "h"},       {OPTION_DURATION, 60000, "m"},
        {OPTION_DURATION, 1000, "s"},          {OPTION_DURATION, 1, "ms"},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0] && amount > 0; i++) {
        if (units[i].kind == kind && amount % units[i].factor == 0) {
            snprintf(out, size, "%" PRIu64 "%s", amount / units[i].factor, units[i].suffix);
            return;
        }
    }
    snprintf(out, size, "%" PRIu64, amount);
}

static char *show_enum(const struct option *opt, unsigned index)
{
    const char *p = opt->choices;
    for (; index > 0 && strchr(p, '|') != NULL; index--)
        p = strchr(p, '|') + 1;
    return strndup(p, strcspn(p, "|"));
}

static char *show_list(const struct option_list *list)
{
    struct buf text;
    char *out = NULL;
    buf_init(&text, 64 * 1024);
    for (size_t i = 0; i < list->n; i++) {
        if (buf_appendf(&text, "%s%s", i == 0 ? "" : ",", list->item[i]) != 0)
            goto out;
    }
    const char *joined = buf_str(&text);
    out = joined == NULL ? NULL : strdup(joined);
out:
    buf_release(&text);
    return out;
}

char *options_show(const struct option *opt, const void *values)
{
    const void *at = (const char *)values + opt->offset;
    char amount[32];
    switch (opt->kind) {
    case OPTION_BOOL:
        return strdup(*(const bool *)at ? "yes" : "no");
    case OPTION_UINT:
    case OPTION_SIZE:
    case OPTION_DURATION:
        options_amount(opt->kind, *(const uint64_t *)at, amount, sizeof amount);
        return strdup(amount);
    case OPTION_ENUM:
        return show_enum(opt, *(const unsigned *)at);
    case OPTION_STRING:
    case OPTION_ADDR: {
        const char *text = *(char *const *)at;
        return strdup(text == NULL ? "" : text);
    }
    case OPTION_LIST:
        return show_list(at);
    }
    return NULL;
}
