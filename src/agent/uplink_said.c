/* The hub's verdicts: welcome, held, refused, bye. */
#include "agent/uplink_private.h"

#include "agent/agent.h"
#include "agent/keepers.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/dialer.h"
#include "net/tls_pipe.h"
#include <stdio.h>
#include <string.h>

#define TOLD_MS 60000 /* after a refusal without retry_ms */

/* The hub has answered: it is the one, and no further address is wanted. */
static void settle(struct uplink *u, enum uplink_state state)
{
    struct agent *a = u->agent;
    uint8_t pin[CRYPTO_HASH_SIZE];
    if (a->opt.trust == AGENT_TRUST_PIN && tls_pipe_peer_pin(u->pipe, pin) == 0)
        agent_pin_hub(a, pin);
    if (u->dialer != NULL) {
        a->hub.to = u->to;
        memset(&a->hub.at, 0, sizeof a->hub.at);
        if (!dialer_proxied(u->dialer)) {
            const struct sockaddr *at = dialer_peer(u->dialer);
            memcpy(&a->hub.at, at,
                   at->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
        }
        dialer_free(u->dialer);
        u->dialer = NULL;
        u->since = u->heard = clock_now_ms();
        u->answer_by = 0;
    }
    u->state = state;
    keepers_settings(a->keepers);
    uplink_arm_keepalive(u);
}

void uplink_said_welcome(struct uplink *u, const char *name, uint64_t ping_ms, bool joined)
{
    char where[300];
    u->ping_ms = ping_ms;
    settle(u, UPLINK_ADMITTED);
    u->said[0] = 0;
    addr_format(&u->to, 0, where, sizeof where);
    log_info("welcomed as %s by %s%s", name, where, joined ? "; the invitation was used" : "");
    agent_admitted(u->agent, name);
    keepers_welcome(u->agent->keepers);
}

void uplink_said_held(struct uplink *u, const char *reason)
{
    char text[600], port[32] = "";
    const struct agent *a = u->agent;
    settle(u, UPLINK_HELD);
    if (u->to.port != 22)
        snprintf(port, sizeof port, "-p %u ", u->to.port);
    snprintf(text, sizeof text, "held by the hub %s: %s", u->to.host, reason);
    if (uplink_is_news(u, text)) {
        log_warn("%s", text);
        log_warn("an admin of the hub can let this machine in: ssh %s%s approve %s %s", port, u->to.host,
                 a->name, a->fingerprint);
    }
}

void uplink_said_refused(struct uplink *u, const char *code, const char *reason, int64_t retry_ms)
{
    char text[700];
    snprintf(text, sizeof text, "refused by the hub %s: %s (%s)%s", u->to.host, reason, code,
             strcmp(code, "bad-token") == 0
                 ? "; ask for a new invitation and run `multissh-agent join` with it"
                 : "");
    uplink_wait(u, backoff_wanted(retry_ms >= 0 ? (uint64_t)retry_ms : TOLD_MS, uplink_dice()), true, text);
}

void uplink_said_resume(struct uplink *u, const struct session_ticket *t, uint32_t lifetime_s)
{
    tls_pipe_ticket_keep(u->pipe, t, lifetime_s);
}

void uplink_said_bye(struct uplink *u, const char *code, const char *reason, int64_t retry_ms)
{
    char text[700];
    bool shutdown = strcmp(code, "shutdown") == 0;
    uint32_t ms = shutdown ? uplink_again(u) : 0;
    if (retry_ms >= 0 || !shutdown)
        ms = backoff_wanted(retry_ms >= 0 ? (uint64_t)retry_ms : TOLD_MS, uplink_dice());
    snprintf(text, sizeof text, "the hub %s ended the connection: %s (%s)", u->to.host, reason, code);
    u->said[0] = 0;
    uplink_wait(u, ms, !shutdown, text);
}
