/* Files that must survive a power cut, and private folders. POSIX and Windows siblings: fs_posix.c,
 * fs_windows.c. */
#ifndef MULTISSH_BASE_FS_H
#define MULTISSH_BASE_FS_H

#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_PATH_MAX 4096

/* Reads a whole regular file into out (appended), refusing one larger than out's room. Returns 0 or a
 * negative errno value (-EFBIG, -ENOENT, -EISDIR …; -EINVAL: neither file nor folder), and out is then as it
 * was. */
int fs_read(const char *path, struct buf *out);

/* Replaces path by data at once: a temporary file beside it, fsync, rename, fsync of the folder; a reader or
 * a power cut at any byte sees the old file or the new one. mode as in chmod; on Windows one without
 * rights for group and others means as in fs_mkdir_private, and any other what the folder passes on. */
int fs_write_atomic(const char *path, const void *data, size_t n, unsigned mode);

/* Makes what happened to names in path's folder (a rename, a link) survive a power cut. Returns 0 or a
 * negative errno value. */
int fs_sync_folder_of(const char *path);

/* Makes the folder and its parents; the last one with mode 0700: on Windows for SYSTEM, the Administrators
 * and, unless it is one of them (elevated), this user alone, whatever stands above. An existing one is accepted when it is a folder; on Windows an elevated
 * process gets -EPERM (and the log the reason) when others may write into it. Returns 0 or a negative errno value. */
int fs_mkdir_private(const char *path);

/* Is path a file or folder that group or others may not read or write, owned by this user (or root)? On Windows: owned
 * by this user, SYSTEM or the Administrators, and its access control list gives nobody else a right to read or change
 * it. Returns 0, -EPERM (it is open to others) or another negative errno value. */
int fs_check_private(const char *path);
/* What to do about it, for a sentence: "chmod 600 it, and own it". */
extern const char fs_private_advice[];

/* Does the path begin at a root? On Windows: a drive's or a share of another machine. */
bool fs_absolute(const char *path);

/* dir + "/" + name into out ("\" on Windows). Returns 0 or -ENAMETOOLONG. */
int fs_join(char *out, size_t size, const char *dir, const char *name);

/* The path of another multiSSH program: beside this one, else in the installation's folder for such programs,
 * else its bare name. On Windows always beside this one, whether it is there or not: a bare name would be looked for in
 * folders of others. Returns 0 or -ENAMETOOLONG. */
int fs_sibling_program(const char *name, char *out, size_t size);

#endif
