/* What --help and --dump-options print about a table of options. */
#include "base/options.h"

#include <inttypes.h>
#include <string.h>

#define WIDTH 100
#define NAME_COLUMN_MAX 34

static const char *const kind_names[] = {
    [OPTION_BOOL] = "bool",         [OPTION_UINT] = "uint",     [OPTION_SIZE] = "size",
    [OPTION_DURATION] = "duration", [OPTION_STRING] = "string", [OPTION_ENUM] = "enum",
    [OPTION_ADDR] = "addr",         [OPTION_LIST] = "list",
};

static const char *placeholder(const struct option *opt)
{
    switch (opt->kind) {
    case OPTION_BOOL:
        return "[yes|no]";
    case OPTION_UINT:
        return "N";
    case OPTION_SIZE:
        return "SIZE";
    case OPTION_DURATION:
        return "TIME";
    case OPTION_STRING:
        return opt->unit != NULL ? opt->unit : "TEXT";
    case OPTION_ENUM:
        return opt->choices;
    case OPTION_ADDR:
        return opt->min > 0 ? "HOST[:PORT]" : "HOST:PORT";
    case OPTION_LIST:
        return opt->min > 0 ? "HOST[:PORT]..." : "HOST:PORT...";
    }
    return "";
}

static bool is_amount(const struct option *opt)
{
    return opt->kind == OPTION_UINT || opt->kind == OPTION_SIZE || opt->kind == OPTION_DURATION;
}

/* The sentence of an option: help (unit, bounds, default). */
static void describe(const struct option *opt, char *out, size_t size)
{
    char facts[256] = "", low[32], high[32];
    size_t n = 0;
    if (is_amount(opt)) {
        options_amount(opt->kind, (uint64_t)opt->min, low, sizeof low);
        options_amount(opt->kind, (uint64_t)opt->max, high, sizeof high);
        const char *unit = opt->unit != NULL && opt->kind == OPTION_UINT ? opt->unit : "";
        const char *space = unit[0] != '\0' ? " " : "";
        if (opt->max > 0)
            n = (size_t)snprintf(facts, sizeof facts, "; %s to %s%s%s", low, high, space, unit);
        else if (opt->min > 0)
            n = (size_t)snprintf(facts, sizeof facts, "; at least %s%s%s", low, space, unit);
        else if (unit[0] != '\0')
            n = (size_t)snprintf(facts, sizeof facts, "; %s", unit);
    }
    if (opt->fallback != NULL && n < sizeof facts)
        snprintf(facts + n, sizeof facts - n, "; default: %s",
                 opt->fallback[0] != '\0' ? opt->fallback : "empty");
    if (facts[0] != '\0')
        snprintf(out, size, "%s (%s)", opt->help, facts + 2);
    else
        snprintf(out, size, "%s", opt->help);
}

/* Prints text from column on, wrapped at blanks; the cursor is at column already. */
static void print_wrapped(const char *text, size_t column, FILE *to)
{
    size_t width = WIDTH - column;
    while (strlen(text) > width) {
        size_t n = width;
        while (n > 0 && text[n] != ' ')
            n--;
        if (n == 0)
            n = strcspn(text, " ");
        fprintf(to, "%.*s\n", (int)n, text);
        text += n + strspn(text + n, " ");
        if (*text == '\0')
            return;
        fprintf(to, "%*s", (int)column, "");
    }
    fprintf(to, "%s\n", text);
}

static size_t head_length(const struct option *opt)
{
    return strlen("  --") + strlen(opt->name) + 1 + strlen(placeholder(opt));
}

void options_help(const struct option *table, size_t n, FILE *to)
{
    char text[1024];
    size_t column = 0;
    for (size_t i = 0; i < n; i++) {
        size_t wanted = head_length(&table[i]) + 2;
        if (wanted <= NAME_COLUMN_MAX && wanted > column)
            column = wanted;
    }
    if (column == 0)
        column = NAME_COLUMN_MAX;
    for (size_t i = 0; i < n; i++) {
        size_t used = head_length(&table[i]);
        fprintf(to, "  --%s %s", table[i].name, placeholder(&table[i]));
        if (used + 2 > column) {
            fputc('\n', to);
            used = 0;
        }
        fprintf(to, "%*s", (int)(column - used), "");
        describe(&table[i], text, sizeof text);
        print_wrapped(text, column, to);
    }
}

void options_dump(const struct option *table, size_t n, FILE *to)
{
    for (size_t i = 0; i < n; i++) {
        const struct option *opt = &table[i];
        const char *unit = opt->kind == OPTION_ENUM ? opt->choices : opt->unit;
        fprintf(to, "%s\t%s\t%" PRId64 "\t%" PRId64 "\t%s\t%s\t%s\n", opt->name, kind_names[opt->kind],
                opt->min, opt->max, opt->fallback != NULL ? opt->fallback : "", unit != NULL ? unit : "",
                opt->help);
    }
}
