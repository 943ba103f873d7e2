/* The options of multissh-sshd on POSIX systems. */
#include "sshd/sshd_options_rows.h"

#include <errno.h>
#include <string.h>

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
    SSHD_OPTIONS_ALLOW,
    {"pam", OPTION_ENUM, AT(pam), 0, 0, "auto", NULL, "auto|yes|no",
     "Whether PAM checks accounts and opens their sessions: when this runs as root (auto), always, or never",
     false},
    {"pam-service", OPTION_STRING, AT(pam_service), 0, 64, NULL, "NAME", NULL,
     "The name under which PAM is asked (without it the first of multissh-sshd, sshd and other that is in "
     "/etc/pam.d)",
     false},
    SSHD_OPTIONS_GIVE,
    {"agent-forwarding", OPTION_BOOL, AT(agent_forwarding), 0, 0, "yes", NULL, NULL,
     "Let users bring their SSH agent (ssh -A)", false},
    SSHD_OPTIONS_GATEWAY,
    {"user-rc", OPTION_BOOL, AT(user_rc), 0, 0, "yes", NULL, NULL,
     "Run an account's ~/.ssh/rc, or else /etc/ssh/sshrc, before its sessions", false},
    SSHD_OPTIONS_ENV,
    {"motd", OPTION_BOOL, AT(motd), 0, 0, "yes", NULL, NULL, "Show the message of the day on a terminal",
     false},
    {"last-login", OPTION_BOOL, AT(last_login), 0, 0, "yes", NULL, NULL,
     "Show on a terminal when the account was last logged in", false},
    SSHD_OPTIONS_LIMITS,
};
const size_t sshd_options_count = sizeof sshd_options_table / sizeof sshd_options_table[0];

int sshd_options_check_own(const struct sshd_options *o, struct errmsg *err)
{
    if (o->passwords && o->pam == SSHD_PAM_NO) {
        return errmsg_set(err, -EINVAL, "passwords = yes needs PAM, and pam = no: change one of them");
    }
    if (o->pam_service != NULL &&
        strspn(o->pam_service, "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(o->pam_service)) {
        return errmsg_set(err, -EINVAL, "pam-service: '%s' is not the name of a file in /etc/pam.d",
                          o->pam_service);
    }
    return 0;
}
