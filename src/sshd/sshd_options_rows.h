/* The rows of the table of options that every system has; sshd_options_posix.c and sshd_options_windows.c put them
 * among their own. Private to sshd_options*.c. */
#ifndef MULTISSH_SSHD_SSHD_OPTIONS_ROWS_H
#define MULTISSH_SSHD_SSHD_OPTIONS_ROWS_H

#include "sshd/sshd_options.h"

#define AT(field) offsetof(struct sshd_options, field)

/* clang-format off */
#define SSHD_OPTIONS_ALLOW \
    {"allow-users", OPTION_STRING, AT(allow_users), 0, 0, NULL, "PATTERNS", NULL, \
     "Only these accounts may log in (* and ? match, ! excludes, commas separate); without it all", false}, \
    {"allow-groups", OPTION_STRING, AT(allow_groups), 0, 0, NULL, "PATTERNS", NULL, \
     "Only accounts in one of these groups may log in; without it all", false}
#define SSHD_OPTIONS_GIVE \
    {"pty", OPTION_BOOL, AT(pty), 0, 0, "yes", NULL, NULL, \
     "Give terminals", false}, \
    {"sftp", OPTION_BOOL, AT(sftp), 0, 0, "yes", NULL, NULL, \
     "Give files by sftp (and by scp, which uses it)", false}, \
    {"local-forwarding", OPTION_BOOL, AT(local_forwarding), 0, 0, "yes", NULL, NULL, \
     "Let users connect from here to elsewhere (ssh -L, -D, -W, -J)", false}, \
    {"remote-forwarding", OPTION_BOOL, AT(remote_forwarding), 0, 0, "yes", NULL, NULL, \
     "Let users listen here (ssh -R)", false}
#define SSHD_OPTIONS_GATEWAY \
    {"gateway-ports", OPTION_BOOL, AT(gateway_ports), 0, 0, "no", NULL, NULL, \
     "Let users choose the address on which ssh -R listens; otherwise it is the loopback address", false}
#define SSHD_OPTIONS_ENV \
    {"accept-env", OPTION_STRING, AT(accept_env), 0, 1024, "LANG,LC_*,COLORTERM", "PATTERNS", NULL, \
     "Which environment variables a client may set", false}
#define SSHD_OPTIONS_LIMITS \
    {"login-grace", OPTION_DURATION, AT(login_grace_ms), 1000, 3600 * 1000, "60s", NULL, NULL, \
     "How long a login may take", false}, \
    {"keepalive", OPTION_DURATION, AT(keepalive_ms), 1000, 3600 * 1000, "30s", NULL, NULL, \
     "How often a client is asked for a sign of life; three unanswered times this, and it is gone", false}, \
    {"tries-max", OPTION_UINT, AT(tries_max), 1, 100, "6", "tries", NULL, \
     "How many keys and passwords may be refused before the connection is closed", false}, \
    {"sessions-max", OPTION_UINT, AT(sessions_max), 1, 1000, "32", "sessions", NULL, \
     "How many shells, commands and file transfers one connection may have at once", false}, \
    {"channels-max", OPTION_UINT, AT(channels_max), 1, 10000, "512", "channels", NULL, \
     "How many channels, forwarded connections included, one connection may have at once", false}, \
    {"log-level", OPTION_ENUM, AT(log_level), 0, 0, "info", NULL, "error|warn|info|debug", \
     "What is logged", false}
/* clang-format on */

/* What this system's own rows cannot say. Returns 0 or -EINVAL with err filled. */
int sshd_options_check_own(const struct sshd_options *o, struct errmsg *err);

#endif
