/* What the SFTP server does with files and names of a Windows machine: as POSIX would. */
#include "sshd_sftp_windows.h"

static void opening(void **state)
{
    (void)state;
    assert_int_equal(try_open("f", SFTP_FS_READ), -ENOENT);
    assert_int_equal(try_open("f", SFTP_FS_WRITE), -ENOENT);
    assert_int_equal(try_open("no/f", SFTP_FS_WRITE | SFTP_FS_CREATE), -ENOENT);
    assert_int_equal(try_open("f", SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_EXCLUSIVE), 0);
    assert_int_equal(try_open("F", SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_EXCLUSIVE), -EEXIST);
    make_file("f", "0123456789");
    assert_int_equal(try_open("f", SFTP_FS_WRITE | SFTP_FS_CREATE), 0);
    has_text("f", "0123456789");
    assert_int_equal(try_open("f", SFTP_FS_WRITE | SFTP_FS_TRUNCATE), 0);
    has_text("f", "");
    make_file("f", "0123456789");
    assert_int_equal(try_open("f", SFTP_FS_READ | SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_TRUNCATE), 0);
    has_text("f", "");
    assert_int_equal(try_open("f/", SFTP_FS_READ), -EISDIR);
    assert_int_equal(try_open("f/x", SFTP_FS_READ), -ENOENT);
    assert_int_equal(fs->mkdir(arg, "d", 0755), 0);
    assert_int_equal(try_open("d", SFTP_FS_READ), -EISDIR);
    assert_int_equal(try_open("d", SFTP_FS_WRITE | SFTP_FS_CREATE), -EISDIR);
    assert_int_equal(try_open(".", SFTP_FS_READ), -EISDIR);
    assert_int_equal(try_open("/C:", SFTP_FS_READ), -EISDIR);
    assert_int_equal(try_open("/", SFTP_FS_READ), -EISDIR);
    /* Attributes that CREATE_ALWAYS would not stand. */
    make_file("hidden", "x");
    assert_true(SetFileAttributesW(L"hidden", FILE_ATTRIBUTE_HIDDEN));
    assert_int_equal(try_open("hidden", SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_TRUNCATE), 0);
    has_text("hidden", "");
}

static void reading_and_writing(void **state)
{
    char data[20] = "";
    (void)state;
    struct sftp_fs_file *file = open_as("f", SFTP_FS_READ | SFTP_FS_WRITE | SFTP_FS_CREATE, 0644);
    assert_int_equal(fs->write(arg, file, "world", 5, 5), 0);
    assert_int_equal(fs->write(arg, file, "hello", 5, 0), 0);
    assert_int_equal(fs->read(arg, file, data, 4, 3), 4);
    assert_string_equal(data, "lowo");
    assert_int_equal(fs->read(arg, file, data, 10, 8), 2);
    assert_int_equal(fs->read(arg, file, data, 10, 10), 0);
    assert_int_equal(fs->read(arg, file, data, 10, INT64_MAX - 10), 0);
    assert_int_equal(fs->read(arg, file, data, 0, 0), 0);
    assert_int_equal(fs->read(arg, file, data, 1, UINT64_MAX), -EINVAL);
    assert_int_equal(fs->write(arg, file, "x", 1, UINT64_MAX), -EINVAL);
    assert_int_equal(fs->write(arg, file, "beyond", 6, (UINT64_C(5) << 30)), 0);
    assert_true(attrs_of("f").size == (UINT64_C(5) << 30) + 6);
    assert_int_equal(fs->read(arg, file, data, 6, (UINT64_C(5) << 30)), 6);
    assert_memory_equal(data, "beyond", 6);
    assert_int_equal(fs->fsync(arg, file), 0);
    assert_int_equal(fs->close(arg, file), 0);

    file = open_as("f", SFTP_FS_READ, 0);
    assert_int_equal(fs->write(arg, file, "x", 1, 0), -EBADF);
    assert_int_equal(fs->write(arg, file, "", 0, 0), -EBADF);
    assert_int_equal(fs->fsync(arg, file), 0);
    assert_int_equal(fs->close(arg, file), 0);
    file = open_as("f", SFTP_FS_WRITE, 0);
    assert_int_equal(fs->read(arg, file, data, 1, 0), -EACCES);
    assert_int_equal(fs->close(arg, file), 0);
}

static void appending(void **state)
{
    (void)state;
    struct sftp_fs_file *a = open_as("f", SFTP_FS_WRITE | SFTP_FS_APPEND | SFTP_FS_CREATE, 0644);
    struct sftp_fs_file *b = open_as("f", SFTP_FS_WRITE | SFTP_FS_APPEND, 0644);
    assert_int_equal(fs->write(arg, a, "1", 1, 0), 0);
    assert_int_equal(fs->write(arg, b, "2", 1, 0), 0);
    assert_int_equal(fs->write(arg, a, "3", 1, UINT64_MAX), 0);
    assert_int_equal(fs->write(arg, b, "4", 1, 100), 0);
    has_text("f", "1234");
    assert_int_equal(fs->fsetstat(arg, a, &(struct sftp_fs_attrs){.has = SFTP_FS_SIZE, .size = 2}), 0);
    assert_int_equal(fs->write(arg, b, "5", 1, 0), 0);
    has_text("f", "125");
    assert_int_equal(fs->close(arg, a), 0);
    assert_int_equal(fs->close(arg, b), 0);
}

static void a_file_that_may_not_be_written(void **state)
{
    (void)state;
    /* Whoever makes it may write it. */
    struct sftp_fs_file *file = open_as("f", SFTP_FS_WRITE | SFTP_FS_CREATE, 0444);
    assert_int_equal(fs->write(arg, file, "abc", 3, 0), 0);
    assert_int_equal(fs->fsetstat(arg, file, &(struct sftp_fs_attrs){.has = SFTP_FS_SIZE, .size = 2}), 0);
    assert_int_equal(fs->close(arg, file), 0);
    assert_int_equal(attrs_of("f").mode, 0100444);
    has_text("f", "ab");
    assert_int_equal(try_open("f", SFTP_FS_WRITE), denied());
    assert_int_equal(try_open("f", SFTP_FS_WRITE | SFTP_FS_APPEND), denied());
    has_text("f", "ab");
    assert_int_equal(try_open("f", SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_TRUNCATE), denied());
    has_text("f", is_wine() ? "" : "ab");
    assert_int_equal(fs->rename(arg, "f", "g", false), 0);
    make_file("h", "new");
    assert_int_equal(fs->rename(arg, "h", "g", true), 0);
    has_text("g", "new");
    assert_int_equal(fs->setstat(arg, "g", true, &(struct sftp_fs_attrs){.has = SFTP_FS_MODE, .mode = 0400}),
                     0);
    assert_int_equal(fs->remove(arg, "g"), 0);
    assert_int_equal(find("g"), -ENOENT);
}

static void files_that_are_open(void **state)
{
    char data[4] = "";
    (void)state;
    make_file("f", "one");
    struct sftp_fs_file *file = open_as("f", SFTP_FS_READ | SFTP_FS_WRITE, 0);
    assert_int_equal(try_open("f", SFTP_FS_READ | SFTP_FS_WRITE), 0);
    assert_int_equal(fs->rename(arg, "f", "moved", false), 0);
    assert_int_equal(fs->remove(arg, "moved"), 0);
    assert_int_equal(fs->read(arg, file, data, 3, 0), 3);
    assert_string_equal(data, "one");
    /* POSIX's way: the name is free at once. */
    if (!is_wine())
        make_file("moved", "");
    assert_int_equal(fs->close(arg, file), 0);
    assert_int_equal(find("moved"), is_wine() ? -ENOENT : 0);
}

static void replacing_what_is_open(void **state)
{
    char data[4] = "";
    (void)state;
    if (is_wine())
        skip();
    make_file("f", "one");
    make_file("g", "two");
    struct sftp_fs_file *file = open_as("g", SFTP_FS_READ, 0);
    assert_int_equal(fs->rename(arg, "f", "g", true), 0);
    has_text("g", "one");
    assert_int_equal(fs->read(arg, file, data, 3, 0), 3);
    assert_string_equal(data, "two");
    assert_int_equal(fs->close(arg, file), 0);
}

static void files_that_others_hold(void **state)
{
    struct sftp_fs_file *file = NULL;
    (void)state;
    make_file("f", "text");
    HANDLE held = CreateFileW(L"f", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    assert_true(held != INVALID_HANDLE_VALUE);
    assert_int_equal(fs->open(arg, "f", SFTP_FS_READ, 0, &file), -EBUSY);
    const char *words = fs->words(arg);
    assert_non_null(words);
    assert_non_null(strstr(words, "(32)"));
    assert_int_equal(fs->remove(arg, "f"), -EBUSY);
    assert_int_equal(attrs_of("f").size, 4);
    CloseHandle(held);
}

static void files_that_others_lock(void **state)
{
    OVERLAPPED at = {.Offset = 0};
    char data[4];
    (void)state;
    if (is_wine())
        skip();
    make_file("f", "text");
    HANDLE held = CreateFileW(L"f", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                              OPEN_EXISTING, 0, NULL);
    assert_true(held != INVALID_HANDLE_VALUE);
    assert_true(LockFileEx(held, LOCKFILE_EXCLUSIVE_LOCK, 0, 4, 0, &at));
    struct sftp_fs_file *file = open_as("f", SFTP_FS_READ, 0);
    assert_int_equal(fs->read(arg, file, data, 4, 0), -EBUSY);
    const char *words = fs->words(arg);
    assert_non_null(words);
    assert_non_null(strstr(words, "(33)"));
    CloseHandle(held);
    assert_int_equal(fs->read(arg, file, data, 4, 0), 4);
    assert_int_equal(fs->close(arg, file), 0);
}

static void removing(void **state)
{
    (void)state;
    make_file("f", "");
    assert_int_equal(fs->mkdir(arg, "d", 0755), 0);
    assert_int_equal(fs->mkdir(arg, "D", 0755), -EEXIST);
    assert_int_equal(fs->mkdir(arg, "f", 0755), -EEXIST);
    assert_int_equal(fs->mkdir(arg, "no/d", 0755), -ENOENT);
    assert_int_equal(fs->mkdir(arg, "/", 0755), -EEXIST);
    assert_int_equal(fs->mkdir(arg, "/c:", 0755), -EEXIST);
    assert_int_equal(fs->mkdir(arg, "/q:", 0755), -EACCES);
    make_file("d/x", "");
    assert_int_equal(fs->remove(arg, "d"), -EISDIR);
    assert_int_equal(fs->rmdir(arg, "f"), -ENOTDIR);
    assert_int_equal(fs->rmdir(arg, "d"), -ENOTEMPTY);
    assert_int_equal(fs->remove(arg, "d/y"), -ENOENT);
    assert_int_equal(fs->rmdir(arg, "no"), -ENOENT);
    assert_int_equal(fs->rmdir(arg, "/C:"), -EBUSY);
    assert_int_equal(fs->rmdir(arg, "/"), -EBUSY);
    assert_int_equal(fs->remove(arg, "/"), -EISDIR);
    assert_int_equal(fs->remove(arg, "D/X"), 0);
    assert_int_equal(fs->rmdir(arg, "d"), 0);
    assert_int_equal(find("d"), -ENOENT);
}

static void renaming(void **state)
{
    (void)state;
    make_file("a", "a");
    make_file("b", "b");
    assert_int_equal(fs->rename(arg, "no", "c", false), -ENOENT);
    assert_int_equal(fs->rename(arg, "a", "no/c", false), -ENOENT);
    assert_int_equal(fs->rename(arg, "a", "b", false), -EEXIST);
    has_text("b", "b");
    assert_int_equal(fs->rename(arg, "a", "b", true), 0);
    has_text("b", "a");
    assert_int_equal(find("a"), -ENOENT);
    assert_int_equal(fs->rename(arg, "b", "B", false), 0);
    assert_true(is_wine() || (is_listed(".", "B") && !is_listed(".", "b")));
    assert_int_equal(fs->rename(arg, "B", "b", true), 0);
    assert_true(is_listed(".", "b") && !is_listed(".", "B"));

    assert_int_equal(fs->mkdir(arg, "d", 0755), 0);
    assert_int_equal(fs->mkdir(arg, "e", 0755), 0);
    make_file("d/x", "x");
    assert_int_equal(fs->rename(arg, "d", "e", false), -EEXIST);
    assert_int_equal(fs->rename(arg, "b", "e", true), -EISDIR);
    assert_int_equal(fs->rename(arg, "d", "e", true), 0);
    has_text("e/x", "x");
    assert_int_equal(fs->mkdir(arg, "d", 0755), 0);
    assert_int_equal(fs->rename(arg, "d", "e", true), -ENOTEMPTY);
    assert_int_equal(fs->rename(arg, "e", "E", false), 0);
    assert_true(is_wine() || is_listed(".", "E"));
    assert_int_equal(fs->rename(arg, "d", "/C:", true), -EBUSY);
    assert_int_equal(fs->rename(arg, "/", "d2", true), -EBUSY);
}

static void hard_links(void **state)
{
    (void)state;
    make_file("a", "one");
    assert_int_equal(fs->hardlink(arg, "a", "b"), 0);
    make_file("a", "changed");
    has_text("b", "changed");
    assert_int_equal(fs->hardlink(arg, "a", "B"), -EEXIST);
    assert_int_equal(fs->hardlink(arg, "no", "c"), -ENOENT);
    assert_int_equal(fs->hardlink(arg, "/C:", "c"), -EPERM);
    assert_int_equal(fs->remove(arg, "a"), 0);
    has_text("b", "changed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opening, begin, end),
        cmocka_unit_test_setup_teardown(reading_and_writing, begin, end),
        cmocka_unit_test_setup_teardown(appending, begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_may_not_be_written, begin, end),
        cmocka_unit_test_setup_teardown(files_that_are_open, begin, end),
        cmocka_unit_test_setup_teardown(replacing_what_is_open, begin, end),
        cmocka_unit_test_setup_teardown(files_that_others_hold, begin, end),
        cmocka_unit_test_setup_teardown(files_that_others_lock, begin, end),
        cmocka_unit_test_setup_teardown(removing, begin, end),
        cmocka_unit_test_setup_teardown(renaming, begin, end),
        cmocka_unit_test_setup_teardown(hard_links, begin, end),
    };
    return cmocka_run_group_tests_name("sshd_sftp_fs_windows", tests, NULL, NULL);
}
