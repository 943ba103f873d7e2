/* The host key: which one. */
#include "sshd/identity.h"

#include "base/fs.h"
#include "base/log.h"
#include <errno.h>
#include <string.h>

static int load_system(struct hostkey **ret_key)
{
    char path[FS_PATH_MAX];
    int rc;
    for (size_t i = 0; (rc = identity_system(i, path, sizeof path)) != -ENOENT; i++) {
        struct errmsg err;
        if (rc < 0) {
            continue;
        }
        if (hostkey_load(path, ret_key, &err) == 0) {
            return 0;
        }
        log_warn("%s; the next key is tried", err.text);
    }
    return -ENOENT;
}

int identity_load(const char *configured, const char *state, struct hostkey **ret_key, struct errmsg *err)
{
    char path[FS_PATH_MAX];
    int rc;
    if (configured != NULL) {
        return hostkey_load(configured, ret_key, err);
    }
    if (load_system(ret_key) == 0) {
        return 0;
    }
    rc = fs_join(path, sizeof path, state, "ssh_host_ed25519_key");
    if (rc < 0) {
        return errmsg_set(err, rc, "the path of the state folder is too long");
    }
    rc = fs_mkdir_private(state);
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot make the state folder %s: %s; choose another with --state", state,
                          strerror(-rc));
    }
    return hostkey_load_or_make(path, "multissh-sshd", ret_key, err);
}
