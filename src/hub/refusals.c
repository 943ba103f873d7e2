/* Owns no state. Must not let a machine's or a user's own bytes reach a terminal unfiltered. */
#include "hub/refusals.h"
#include "base/clock.h"
#include "hub/describe.h"
#include "hub/hub.h"
#include <stdio.h>
#include <string.h>

#define HOST_SHOWN 80

/* "ssh hub.example.com" or "ssh -p 2244 hub.example.com" */
static void how_to_reach(const struct hub *hub, char *out, size_t size)
{
    if (hub->public_port == 22)
        (void)snprintf(out, size, "ssh %.100s", hub->public_host);
    else
        (void)snprintf(out, size, "ssh -p %u %.100s", (unsigned)hub->public_port, hub->public_host);
}

void refusals_unknown(const struct hub *hub, const char *host, char *out)
{
    char text[DESCRIBE_MAX], ssh[128];

    describe_unknown(host, text, sizeof text);
    how_to_reach(hub, ssh, sizeof ssh);
    (void)snprintf(out, REFUSALS_TEXT_MAX, "%s; '%s' lists those you may use", text, ssh);
}

void refusals_port(const struct hub *hub, const char *host, uint16_t port, char *out)
{
    char shown[HOST_SHOWN], jump[DESCRIBE_HUB_MAX];

    describe_clean(host, shown, sizeof shown);
    describe_hub(hub, 22, jump);
    (void)snprintf(out, REFUSALS_TEXT_MAX,
                   "%s: only port 22 can be reached through the hub, not port %u; forward it through the "
                   "inner connection: "
                   "ssh -J %s -L %u:localhost:%u %s",
                   shown, (unsigned)port, jump, port < 1024 ? (unsigned)port + 8000u : (unsigned)port,
                   (unsigned)port, shown);
}

void refusals_failed(const char *machine, const char *code, const char *reason, char *out)
{
    static const struct {
        const char *code, *text;
    } table[] = {
        {"refused", "is online, but its SSH server refused the connection (is sshd running there?)"},
        {"timeout", "is online, but its SSH server did not answer in time"},
        {"not-ssh", "is online, but what answers there is not an SSH server"},
        {"unreachable", "is online, but its SSH server cannot be reached from its agent"},
        {"busy", "is online, but its agent is busy; try again"},
        {"hub-unreachable", "is online, but its agent could not open a stream connection to the hub"},
    };
    const char *text = "is online, but the jump failed there";
    char shown[256];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(code, table[i].code) == 0)
            text = table[i].text;
    }
    describe_clean(reason, shown, sizeof shown);
    (void)snprintf(out, REFUSALS_TEXT_MAX, "%s %s%s%s", machine, text, shown[0] != '\0' ? ": " : "", shown);
}

void refusals_away(const struct hub *hub, const char *machine, char *out)
{
    const struct machine *m = registry_find(hub->registry, machine);

    if (m == NULL)
        refusals_unknown(hub, machine, out);
    else
        describe_machine(m, clock_wall_s(), out, REFUSALS_TEXT_MAX);
}

void refusals_timeout(const struct hub *hub, const char *machine, bool dialled, uint64_t after_ms, char *out)
{
    char ago[32], ssh[128];

    clock_format_ago(after_ms, ago, sizeof ago);
    how_to_reach(hub, ssh, sizeof ssh);
    if (dialled)
        (void)snprintf(out, REFUSALS_TEXT_MAX,
                       "%s: its SSH server answered, but the agent's stream connection did not reach the hub "
                       "within %s; a "
                       "firewall may be in the way (agent option streams = tls)",
                       machine, ago);
    else
        (void)snprintf(out, REFUSALS_TEXT_MAX,
                       "%s is online, but its agent did not answer within %s; try again, or ask: %s why %s",
                       machine, ago, ssh, machine);
}
