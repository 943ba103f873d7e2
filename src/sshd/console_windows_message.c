/* What the server tells the process of a console. Pure. */
#include "sshd/console_windows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(wchar_t) == 2, "UTF-16");
#define LENGTH_BYTES sizeof(uint32_t)

/* Where each is behind the length. */
enum { AT_COLUMNS = 0, AT_ROWS = 2, AT_ENDED = 4, AT_PATH_UNITS = 12 };

int console_start_pack(const struct console_start *start, uint8_t **ret_data, size_t *ret_n)
{
    const size_t path_n = wcslen(start->path);
    const size_t line_n = wcslen(start->line);
    const uint32_t path_units = (uint32_t)path_n;
    uint32_t length;
    uint8_t *data, *at;
    if (path_n == 0 || path_n > CONSOLE_PATH_MAX || line_n == 0 || line_n > CMDLINE_MAX) {
        return -EMSGSIZE;
    }
    length = (uint32_t)(CONSOLE_HEAD_BYTES + 2 * (path_n + line_n));
    data = malloc(LENGTH_BYTES + length);
    if (data == NULL) {
        return -ENOMEM;
    }
    memcpy(data, &length, LENGTH_BYTES);
    at = data + LENGTH_BYTES;
    memcpy(at + AT_COLUMNS, &start->columns, sizeof start->columns);
    memcpy(at + AT_ROWS, &start->rows, sizeof start->rows);
    memcpy(at + AT_ENDED, &start->ended, sizeof start->ended);
    memcpy(at + AT_PATH_UNITS, &path_units, sizeof path_units);
    memcpy(at + CONSOLE_HEAD_BYTES, start->path, 2 * path_n);
    memcpy(at + CONSOLE_HEAD_BYTES + 2 * path_n, start->line, 2 * line_n);
    *ret_data = data;
    *ret_n = LENGTH_BYTES + length;
    return 0;
}

/* A text of so many units, none of which ends it. */
static int take_text(const uint8_t *data, size_t units, size_t most, wchar_t **ret_text)
{
    wchar_t *text;
    if (units == 0 || units > most) {
        return -EPROTO;
    }
    text = calloc(units + 1, sizeof *text);
    if (text == NULL) {
        return -ENOMEM;
    }
    memcpy(text, data, units * sizeof *text);
    if (wcslen(text) != units) {
        free(text);
        return -EPROTO;
    }
    *ret_text = text;
    return 0;
}

int console_start_parse(const uint8_t *data, size_t n, struct console_start *ret_start)
{
    struct console_start start = {0};
    uint32_t path_units;
    size_t units;
    int rc;
    if (n < CONSOLE_HEAD_BYTES || n > CONSOLE_START_MAX || n % sizeof(wchar_t) != 0) {
        return -EPROTO;
    }
    memcpy(&start.columns, data + AT_COLUMNS, sizeof start.columns);
    memcpy(&start.rows, data + AT_ROWS, sizeof start.rows);
    memcpy(&start.ended, data + AT_ENDED, sizeof start.ended);
    memcpy(&path_units, data + AT_PATH_UNITS, sizeof path_units);
    data += CONSOLE_HEAD_BYTES;
    units = (n - CONSOLE_HEAD_BYTES) / sizeof(wchar_t);
    if (path_units > units) {
        return -EPROTO;
    }
    rc = take_text(data, path_units, CONSOLE_PATH_MAX, &start.path);
    if (rc == 0) {
        rc = take_text(data + path_units * sizeof(wchar_t), units - path_units, CMDLINE_MAX, &start.line);
    }
    if (rc < 0) {
        console_start_release(&start);
        return rc;
    }
    *ret_start = start;
    return 0;
}

void console_start_release(struct console_start *start)
{
    free(start->path);
    free(start->line);
    *start = (struct console_start){0};
}

static uint16_t cut(unsigned cells)
{
    return (uint16_t)(cells < UINT16_MAX ? cells : UINT16_MAX);
}

void console_size_pack(unsigned columns, unsigned rows, uint8_t ret_data[CONSOLE_SIZE_BYTES])
{
    const uint16_t size[2] = {cut(columns), cut(rows)};
    memcpy(ret_data, size, sizeof size);
}

void console_size_parse(const uint8_t data[CONSOLE_SIZE_BYTES], unsigned *ret_columns, unsigned *ret_rows)
{
    uint16_t size[2];
    memcpy(size, data, sizeof size);
    *ret_columns = size[0];
    *ret_rows = size[1];
}
