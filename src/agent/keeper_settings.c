/* The settings of a keeper: written by the agent, read by the keeper. */
#include "agent/keeper_settings.h"

#include "agent/agent.h"
#include "agent/join_code.h"
#include "agent/server.h"
#include "base/json.h"
#include "base/log.h"
#include "base/names.h"
#include <stdio.h>
#include <string.h>

#define HOSTPORT_MAX 300
#define ORPHAN_MS 3600000
#define SESSIONS_MAX 10000

static const char *const streams_names[] = {[EDGE_AUTO] = "auto", [EDGE_PLAIN] = "plain", [EDGE_TLS] = "tls"};
static const char *const trust_names[] = {
    [SESSION_TRUST_PIN] = "pin", [SESSION_TRUST_ANY] = "any", [SESSION_TRUST_SYSTEM] = "system"};
static const char *const server_names[] = {[KEEPER_SERVER_MACHINE] = "machine",
                                           [KEEPER_SERVER_STAND_IN] = "stand-in",
                                           [KEEPER_SERVER_BUILTIN] = "built-in"};
static const char *const level_names[] = {[LOG_LEVEL_ERROR] = "error",
                                          [LOG_LEVEL_WARN] = "warn",
                                          [LOG_LEVEL_INFO] = "info",
                                          [LOG_LEVEL_DEBUG] = "debug"};
#define WORDS(list) list, sizeof(list) / sizeof(list)[0]

void keeper_settings_init(struct keeper_settings *s)
{
    memset(s, 0, sizeof *s);
    s->trust.how = SESSION_TRUST_SYSTEM;
    s->sessions_max = SESSIONS_MAX;
    s->orphan_ms = ORPHAN_MS;
    s->log_level = LOG_LEVEL_INFO;
}

/* The place of the field's word in the list. Returns 0 or -1. */
static int read_word(const cJSON *m, const char *name, const char *const *words, size_t n, unsigned *ret)
{
    const char *text = json_str(m, name, 20);
    for (unsigned i = 0; text != NULL && i < n; i++)
        if (strcmp(text, words[i]) == 0) {
            *ret = i;
            return 0;
        }
    return -1;
}

static const char *read_hub(const cJSON *m, struct keeper_settings *s)
{
    struct addr_hostport at;
    const char *hub = json_str(m, "hub", HOSTPORT_MAX), *hub_at = json_str(m, "hub_at", HOSTPORT_MAX);
    if (cJSON_GetObjectItemCaseSensitive(m, "hub") == NULL)
        return NULL;
    if (hub == NULL || addr_parse(hub, 0, false, &s->hub) != 0 || !names_host_ok(s->hub.host) ||
        s->hub.port == 0)
        return "settings with a hub that is none";
    memset(&s->hub_at, 0, sizeof s->hub_at);
    if (cJSON_GetObjectItemCaseSensitive(m, "hub_at") == NULL)
        return NULL;
    if (hub_at == NULL || addr_parse(hub_at, 0, false, &at) != 0 || at.port == 0 ||
        (uv_ip4_addr(at.host, at.port, (struct sockaddr_in *)(void *)&s->hub_at) != 0 &&
         uv_ip6_addr(at.host, at.port, (struct sockaddr_in6 *)(void *)&s->hub_at) != 0))
        return "settings with an address of the hub that is none";
    return NULL;
}

static const char *read_server(const cJSON *m, struct keeper_settings *s)
{
    struct addr_hostport ssh;
    const char *text = json_str(m, "ssh", KEEPER_SETTINGS_SSH_MAX);
    const char *socket = json_str_or(m, "sshd_socket", KEEPER_SETTINGS_SOCKET_MAX, "");
    unsigned server;
    if (read_word(m, "server", WORDS(server_names), &server) != 0)
        return "settings with an SSH server that is none";
    if (text == NULL || addr_parse(text, AGENT_OPTIONS_SSH_PORT, false, &ssh) != 0 || ssh.port == 0 ||
        !names_host_ok(ssh.host))
        return "settings with an SSH server's address that is none";
    s->server = (enum keeper_server)server;
    snprintf(s->ssh, sizeof s->ssh, "%s", text);
    snprintf(s->sshd_socket, sizeof s->sshd_socket, "%s", socket[0] == '/' ? socket : "");
    return NULL;
}

static const char *read_way(const cJSON *m, struct keeper_settings *s)
{
    const char *pin = json_str(m, "pin", JOIN_CODE_PIN_CHARS);
    struct proxy proxy;
    unsigned streams, trust;
    if (read_word(m, "streams", WORDS(streams_names), &streams) != 0)
        return "settings with a kind of streams that is none";
    if (read_word(m, "trust", WORDS(trust_names), &trust) != 0)
        return "settings with a kind of trust that is none";
    memset(&s->trust, 0, sizeof s->trust);
    s->trust.how = trust;
    if (s->trust.how == SESSION_TRUST_PIN && (pin == NULL || join_code_parse_pin(pin, s->trust.pin) != 0))
        return "settings with a pin that is none";
    s->streams = (enum edge_streams)streams;
    s->streams_tls = json_bool(m, "streams_tls", false);
    snprintf(s->proxy, sizeof s->proxy, "%s", json_str_or(m, "proxy", KEEPER_SETTINGS_PROXY_MAX, ""));
    int r = proxy_choose(s->proxy, "", &proxy, NULL);
    crypto_wipe(&proxy, sizeof proxy);
    return r == 0 ? NULL : "settings with a proxy that is none";
}

const char *keeper_settings_read(const cJSON *m, struct keeper_settings *s)
{
    struct keeper_settings fresh = *s;
    unsigned level;
    const char *fault = read_hub(m, &fresh);
    if (fault == NULL)
        fault = read_way(m, &fresh);
    if (fault == NULL)
        fault = read_server(m, &fresh);
    fresh.sessions_max = (uint64_t)json_int_or(m, "sessions_max", 1, SESSIONS_MAX, SESSIONS_MAX);
    fresh.orphan_ms =
        (uint64_t)json_int_or(m, "orphan_ms", AGENT_OPTIONS_ORPHAN_MIN, AGENT_OPTIONS_ORPHAN_MAX, ORPHAN_MS);
    if (read_word(m, "log_level", WORDS(level_names), &level) == 0)
        fresh.log_level = level;
    if (fault == NULL)
        *s = fresh;
    crypto_wipe(&fresh, sizeof fresh);
    return fault;
}

static void add_hub(cJSON *m, const struct agent *a)
{
    char text[HOSTPORT_MAX];
    struct addr_hostport at = {.port = 0};
    const struct sockaddr *sa = (const struct sockaddr *)&a->hub.at;
    if (a->hub.to.host[0] == 0)
        return;
    addr_format(&a->hub.to, 0, text, sizeof text);
    json_add_str(m, "hub", text);
    if (a->hub.at.ss_family == 0 || uv_ip_name(sa, at.host, sizeof at.host) != 0)
        return;
    at.port = addr_port(sa);
    addr_format(&at, 0, text, sizeof text);
    json_add_str(m, "hub_at", text);
}

static enum keeper_server which_server(const struct agent *a)
{
    if (server_is_builtin(a->server))
        return KEEPER_SERVER_BUILTIN;
    return a->opt.ssh_mode == AGENT_SSH_AUTO ? KEEPER_SERVER_STAND_IN : KEEPER_SERVER_MACHINE;
}

cJSON *keeper_settings_message(const struct agent *a)
{
    char pin[KEYS_FINGERPRINT_TEXT];
    struct session_trust trust;
    cJSON *m = json_new("settings");
    agent_trust(a, NULL, &trust);
    add_hub(m, a);
    json_add_str(m, "streams", streams_names[a->opt.streams]);
    json_add_bool(m, "streams_tls", a->streams_tls);
    json_add_str(m, "trust", trust_names[trust.how]);
    if (trust.how == SESSION_TRUST_PIN) {
        keys_pin_text(trust.pin, pin);
        json_add_str(m, "pin", pin);
    }
    json_add_str(m, "proxy", a->opt.proxy != NULL ? a->opt.proxy : "");
    json_add_str(m, "ssh", a->opt.ssh);
    json_add_str(m, "server", server_names[which_server(a)]);
    json_add_str(m, "sshd_socket", a->opt.sshd_socket != NULL ? a->opt.sshd_socket : "");
    json_add_int(m, "sessions_max", (int64_t)a->opt.sessions_max);
    json_add_int(m, "orphan_ms", (int64_t)a->opt.orphan_ms);
    json_add_str(m, "log_level", level_names[a->opt.log_level]);
    return m;
}
