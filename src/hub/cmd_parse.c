/* Words in, answers out: what all commands share. */
#include "hub/cmd.h"

#include "base/clock.h"
#include "base/printf.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

LIKE_PRINTF(3, 0) static void say(struct cmd *c, struct buf *to, const char *fmt, va_list args)
{
    char small[512], *text = small;
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, fmt, args);
    if (n >= (int)sizeof small) {
        text = malloc((size_t)n + 1);
        if (text != NULL)
            vsnprintf(text, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    int rc = text == NULL || n < 0 ? -ENOMEM : buf_append(to, text, (size_t)n);
    if (rc < 0 && c->failed == 0)
        c->failed = rc;
    if (text != small)
        free(text);
}

void cmd_out(struct cmd *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(c, &c->r->out, fmt, args);
    va_end(args);
}

void cmd_err(struct cmd *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(c, &c->r->err, fmt, args);
    va_end(args);
}

LIKE_PRINTF(2, 0) static void complain(struct cmd *c, const char *fmt, va_list args)
{
    cmd_err(c, "%s: ", c->self->name);
    say(c, &c->r->err, fmt, args);
    cmd_err(c, "\n");
}

int cmd_fail(struct cmd *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(c, fmt, args);
    va_end(args);
    return 1;
}

static void usage_line(struct cmd *c, struct buf *to)
{
    int rc =
        buf_appendf(to, "usage: %s%s%s\n", c->self->name, *c->self->args == '\0' ? "" : " ", c->self->args);
    if (rc < 0 && c->failed == 0)
        c->failed = rc;
}

int cmd_usage(struct cmd *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(c, fmt, args);
    va_end(args);
    usage_line(c, &c->r->err);
    return 2;
}

static int unknown_option(struct cmd *c, const char *word)
{
    char clean[80];
    describe_clean(word, clean, sizeof clean);
    return cmd_usage(c, "there is no option %s", clean);
}

/* Finds the option of a word ("-l", "-n5", "--uses=5") and its value when it stands in the same word. */
static const struct cmd_option *find_option(const char *word, const struct cmd_option *options, size_t count,
                                            const char **ret_value)
{
    *ret_value = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct cmd_option *o = &options[i];
        size_t n = o->name == NULL ? 0 : strlen(o->name);
        if (word[1] != '-') {
            if (o->letter == '\0' || word[1] != o->letter || (o->flag != NULL && word[2] != '\0'))
                continue;
            *ret_value = word[2] == '\0' ? NULL : word + 2;
            return o;
        }
        if (n == 0 || strncmp(word + 2, o->name, n) != 0)
            continue;
        if (word[2 + n] == '\0')
            return o;
        if (word[2 + n] == '=' && o->value != NULL) {
            *ret_value = word + 3 + n;
            return o;
        }
    }
    return NULL;
}

int cmd_parse(struct cmd *c, const struct cmd_option *options, size_t count, int min, int max)
{
    int kept = 0;
    bool only_operands = false;
    for (int i = 0; i < c->n; i++) {
        char *word = c->word[i];
        const char *value;
        if (only_operands || word[0] != '-' || word[1] == '\0') {
            c->word[kept++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_operands = true;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            usage_line(c, &c->r->out);
            cmd_out(c, "%s.\n", c->self->help);
            return 0;
        }
        const struct cmd_option *o = find_option(word, options, count, &value);
        if (o == NULL)
            return unknown_option(c, word);
        if (o->flag != NULL) {
            *o->flag = true;
            continue;
        }
        if (value == NULL && i + 1 == c->n)
            return cmd_usage(c, "%s needs a value", word);
        *o->value = value != NULL ? value : c->word[++i];
    }
    c->n = kept;
    if (kept < min)
        return cmd_usage(c, "a word is missing");
    if (kept > max)
        return cmd_usage(c, "too many words");
    return CMD_GO;
}

int cmd_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_n)
{
    uint64_t n = 0;
    if (*text == '\0' || strlen(text) > 18)
        return -EINVAL;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        n = n * 10 + (uint64_t)(*text - '0');
    }
    if (n < min || n > max)
        return -EINVAL;
    *ret_n = n;
    return 0;
}

bool cmd_allowed(const struct cmd *c, const struct command *k)
{
    if ((k->flags & CMD_LOCAL) != 0 && !c->who->local)
        return false;
    return (k->flags & CMD_ADMIN) == 0 || c->who->admin;
}

struct machine *cmd_machine(struct cmd *c, const char *word)
{
    char name[NAMES_MACHINE_MAX + 1], text[DESCRIBE_MAX];
    struct machine *m = NULL;
    if (describe_machine_name(word, c->hub->domain, name) == 0)
        m = registry_find(c->hub->registry, name);
    if (m != NULL && who_may_reach(c->who, m->name))
        return m;
    describe_unknown(word, text, sizeof text);
    cmd_fail(c, "%s", text);
    return NULL;
}

void cmd_ago(const struct cmd *c, int64_t since_s, char out[32])
{
    clock_format_ago(c->now_s > since_s ? (uint64_t)(c->now_s - since_s) * 1000 : 0, out, 32);
}

void cmd_audit(struct cmd *c, const char *kind, const char *machine, const char *text)
{
    struct store_event e = {c->now_s, kind, c->who->name, machine, c->who->source, text};
    store_event_add(c->hub->store, &e); /* a failure is logged there */
}
