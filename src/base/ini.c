/* Lines of an ini file, one after the other. */
#include "base/ini.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define BLANKS " \t\r\v\f"

static bool blank(char c)
{
    return c != '\0' && strchr(BLANKS, c) != NULL;
}

static char *trim(char *text)
{
    text += strspn(text, BLANKS);
    size_t n = strlen(text);
    while (n > 0 && blank(text[n - 1]))
        n--;
    text[n] = '\0';
    return text;
}

/* The first of marks in text, or where a comment begins, or the end. */
static char *find(char *text, const char *marks)
{
    bool after_blank = false;
    for (; *text != '\0' && strchr(marks, *text) == NULL && !(after_blank && *text == ';'); text++)
        after_blank = blank(*text);
    return text;
}

void ini_init(struct ini *ini, const char *text)
{
    static const char mark[] = "\xef\xbb\xbf";
    bool marked = strncmp(text, mark, sizeof mark - 1) == 0;
    ini->next = marked ? text + sizeof mark - 1 : text;
    ini->line = 0;
}

/* Copies the next line without the blanks in front of it. */
static int take_line(struct ini *ini)
{
    size_t all = strcspn(ini->next, "\n");
    size_t indent = strspn(ini->next, " \t");
    size_t from = indent < all ? indent : all;
    size_t n = all - from;
    ini->line++;
    if (n > INI_LINE_MAX)
        return -E2BIG;
    memcpy(ini->text, ini->next + from, n);
    ini->text[n] = '\0';
    ini->next += all + (ini->next[all] == '\n' ? 1 : 0);
    return 0;
}

int ini_next(struct ini *ini, const char **ret_name, const char **ret_value)
{
    while (*ini->next != '\0') {
        int rc = take_line(ini);
        if (rc < 0)
            return rc;
        char *line = trim(ini->text);
        if (*line == '\0' || *line == '#' || *line == ';')
            continue;
        if (*line == '[') {
            if (*find(line + 1, "]") != ']')
                return -EINVAL;
            continue;
        }
        char *mark = find(line, "=:");
        if (*mark != '=' && *mark != ':')
            return -EINVAL;
        *mark = '\0';
        *find(mark + 1, "") = '\0';
        *ret_name = trim(line);
        *ret_value = trim(mark + 1);
        return 1;
    }
    return 0;
}
