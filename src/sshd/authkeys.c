/* authorized_keys: the line that lets a key in, and what its rights allow. Reads no file and keeps no clock.
 */
#include "sshd/authkeys.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/keyline.h"
#include "base/names.h"
#include "sshd/authkeys_options.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t"

static void free_list(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i]);
}

void authkeys_rights_release(struct authkeys_rights *rights)
{
    free(rights->command);
    free_list(rights->env, rights->env_n);
    free_list(rights->permit_open, rights->permit_open_n);
    free_list(rights->permit_listen, rights->permit_listen_n);
    memset(rights, 0, sizeof *rights);
}

/* --- a line --- */

/* The blank behind the options at text: blanks in double quotes belong to them. NULL: a quote is not closed.
 */
static char *end_of_options(char *text)
{
    bool quoted = false;
    char *at = text;
    for (; *at != '\0' && (quoted || (*at != ' ' && *at != '\t')); at++) {
        if (at[0] == '\\' && at[1] == '"')
            at++;
        else if (*at == '"')
            quoted = !quoted;
    }
    return quoted ? NULL : at;
}

/* Is the key ("type base64", as it is written by everybody: one blank, no comment) what stands at text? */
static bool is_key(const char *text, const char *key)
{
    size_t type_n = strcspn(key, " ");
    if (strncmp(text, key, type_n) != 0 || key[type_n] == '\0')
        return false;
    text += type_n;
    size_t blanks = strspn(text, BLANKS);
    const char *base64 = key + type_n + 1;
    size_t n = strlen(base64);
    return blanks > 0 && strncmp(text + blanks, base64, n) == 0 && strchr(BLANKS, text[blanks + n]) != NULL;
}

/* Can no address ever match this list, because it holds nothing but host names? For the reason only. */
static bool only_host_names(const char *list)
{
    for (;;) {
        size_t n = strcspn(list, ",");
        size_t first = list[0] == '!' ? 1 : 0;
        bool dotted = memchr(list, '.', n) != NULL;
        const char *bytes = dotted ? "0123456789.:*?/" : "0123456789abcdefABCDEF:*?/";
        if (strspn(list + first, bytes) >= n - first)
            return false;
        if (list[n] == '\0')
            return true;
        list += n + 1;
    }
}

static int check_conditions(const struct authkeys_options *o, const char *ip, int64_t now_s,
                            struct errmsg *err)
{
    if (o->rights.expiry_s != 0 && now_s > o->rights.expiry_s) {
        char when[32];
        clock_format_utc(o->rights.expiry_s, when, sizeof when);
        return errmsg_set(err, -EACCES, "the key has expired (expiry-time=, %s)", when);
    }
    if (o->from == NULL)
        return 0;
    if (only_host_names(o->from))
        return errmsg_set(
            err, -EACCES,
            "from=\"%.100s\" has nothing but host names, and addresses are not looked up here: name "
            "addresses",
            o->from);
    if (ip == NULL)
        return errmsg_set(err, -EACCES, "from=\"%.100s\" is asked for, and the user's address is not known",
                          o->from);
    if (!addr_match_list(ip, o->from))
        return errmsg_set(err, -EACCES, "the key may not be used from %.60s (from=\"%.100s\")", ip, o->from);
    return 0;
}

/* line is NUL-terminated, begins with a non-blank, and is changed. */
static int try_line(char *line, const char *key, const char *ip, int64_t now_s,
                    struct authkeys_rights *ret_rights, struct errmsg *err)
{
    struct authkeys_options options = {0};
    char none[] = "", *text = none, *at = line;
    int rc;
    if (!keyline_at_type(at)) {
        text = line;
        at = end_of_options(line);
        if (at == NULL)
            return errmsg_set(err, -EACCES, "a double quote is not closed");
        if (*at != '\0')
            *at++ = '\0';
        at += strspn(at, BLANKS);
    }
    if (!is_key(at, key))
        return -ENOENT;
    rc = authkeys_options_parse(text, &options, err);
    if (rc == -EINVAL)
        rc = -EACCES;
    if (rc == 0)
        rc = check_conditions(&options, ip, now_s, err);
    if (rc == 0) {
        *ret_rights = options.rights;
        memset(&options.rights, 0, sizeof options.rights);
    }
    authkeys_options_release(&options);
    return rc;
}

/* --- the file --- */

/* One line of n bytes, without its end. Lines without the key are not looked at any closer: whatever is wrong
 * with them is not this login's business. */
static int take_line(const char *text, size_t n, const char *key, const char *ip, int64_t now_s,
                     struct authkeys_rights *ret_rights, struct errmsg *err)
{
    char line[AUTHKEYS_LINE_MAX + 1];
    const char *base64 = strchr(key, ' ') + 1;
    if (n > 0 && text[n - 1] == '\r')
        n--;
    while (n > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        n--;
    }
    if (n == 0 || *text == '#' || memmem(text, n, base64, strlen(base64)) == NULL)
        return -ENOENT;
    if (n > AUTHKEYS_LINE_MAX)
        return errmsg_set(err, -EACCES, "it is longer than %d bytes", AUTHKEYS_LINE_MAX);
    if (memchr(text, '\0', n) != NULL)
        return errmsg_set(err, -EACCES, "there is a NUL byte in it");
    memcpy(line, text, n);
    line[n] = '\0';
    return try_line(line, key, ip, now_s, ret_rights, err);
}

int authkeys_find(const char *text, size_t n, const char *key, const char *ip, int64_t now_s,
                  struct authkeys_rights *ret_rights, unsigned *ret_line, struct errmsg *err)
{
    unsigned number = 0;
    int code = -ENOENT;
    const char *blank = strchr(key, ' ');
    if (blank == NULL || blank[1] == '\0')
        return -ENOENT;
    if (n > AUTHKEYS_TEXT_MAX)
        return errmsg_set(err, -EACCES, "there are more than %u MiB in it", AUTHKEYS_TEXT_MAX >> 20);
    for (size_t at = 0; at < n;) {
        struct errmsg why = {""};
        const char *end = memchr(text + at, '\n', n - at);
        size_t line_n = end == NULL ? n - at : (size_t)(end - (text + at));
        number++;
        int rc = take_line(text + at, line_n, key, ip, now_s, ret_rights, &why);
        if (rc == 0)
            *ret_line = number;
        if (rc == 0 || rc == -ENOMEM)
            return rc;
        if (rc == -EACCES && code == -ENOENT)
            code = errmsg_set(err, -EACCES, "line %u: %.480s", number, why.text);
        at += line_n + 1;
    }
    return code;
}

/* --- forwarding --- */

bool authkeys_may_open(const struct authkeys_rights *rights, const char *host, unsigned port)
{
    char permitted[AUTHKEYS_OPTIONS_HOST];
    unsigned permitted_port;
    if (rights->no_port_forwarding)
        return false;
    for (size_t i = 0; i < rights->permit_open_n; i++) {
        if (authkeys_options_permit(rights->permit_open[i], permitted, &permitted_port) < 0)
            continue;
        /* No patterns but the one "*": as sshd(8) has it. */
        if ((permitted_port == 0 || permitted_port == port) &&
            (strcmp(permitted, "*") == 0 || strcmp(permitted, host) == 0))
            return true;
    }
    return rights->permit_open_n == 0;
}

bool authkeys_may_listen(const struct authkeys_rights *rights, const char *host, unsigned port)
{
    char permitted[AUTHKEYS_OPTIONS_HOST];
    unsigned permitted_port;
    if (rights->no_port_forwarding)
        return false;
    for (size_t i = 0; i < rights->permit_listen_n; i++) {
        if (authkeys_options_permit(rights->permit_listen[i], permitted, &permitted_port) < 0)
            continue;
        if ((permitted_port == 0 || permitted_port == port) && names_match(host, permitted))
            return true;
    }
    return rights->permit_listen_n == 0;
}
