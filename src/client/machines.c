/* The list of machines. */
#include "client/machines.h"

#include "base/clock.h"
#include "base/json.h"
#include "client/say.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECT_MAX 262144

/* The length of the object that begins at text, or 0 when it does not end within n bytes. */
static size_t object_length(const char *text, size_t n)
{
    bool quoted = false;
    unsigned depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '{' || text[i] == '['))
            depth++;
        else if (!quoted && (text[i] == '}' || text[i] == ']') && --depth == 0)
            return i + 1;
    }
    return 0;
}

static unsigned digits(const char *text, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = sum * 10 + (unsigned)(text[i] - '0');
    return sum;
}

int64_t machines_time(const char *text)
{
    static const char form[] = "0000-00-00T00:00:00Z";
    if (strlen(text) != sizeof form - 1)
        return 0;
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return 0;
    int64_t year = digits(text, 4), month = digits(text + 5, 2), day = digits(text + 8, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31)
        return 0;
    /* Days since 1970 in the Gregorian calendar, years beginning in March. */
    year -= month <= 2;
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = year * 365 + year / 4 - year / 100 + year / 400 + in_year - 719468;
    return ((days * 24 + digits(text + 11, 2)) * 60 + digits(text + 14, 2)) * 60 + digits(text + 17, 2);
}

static int take(const cJSON *obj, struct machine *m)
{
    const char *name = json_str(obj, "name", NAMES_MACHINE_MAX);
    const char *os = json_str_or(obj, "os", 400, "");
    memset(m, 0, sizeof *m);
    if (name == NULL || !names_machine_ok(name))
        return -EPROTO;
    snprintf(m->name, sizeof m->name, "%s", name);
    m->online = json_bool(obj, "online", false);
    m->since_s = machines_time(json_str_or(obj, "since", 40, ""));
    say_clean(os, m->os, sizeof m->os);
    return 0;
}

static int add(struct machines *m, size_t *room, const char *text, size_t n)
{
    cJSON *obj = NULL;
    if (m->n == *room) {
        size_t more = *room == 0 ? 64 : *room * 2;
        struct machine *grown = realloc(m->item, more * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        m->item = grown;
        *room = more;
    }
    int r = json_parse(text, n, OBJECT_MAX, &obj);
    if (r != 0)
        return r == -ENOMEM ? r : -EPROTO;
    r = take(obj, &m->item[m->n]);
    cJSON_Delete(obj);
    m->n += r == 0;
    return r;
}

/* Those that are online to the front, each half in the order it had. */
static int sort(struct machines *m)
{
    struct machine *sorted = malloc((m->n + 1) * sizeof *sorted);
    size_t n = 0;
    if (sorted == NULL)
        return -ENOMEM;
    for (int online = 1; online >= 0; online--)
        for (size_t i = 0; i < m->n; i++)
            if (m->item[i].online == (online == 1))
                sorted[n++] = m->item[i];
    free(m->item);
    m->item = sorted;
    return 0;
}

static size_t skip(const char *text, size_t n, size_t at)
{
    while (at < n && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t'))
        at++;
    return at;
}

static int parse(const char *text, size_t n, struct machines *m)
{
    size_t room = 0, at = skip(text, n, 0);
    if (at == n || text[at] != '[')
        return -EPROTO;
    at = skip(text, n, at + 1);
    while (at < n && text[at] == '{') {
        size_t length = object_length(text + at, n - at);
        int r = length == 0 || m->n == MACHINES_MAX ? -EPROTO : add(m, &room, text + at, length);
        if (r != 0)
            return r;
        at = skip(text, n, at + length);
        if (at == n || text[at] != ',')
            break;
        at = skip(text, n, at + 1);
        if (at == n || text[at] != '{')
            return -EPROTO;
    }
    return at < n && text[at] == ']' && skip(text, n, at + 1) == n ? sort(m) : -EPROTO;
}

int machines_parse(const char *text, size_t n, struct machines *ret_m, struct errmsg *err)
{
    *ret_m = (struct machines){0};
    int r = parse(text, n, ret_m);
    if (r != 0)
        machines_release(ret_m);
    return r == 0
               ? 0
               : errmsg_set(err, r,
                            r == -ENOMEM ? "out of memory"
                                         : "what answered `list --json` is not a list of machines: is it a "
                                           "multiSSH hub?");
}

void machines_release(struct machines *m)
{
    free(m->item);
    *m = (struct machines){0};
}

void machines_since(const struct machine *m, int64_t now_s, char *out, size_t size)
{
    char ago[40] = "";
    if (m->since_s != 0)
        clock_format_ago(now_s > m->since_s ? (uint64_t)(now_s - m->since_s) * 1000 : 0, ago, sizeof ago);
    snprintf(out, size, "%s%s%s", m->online ? "online" : "offline", ago[0] != 0 ? " " : "", ago);
}
