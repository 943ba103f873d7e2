/* StrictModes, as OpenSSH's safe_path has it. Looks at names and modes; reads nothing. */
#include "sshd/strict.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int check_one(const char *path, const struct stat *st, uid_t uid, struct errmsg *err)
{
    if (st->st_uid != 0 && st->st_uid != uid)
        return errmsg_set(err, -EACCES, "%.300s belongs to uid %u, neither to the account nor to root", path,
                          (unsigned)st->st_uid);
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return errmsg_set(err, -EACCES, "%.200s can be written by others (mode %04o): chmod go-w %.200s",
                          path, (unsigned)(st->st_mode & 07777), path);
    return 0;
}

/* Cuts the last component off an absolute path without symbolic links. */
static void go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == path)
        slash++;
    *slash = '\0';
}

static int check_folders(char *path, const char *home, uid_t uid, struct errmsg *err)
{
    struct stat st;
    do {
        go_up(path);
        if (stat(path, &st) != 0)
            return errmsg_set(err, -EACCES, "%.300s: %s", path, strerror(errno));
        int rc = check_one(path, &st, uid, err);
        if (rc < 0)
            return rc;
    } while (strcmp(path, home) != 0 && strcmp(path, "/") != 0);
    return 0;
}

int strict_check(const char *path, const struct stat *st, const char *home, uid_t uid, struct errmsg *err)
{
    struct stat again;
    int rc;
    char *real = realpath(path, NULL), *real_home = realpath(home, NULL);
    /* The names are looked up a second time here: they must still lead to what was opened. */
    if (real == NULL || stat(real, &again) != 0) {
        rc = errmsg_set(err, -EACCES, "%.300s: %s", path, strerror(errno));
        goto out;
    }
    if (again.st_dev != st->st_dev || again.st_ino != st->st_ino) {
        rc = errmsg_set(err, -EACCES, "%.300s was replaced while it was looked at", path);
        goto out;
    }
    rc = check_one(real, st, uid, err);
    if (rc == 0)
        rc = check_folders(real, real_home != NULL ? real_home : "/", uid, err);
out:
    free(real);
    free(real_home);
    return rc;
}
