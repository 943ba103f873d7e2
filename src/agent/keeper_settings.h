/* What a keeper has to know of its agent, as a message says it (PROTOCOL.md). No key of the agent is among it. */
#ifndef MULTISSH_AGENT_KEEPER_SETTINGS_H
#define MULTISSH_AGENT_KEEPER_SETTINGS_H

#include "agent/agent_options.h"
#include "base/crypto.h"
#include "net/edge.h"
#include "tls/session.h"
#include <uv.h>

struct agent;

enum keeper_server {
    KEEPER_SERVER_MACHINE,  /* the machine's own */
    KEEPER_SERVER_STAND_IN, /* that one; and where it refuses, on this host, the built-in one */
    KEEPER_SERVER_BUILTIN,
};

#define KEEPER_SETTINGS_PROXY_MAX 700
#define KEEPER_SETTINGS_SSH_MAX 300
#define KEEPER_SETTINGS_SOCKET_MAX 98

struct keeper_settings {
    struct addr_hostport hub;       /* host "": not known yet */
    struct sockaddr_storage hub_at; /* family 0: is to be looked up */
    enum edge_streams streams;
    bool streams_tls;                          /* plain streams were seen not to get through */
    struct session_trust trust;                /* its name is not set */
    char proxy[KEEPER_SETTINGS_PROXY_MAX + 1]; /* as the option; may have a password: to be wiped */
    char ssh[KEEPER_SETTINGS_SSH_MAX + 1];
    enum keeper_server server;
    char sshd_socket[KEEPER_SETTINGS_SOCKET_MAX + 1]; /* "": none */
    uint64_t sessions_max, orphan_ms;
    unsigned log_level;
};

/* As they are before anybody says them. */
void keeper_settings_init(struct keeper_settings *s);
/* Returns NULL and replaces *s, or what is wrong with them, and *s is as it was. What is not known (yet) of the hub
 * stays as it was, too. */
const char *keeper_settings_read(const cJSON *m, struct keeper_settings *s);
/* The message for what the agent is set to now; NULL when out of memory. */
cJSON *keeper_settings_message(const struct agent *a);

#endif
