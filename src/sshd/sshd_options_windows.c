/* The options of multissh-sshd on Windows. */
#include "sshd/sshd_options_rows.h"

#include <errno.h>
#include <string.h>

const struct option sshd_options_table[] = {
    {"host-key", OPTION_STRING, AT(host_key), 0, 0, NULL, "FILE", NULL,
     "The private key by which this machine proves who it is (without it: OpenSSH's in %ProgramData%\\ssh "
     "when it "
     "can be read, else one that is made once in the state folder)",
     false},
    {"authorized-keys", OPTION_STRING, AT(authorized_keys), 0, 0, ".ssh/authorized_keys", NULL, NULL,
     "Files with the keys that may log in as an account, separated by blanks; %h is its profile folder, %u "
     "its name, "
     "and what is no absolute path is in its profile folder (administrators: "
     "%ProgramData%\\ssh\\administrators_authorized_keys, where this runs as a service)",
     false},
    {"strict-modes", OPTION_BOOL, AT(strict_modes), 0, 0, "yes", NULL, NULL,
     "Refuse keys in a file that somebody else than the account, SYSTEM or an administrator could have "
     "written",
     false},
    {"passwords", OPTION_BOOL, AT(passwords), 0, 0, "no", NULL, NULL,
     "Let accounts in by their password (only when this runs as a service)", false},
    SSHD_OPTIONS_ALLOW,
    {"shell", OPTION_STRING, AT(shell), 0, 0, NULL, "PROGRAM", NULL,
     "The program that is a user's shell, and runs commands: cmd, powershell, pwsh, bash (of Git or WSL) or "
     "a path "
     "(without it cmd)",
     false},
    SSHD_OPTIONS_GIVE,
    SSHD_OPTIONS_GATEWAY,
    SSHD_OPTIONS_ENV,
    SSHD_OPTIONS_LIMITS,
};
const size_t sshd_options_count = sizeof sshd_options_table / sizeof sshd_options_table[0];

int sshd_options_check_own(const struct sshd_options *o, struct errmsg *err)
{
    if (o->shell != NULL && strchr(o->shell, '"') != NULL) {
        return errmsg_set(err, -EINVAL,
                          "shell: '%.200s' is a program's name or path, without quotes and arguments",
                          o->shell);
    }
    return 0;
}
