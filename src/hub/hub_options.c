/* The hub's options: one row each. Owns no values (see hub_options.h). */
#include "hub/hub_options.h"

#define AT(field) offsetof(struct hub_options, field)
#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB 1024LL
#define MIB (1024 * KIB)

const struct option hub_options_table[] = {
    {"listen", OPTION_LIST, AT(listen), 2244, 0, "*:2244", NULL, NULL,
     "Addresses to listen on, for users, machines and streams alike", false},
    {"public", OPTION_STRING, AT(public_addr), 0, 260, NULL, NULL, NULL,
     "HOST[:PORT] under which users and machines reach the hub; without it the host's full name and the "
     "first listening port",
     false},
    {"domain", OPTION_STRING, AT(domain), 0, 253, NULL, NULL, NULL,
     "Domain that users may append to a machine's name (web01.DOMAIN); without it the public host", false},
    {"message", OPTION_STRING, AT(message), 0, 1000,
     "This is a message from the remoteServer. Here are all available localServers:", NULL, NULL,
     "First line of what a bare ssh to the hub prints, above the names", true},
    {"log-level", OPTION_ENUM, AT(log_level), 0, 0, "info", NULL, "error|warn|info|debug",
     "How much is logged", true},
    {"admin-over-ssh", OPTION_BOOL, AT(admin_over_ssh), 0, 1, "yes", NULL, NULL,
     "Whether admins may give admin commands over SSH; otherwise only on the hub's own host", true},
    {"unauthenticated-max", OPTION_UINT, AT(unauthenticated_max), 1, 100000, "1000", NULL, NULL,
     "Connections in all that may be waiting to say who they are", true},
    {"unauthenticated-per-source", OPTION_UINT, AT(unauthenticated_per_source), 1, 100000, "100", NULL, NULL,
     "The same, from one source address (IPv6: from one /64)", true},
    {"fronts-per-second", OPTION_UINT, AT(fronts_per_second), 1, 10000, "100", NULL, NULL,
     "SSH connections, and streams inside TLS, taken in a second, in all", true},
    {"fronts-per-second-per-source", OPTION_UINT, AT(fronts_per_second_per_source), 1, 10000, "30", NULL,
     NULL, "The same, from one source address (IPv6: from one /64)", true},
    {"fronts-max", OPTION_UINT, AT(fronts_max), 1, 100000, "2000", NULL, NULL,
     "SSH connections of users at the same time; each is a process of its own", true},
    {"login-grace", OPTION_DURATION, AT(login_grace_ms), SECOND, 10 * MINUTE, "60s", NULL, NULL,
     "Time in which a user or a machine must have said who it is", true},
    {"login-tries", OPTION_UINT, AT(login_tries), 1, 100, "6", NULL, NULL,
     "Keys that may be refused on one SSH connection before it is closed", true},
    {"channels-per-connection", OPTION_UINT, AT(channels_max), 1, 10000, "256", NULL, NULL,
     "Channels open at the same time on one SSH connection", true},
    {"connections-per-user", OPTION_UINT, AT(connections_per_user), 1, 100000, "500", NULL, NULL,
     "SSH connections of one user at the same time", true},
    {"sessions-per-user", OPTION_UINT, AT(sessions_per_user), 1, 1000000, "500", NULL, NULL,
     "Sessions of one user at the same time", true},
    {"sessions-per-machine", OPTION_UINT, AT(sessions_per_machine), 1, 1000000, "200", NULL, NULL,
     "Sessions on one machine at the same time", true},
    {"machines-max", OPTION_UINT, AT(machines_max), 1, 1000000, "50000", NULL, NULL,
     "Names that may be held by machines", true},
    {"pending-max", OPTION_UINT, AT(pending_max), 0, 10000, "100", NULL, NULL,
     "Machines that may be waiting for approval", true},
    {"pending-expires", OPTION_DURATION, AT(pending_ms), SECOND, 30 * DAY, "1h", NULL, NULL,
     "How long a machine may wait for approval before it is sent away", true},
    {"invitation-expires", OPTION_DURATION, AT(invitation_ms), SECOND, 365 * DAY, "1h", NULL, NULL,
     "How long an invitation is good for, unless it says otherwise", true},
    {"ping-interval", OPTION_DURATION, AT(ping_ms), 5 * SECOND, MINUTE, "15s", NULL, NULL,
     "How often each machine is asked whether it is there", true},
    {"dial-timeout", OPTION_DURATION, AT(dial_timeout_ms), SECOND, 2 * MINUTE, "15s", NULL, NULL,
     "How long a machine may take to answer a request for a session", true},
    {"window", OPTION_SIZE, AT(window), 64 * KIB, 64 * MIB, "4M", "bytes", NULL,
     "Bytes of a session that may be on their way, or held for a lost connection, in each direction", true},
    {"patience", OPTION_DURATION, AT(patience_ms), SECOND, DAY, "5m", NULL, NULL,
     "How long a session waits for a lost connection to come back", true},
    {"restart-wait", OPTION_DURATION, AT(restart_wait_ms), 0, 2 * MINUTE, "15s", NULL, NULL,
     "How long logins, commands and sessions that are asked for wait for a hub that is being restarted, and "
     "sessions for a machine that was there a moment ago",
     true},
    {"orphan-patience", OPTION_DURATION, AT(orphan_ms), SECOND, 7 * DAY, "1h", NULL, NULL,
     "How long users' sessions go on while no hub runs", true},
    {"parked-per-machine", OPTION_UINT, AT(parked_per_machine), 0, 1000000, "50", NULL, NULL,
     "Sessions on one machine that may wait for a lost connection at the same time; one more is ended", true},
    {"parked-max", OPTION_UINT, AT(parked_max), 0, 1000000, "2000", NULL, NULL, "The same, in all", true},
    {"front-keepalive", OPTION_DURATION, AT(front_keepalive_ms), SECOND, 10 * MINUTE, "30s", NULL, NULL,
     "How often a silent user's SSH client is asked whether it is there", true},
    {"audit-rows", OPTION_UINT, AT(audit_rows), 100, 100000000, "100000", NULL, NULL,
     "Events that are kept for the log command", true},
};
const size_t hub_options_count = sizeof hub_options_table / sizeof hub_options_table[0];
