/* The table of the client's options. */
#include "client/client_options.h"

#include "base/names.h"
#include "client/client_options_os.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define AT(field) offsetof(struct client_options, field)
#define VARIABLE_MAX 64
#define VALUE_MAX 4096

const struct option client_options_table[] = {
    {"hub", OPTION_STRING, AT(hub), 0, 300, NULL, "[USER@]HOST[:PORT]", NULL,
     "The hub, as ssh is given it, or a name that ssh_config(5) knows", false},
    {"domain", OPTION_STRING, AT(domain), 0, 253, NULL, "DOMAIN", NULL,
     "The hub's domain: host keys are kept as NAME.DOMAIN (without it: the hub's host name)", false},
    {"ssh", OPTION_STRING, AT(ssh), 0, 1024, "ssh", "PROGRAM", NULL,
     "The user's ssh, which asks the hub and which `multissh ssh` runs", false},
    {"ssh-config", OPTION_STRING, AT(ssh_config), 0, 1024, NULL, "FILE", NULL,
     "The file of settings that ssh is given by -F (without it: ssh's own)", false},
    {"streams", OPTION_ENUM, AT(streams), 0, 0, "auto", NULL, "auto|plain|tls",
     "How sessions, which are encrypted themselves, go to the hub: plain, in TLS, or in TLS where a firewall "
     "lets nothing else through",
     false},
    {"at", OPTION_ADDR, AT(at), CLIENT_OPTIONS_PORT, 0, NULL, NULL, NULL,
     "Where streams go to (without it: where the hub says)", false},
    {"proxy", OPTION_STRING, AT(proxy), 0, 700, CLIENT_OPTIONS_PROXY, NULL, NULL, CLIENT_OPTIONS_PROXY_HELP,
     false},
    {"progress", OPTION_BOOL, AT(progress), 0, 0, "yes", NULL, NULL,
     "Is a lost connection shown on the terminal while it is awaited?", false},
    {"port", OPTION_UINT, AT(port), 0, 65535, "2233", NULL, NULL,
     "The local port of `forward`, or the next free one; 0: any", false},
    {"bind", OPTION_STRING, AT(bind), 0, 64, "127.0.0.1", "ADDRESS", NULL,
     "The local address of `forward`; only this host reaches the default", false},
    {"log-level", OPTION_ENUM, AT(log_level), 0, 0, "error", NULL, "error|warn|info|debug",
     "What is logged to standard error", false},
};
const size_t client_options_count = sizeof client_options_table / sizeof client_options_table[0];

static void variable(const struct option *opt, char out[VARIABLE_MAX])
{
    snprintf(out, VARIABLE_MAX, "MULTISSH_%s", opt->name);
    for (; *out != 0; out++)
        *out = *out == '-' ? '_' : (char)toupper((unsigned char)*out);
}

static int read_environment(struct client_options *o, struct errmsg *err)
{
    char name[VARIABLE_MAX], value[VALUE_MAX];
    struct errmsg why;
    for (size_t i = 0; i < client_options_count; i++) {
        size_t n = sizeof value;
        variable(&client_options_table[i], name);
        int r = uv_os_getenv(name, value, &n);
        if (r == UV_ENOENT || (r == 0 && value[0] == 0))
            continue;
        if (r == UV_ENOBUFS)
            return errmsg_set(err, -EINVAL, "%s in the environment is too long", name);
        if (r == 0)
            r = options_set(client_options_table, client_options_count, o, client_options_table[i].name,
                            value, &why);
        if (r != 0)
            return errmsg_set(err, r, "%s in the environment: %s", name, why.text);
    }
    return 0;
}

int client_options_load(struct client_options *o, const char *path, struct errmsg *err)
{
    memset(o, 0, sizeof *o);
    int r = options_defaults(client_options_table, client_options_count, o);
    if (r != 0)
        return errmsg_set(err, r, "out of memory");
    r = path != NULL ? options_file(client_options_table, client_options_count, o, path, err) : 0;
    return r == 0 || r == -ENOENT ? read_environment(o, err) : r;
}

int client_options_check(const struct client_options *o, struct errmsg *err)
{
    struct destination d;
    struct addr_hostport hp;
    if (o->hub != NULL && destination_parse(o->hub, &d) != 0)
        return errmsg_set(err, -EINVAL,
                          "hub: '%s' is not where ssh could go to: write [USER@]HOST[:PORT], or a name of "
                          "~/.ssh/config",
                          o->hub);
    if (o->domain != NULL && !names_host_ok(o->domain))
        return errmsg_set(err, -EINVAL, "domain: '%s' is not a domain name", o->domain);
    if (o->ssh == NULL || o->ssh[0] == '-')
        return errmsg_set(err, -EINVAL, "ssh: write the name or the path of a program");
    if (o->at != NULL &&
        (addr_parse(o->at, CLIENT_OPTIONS_PORT, false, &hp) != 0 || !names_host_ok(hp.host) || hp.port == 0))
        return errmsg_set(err, -EINVAL, "at: '%s' is not an address: write HOST:PORT", o->at);
    struct sockaddr_storage sa;
    if (o->bind == NULL || (uv_ip4_addr(o->bind, 0, (struct sockaddr_in *)&sa) != 0 &&
                            uv_ip6_addr(o->bind, 0, (struct sockaddr_in6 *)&sa) != 0))
        return errmsg_set(err, -EINVAL, "bind: '%s' is not an IP address of this host",
                          o->bind != NULL ? o->bind : "");
    return 0;
}

int client_options_export(const struct client_options *o)
{
    char name[VARIABLE_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < client_options_count; i++) {
        char *text = options_show(&client_options_table[i], o);
        variable(&client_options_table[i], name);
        if (text == NULL)
            return -ENOMEM;
        r = text[0] != 0 ? uv_os_setenv(name, text) : uv_os_unsetenv(name);
        free(text);
    }
    return r;
}

void client_options_release(struct client_options *o)
{
    options_release(client_options_table, client_options_count, o);
}

int client_options_hub(const struct client_options *o, struct destination *ret_d, struct errmsg *err)
{
    if (o->hub == NULL)
        return errmsg_set(err, -ENOENT,
                          "which hub? Say --hub HOST:PORT, or set MULTISSH_HUB, or write `hub = HOST:PORT` "
                          "into the settings (--help says where they are)");
    return destination_parse(o->hub, ret_d);
}

void client_options_ssh(const struct client_options *o, struct words *w)
{
    words_add(w, o->ssh);
    if (o->ssh_config != NULL) {
        words_add(w, "-F");
        words_add(w, o->ssh_config);
    }
}

void client_options_alias(const struct client_options *o, const char *name, char *out, size_t size)
{
    struct destination d = {.port = 0};
    const char *domain = o->domain;
    if (domain == NULL && o->hub != NULL && destination_parse(o->hub, &d) == 0)
        domain = d.host;
    bool whole = domain == NULL || strchr(name, '.') != NULL;
    snprintf(out, size, "%s%s%s", name, whole ? "" : ".", whole ? "" : domain);
    for (; *out != 0; out++)
        *out = (char)tolower((unsigned char)*out); /* as ssh keeps them */
}
