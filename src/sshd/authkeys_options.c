/* The options before a key in authorized_keys (sshd(8)). Parses; decides nothing. */
#include "sshd/authkeys_options.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/keyline.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_BYTES 32
#define NO_PORT UINT_MAX

void authkeys_options_release(struct authkeys_options *options)
{
    authkeys_rights_release(&options->rights);
    free(options->from);
    options->from = NULL;
}

bool authkeys_options_env_ok(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    size_t n = strspn(text, letters);
    return n > 0 && text[n] == '=' && (text[0] < '0' || text[0] > '9');
}

static int parse_port(const char *text, unsigned *ret_port)
{
    size_t n = strspn(text, "0123456789");
    unsigned port = 0;
    if (strcmp(text, "*") == 0) {
        *ret_port = 0;
        return 0;
    }
    if (n == 0 || n > 5 || text[n] != '\0')
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    if (port == 0 || port > UINT16_MAX)
        return -EINVAL;
    *ret_port = port;
    return 0;
}

int authkeys_options_permit(const char *text, char host[AUTHKEYS_OPTIONS_HOST], unsigned *ret_port)
{
    const char *end = text[0] == '[' ? strchr(text, ']') : strpbrk(text, ":/");
    if (strcmp(text, "none") == 0) {
        host[0] = '\0';
        *ret_port = NO_PORT;
        return 0;
    }
    if (end == NULL)
        return -EINVAL;
    const char *from = text[0] == '[' ? text + 1 : text;
    const char *behind = text[0] == '[' ? end + 1 : end;
    size_t n = (size_t)(end - from);
    if (n >= AUTHKEYS_OPTIONS_HOST || (*behind != ':' && *behind != '/') ||
        parse_port(behind + 1, ret_port) < 0)
        return -EINVAL;
    memcpy(host, from, n);
    host[n] = '\0';
    return 0;
}

/* --- options that are a word --- */

static const struct flag {
    const char *name;
    size_t at; /* the member of authkeys_rights that says no to it */
} flags[] = {
    {"pty", offsetof(struct authkeys_rights, no_pty)},
    {"port-forwarding", offsetof(struct authkeys_rights, no_port_forwarding)},
    {"agent-forwarding", offsetof(struct authkeys_rights, no_agent_forwarding)},
    {"user-rc", offsetof(struct authkeys_rights, no_user_rc)},
};

static void set_flag(struct authkeys_rights *rights, const struct flag *flag, bool no)
{
    *(bool *)((char *)rights + flag->at) = no;
}

/* These change nothing: X11 is never forwarded, and the library that verifies signatures does not hand out
 * whether a security key was touched or its PIN was asked for, so that neither can be demanded
 * (touch-required and verify-required are refused therefore). */
static bool is_idle(const char *name)
{
    return strcasecmp(name, "X11-forwarding") == 0 || strcasecmp(name, "no-X11-forwarding") == 0 ||
           strcasecmp(name, "no-touch-required") == 0 || strcasecmp(name, "no-verify-required") == 0;
}

/* In the order of the line, as OpenSSH does: restrict,pty gives a terminal, pty,restrict does not. */
static bool take_flag(struct authkeys_rights *rights, const char *name)
{
    bool no = strncasecmp(name, "no-", 3) == 0;
    bool restrict_all = strcasecmp(name, "restrict") == 0;
    bool found = restrict_all || is_idle(name);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (restrict_all) {
            set_flag(rights, &flags[i], true);
        } else if (strcasecmp(no ? name + 3 : name, flags[i].name) == 0) {
            set_flag(rights, &flags[i], no);
            found = true;
        }
    }
    return found;
}

/* --- options with a value --- */

typedef int value_fn(struct authkeys_options *o, const char *value, struct errmsg *err);

static int set_once(char **field, const char *name, const char *value, struct errmsg *err)
{
    if (*field != NULL)
        return errmsg_set(err, -EINVAL, "%s= is given twice", name);
    *field = strdup(value);
    return *field == NULL ? -ENOMEM : 0;
}

static int take_command(struct authkeys_options *o, const char *value, struct errmsg *err)
{
    return set_once(&o->rights.command, "command", value, err);
}

static int take_from(struct authkeys_options *o, const char *value, struct errmsg *err)
{
    if (!addr_list_ok(value))
        return errmsg_set(err, -EINVAL,
                          "from=\"%.80s\" is not a list of IP addresses, patterns and CIDR blocks", value);
    return set_once(&o->from, "from", value, err);
}

static int take_expiry(struct authkeys_options *o, const char *value, struct errmsg *err)
{
    int64_t at = 0;
    if (clock_parse_expiry(value, &at) < 0 || at <= 0)
        return errmsg_set(err, -EINVAL, "expiry-time=\"%.40s\" is not a time (YYYYMMDD[HHMM[SS]][Z])", value);
    if (o->rights.expiry_s == 0 || at < o->rights.expiry_s)
        o->rights.expiry_s = at;
    return 0;
}

static int add_text(char **list, size_t max, size_t *n, const char *name, const char *text,
                    struct errmsg *err)
{
    if (*n == max)
        return errmsg_set(err, -EINVAL, "%s= is given more than %zu times", name, max);
    list[*n] = strdup(text);
    if (list[*n] == NULL)
        return -ENOMEM;
    (*n)++;
    return 0;
}

static int take_environment(struct authkeys_options *o, const char *value, struct errmsg *err)
{
    struct authkeys_rights *r = &o->rights;
    if (!authkeys_options_env_ok(value))
        return errmsg_set(err, -EINVAL, "environment=\"%.80s\" is not NAME=VALUE", value);
    size_t name_n = strcspn(value, "=") + 1;
    for (size_t i = 0; i < r->env_n; i++) {
        if (strncmp(r->env[i], value, name_n) == 0)
            return 0; /* the first one counts */
    }
    return add_text(r->env, AUTHKEYS_ENV_MAX, &r->env_n, "environment", value, err);
}

static int take_permit_open(struct authkeys_options *o, const char *value, struct errmsg *err)
{
    char host[AUTHKEYS_OPTIONS_HOST];
    unsigned port;
    if (authkeys_options_permit(value, host, &port) < 0)
        return errmsg_set(err, -EINVAL, "permitopen=\"%.80s\" is not HOST:PORT, HOST:* or none", value);
    return add_text(o->rights.permit_open, AUTHKEYS_PERMIT_MAX, &o->rights.permit_open_n, "permitopen", value,
                    err);
}

static int take_permit_listen(struct authkeys_options *o, const char *value, struct errmsg *err)
{
    char host[AUTHKEYS_OPTIONS_HOST], any_host[16];
    unsigned port;
    /* What has no host is a port, on every address. */
    if (strchr(value, ':') == NULL && strcmp(value, "none") != 0) {
        snprintf(any_host, sizeof any_host, "*:%s", value);
        value = any_host;
    }
    if (authkeys_options_permit(value, host, &port) < 0)
        return errmsg_set(err, -EINVAL, "permitlisten=\"%.80s\" is not [HOST:]PORT, [HOST:]* or none", value);
    return add_text(o->rights.permit_listen, AUTHKEYS_PERMIT_MAX, &o->rights.permit_listen_n, "permitlisten",
                    value, err);
}

static const struct {
    const char *name;
    value_fn *take;
} values[] = {
    {"command", take_command},        {"from", take_from},
    {"expiry-time", take_expiry},     {"environment", take_environment},
    {"permitopen", take_permit_open}, {"permitlisten", take_permit_listen},
};

static value_fn *value_option(const char *name)
{
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (strcasecmp(name, values[i].name) == 0)
            return values[i].take;
    }
    return NULL;
}

/* One option, up to the comma behind it. */
static int take_option(struct authkeys_options *o, char **at, struct errmsg *err)
{
    char name[NAME_MAX_BYTES + 1], *value = NULL;
    size_t n = strcspn(*at, "=,\"");
    snprintf(name, sizeof name, "%.*s", (int)(n < NAME_MAX_BYTES ? n : NAME_MAX_BYTES), *at);
    value_fn *take = n > NAME_MAX_BYTES ? NULL : value_option(name);
    *at += n;
    if (n == 0 && (**at == ',' || **at == '\0'))
        return 0; /* OpenSSH takes commas with nothing between them */
    if (take == NULL && (n > NAME_MAX_BYTES || !take_flag(&o->rights, name)))
        return errmsg_set(err, -EINVAL, "the option \"%s\" is not known or not supported here", name);
    if (take != NULL) {
        if (**at != '=')
            return errmsg_set(err, -EINVAL, "%s needs a value: %s=\"...\"", name, name);
        (*at)++;
        if (keyline_take_quoted(at, &value) < 0)
            return errmsg_set(err, -EINVAL, "%s= needs its value in double quotes", name);
    }
    if (**at != ',' && **at != '\0')
        return errmsg_set(err, -EINVAL, "after the option %s a comma or a blank is expected", name);
    return take != NULL ? take(o, value, err) : 0;
}

int authkeys_options_parse(char *text, struct authkeys_options *ret_options, struct errmsg *err)
{
    char *at = text;
    memset(ret_options, 0, sizeof *ret_options);
    while (*at != '\0') {
        int rc = take_option(ret_options, &at, err);
        if (rc < 0)
            return rc;
        if (*at == ',')
            at++;
    }
    return 0;
}
