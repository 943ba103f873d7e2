/* The hub's options: the table is in hub_options.c, this is where the values live. */
#ifndef MULTISSH_HUB_HUB_OPTIONS_H
#define MULTISSH_HUB_HUB_OPTIONS_H

#include "base/options.h"

struct hub_options {
    struct option_list listen; /* listen: ADDR:PORT, default *:2244 */
    char *public_addr;         /* public: HOST[:PORT] */
    char *domain;              /* domain */
    char *message;             /* message: the first line of `ssh hub` */
    unsigned log_level;        /* log-level: error|warn|info|debug */
    bool admin_over_ssh;       /* admin-over-ssh, default yes */
    /* limits */
    uint64_t unauthenticated_max;          /* unauthenticated-max, 1000 */
    uint64_t unauthenticated_per_source;   /* unauthenticated-per-source, 100 */
    uint64_t fronts_per_second;            /* fronts-per-second, 100 */
    uint64_t fronts_per_second_per_source; /* fronts-per-second-per-source, 30 */
    uint64_t fronts_max;                   /* fronts-max, 2000 */
    uint64_t login_grace_ms;               /* login-grace, 60s */
    uint64_t login_tries;                  /* login-tries, 6 */
    uint64_t channels_max;                 /* channels-per-connection, 256 */
    uint64_t connections_per_user;         /* connections-per-user, 500 */
    uint64_t sessions_per_user;            /* sessions-per-user, 500 */
    uint64_t sessions_per_machine;         /* sessions-per-machine, 200 */
    uint64_t machines_max;                 /* machines-max, 50000 */
    uint64_t pending_max;                  /* pending-max, 100 */
    uint64_t pending_ms;                   /* pending-expires, 1h */
    uint64_t invitation_ms;                /* invitation-expires, 1h (default of invite --expires) */
    uint64_t ping_ms;                      /* ping-interval, 15s (5s..60s) */
    uint64_t dial_timeout_ms;              /* dial-timeout, 15s */
    uint64_t window;                       /* window, 4M */
    uint64_t patience_ms;                  /* patience, 5m */
    uint64_t restart_wait_ms;              /* restart-wait, 15s */
    uint64_t orphan_ms;                    /* orphan-patience, 1h */
    uint64_t parked_per_machine;           /* parked-per-machine, 50 */
    uint64_t parked_max;                   /* parked-max, 2000 */
    uint64_t front_keepalive_ms;           /* front-keepalive, 30s */
    uint64_t audit_rows;                   /* audit-rows, 100000 */
};

extern const struct option hub_options_table[];
extern const size_t hub_options_count;

#endif
