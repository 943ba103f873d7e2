/* Aligned columns for people. */
#include "hub/cmd.h"

#include "base/utf8.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GAP 2

static size_t width_of(const char *text)
{
    size_t width = 0, n = strlen(text), step;
    uint32_t code;
    for (; n > 0; n -= step, text += step) {
        step = utf8_next(text, n, &code);
        step = step == 0 ? 1 : step;
        width++;
    }
    return width;
}

void cmd_table_init(struct cmd_table *t, const char *const *heads, const uint8_t *rank, size_t columns)
{
    memset(t, 0, sizeof *t);
    t->heads = heads;
    t->rank = rank;
    t->columns = columns;
    buf_init(&t->cells, COMMANDS_OUTPUT_MAX);
    for (size_t i = 0; i < columns; i++)
        t->width[i] = width_of(heads[i]);
}

void cmd_table_cell(struct cmd_table *t, const char *fmt, ...)
{
    char text[1200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t column = t->n++ % t->columns, width = width_of(text);
    if (width > t->width[column])
        t->width[column] = width;
    int rc = buf_append(&t->cells, text, strlen(text) + 1);
    if (rc < 0 && t->failed == 0)
        t->failed = rc;
}

/* Which columns fit into the terminal. Returns the last one shown. */
static size_t choose(const struct cmd_table *t, unsigned terminal, bool *shown)
{
    size_t last = 0;
    for (int limit = 255;; limit--) {
        size_t total = 0;
        for (size_t i = 0; i < t->columns; i++) {
            shown[i] = t->rank[i] <= limit;
            if (shown[i]) {
                total += t->width[i] + GAP;
                last = i;
            }
        }
        if (terminal == 0 || limit == 0 || total - GAP <= terminal)
            return last;
    }
}

static void print_cell(struct cmd *c, const struct cmd_table *t, const char *text, size_t column, size_t last)
{
    int pad = column == last ? 0 : (int)(t->width[column] + GAP - width_of(text));
    cmd_out(c, "%s%*s", text, pad, "");
}

static void print_row(struct cmd *c, const struct cmd_table *t, const char **row, const bool *shown,
                      size_t last)
{
    for (size_t i = 0; i < t->columns; i++) {
        if (shown[i])
            print_cell(c, t, row[i], i, last);
    }
    cmd_out(c, "\n");
}

void cmd_table_print(struct cmd_table *t, struct cmd *c)
{
    bool shown[12];
    const char *row[12];
    if (t->failed != 0 && c->failed == 0)
        c->failed = t->failed;
    size_t last = choose(t, c->columns, shown);
    for (size_t i = 0; i < t->columns; i++)
        row[i] = t->heads[i];
    print_row(c, t, row, shown, last);
    const char *at = (const char *)buf_data(&t->cells);
    for (size_t i = 0, column = 0; t->failed == 0 && i < t->n; i++) {
        row[column] = at;
        at += strlen(at) + 1;
        if (++column == t->columns) {
            print_row(c, t, row, shown, last);
            column = 0;
        }
    }
    buf_release(&t->cells);
}
