/* What the files that make up Windows' sftp_fs share. Private to sftp_fs_windows*.c and their tests. */
#ifndef MULTISSH_SSHD_SFTP_FS_WINDOWS_H
#define MULTISSH_SSHD_SFTP_FS_WINDOWS_H

#include "base/printf.h"
#include "base/win.h"
#include "sshd/sftp_fs.h"

struct sftp_fs_windows {
    char words[512]; /* why the last call failed; "": its number says it */
    char told[512];  /* the same, when asked for */
};

struct sftp_fs_file {
    HANDLE handle;
    bool write, append;
    wchar_t *wide;
};

/* What a path is for: nothing of a name that Windows cannot have can be there, and none can be made. */
enum sftp_fs_windows_for { SFTP_FS_WINDOWS_LOOK, SFTP_FS_WINDOWS_MAKE };

/* A client's path, taken apart. */
struct sftp_fs_windows_path {
    char text[SFTP_FS_PATH_MAX]; /* absolute, without dots, no slash at the end but in "/" and "/C:/" */
    wchar_t wide[SFTP_FS_PATH_MAX + 8]; /* the same as \\?\C:\…, which Windows takes as it is; "" for "/" */
    size_t names; /* below the drive's own folder; 0: it is that, or the list of drives */
    bool folder;  /* it ended with a slash: what it names can only be a folder */
};

/* sftp_fs_windows_text.c. UTF-16 as Windows has it in names, which may hold half a surrogate pair; such a one is
 * three bytes here, as in WTF-8. Return the length without the NUL, or -EILSEQ, or -ENAMETOOLONG. */
long sftp_fs_windows_to_wide(const char *text, size_t n, wchar_t *out, size_t size);
long sftp_fs_windows_to_text(const wchar_t *wide, size_t n, char *out, size_t size);

/* sftp_fs_windows_path.c. */
int sftp_fs_windows_path(struct sftp_fs_windows *fs, const char *path, enum sftp_fs_windows_for what,
                         struct sftp_fs_windows_path *out);
/* What lies above path, which has a name; it may be path. */
void sftp_fs_windows_parent(const struct sftp_fs_windows_path *path, struct sftp_fs_windows_path *out);
/* May this be the name of a file? Returns 0 or -EILSEQ, and *ret_why is then the end of a sentence that begins with
 * the name. */
int sftp_fs_windows_check_name(const char *name, size_t n, const char **ret_why);
/* \\?\C:\…, C:\… or \??\C:\… as /C:/…. Returns 0, -EINVAL (it is not on a drive) or -ENAMETOOLONG. */
int sftp_fs_windows_shown(const wchar_t *wide, size_t n, char out[static SFTP_FS_PATH_MAX]);
/* As in struct sftp_fs. */
int sftp_fs_windows_realpath(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX]);

/* sftp_fs_windows_errors.c. Both return a negative errno value and keep the words for the client. */
int sftp_fs_windows_fail(struct sftp_fs_windows *fs, DWORD error);
int sftp_fs_windows_refuse(struct sftp_fs_windows *fs, int r, const char *fmt, ...) LIKE_PRINTF(3, 4);
const char *sftp_fs_windows_words(void *arg);

/* sftp_fs_windows_attrs.c. */
struct sftp_fs_windows_facts {
    DWORD attributes, tag; /* the tag of a reparse point, else 0 */
    uint64_t size;
    FILETIME atime, mtime;
};
bool sftp_fs_windows_is_link(const struct sftp_fs_windows_facts *facts);
/* name: the last of its path; what can be run shows in it. */
struct sftp_fs_attrs sftp_fs_windows_attrs(const struct sftp_fs_windows_facts *facts, const wchar_t *name);
/* Of an open file. Returns 0 or a negative errno value. */
int sftp_fs_windows_facts(struct sftp_fs_windows *fs, HANDLE handle, struct sftp_fs_windows_facts *ret_facts);
/* Opens what has a name for its attributes or its name to be read or changed. Returns 0 or a negative errno value. */
int sftp_fs_windows_open(struct sftp_fs_windows *fs, const wchar_t *wide, DWORD access, bool follow,
                         HANDLE *ret_handle);
/* As open above: what a file that is open cannot do with its handle. */
int sftp_fs_windows_reopen(struct sftp_fs_windows *fs, const struct sftp_fs_file *file, DWORD access,
                           HANDLE *ret_handle);
int sftp_fs_windows_resize(struct sftp_fs_windows *fs, HANDLE handle, uint64_t size);
int sftp_fs_windows_stat(void *arg, const char *path, bool follow, struct sftp_fs_attrs *ret_attrs);
int sftp_fs_windows_setstat(void *arg, const char *path, bool follow, const struct sftp_fs_attrs *attrs);
int sftp_fs_windows_fstat(void *arg, struct sftp_fs_file *file, struct sftp_fs_attrs *ret_attrs);
int sftp_fs_windows_fsetstat(void *arg, struct sftp_fs_file *file, const struct sftp_fs_attrs *attrs);

/* The other files; as in struct sftp_fs. */
int sftp_fs_windows_opendir(void *arg, const char *path, struct sftp_fs_dir **ret_dir);
void sftp_fs_windows_closedir(void *arg, struct sftp_fs_dir *dir);
int sftp_fs_windows_readdir(void *arg, struct sftp_fs_dir *dir, struct sftp_fs_entry *ret_entry);
int sftp_fs_windows_mkdir(void *arg, const char *path, uint32_t mode);
int sftp_fs_windows_rmdir(void *arg, const char *path);
int sftp_fs_windows_remove(void *arg, const char *path);
int sftp_fs_windows_rename(void *arg, const char *from, const char *to, bool replace);
int sftp_fs_windows_hardlink(void *arg, const char *from, const char *to);
int sftp_fs_windows_symlink(void *arg, const char *target, const char *link);
int sftp_fs_windows_readlink(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX]);
int sftp_fs_windows_statvfs(void *arg, const char *path, struct sftp_fs_space *ret_space);
int sftp_fs_windows_fstatvfs(void *arg, struct sftp_fs_file *file, struct sftp_fs_space *ret_space);
int sftp_fs_windows_home(void *arg, const char *name, char out[static SFTP_FS_PATH_MAX]);
const char *sftp_fs_windows_user_name(void *arg, uint32_t uid);
const char *sftp_fs_windows_group_name(void *arg, uint32_t gid);

/* What a reparse point says, where it leads; drive: of the link itself, for targets from its top. Pure. Returns 0,
 * -EINVAL (it is no link, or leads to what has no path here) or -ENAMETOOLONG. */
int sftp_fs_windows_link_target(const void *data, size_t n, char drive, char out[static SFTP_FS_PATH_MAX]);

#endif
