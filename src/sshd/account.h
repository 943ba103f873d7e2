/* An account of this system: who it is, whether it may log in now, and becoming it.
 *
 * When this program does not run as root there is one account that can log in: the one that runs it. */
#ifndef MULTISSH_SSHD_ACCOUNT_H
#define MULTISSH_SSHD_ACCOUNT_H

#include "base/errmsg.h"
#include "sshd/sshd_options.h"
#include <stdbool.h>
#include <sys/types.h>

struct account {
    char *name, *home, *shell; /* shell: never empty; /bin/sh when passwd names none */
    uid_t uid;
    gid_t gid;
};

#define ACCOUNT_NAME_MAX 255

/* Is this process root, and so able to become anybody? */
bool account_privileged(void);

/* Looks login up (passwd through NSS). Returns 0, -ENOENT (no such account), -EPERM (it is not the one that runs
 * this) or another negative errno value with err filled, for the log. */
int account_find(const char *login, struct account **ret_account, struct errmsg *err);
void account_free(struct account *account); /* NULL-safe */

/* May it log in now, however it proves itself? Looks at allow-users, allow-groups, root-login, /etc/nologin,
 * the shell (nologin, false, one that cannot be run or is not there) and shadow: locked ('!' first), expired,
 * password expired when that is enforced. Returns 0 or -EACCES with err filled: a sentence for the user and
 * the log. Only with root's rights all of it can be seen; without them what cannot be seen holds. */
int account_check(const struct account *account, const struct sshd_options *options, struct errmsg *err);

/* In a forked child: becomes the account for good, groups, gid and uid, and makes sure that there is no way
 * back. Without privileges: checks that it is the account already. Returns 0 or a negative errno value: the
 * caller must then end the process. */
int account_become(const struct account *account);

#endif
