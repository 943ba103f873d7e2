/* What the SFTP server tells of files, folders, drives and accounts of a Windows machine, and what it can change of it. */
#include "sshd_sftp_windows.h"

static void attributes(void **state)
{
    struct sftp_fs_attrs set = {.has = SFTP_FS_SIZE | SFTP_FS_MODE | SFTP_FS_TIMES,
                                .size = 4,
                                .mode = 0100404,
                                .atime = 1000,
                                .mtime = 2000000001};
    (void)state;
    make_file("f", "0123456789");
    assert_int_equal(attrs_of("f").mode, 0100644);
    assert_int_equal(fs->setstat(arg, "f", true, &set), 0);
    struct sftp_fs_attrs attrs = attrs_of("F");
    assert_int_equal(attrs.size, 4);
    assert_int_equal(attrs.mode, 0100444);
    assert_int_equal(attrs.atime, 1000);
    assert_int_equal(attrs.mtime, 2000000001);
    assert_int_equal(attrs.uid, 0);
    /* All is tried, and a file that may not be written still has times. */
    set.mtime = UINT32_MAX;
    assert_int_equal(fs->setstat(arg, "f", true, &set), denied());
    assert_true(attrs_of("f").mtime == UINT32_MAX);
    set = (struct sftp_fs_attrs){.has = SFTP_FS_MODE | SFTP_FS_TIMES, .mode = 0200};
    assert_int_equal(fs->setstat(arg, "f", true, &set), 0);
    assert_int_equal(attrs_of("f").mode, 0100644);
    assert_int_equal(attrs_of("f").mtime, 0);

    assert_int_equal(fs->mkdir(arg, "d", 0700), 0);
    set = (struct sftp_fs_attrs){
        .has = SFTP_FS_MODE | SFTP_FS_TIMES, .mode = 0500, .atime = 5, .mtime = 1234567890};
    assert_int_equal(fs->setstat(arg, "d", true, &set), 0);
    assert_int_equal(attrs_of("d").mode, 0040755);
    assert_int_equal(attrs_of("d").mtime, 1234567890);
    make_file("d/x", "");
    set = (struct sftp_fs_attrs){.has = SFTP_FS_SIZE};
    assert_int_equal(fs->setstat(arg, "d", true, &set), -EISDIR);
    assert_int_equal(fs->setstat(arg, "f", false, &set), -EINVAL);
    set.size = UINT64_MAX;
    assert_int_equal(fs->setstat(arg, "f", true, &set), -EINVAL);

    set = (struct sftp_fs_attrs){.has = SFTP_FS_OWNER};
    assert_int_equal(fs->setstat(arg, "f", true, &set), 0);
    set.uid = 5;
    assert_int_equal(fs->setstat(arg, "f", true, &set), -EPERM);
    assert_string_equal(fs->words(arg),
                        "The owners of files have no numbers on Windows, and are not set here");
    assert_int_equal(fs->setstat(arg, "no", true, &set), -ENOENT);
    assert_int_equal(fs->setstat(arg, "/", true, &set), -EACCES);

    make_file("run.EXE", "");
    assert_int_equal(attrs_of("run.EXE").mode, 0100755);
    assert_int_equal(attrs_of("/").mode, 0040755);
    assert_int_equal(attrs_of("/C:").mode, 0040755);
    assert_int_equal(find("/Q:"), -ENOENT);
    assert_int_equal(find("f/"), -ENOTDIR);
}

static void attributes_of_open_files(void **state)
{
    struct sftp_fs_attrs set = {.has = SFTP_FS_TIMES | SFTP_FS_MODE, .mode = 0444, .atime = 1, .mtime = 77},
                         attrs;
    (void)state;
    make_file("f", "0123456789");
    struct sftp_fs_file *file = open_as("f", SFTP_FS_READ, 0);
    assert_int_equal(fs->fsetstat(arg, file, &set), 0);
    assert_int_equal(fs->fstat(arg, file, &attrs), 0);
    assert_int_equal(attrs.mtime, 77);
    assert_int_equal(attrs.mode, 0100444);
    set.has = SFTP_FS_SIZE;
    assert_int_equal(fs->fsetstat(arg, file, &set), -EINVAL);
    assert_int_equal(fs->close(arg, file), 0);

    file = open_as("g", SFTP_FS_WRITE | SFTP_FS_CREATE, 0644);
    assert_int_equal(fs->write(arg, file, "abc", 3, 0), 0);
    set = (struct sftp_fs_attrs){.has = SFTP_FS_SIZE | SFTP_FS_TIMES, .size = 100, .mtime = 99};
    assert_int_equal(fs->fsetstat(arg, file, &set), 0);
    assert_int_equal(fs->close(arg, file), 0);
    assert_int_equal(attrs_of("g").size, 100);
    assert_int_equal(attrs_of("g").mtime, 99);
}

static void listing(void **state)
{
    static const wchar_t *const names[] = {L"plain", L"\u6f22\u5b57 \xd83d\xde00.txt", L"it's", L".dot",
                                           L"hidden"};
    static struct sftp_fs_entry entry;
    struct sftp_fs_dir *dir = NULL;
    bool seen[COUNT(names)] = {false};
    wchar_t wide[300];
    int r, dots = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        CloseHandle(CreateFileW(names[i], GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL));
    assert_true(SetFileAttributesW(L"hidden", FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM));
    assert_int_equal(fs->opendir(arg, ".", &dir), 0);
    while ((r = fs->readdir(arg, dir, &entry)) == 1) {
        dots += strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0;
        assert_true(sftp_fs_windows_to_wide(entry.name, strlen(entry.name), wide, COUNT(wide)) > 0);
        for (size_t i = 0; i < COUNT(names); i++)
            if (wcscmp(wide, names[i]) == 0) {
                assert_false(seen[i]);
                seen[i] = true;
                assert_memory_equal(entry.long_name, "-rw-r--r--    1 -        -               0 ", 43);
                assert_string_equal(entry.long_name + strlen(entry.long_name) - strlen(entry.name),
                                    entry.name);
            }
    }
    fs->closedir(arg, dir);
    assert_int_equal(r, 0);
    assert_int_equal(dots, 2);
    for (size_t i = 0; i < COUNT(names); i++)
        assert_true(seen[i]);
    make_file("f", "");
    assert_int_equal(fs->opendir(arg, "f", &dir), -ENOTDIR);
    assert_int_equal(fs->opendir(arg, "no", &dir), -ENOENT);
    assert_int_equal(fs->opendir(arg, "/Q:", &dir), -ENOENT);
    assert_int_equal(fs->opendir(arg, "/Q:/x", &dir), -ENOENT);
}

static void listing_the_drives(void **state)
{
    static struct sftp_fs_entry entry;
    struct sftp_fs_dir *dir = NULL;
    DWORD found = 0;
    unsigned dots = 0;
    int r;
    (void)state;
    assert_int_equal(fs->opendir(arg, "/", &dir), 0);
    while ((r = fs->readdir(arg, dir, &entry)) == 1) {
        assert_int_equal(entry.attrs.mode, 0040755);
        if (entry.name[0] == '.')
            dots++;
        else
            found |= 1u << (entry.name[0] - 'A');
        assert_true(entry.name[0] == '.' || strcmp(entry.name + 1, ":") == 0);
    }
    fs->closedir(arg, dir);
    assert_int_equal(r, 0);
    assert_int_equal(dots, 2);
    assert_int_equal(found, GetLogicalDrives());
    assert_true(is_listed("/C:", "windows") || is_listed("/C:", "Windows"));
    assert_true(is_listed("/C:", ".."));
}

static void space(void **state)
{
    struct sftp_fs_space of_path, of_file;
    ULARGE_INTEGER available, total, unused;
    (void)state;
    make_file("f", "");
    assert_int_equal(fs->statvfs(arg, "f", &of_path), 0);
    assert_true(GetDiskFreeSpaceExW(L"C:\\", &available, &total, &unused));
    assert_true(of_path.blocks == total.QuadPart / of_path.fragment_size);
    assert_true(of_path.blocks > of_path.blocks_free && of_path.blocks_free >= of_path.blocks_available);
    assert_false(of_path.read_only);
    struct sftp_fs_file *file = open_as("f", SFTP_FS_READ, 0);
    assert_int_equal(fs->fstatvfs(arg, file, &of_file), 0);
    assert_true(of_file.id == of_path.id && of_file.blocks == of_path.blocks);
    assert_int_equal(fs->close(arg, file), 0);
    assert_int_equal(fs->statvfs(arg, "no", &of_path), -ENOENT);
    assert_int_equal(fs->statvfs(arg, "/", &of_path), 0);
    assert_int_equal(of_path.blocks, 0);
}

static void accounts(void **state)
{
    char home[SFTP_FS_PATH_MAX], again[SFTP_FS_PATH_MAX];
    wchar_t wide[257];
    DWORD size = COUNT(wide);
    (void)state;
    assert_int_equal(fs->home(arg, "", home), 0);
    assert_int_equal(strncmp(home, "/C:/", 4), 0);
    assert_int_equal(attrs_of(home).mode, 0040755);
    char *name = NULL;
    assert_true(GetUserNameW(wide, &size));
    assert_int_equal(win_utf8(wide, &name), 0);
    assert_int_equal(fs->home(arg, name, again), 0);
    assert_string_equal(home, again);
    free(name);
    assert_int_equal(fs->home(arg, "no-such-account", home), -ENOENT);
    assert_int_equal(fs->home(arg, "\xff", home), -ENOENT);
    assert_string_equal(fs->user_name(arg, 0), "-");
    assert_string_equal(fs->group_name(arg, 5), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(attributes, begin, end),
        cmocka_unit_test_setup_teardown(attributes_of_open_files, begin, end),
        cmocka_unit_test_setup_teardown(listing, begin, end),
        cmocka_unit_test_setup_teardown(listing_the_drives, begin, end),
        cmocka_unit_test_setup_teardown(space, begin, end),
        cmocka_unit_test_setup_teardown(accounts, begin, end),
    };
    return cmocka_run_group_tests_name("sshd_sftp_attrs_windows", tests, NULL, NULL);
}
