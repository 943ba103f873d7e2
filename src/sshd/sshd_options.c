/* Reading the options of multissh-sshd; the table is the system's (sshd_options_posix.c, sshd_options_windows.c). */
#include "sshd/sshd_options_rows.h"

#include <errno.h>
#include <string.h>

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
    if (o->sessions_max > o->channels_max) {
        return errmsg_set(err, -EINVAL, "sessions-max is more than channels-max");
    }
    return sshd_options_check_own(o, err);
}

void sshd_options_release(struct sshd_options *o)
{
    options_release(sshd_options_table, sshd_options_count, o);
}
