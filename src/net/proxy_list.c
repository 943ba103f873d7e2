/* Windows' lists of proxies. */
#include "net/proxy_list.h"

#include "base/names.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ITEM_MAX 300

/* Copies the next item. Returns its length, 0 at the end; one that is too long counts as an empty one of length 1. */
static size_t next_item(const char **at, const char *separators, char item[ITEM_MAX])
{
    *at += strspn(*at, separators);
    size_t n = strcspn(*at, separators);
    snprintf(item, ITEM_MAX, "%.*s", n < ITEM_MAX ? (int)n : 0, *at);
    *at += n;
    return n;
}

int proxy_list_pick(const char *list, char *out, size_t size)
{
    static const char https[] = "https=";
    char item[ITEM_MAX], found[ITEM_MAX] = "";
    bool exact = false;
    while (!exact && next_item(&list, "; \t\r\n", item) > 0) {
        exact = strncasecmp(item, https, sizeof https - 1) == 0;
        if (exact)
            memcpy(found, item + sizeof https - 1, strlen(item + sizeof https - 1) + 1);
        else if (found[0] == 0 && strchr(item, '=') == NULL)
            memcpy(found, item, strlen(item) + 1);
    }
    if (found[0] == 0)
        return -ENOENT;
    int n = snprintf(out, size, "%s", found);
    return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

static bool is_this_host(const char *host)
{
    size_t n = strlen(host);
    return strcasecmp(host, "localhost") == 0 || strcasecmp(host, "loopback") == 0 ||
           (n > 10 && strcasecmp(host + n - 10, ".localhost") == 0) || strcmp(host, "::1") == 0 ||
           (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n);
}

/* Takes the scheme, the brackets and the port off an item. Returns the port, 0: any. */
static unsigned long strip(char *item)
{
    char *scheme = strstr(item, "://"), *host = scheme != NULL ? scheme + 3 : item, *end = NULL, *port = NULL;
    unsigned long number = 0;
    if (host[0] == '[' && (end = strchr(host, ']')) != NULL) {
        *end = 0;
        host++;
        port = end[1] == ':' ? end + 2 : NULL;
    } else if ((end = strchr(host, ':')) != NULL &&
               strchr(end + 1, ':') == NULL) { /* else it is a bare IPv6 address */
        *end = 0;
        port = end + 1;
    }
    if (port != NULL)
        number = strtoul(port, NULL, 10);
    memmove(item, host, strlen(host) + 1);
    return number;
}

bool proxy_list_bypasses(const char *list, const struct addr_hostport *to)
{
    char item[ITEM_MAX];
    bool dots = strpbrk(to->host, ".:") != NULL, this_host = is_this_host(to->host), loopback = true;
    const char *at = list != NULL ? list : "";
    while (next_item(&at, "; ,\t\r\n", item) > 0) {
        if (strcasecmp(item, "<-loopback>") == 0) {
            loopback = false;
        } else if (strcasecmp(item, "<local>") == 0) {
            if (!dots && !this_host)
                return true;
        } else {
            unsigned long port = strip(item);
            if ((port == 0 || port == to->port) && item[0] != 0 && names_match(to->host, item))
                return true;
        }
    }
    return this_host && loopback;
}
