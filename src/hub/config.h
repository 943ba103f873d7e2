/* Where the hub's options and users come from: the command line, STATE/hub.conf and STATE/authorized_users.
 * Reads and checks; changes nothing that runs. */
#ifndef MULTISSH_HUB_CONFIG_H
#define MULTISSH_HUB_CONFIG_H

#include "base/buf.h"
#include "base/errmsg.h"
#include "base/fs.h"
#include "hub/hub_options.h"
#include "hub/policy.h"
#include <stdbool.h>

#define CONFIG_USERS_FILE "authorized_users"
#define CONFIG_NO_PORT 65535 /* stands for "none given" in `public`: nobody publishes it */

struct config {
    char state_dir[1024];
    char file[FS_PATH_MAX];  /* hub.conf */
    char users[FS_PATH_MAX]; /* authorized_users */
    bool file_given;         /* with --config: then it must be there */
    char **flags;            /* argv of the option flags alone; flags[0] is the program */
    int n_flags;
    char **words;   /* private */
    char **command; /* the words after the options; into argv */
    int n_command;
    const char *action; /* "help", "version", "check", "dump-options", or NULL */
};

/* Takes the command line apart; nothing is read yet. Returns 0 or -EINVAL/-ENOMEM/-ENAMETOOLONG with err
 * filled. */
int config_init(struct config *c, int argc, char **argv, struct errmsg *err);
void config_release(struct config *c);

/* Defaults, then the file, then the flags, into the zeroed ret. Returns 0 or a negative code with err filled
 * (ret is then released). */
int config_options(const struct config *c, struct hub_options *ret, struct errmsg *err);
/* Reads authorized_users. Lines that are broken are left out; for each a line "FILE:LINE: TEXT" is added to
 * complaints. Returns 0, or a negative code with err filled (no such file, not readable, too large). */
int config_policy(const struct config *c, struct buf *complaints, struct policy **ret_p, struct errmsg *err);

#endif
