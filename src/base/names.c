/* Names and patterns: of machines, users and hosts. Pure functions. */
#include "base/names.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define HOST_MAX 253
#define LIST_MAX 1024

/* ASCII whatever the locale says: a name means the same on every machine. */
static bool alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool only(const char *name, size_t max, const char *also)
{
    size_t n = strnlen(name, max + 1);
    if (n == 0 || n > max)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!alnum(name[i]) && !one_of(name[i], also))
            return false;
    }
    return true;
}

bool names_machine_ok(const char *name)
{
    return only(name, NAMES_MACHINE_MAX, "_-") && alnum(name[0]) && alnum(name[strlen(name) - 1]);
}

bool names_user_ok(const char *name)
{
    return only(name, NAMES_USER_MAX, "_.@+-") && name[0] != '-';
}

bool names_host_ok(const char *name)
{
    return only(name, HOST_MAX, "-_.:") && name[0] != '-';
}

int names_from_host(const char *host, char *out, size_t size)
{
    size_t n = 0;
    size_t max = size <= NAMES_MACHINE_MAX ? size : NAMES_MACHINE_MAX + 1;
    if (size == 0)
        return -EINVAL;
    for (; *host != '\0' && *host != '.' && n + 1 < max; host++) {
        if (alnum(*host) || (n > 0 && one_of(*host, "_-")))
            out[n++] = *host;
    }
    while (n > 0 && !alnum(out[n - 1]))
        n--;
    out[n] = '\0';
    return n > 0 ? 0 : -EINVAL;
}

bool names_same(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

/* Only the last star is ever tried again: what an earlier one took cannot help a later part to match. */
static bool match(const char *name, const char *pattern, size_t pattern_n, bool exact)
{
    size_t n = 0, p = 0;
    size_t star = SIZE_MAX, star_n = 0;
    while (name[n] != '\0') {
        if (p < pattern_n && pattern[p] == '*') {
            star = p++;
            star_n = n;
        } else if (p < pattern_n && (pattern[p] == '?' || pattern[p] == name[n] ||
                                     (!exact && lower(pattern[p]) == lower(name[n])))) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++star_n;
        } else {
            return false;
        }
    }
    while (p < pattern_n && pattern[p] == '*')
        p++;
    return p == pattern_n;
}

bool names_match(const char *name, const char *pattern)
{
    return match(name, pattern, strlen(pattern), false);
}

static int judge(const char *name, const char *list, bool exact)
{
    int verdict = 0;
    for (const char *item = list;;) {
        size_t whole = strcspn(item, ",");
        size_t start = strspn(item, " \t");
        size_t n = whole > start ? whole - start : 0;
        const char *pattern = item + start;
        while (n > 0 && (pattern[n - 1] == ' ' || pattern[n - 1] == '\t'))
            n--;
        bool negated = n > 0 && pattern[0] == '!';
        if (n > 0 && match(name, pattern + negated, n - negated, exact)) {
            if (negated)
                return -1;
            verdict = 1;
        }
        if (item[whole] == '\0')
            return verdict;
        item += whole + 1;
    }
}

bool names_match_list(const char *name, const char *list)
{
    return judge(name, list, false) > 0;
}

int names_judge_exact(const char *name, const char *list)
{
    return judge(name, list, true);
}

bool names_list_ok(const char *list)
{
    if (strnlen(list, LIST_MAX + 1) > LIST_MAX)
        return false;
    for (const char *item = list;;) {
        size_t n = strcspn(item, ",");
        size_t first = n > 0 && item[0] == '!' ? 1 : 0;
        if (n == first)
            return false;
        for (size_t i = first; i < n; i++) {
            if (!alnum(item[i]) && !one_of(item[i], "_-*?"))
                return false;
        }
        if (item[n] == '\0')
            return true;
        item += n + 1;
    }
}
