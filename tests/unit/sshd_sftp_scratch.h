/* A folder of a test's own to work in, made and removed by the SFTP server's calls, so that it is the same on every
 * system. */
#ifndef MULTISSH_TESTS_SSHD_SFTP_SCRATCH_H
#define MULTISSH_TESTS_SSHD_SFTP_SCRATCH_H

#include "cmocka_all.h"

#include "sshd/sftp_fs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_name[64];

/* Removes what path names, with all that is in it; links are removed and not followed. */
static inline void scratch_remove(void *arg, const char *path)
{
    struct sftp_fs_attrs attrs;
    struct sftp_fs_dir *dir = NULL;
    assert_int_equal(sftp_fs_native.stat(arg, path, false, &attrs), 0);
    if ((attrs.mode & SFTP_FS_TYPE) != SFTP_FS_FOLDER) {
        assert_int_equal(sftp_fs_native.remove(arg, path), 0);
        return;
    }
    struct sftp_fs_entry *entry = malloc(sizeof *entry);
    char *below = malloc(SFTP_FS_PATH_MAX);
    assert_true(entry != NULL && below != NULL);
    assert_int_equal(sftp_fs_native.opendir(arg, path, &dir), 0);
    while (sftp_fs_native.readdir(arg, dir, entry) == 1) {
        if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
            continue;
        assert_true(snprintf(below, SFTP_FS_PATH_MAX, "%s/%s", path, entry->name) < SFTP_FS_PATH_MAX);
        scratch_remove(arg, below);
    }
    sftp_fs_native.closedir(arg, dir);
    free(below);
    free(entry);
    assert_int_equal(sftp_fs_native.rmdir(arg, path), 0);
}

/* The working folder is a new, empty one then. Returns 0 or -1. */
static inline int scratch_begin(void *arg)
{
    static unsigned count;
    const char *temp = getenv("TEMP");
    if (chdir(temp != NULL ? temp : "/tmp") != 0)
        return -1;
    int r;
    do {
        (void)snprintf(scratch_name, sizeof scratch_name, "multissh-test-%ld-%u", (long)getpid(), count++);
        r = sftp_fs_native.mkdir(arg, scratch_name, 0700);
    } while (r == -EEXIST);
    return r == 0 && chdir(scratch_name) == 0 ? 0 : -1;
}

static inline int scratch_end(void *arg)
{
    if (chdir("..") != 0)
        return -1;
    scratch_remove(arg, scratch_name);
    return 0;
}

#endif
