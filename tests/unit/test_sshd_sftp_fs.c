/* The machine's files as the SFTP server sees them: real paths, lines of a listing, accounts; in a real
 * folder. */
#include "cmocka_all.h"

#include "sshd/sftp_fs.h"
#include "sshd/sftp_fs_posix.h"
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct sftp_fs *const fs = &sftp_fs_native;
static void *arg;
static char dir[64];

static int begin(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/multissh-test-XXXXXX");
    if (mkdtemp(dir) == NULL || chdir(dir) != 0)
        return -1;
    return sftp_fs_new(&arg);
}

static int end(void **state)
{
    (void)state;
    sftp_fs_free(arg);
    if (chdir("/") != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", dir, (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static void make_file(const char *name)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

/* The real path of path is expected (below the folder when it does not begin with a slash). */
static void leads_to(const char *path, const char *expected)
{
    char found[SFTP_FS_PATH_MAX], whole[SFTP_FS_PATH_MAX];
    assert_int_equal(fs->realpath(arg, path, found), 0);
    snprintf(whole, sizeof whole, "%s%s%s", expected[0] == '/' ? "" : dir,
             expected[0] == '/' || expected[0] == '\0' ? "" : "/", expected);
    assert_string_equal(found, whole);
}

static void real_paths(void **state)
{
    char found[SFTP_FS_PATH_MAX], path[SFTP_FS_PATH_MAX];
    (void)state;
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(mkdir("folder/sub", 0700), 0);
    make_file("file");
    assert_int_equal(symlink("folder/sub", "link"), 0);
    assert_int_equal(symlink("../file", "folder/back"), 0);
    assert_int_equal(symlink("nothing", "dangling"), 0);
    assert_int_equal(symlink("/", "root"), 0);
    assert_int_equal(symlink("loop", "loop"), 0);

    leads_to("/", "/");
    leads_to("//", "/");
    leads_to("/..", "/");
    leads_to(".", "");
    leads_to("folder/", "folder");
    leads_to("folder//./sub/../sub", "folder/sub");
    leads_to("link", "folder/sub");
    leads_to("link/..", "folder");
    leads_to("folder/back", "file");
    leads_to("link/../back", "file");
    leads_to("file/..", "");
    leads_to("nothing", "nothing");
    leads_to("folder/nothing", "folder/nothing");
    leads_to("dangling", "nothing");
    leads_to("root", "/");
    leads_to("root/tmp", "/tmp");
    assert_int_equal(fs->realpath(arg, "nothing/", found), -ENOENT);
    assert_int_equal(fs->realpath(arg, "nothing/..", found), -ENOENT);
    assert_int_equal(fs->realpath(arg, "file/x", found), -ENOTDIR);
    assert_int_equal(fs->realpath(arg, "loop", found), -ELOOP);
    assert_int_equal(fs->realpath(arg, "", found), -ENOENT);

    /* Links that grow the path beyond what a path can be. */
    memset(path, 'x', 4000);
    for (size_t i = 200; i < 4000; i += 200)
        path[i] = '/';
    path[4000] = '\0';
    assert_int_equal(symlink(path, "long"), 0);
    snprintf(path, sizeof path, "long/%0200d", 1);
    assert_int_equal(fs->realpath(arg, path, found), -ENAMETOOLONG);
}

static void a_working_folder_that_is_gone(void **state)
{
    char found[SFTP_FS_PATH_MAX];
    (void)state;
    assert_int_equal(mkdir("gone", 0700), 0);
    assert_int_equal(chdir("gone"), 0);
    assert_int_equal(rmdir("../gone"), 0);
    assert_int_equal(fs->realpath(arg, ".", found), -ENOENT);
    assert_int_equal(fs->realpath(arg, "/tmp", found), 0);
}

static void lines_of_a_listing(void **state)
{
    char line[SFTP_FS_LONG_NAME_MAX];
    struct stat st = {
        .st_mode = S_IFREG | 04755, .st_nlink = 3, .st_uid = 0, .st_gid = 4000000, .st_size = 5368709120};
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    st.st_mtime = 1600000000;
    sftp_fs_posix_long_name(arg, "a name", &st, line, sizeof line);
    assert_string_equal(line, "-rwsr-xr-x    3 root     4000000  5368709120 Sep 13  2020 a name");
    st.st_mode = S_IFDIR | 01776;
    st.st_size = 0;
    st.st_uid = 4000001;
    sftp_fs_posix_long_name(arg, "d", &st, line, sizeof line);
    assert_string_equal(line, "drwxrwxrwT    3 4000001  4000000         0 Sep 13  2020 d");
    st.st_mode = S_IFLNK | 02070;
    st.st_mtime = time(NULL) - 60;
    sftp_fs_posix_long_name(arg, "l", &st, line, sizeof line);
    assert_memory_equal(line, "l---rws---", 10);
    assert_non_null(strchr(line, ':')); /* of the time of day */
    st.st_mtime = time(NULL) + 86400;
    sftp_fs_posix_long_name(arg, "l", &st, line, sizeof line);
    assert_null(strchr(line, ':'));
}

static void accounts(void **state)
{
    char home[SFTP_FS_PATH_MAX];
    const struct passwd *self = getpwuid(getuid());
    (void)state;
    assert_non_null(self);
    assert_int_equal(fs->home(arg, "", home), 0);
    assert_string_equal(home, self->pw_dir);
    assert_int_equal(fs->home(arg, "root", home), 0);
    assert_int_equal(fs->home(arg, "no-such-account", home), -ENOENT);
    /* Two numbers that share a place among the remembered. */
    assert_string_equal(fs->user_name(arg, 0), "root");
    assert_string_equal(fs->user_name(arg, SFTP_FS_POSIX_CACHED * 65537u), "");
    assert_string_equal(fs->user_name(arg, 0), "root");
    assert_string_equal(fs->group_name(arg, 0), "root");
}

/* What belongs to a link stays with the link. */
static void attributes_of_links(void **state)
{
    struct stat st;
    struct sftp_fs_attrs set = {.has = SFTP_FS_TIMES, .atime = 1, .mtime = 2000};
    char target[SFTP_FS_PATH_MAX];
    (void)state;
    make_file("file");
    assert_int_equal(fs->symlink(arg, "file", "link"), 0);
    assert_int_equal(fs->readlink(arg, "link", target), 0);
    assert_string_equal(target, "file");
    assert_int_equal(fs->setstat(arg, "link", true, &set), 0);
    set.mtime = 4000;
    assert_int_equal(fs->setstat(arg, "link", false, &set), 0);
    assert_int_equal(lstat("link", &st), 0);
    assert_int_equal(st.st_mtime, 4000);
    assert_int_equal(stat("link", &st), 0);
    assert_int_equal(st.st_mtime, 2000);
    set = (struct sftp_fs_attrs){.has = SFTP_FS_MODE, .mode = 0100604};
    assert_int_equal(fs->setstat(arg, "link", true, &set), 0);
    assert_int_equal(fs->stat(arg, "file", true, &set), 0);
    assert_int_equal(set.mode, 0100604);
    assert_int_equal(set.uid, getuid());
    assert_int_equal(fs->hardlink(arg, "file", "second"), 0);
    assert_int_equal(stat("file", &st), 0);
    assert_int_equal(st.st_nlink, 2);
}

static void entries_that_vanish(void **state)
{
    struct sftp_fs_dir *folder = NULL;
    static struct sftp_fs_entry entry;
    char name[32];
    int found = 0, r;
    (void)state;
    assert_int_equal(mkdir("folder", 0700), 0);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "folder/%d", i);
        make_file(name);
    }
    assert_int_equal(fs->opendir(arg, "folder", &folder), 0);
    assert_int_equal(fs->readdir(arg, folder, &entry), 1);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "folder/%d", i);
        assert_int_equal(unlink(name), 0);
    }
    while ((r = fs->readdir(arg, folder, &entry)) == 1)
        found += entry.name[0] != '.';
    assert_int_equal(r, 0);
    assert_int_equal(found, 0);
    assert_int_equal(rmdir("folder"), 0);
    fs->closedir(arg, folder);
    assert_int_equal(fs->opendir(arg, "folder", &folder), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(real_paths, begin, end),
        cmocka_unit_test_setup_teardown(a_working_folder_that_is_gone, begin, end),
        cmocka_unit_test_setup_teardown(lines_of_a_listing, begin, end),
        cmocka_unit_test_setup_teardown(accounts, begin, end),
        cmocka_unit_test_setup_teardown(attributes_of_links, begin, end),
        cmocka_unit_test_setup_teardown(entries_that_vanish, begin, end),
    };
    return cmocka_run_group_tests_name("sshd_sftp_fs", tests, NULL, NULL);
}
