/* The table of the agent's options. */
#include "agent/agent_options.h"

#include "agent/agent_options_os.h"
#include "agent/join_code.h"
#include "base/names.h"
#include "net/proxy.h"
#include "stream/stream.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LABEL_NAME_MAX 32
#define LABEL_VALUE_MAX 64
#define AT(field) offsetof(struct agent_options, field)

const struct option agent_options_table[] = {
    {"hub", OPTION_LIST, AT(hub), JOIN_CODE_PORT, 0, NULL, NULL, NULL,
     "Addresses of the hub, tried in turn, as HOST:PORT; `join` sets this", false},
    {"pin", OPTION_STRING, AT(pin), 0, JOIN_CODE_PIN_CHARS, NULL, NULL, NULL,
     "The fingerprint of the hub's key, SHA256:…; set by `join` or at the first contact", false},
    {"token", OPTION_STRING, AT(token), 0, JOIN_CODE_TOKEN_TEXT - 1, NULL, NULL, NULL,
     "The one-time token of an invitation; set by `join`, removed when the hub has welcomed this machine",
     false},
    {"name", OPTION_STRING, AT(name), 0, NAMES_MACHINE_MAX, NULL, NULL, NULL,
     "The machine's name at the hub (without it: the first part of the host's name)", false},
    {"ssh", OPTION_ADDR, AT(ssh), AGENT_OPTIONS_SSH_PORT, 0, "127.0.0.1:22", NULL, NULL,
     "The machine's own SSH server", true},
    {"ssh-mode", OPTION_ENUM, AT(ssh_mode), 0, 0, "auto", NULL, "auto|openssh|built-in",
     "Which SSH server users reach: the machine's own, the built-in one (multissh-sshd), or the machine's "
     "own "
     "when it is there and else the built-in one",
     true},
    /* clang-format off */
    AGENT_OPTIONS_SOCKET_ROW
    /* clang-format on */
    {"streams", OPTION_ENUM, AT(streams), 0, 0, "auto", NULL, "auto|plain|tls",
     "How sessions, which are encrypted themselves, go to the hub: plain, in TLS, or in TLS where a firewall "
     "lets nothing else through",
     true},
    {"trust", OPTION_ENUM, AT(trust), 0, 0, "pin", NULL, "pin|system",
     "Which hub is believed: the one whose key is pinned, or one with a certificate that this system accepts",
     false},
    {"proxy", OPTION_STRING, AT(proxy), 0, 700, AGENT_OPTIONS_PROXY, NULL, NULL, AGENT_OPTIONS_PROXY_HELP,
     true},
    {"patience", OPTION_DURATION, AT(patience_ms), 1000, 24 * 3600 * 1000, "1h", NULL, NULL,
     "How long at most a session waits for a lost connection to come back; the hub may ask for less", true},
    {"orphan-patience", OPTION_DURATION, AT(orphan_ms), AGENT_OPTIONS_ORPHAN_MIN, AGENT_OPTIONS_ORPHAN_MAX,
     "1h", NULL, NULL, "How long sessions go on without an agent, when it was stopped or has died", true},
    {"window", OPTION_SIZE, AT(window), STREAM_WINDOW_MIN, STREAM_WINDOW_MAX, "16M", NULL, NULL,
     "How much at most one direction of a session keeps in memory; the hub may ask for less", true},
    {"sessions-max", OPTION_UINT, AT(sessions_max), 1, 10000, "256", "sessions", NULL,
     "How many sessions at once this machine takes", true},
    {"labels", OPTION_STRING, AT(labels), 0, 1024, NULL, NULL, NULL,
     "Words that the hub shows beside the machine: NAME=VALUE, separated by commas", true},
    {"log-level", OPTION_ENUM, AT(log_level), 0, 0, "info", NULL, "error|warn|info|debug", "What is logged",
     true},
};
const size_t agent_options_count = sizeof agent_options_table / sizeof agent_options_table[0];

int agent_options_load(struct agent_options *o, const char *conf_path, struct errmsg *err)
{
    memset(o, 0, sizeof *o);
    int r = options_defaults(agent_options_table, agent_options_count, o);
    if (r != 0)
        return errmsg_set(err, r, "out of memory");
    r = options_file(agent_options_table, agent_options_count, o, conf_path, err);
    return r == -ENOENT ? 0 : r;
}

void agent_options_release(struct agent_options *o)
{
    options_release(agent_options_table, agent_options_count, o);
}

/* Takes the next NAME=VALUE of the list. Returns 1, 0 at the end, or -EINVAL. */
static int next_label(const char **at, char name[LABEL_NAME_MAX + 1], char value[LABEL_VALUE_MAX + 1])
{
    *at += strspn(*at, ", ");
    if (**at == 0)
        return 0;
    size_t n = strcspn(*at, ",");
    const char *equals = memchr(*at, '=', n);
    if (equals == NULL)
        return -EINVAL;
    size_t name_n = (size_t)(equals - *at), value_n = n - name_n - 1;
    if (name_n == 0 || name_n > LABEL_NAME_MAX || value_n > LABEL_VALUE_MAX)
        return -EINVAL;
    memcpy(name, *at, name_n);
    name[name_n] = 0;
    memcpy(value, equals + 1, value_n);
    value[value_n] = 0;
    *at += n;
    return names_machine_ok(name) ? 1 : -EINVAL;
}

static int check_labels(const char *list, struct errmsg *err)
{
    char name[LABEL_NAME_MAX + 1], value[LABEL_VALUE_MAX + 1];
    int r, n = 0;
    if (list == NULL)
        return 0;
    while ((r = next_label(&list, name, value)) > 0)
        if (++n > AGENT_OPTIONS_LABELS_MAX)
            return errmsg_set(err, -EINVAL, "labels: more than %d", AGENT_OPTIONS_LABELS_MAX);
    if (r < 0)
        return errmsg_set(
            err, r,
            "labels: '%.60s' does not begin with NAME=VALUE (a name has at most %d letters, digits, '-' "
            "and '_', a value at most %d bytes)",
            list, LABEL_NAME_MAX, LABEL_VALUE_MAX);
    return 0;
}

cJSON *agent_options_labels(const struct agent_options *o)
{
    char name[LABEL_NAME_MAX + 1], value[LABEL_VALUE_MAX + 1];
    const char *at = o->labels != NULL ? o->labels : "";
    cJSON *obj = cJSON_CreateObject();
    while (obj != NULL && next_label(&at, name, value) > 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(obj, name);
        if (cJSON_AddStringToObject(obj, name, value) == NULL) {
            cJSON_Delete(obj);
            return NULL;
        }
    }
    return obj;
}

int agent_options_check(const struct agent_options *o, struct errmsg *err)
{
    struct addr_hostport hp;
    struct proxy proxy;
    uint8_t raw[CRYPTO_HASH_SIZE];
    for (size_t i = 0; i < o->hub.n; i++)
        if (addr_parse(o->hub.item[i], JOIN_CODE_PORT, false, &hp) != 0 || !names_host_ok(hp.host) ||
            hp.port == 0)
            return errmsg_set(err, -EINVAL, "hub: '%s' is not an address: write HOST:PORT", o->hub.item[i]);
    if (o->pin != NULL && join_code_parse_pin(o->pin, raw) != 0)
        return errmsg_set(err, -EINVAL, "pin: '%s' is not a fingerprint: it is SHA256: and 43 characters",
                          o->pin);
    if (o->token != NULL &&
        crypto_b64url_decode(o->token, strlen(o->token), raw, sizeof raw) != JOIN_CODE_TOKEN_SIZE)
        return errmsg_set(err, -EINVAL, "token: not one of an invitation; run `multissh-agent join` again");
    if (o->name != NULL && !names_machine_ok(o->name))
        return errmsg_set(
            err, -EINVAL,
            "name: '%s' cannot be a machine's name: 1 to %d letters, digits, '-' and '_', the first and the "
            "last a letter or a digit",
            o->name, NAMES_MACHINE_MAX);
    if (o->ssh == NULL || addr_parse(o->ssh, AGENT_OPTIONS_SSH_PORT, false, &hp) != 0 ||
        !names_host_ok(hp.host) || hp.port == 0)
        return errmsg_set(err, -EINVAL, "ssh: '%s' is not the address of a server: write ADDR:PORT",
                          o->ssh != NULL ? o->ssh : "");
    if (o->sshd_socket != NULL && strcmp(o->sshd_socket, "none") != 0 && o->sshd_socket[0] != '/')
        return errmsg_set(err, -EINVAL,
                          "sshd-socket: '%s' is not a path that begins with /: write one, or none",
                          o->sshd_socket);
    struct errmsg why;
    int r = proxy_choose(o->proxy, "", &proxy, &why);
    crypto_wipe(&proxy, sizeof proxy);
    if (r != 0)
        return errmsg_set(err, r, "proxy: %s", why.text);
    return check_labels(o->labels, err);
}

void agent_options_hub(const struct agent_options *o, size_t i, struct addr_hostport *ret_hp)
{
    (void)addr_parse(o->hub.item[i], JOIN_CODE_PORT, false, ret_hp);
}

void agent_options_ssh(const struct agent_options *o, struct addr_hostport *ret_hp)
{
    (void)addr_parse(o->ssh, AGENT_OPTIONS_SSH_PORT, false, ret_hp);
}

bool agent_options_is_hub(const struct agent_options *o, const struct addr_hostport *hp)
{
    for (size_t i = 0; i < o->hub.n; i++) {
        struct addr_hostport own;
        agent_options_hub(o, i, &own);
        if (own.port == hp->port && strcasecmp(own.host, hp->host) == 0)
            return true;
    }
    return false;
}
