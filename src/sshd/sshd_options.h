/* The options of multissh-sshd: where the values live. What a system's table (sshd_options_posix.c,
 * sshd_options_windows.c) does not have stays zero. */
#ifndef MULTISSH_SSHD_SSHD_OPTIONS_H
#define MULTISSH_SSHD_SSHD_OPTIONS_H

#include "base/options.h"

enum sshd_root_login { SSHD_ROOT_KEYS, SSHD_ROOT_NO };
enum sshd_pam { SSHD_PAM_AUTO, SSHD_PAM_YES, SSHD_PAM_NO };

struct sshd_options {
    char *host_key;        /* FILE; NULL: /etc/ssh's, else one of the state folder */
    char *authorized_keys; /* paths, blank-separated; %h home, %u account, %%; relative to the home */
    bool strict_modes;
    bool passwords;
    unsigned root_login;
    char *allow_users;  /* patterns; NULL: all */
    char *allow_groups; /* names; NULL: all */
    unsigned pam;
    char *shell;       /* Windows: cmd, powershell, pwsh, bash or a path; NULL: cmd */
    char *pam_service; /* NULL: multissh-sshd, else sshd, else other, the first that is there */
    bool pty, sftp, local_forwarding, remote_forwarding, agent_forwarding, gateway_ports, user_rc;
    char *accept_env; /* patterns */
    bool motd, last_login;
    uint64_t login_grace_ms, keepalive_ms;
    uint64_t tries_max, sessions_max, channels_max;
    unsigned log_level;
};

extern const struct option sshd_options_table[];
extern const size_t sshd_options_count;

/* Sets the defaults, then what the file says (it may be missing when must_exist is false). Returns 0 or a
 * negative code with err filled. */
int sshd_options_load(struct sshd_options *o, const char *path, bool must_exist, struct errmsg *err);
/* What the table cannot say. Returns 0 or -EINVAL with err filled. */
int sshd_options_check(const struct sshd_options *o, struct errmsg *err);
void sshd_options_release(struct sshd_options *o);

#endif
