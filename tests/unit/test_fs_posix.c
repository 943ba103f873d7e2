/* Files and folders, in a real folder of their own. */
#include "cmocka_all.h"

#include "base/fs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static char path[FS_PATH_MAX];

static const char *in_dir(const char *name)
{
    assert_int_equal(fs_join(path, sizeof path, dir, name), 0);
    return path;
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/multissh-test-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", dir, (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static size_t entries(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.' ? 1 : 0;
    closedir(d);
    return n;
}

static void write_then_read(void **state)
{
    struct buf out;
    struct stat st;
    (void)state;
    buf_init(&out, 100000);
    umask(077);
    assert_int_equal(fs_write_atomic(in_dir("f"), "old", 3, 0644), 0);
    assert_int_equal(fs_write_atomic(in_dir("f"), "new\0text", 8, 0640), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(buf_append_str(&out, ">"), 0);
    assert_int_equal(fs_read(path, &out), 0);
    assert_int_equal(buf_len(&out), 9);
    assert_memory_equal(buf_data(&out), ">new\0text", 9);
    assert_int_equal(entries(), 1);
    /* An empty file, and one larger than a step of reading. */
    char *big = malloc(50000);
    memset(big, 'b', 50000);
    assert_int_equal(fs_write_atomic(in_dir("big"), big, 50000, 0600), 0);
    buf_clear(&out);
    assert_int_equal(fs_read(path, &out), 0);
    assert_int_equal(buf_len(&out), 50000);
    assert_memory_equal(buf_data(&out), big, 50000);
    assert_int_equal(fs_write_atomic(in_dir("big"), NULL, 0, 0600), 0);
    buf_clear(&out);
    assert_int_equal(fs_read(path, &out), 0);
    assert_int_equal(buf_len(&out), 0);
    free(big);
    buf_release(&out);
}

static void refuses_to_read(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 10);
    assert_int_equal(fs_write_atomic(in_dir("f"), "0123456789a", 11, 0600), 0);
    assert_int_equal(fs_read(path, &out), -EFBIG);
    assert_int_equal(fs_write_atomic(path, "0123456789", 10, 0600), 0);
    assert_int_equal(fs_read(path, &out), 0);
    assert_int_equal(fs_read(path, &out), -EFBIG);
    assert_int_equal(buf_len(&out), 10);
    buf_clear(&out);
    assert_int_equal(fs_read(in_dir("none"), &out), -ENOENT);
    assert_int_equal(fs_read(dir, &out), -EISDIR);
    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    assert_int_equal(fs_read(path, &out), -EINVAL); /* and does not hang */
    /* Without a size beforehand, as in /proc: what is too large is given back whole. */
    assert_int_equal(buf_append_str(&out, "x"), 0);
    assert_int_equal(fs_read("/proc/self/status", &out), -EFBIG);
    assert_string_equal(buf_str(&out), "x");
    buf_release(&out);
    buf_init(&out, 100000);
    assert_int_equal(fs_read("/proc/self/status", &out), 0);
    assert_non_null(strstr(buf_str(&out), "Pid:"));
    buf_release(&out);
}

/* In a child whose files may grow to 10 bytes only, as a full disk would have it. */
static int write_on_a_full_disk(const char *to)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit ten = {10, 10};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &ten) != 0)
            _exit(100);
        _exit(-fs_write_atomic(to, "0123456789abcdef", 16, 0600));
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void a_failed_write_leaves_the_old(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 100);
    assert_int_equal(fs_write_atomic(in_dir("f"), "old", 3, 0600), 0);
    assert_int_equal(write_on_a_full_disk(path), -EFBIG);
    assert_int_equal(fs_read(path, &out), 0);
    assert_string_equal(buf_str(&out), "old");
    assert_int_equal(entries(), 1);
    assert_int_equal(fs_write_atomic(in_dir("none/f"), "x", 1, 0600), -ENOENT);
    assert_int_equal(mkdir(in_dir("folder"), 0700), 0);
    assert_int_equal(fs_write_atomic(path, "x", 1, 0600), -EISDIR);
    assert_int_equal(entries(), 2);
    buf_release(&out);
}

/* A reader sees one of the two contents whole, while another process replaces the file again and again. */
static void a_reader_sees_old_or_new(void **state)
{
    static char a[20000], b[30000];
    struct buf out;
    (void)state;
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    assert_int_equal(fs_write_atomic(in_dir("f"), a, sizeof a, 0600), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 200; i++) {
            if (fs_write_atomic(path, i % 2 == 0 ? b : a, i % 2 == 0 ? sizeof b : sizeof a, 0600) != 0)
                _exit(1);
        }
        _exit(0);
    }
    buf_init(&out, 100000);
    int status = 0;
    size_t seen = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        buf_clear(&out);
        assert_int_equal(fs_read(path, &out), 0);
        size_t n = buf_len(&out);
        assert_true(n == sizeof a || n == sizeof b);
        assert_memory_equal(buf_data(&out), n == sizeof a ? a : b, n);
        seen++;
    }
    assert_int_equal(status, 0);
    assert_true(seen > 0);
    buf_release(&out);
}

static void private_folders(void **state)
{
    struct stat st;
    (void)state;
    umask(022);
    assert_int_equal(fs_mkdir_private(in_dir("a/b//c/")), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(in_dir("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_int_equal(fs_mkdir_private(in_dir("a/b/c")), 0);
    assert_int_equal(fs_mkdir_private("/"), 0);
    assert_int_equal(fs_mkdir_private(""), -ENOENT);
    assert_int_equal(fs_write_atomic(in_dir("file"), "", 0, 0600), 0);
    assert_int_equal(fs_mkdir_private(path), -ENOTDIR);
    assert_int_equal(fs_mkdir_private(in_dir("file/x")), -ENOTDIR);
    char *longest = malloc(FS_PATH_MAX + 10);
    memset(longest, 'a', FS_PATH_MAX + 9);
    longest[FS_PATH_MAX + 9] = '\0';
    assert_int_equal(fs_mkdir_private(longest), -ENAMETOOLONG);
    assert_int_equal(fs_write_atomic(longest, "", 0, 0600), -ENAMETOOLONG);
    assert_int_equal(fs_join(path, 10, "12345", "6789"), -ENAMETOOLONG);
    assert_int_equal(fs_join(path, 11, "12345", "6789"), 0);
    assert_string_equal(path, "12345/6789");
    assert_int_equal(fs_join(path, sizeof path, "/", "x"), 0);
    assert_string_equal(path, "/x");
    free(longest);
}

static void open_to_others(void **state)
{
    static const struct {
        unsigned mode;
        int result;
    } cases[] = {{0600, 0},      {0400, 0},      {0700, 0},      {0711, 0},
                 {0640, -EPERM}, {0620, -EPERM}, {0604, -EPERM}, {0602, -EPERM}};
    (void)state;
    assert_int_equal(fs_write_atomic(in_dir("f"), "", 0, 0600), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(chmod(path, (mode_t)cases[i].mode), 0);
        assert_int_equal(fs_check_private(path), cases[i].result);
    }
    assert_int_equal(fs_check_private(in_dir("none")), -ENOENT);
    if (geteuid() != 0)
        return;
    assert_int_equal(fs_write_atomic(in_dir("theirs"), "", 0, 0600), 0);
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(fs_check_private(path), -EPERM);
}

static void sibling_programs(void **state)
{
    char self[FS_PATH_MAX], out[FS_PATH_MAX];
    (void)state;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    assert_int_equal(fs_sibling_program("test_fs_posix", out, sizeof out), 0);
    assert_string_equal(out, self);
    assert_int_equal(fs_sibling_program("multissh-no-such-program", out, sizeof out), 0);
    assert_string_equal(out, "multissh-no-such-program");
    assert_int_equal(fs_sibling_program("test_fs_posix", out, 4), -ENAMETOOLONG);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(write_then_read),          CASE(refuses_to_read), CASE(a_failed_write_leaves_the_old),
        CASE(a_reader_sees_old_or_new), CASE(private_folders), CASE(open_to_others),
        CASE(sibling_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
