/* The table of the options of multissh-sshd. */
#include "sshd/sshd_options.h"

#include "base/log.h"
#include <errno.h>
#include <string.h>

#define AT(field) offsetof(struct sshd_options, field)

const struct option sshd_options_table[] = {
    {"host-key", OPTION_STRING, AT(host_key), 0, 0, NULL, "FILE", NULL,
     "The private key by which this machine proves who it is (without it: the system's in /etc/ssh when it "
     "can "
     "be read, else one that is made once in the state folder)",
     false},
    {"authorized-keys", OPTION_STRING, AT(authorized_keys), 0, 0, ".ssh/authorized_keys", NULL, NULL,
     "Files with the keys that may log in as an account, separated by blanks; %h is its home, %u its name, "
     "and "
     "what does not begin with / is in its home",
     false},
    {"strict-modes", OPTION_BOOL, AT(strict_modes), 0, 0, "yes", NULL, NULL,
     "Refuse keys in a file that somebody else than the account (or root) could have written", false},
    {"passwords", OPTION_BOOL, AT(passwords), 0, 0, "no", NULL, NULL,
     "Let accounts, root excepted, in by their password (PAM; only when this runs as root)", false},
    {"root-login", OPTION_ENUM, AT(root_login), 0, 0, "keys", NULL, "keys|no",
     "Whether root may log in with a key", false},
    {"allow-users", OPTION_STRING, AT(allow_users), 0, 0, NULL, "PATTERNS", NULL,
     "Only these accounts may log in (* and ? match, ! excludes, commas separate); without it all", false},
    {"allow-groups", OPTION_STRING, AT(allow_groups), 0, 0, NULL, "PATTERNS", NULL,
     "Only accounts in one of these groups may log in; without it all", false},
    {"pam", OPTION_ENUM, AT(pam), 0, 0, "auto", NULL, "auto|yes|no",
     "Whether PAM checks accounts and opens their sessions: when this runs as root (auto), always, or never",
     false},
    {"pam-service", OPTION_STRING, AT(pam_service), 0, 64, NULL, "NAME", NULL,
     "The name under which PAM is asked (without it the first of multissh-sshd, sshd and other that is in "
     "/etc/pam.d)",
     false},
    {"pty", OPTION_BOOL, AT(pty), 0, 0, "yes", NULL, NULL, "Give terminals", false},
    {"sftp", OPTION_BOOL, AT(sftp), 0, 0, "yes", NULL, NULL, "Give files by sftp (and by scp, which uses it)",
     false},
    {"local-forwarding", OPTION_BOOL, AT(local_forwarding), 0, 0, "yes", NULL, NULL,
     "Let users connect from here to elsewhere (ssh -L, -D, -W, -J)", false},
    {"remote-forwarding", OPTION_BOOL, AT(remote_forwarding), 0, 0, "yes", NULL, NULL,
     "Let users listen here (ssh -R)", false},
    {"agent-forwarding", OPTION_BOOL, AT(agent_forwarding), 0, 0, "yes", NULL, NULL,
     "Let users bring their SSH agent (ssh -A)", false},
    {"gateway-ports", OPTION_BOOL, AT(gateway_ports), 0, 0, "no", NULL, NULL,
     "Let users choose the address on which ssh -R listens; otherwise it is the loopback address", false},
    {"user-rc", OPTION_BOOL, AT(user_rc), 0, 0, "yes", NULL, NULL,
     "Run an account's ~/.ssh/rc, or else /etc/ssh/sshrc, before its sessions", false},
    {"accept-env", OPTION_STRING, AT(accept_env), 0, 1024, "LANG,LC_*,COLORTERM", "PATTERNS", NULL,
     "Which environment variables a client may set", false},
    {"motd", OPTION_BOOL, AT(motd), 0, 0, "yes", NULL, NULL, "Show the message of the day on a terminal",
     false},
    {"last-login", OPTION_BOOL, AT(last_login), 0, 0, "yes", NULL, NULL,
     "Show on a terminal when the account was last logged in", false},
    {"login-grace", OPTION_DURATION, AT(login_grace_ms), 1000, 3600 * 1000, "60s", NULL, NULL,
     "How long a login may take", false},
    {"keepalive", OPTION_DURATION, AT(keepalive_ms), 1000, 3600 * 1000, "30s", NULL, NULL,
     "How often a client is asked for a sign of life; three unanswered times this, and it is gone", false},
    {"tries-max", OPTION_UINT, AT(tries_max), 1, 100, "6", "tries", NULL,
     "How many keys and passwords may be refused before the connection is closed", false},
    {"sessions-max", OPTION_UINT, AT(sessions_max), 1, 1000, "32", "sessions", NULL,
     "How many shells, commands and file transfers one connection may have at once", false},
    {"channels-max", OPTION_UINT, AT(channels_max), 1, 10000, "512", "channels", NULL,
     "How many channels, forwarded connections included, one connection may have at once", false},
    {"log-level", OPTION_ENUM, AT(log_level), 0, 0, "info", NULL, "error|warn|info|debug", "What is logged",
     false},
};
const size_t sshd_options_count = sizeof sshd_options_table / sizeof sshd_options_table[0];

int sshd_options_load(struct sshd_options *o, const char *path, bool must_exist, struct errmsg *err)
{
    int r;
    memset(o, 0, sizeof *o);
    r = options_defaults(sshd_options_table, sshd_options_count, o);
    if (r < 0) {
        return errmsg_set(err, r, "out of memory");
    }
    r = options_file(sshd_options_table, sshd_options_count, o, path, err);
    if (r == -ENOENT && must_exist) {
        return errmsg_set(err, r, "%s is not there", path);
    }
    return r == -ENOENT ? 0 : r;
}

int sshd_options_check(const struct sshd_options *o, struct errmsg *err)
{
    if (o->passwords && o->pam == SSHD_PAM_NO) {
        return errmsg_set(err, -EINVAL, "passwords = yes needs PAM, and pam = no: change one of them");
    }
    if (o->sessions_max > o->channels_max) {
        return errmsg_set(err, -EINVAL, "sessions-max is more than channels-max");
    }
    if (o->pam_service != NULL &&
        strspn(o->pam_service, "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(o->pam_service)) {
        return errmsg_set(err, -EINVAL, "pam-service: '%s' is not the name of a file in /etc/pam.d",
                          o->pam_service);
    }
    return 0;
}

void sshd_options_release(struct sshd_options *o)
{
    options_release(sshd_options_table, sshd_options_count, o);
}
