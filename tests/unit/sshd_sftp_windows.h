/* A folder of a Windows machine to work in by the SFTP server's calls, and what the tests of them do again and again. */
#ifndef MULTISSH_TESTS_SSHD_SFTP_WINDOWS_H
#define MULTISSH_TESTS_SSHD_SFTP_WINDOWS_H

#include "sshd_sftp_scratch.h"

#include "sshd/sftp_fs_windows.h"

static const struct sftp_fs *const fs = &sftp_fs_native;
static void *arg;
static char here[SFTP_FS_PATH_MAX]; /* the folder of the test, /C:/… */

static inline int begin(void **state)
{
    (void)state;
    if (sftp_fs_new(&arg) != 0 || scratch_begin(arg) != 0)
        return -1;
    return fs->realpath(arg, ".", here);
}

static inline int end(void **state)
{
    (void)state;
    int r = scratch_end(arg);
    sftp_fs_free(arg);
    return r;
}

/* Wine's files are those of its host: what may not be written root may write, a lock holds nobody off, a name keeps
 * its case, and what is open is not replaced. There those steps are left out. */
static inline bool is_wine(void)
{
    return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL;
}

/* What Windows says to the writing of a file that may not be written. */
static inline int denied(void)
{
    return is_wine() ? 0 : -EACCES;
}

static inline struct sftp_fs_file *open_as(const char *path, unsigned flags, uint32_t mode)
{
    struct sftp_fs_file *file = NULL;
    assert_int_equal(fs->open(arg, path, flags, mode, &file), 0);
    return file;
}

static inline int try_open(const char *path, unsigned flags)
{
    struct sftp_fs_file *file = NULL;
    int r = fs->open(arg, path, flags, 0644, &file);
    if (r == 0)
        assert_int_equal(fs->close(arg, file), 0);
    return r;
}

static inline void make_file(const char *path, const char *text)
{
    struct sftp_fs_file *file = open_as(path, SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_TRUNCATE, 0644);
    assert_int_equal(fs->write(arg, file, text, strlen(text), 0), 0);
    assert_int_equal(fs->close(arg, file), 0);
}

static inline void has_text(const char *path, const char *text)
{
    char found[100] = "";
    struct sftp_fs_file *file = open_as(path, SFTP_FS_READ, 0);
    long n = fs->read(arg, file, found, sizeof found - 1, 0);
    assert_int_equal(n, strlen(text));
    assert_string_equal(found, text);
    assert_int_equal(fs->close(arg, file), 0);
}

static inline struct sftp_fs_attrs attrs_of(const char *path)
{
    struct sftp_fs_attrs attrs;
    assert_int_equal(fs->stat(arg, path, true, &attrs), 0);
    assert_int_equal(attrs.has, SFTP_FS_SIZE | SFTP_FS_OWNER | SFTP_FS_MODE | SFTP_FS_TIMES);
    return attrs;
}

static inline int find(const char *path)
{
    struct sftp_fs_attrs attrs;
    return fs->stat(arg, path, false, &attrs);
}

/* How a name is spelt in its folder. */
static inline bool is_listed(const char *path, const char *name)
{
    static struct sftp_fs_entry entry;
    struct sftp_fs_dir *dir = NULL;
    bool found = false;
    assert_int_equal(fs->opendir(arg, path, &dir), 0);
    while (fs->readdir(arg, dir, &entry) == 1)
        found = found || strcmp(entry.name, name) == 0;
    fs->closedir(arg, dir);
    return found;
}

static inline void leads_to(const char *path, const char *expected)
{
    char found[SFTP_FS_PATH_MAX], whole[SFTP_FS_PATH_MAX + 100];
    assert_int_equal(fs->realpath(arg, path, found), 0);
    snprintf(whole, sizeof whole, "%s%s%s", expected[0] == '/' ? "" : here,
             expected[0] == '/' || expected[0] == '\0' ? "" : "/", expected);
    assert_string_equal(found, whole);
}

#endif
