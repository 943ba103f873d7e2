/* authorized_users: the lines that are in force and an index of their keys. Reads no file and keeps no clock.
 */
#include "hub/policy.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/keyline.h"
#include "hub/hashmap.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t"

struct policy {
    struct policy_user *users;
    size_t n, cap;
    struct hashmap by_key; /* the first line of each key; the others follow by same_key */
    size_t *same_key;      /* index of the next line with the same key, 0 = none */
};

static void user_release(struct policy_user *u)
{
    free(u->machines);
    free(u->publish);
    free(u->from);
    free(u->key);
    memset(u, 0, sizeof *u);
}

void policy_free(struct policy *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n; i++)
        user_release(&p->users[i]);
    free(p->users);
    free(p->same_key);
    hashmap_release(&p->by_key);
    free(p);
}

static int set_text(char **field, const char *name, const char *value, bool ok, const char *shape,
                    struct errmsg *err)
{
    if (*field != NULL)
        return errmsg_set(err, -EINVAL, "%s= is given twice", name);
    if (!ok)
        return errmsg_set(err, -EINVAL, "%s=\"%.80s\" is not %s", name, value, shape);
    *field = strdup(value);
    return *field == NULL ? -ENOMEM : 0;
}

static int apply_option(struct policy_user *u, const char *name, const char *value, struct errmsg *err)
{
    if (strcasecmp(name, "machines") == 0)
        return set_text(&u->machines, name, value, names_list_ok(value),
                        "a list of machine names and patterns", err);
    if (strcasecmp(name, "publish") == 0)
        return set_text(&u->publish, name, value, names_list_ok(value),
                        "a list of machine names and patterns", err);
    if (strcasecmp(name, "from") == 0)
        return set_text(&u->from, name, value, addr_list_ok(value),
                        "a list of IP addresses, patterns and CIDR blocks", err);
    if (u->expiry_s != 0)
        return errmsg_set(err, -EINVAL, "%s= is given twice", name);
    if (clock_parse_expiry(value, &u->expiry_s) < 0 || u->expiry_s <= 0)
        return errmsg_set(err, -EINVAL, "%s=\"%.40s\" is not a time (YYYYMMDD[HHMM[SS]][Z])", name, value);
    return 0;
}

static bool takes_value(const char *name)
{
    static const char *const names[] = {"machines", "publish", "from", "expiry-time"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

/* One option, up to the comma or blank behind it. */
static int take_option(struct policy_user *u, char **at, struct errmsg *err)
{
    char name[32] = "", *value = NULL;
    size_t n = strcspn(*at, "=, \t\"");
    snprintf(name, sizeof name, "%.*s", (int)(n < 31 ? n : 31), *at);
    *at += n;
    if (n == 0)
        return errmsg_set(err, -EINVAL, "an option is missing between commas");
    bool is_admin = strcasecmp(name, "admin") == 0;
    if (n > 31 || (!is_admin && !takes_value(name)))
        return errmsg_set(
            err, -EINVAL,
            "\"%s\" is neither a key type nor an option (machines, publish, admin, from, expiry-time)", name);
    if (is_admin) {
        if (**at == '=')
            return errmsg_set(err, -EINVAL, "admin takes no value");
        u->admin = true;
        return 0;
    }
    if (**at != '=')
        return errmsg_set(err, -EINVAL, "%s needs a value: %s=\"…\"", name, name);
    (*at)++;
    if (keyline_take_quoted(at, &value) < 0)
        return errmsg_set(err, -EINVAL, "%s= needs its value in double quotes", name);
    if (**at != ',' && **at != ' ' && **at != '\t' && **at != '\0')
        return errmsg_set(err, -EINVAL, "after %s=\"…\" a comma or a blank is expected", name);
    return apply_option(u, name, value, err);
}

static int take_options(struct policy_user *u, char **at, struct errmsg *err)
{
    for (;;) {
        int rc = take_option(u, at, err);
        if (rc < 0)
            return rc;
        if (**at != ',')
            return 0;
        (*at)++;
    }
}

/* The next word; NUL-terminates it and moves *at to the word behind. */
static char *take_word(char **at)
{
    char *word = *at;
    *at += strcspn(*at, BLANKS);
    if (**at != '\0')
        *(*at)++ = '\0';
    *at += strspn(*at, BLANKS);
    return word;
}

static int take_names(struct policy_user *u, char *names, struct errmsg *err)
{
    char *rest = names, *name;
    for (bool first = true; (name = strsep(&rest, ",")) != NULL; first = false) {
        if (!names_user_ok(name))
            return errmsg_set(err, -EINVAL,
                              "\"%.70s\" is not a user name (1 to %d of letters, digits and _.@+-)", name,
                              NAMES_USER_MAX);
        if (first)
            snprintf(u->name, sizeof u->name, "%s", name);
    }
    return 0;
}

/* line is NUL-terminated, begins with a non-blank, and is changed. */
static int parse_line(char *line, struct policy_user *u, struct errmsg *err)
{
    char *at = line;
    int rc = take_names(u, take_word(&at), err);
    if (rc < 0)
        return rc;
    if (*at == '\0')
        return errmsg_set(err, -EINVAL, "the key is missing (NAME [OPTIONS] TYPE BASE64)");
    if (!keyline_at_type(at)) {
        rc = take_options(u, &at, err);
        if (rc < 0)
            return rc;
        at += strspn(at, BLANKS);
        if (*at == '\0')
            return errmsg_set(err, -EINVAL, "the key is missing behind the options");
    }
    const char *type = take_word(&at), *base64 = take_word(&at);
    if (*base64 == '\0')
        return errmsg_set(err, -EINVAL, "the key is missing behind \"%.60s\"", type);
    rc = keyline_check_user(type, base64, u->fingerprint, err);
    if (rc < 0)
        return rc;
    size_t size = strlen(type) + 1 + strlen(base64) + 1;
    u->key = malloc(size);
    if (u->key == NULL)
        return -ENOMEM;
    snprintf(u->key, size, "%s %s", type, base64);
    return 0;
}

static struct policy_user *new_user(struct policy *p)
{
    if (p->n == p->cap) {
        size_t cap = p->cap == 0 ? 16 : p->cap * 2;
        struct policy_user *users = reallocarray(p->users, cap, sizeof *users);
        if (users == NULL)
            return NULL;
        p->users = users;
        p->cap = cap;
    }
    memset(&p->users[p->n], 0, sizeof p->users[p->n]);
    return &p->users[p->n];
}

/* Takes one line of n bytes, without its end. Returns 0, -EINVAL (a complaint in err) or -ENOMEM. */
static int take_line(struct policy *p, unsigned number, const char *text, size_t n, struct errmsg *err)
{
    char line[POLICY_LINE_MAX + 1];
    if (n > 0 && text[n - 1] == '\r')
        n--;
    while (n > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        n--;
    }
    if (n == 0 || *text == '#')
        return 0;
    if (n > POLICY_LINE_MAX)
        return errmsg_set(err, -EINVAL, "the line is longer than %d bytes", POLICY_LINE_MAX);
    if (memchr(text, '\0', n) != NULL)
        return errmsg_set(err, -EINVAL, "there is a NUL byte in the line");
    memcpy(line, text, n);
    line[n] = '\0';
    struct policy_user *u = new_user(p);
    if (u == NULL)
        return -ENOMEM;
    u->line = number;
    int rc = parse_line(line, u, err);
    if (rc < 0)
        user_release(u);
    else
        p->n++;
    return rc;
}

static bool has_key(const void *value, const void *key)
{
    return strcmp(((const struct policy_user *)value)->key, key) == 0;
}

static struct policy_user *first_of(const struct policy *p, const char *key)
{
    return hashmap_find(&p->by_key, hashmap_hash_str(key, false), has_key, key);
}

static int build_index(struct policy *p)
{
    p->same_key = calloc(p->n + 1, sizeof *p->same_key);
    if (p->same_key == NULL)
        return -ENOMEM;
    /* Backwards, so that the index holds the first line of a key and each line leads to the one below it. */
    for (size_t i = p->n; i-- > 0;) {
        uint64_t hash = hashmap_hash_str(p->users[i].key, false);
        struct policy_user *below = first_of(p, p->users[i].key);
        if (below != NULL) {
            p->same_key[i] = (size_t)(below - p->users);
            hashmap_remove(&p->by_key, hash, below);
        }
        int rc = hashmap_add(&p->by_key, hash, &p->users[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int policy_parse(const char *text, size_t n, policy_complaint_fn *complain, void *arg, struct policy **ret_p)
{
    if (n > POLICY_TEXT_MAX)
        return -EFBIG;
    int rc = 0;
    unsigned number = 0;
    struct policy *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    hashmap_init(&p->by_key);
    size_t at =
        n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* editors on Windows write a mark first */
    while (at < n) {
        struct errmsg err = {""};
        const char *end = memchr(text + at, '\n', n - at);
        size_t line_n = end == NULL ? n - at : (size_t)(end - (text + at));
        rc = take_line(p, ++number, text + at, line_n, &err);
        if (rc == -ENOMEM)
            goto out;
        if (rc < 0 && complain != NULL)
            complain(number, err.text, arg);
        at += line_n + 1;
    }
    rc = build_index(p);
    if (rc < 0)
        goto out;
    *ret_p = p;
    p = NULL;
out:
    policy_free(p);
    return rc;
}

size_t policy_count(const struct policy *p)
{
    return p->n;
}

const struct policy_user *policy_find(const struct policy *p, const char *key, const char *ip, int64_t now_s,
                                      const char **ret_why)
{
    const char *why = "the key is in no line of authorized_users";
    const struct policy_user *u = first_of(p, key);
    while (u != NULL) {
        if (u->expiry_s != 0 && now_s >= u->expiry_s)
            why = "the key's expiry-time has passed";
        else if (u->from != NULL && !addr_match_list(ip, u->from))
            why = "the key may not be used from this address (from=)";
        else
            return u;
        size_t next = p->same_key[u - p->users];
        u = next == 0 ? NULL : &p->users[next];
    }
    if (ret_why != NULL)
        *ret_why = why;
    return NULL;
}

const struct policy_user *policy_may(const struct policy *p, const char *user, const char *ip,
                                     const char *machine, int64_t now_s,
                                     const uint8_t user_key[TICKET_USER_KEY_SIZE])
{
    uint8_t own[TICKET_USER_KEY_SIZE];

    for (size_t i = 0; i < p->n; i++) {
        const struct policy_user *u = &p->users[i];

        if (strcmp(u->name, user) != 0 || ticket_user_key(u->key, own) < 0 ||
            memcmp(own, user_key, sizeof own) != 0 || (u->expiry_s != 0 && now_s >= u->expiry_s) ||
            (ip != NULL && u->from != NULL && !addr_match_list(ip, u->from)))
            continue;
        if (u->admin || (u->machines != NULL && names_match_list(machine, u->machines)))
            return u;
    }
    return NULL;
}

int policy_each(const struct policy *p, policy_fn *fn, void *arg)
{
    for (size_t i = 0; i < p->n; i++) {
        int rc = fn(&p->users[i], arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}
