/* How the SFTP server understands or refuses a path on Windows, and what links say. That is told from bytes: not every
 * system lets everybody make one. */
#include "sshd_sftp_windows.h"

static void understood(const char *path, const char *text, const wchar_t *wide)
{
    static struct sftp_fs_windows_path p;
    assert_int_equal(sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_LOOK, &p), 0);
    assert_string_equal(p.text, text);
    assert_int_equal(wcscmp(p.wide, wide), 0);
}

static void paths(void **state)
{
    (void)state;
    understood("/", "/", L"");
    understood("//", "/", L"");
    understood("/..", "/", L"");
    understood("/.", "/", L"");
    understood("/C:", "/C:/", L"\\\\?\\C:\\");
    understood("/c:/", "/C:/", L"\\\\?\\C:\\");
    understood("c:", "/C:/", L"\\\\?\\C:\\");
    understood("c:/", "/C:/", L"\\\\?\\C:\\");
    understood("//C:/a", "/C:/a", L"\\\\?\\C:\\a");
    understood("/C:/..", "/", L"");
    understood("/C:/../../..", "/", L"");
    understood("/C:/../D:/x", "/D:/x", L"\\\\?\\D:\\x");
    understood("/C:/a/../b/./c//d/", "/C:/b/c/d", L"\\\\?\\C:\\b\\c\\d");
    understood("/C:/a/b/../..", "/C:/", L"\\\\?\\C:\\");
    understood("z:/a b/.x/x.y..z", "/Z:/a b/.x/x.y..z", L"\\\\?\\Z:\\a b\\.x\\x.y..z");
    understood("/C:/Users/x/d:/y", "/D:/y", L"\\\\?\\D:\\y");
    understood("/C:/\xe6\xbc\xa2\xf0\x9f\x98\x80", "/C:/\xe6\xbc\xa2\xf0\x9f\x98\x80",
               L"\\\\?\\C:\\\u6f22\xd83d\xde00");
    understood("/C:/console/com/com0/lpt10/nulls/aux-/conin", "/C:/console/com/com0/lpt10/nulls/aux-/conin",
               L"\\\\?\\C:\\console\\com\\com0\\lpt10\\nulls\\aux-\\conin");
}

static void relative_paths(void **state)
{
    static struct sftp_fs_windows_path p;
    char expected[SFTP_FS_PATH_MAX + 16];
    (void)state;
    assert_int_equal(sftp_fs_windows_path(arg, "a/./b/..", SFTP_FS_WINDOWS_LOOK, &p), 0);
    snprintf(expected, sizeof expected, "%s/a", here);
    assert_int_equal(_stricmp(p.text, expected), 0);
    assert_int_equal(sftp_fs_windows_path(arg, "../../../../../../../../..", SFTP_FS_WINDOWS_LOOK, &p), 0);
    assert_string_equal(p.text, "/");
}

static void names_that_are_refused(void **state)
{
    static const char *const refused[] = {
        "/C:/a\\b",        "/C:/a:b",
        "/C:/a:$DATA",     "/C:/a::$DATA",
        "/C:/a<",          "/C:/>",
        "/C:/\"",          "/C:/a|b",
        "/C:/?",           "/C:/*",
        "/C:/\x01",        "/C:/a\nb",
        "/C:/a.",          "/C:/a ",
        "/C:/...",         "/C:/ ",
        "/C:/a /b",        "/C:/a./b",
        "/C:/CON",         "/C:/con",
        "/C:/Nul.txt",     "/C:/aux .c",
        "/C:/PRN/x",       "/C:/com1",
        "/C:/COM9.a.b",    "/C:/lpt1",
        "/C:/com\xc2\xb9", "/C:/LPT\xc2\xb3.x",
        "/C:/conin$",      "/C:/CONOUT$",
        "/C:/\xff",        "/C:/\xc0\xaf",
        "/C:/\xe2\x82",    "/C:/\xed\xa0\xbd\xed\xb8\x80",
        "C:\\x",           "/C:x",
        "/C:/x/D:y",
    };
    static const char *const nowhere[] = {"/x",
                                          "/Users/x",
                                          "//server/share",
                                          "//?/C:/x",
                                          "//./pipe/x",
                                          "/?"
                                          "?/C:/x",
                                          "/\\\\.\\pipe\\x",
                                          "/Volume{x}/",
                                          "/CC:/x",
                                          "/1:/x",
                                          "/:/",
                                          "/\xc3\xa4:"};
    static struct sftp_fs_windows_path p;
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        assert_int_equal(sftp_fs_windows_path(arg, refused[i], SFTP_FS_WINDOWS_MAKE, &p),
                         strncmp(refused[i], "/C:x", 4) == 0 ? -EACCES : -EILSEQ);
        assert_non_null(fs->words(arg));
        assert_int_equal(sftp_fs_windows_path(arg, refused[i], SFTP_FS_WINDOWS_LOOK, &p), -ENOENT);
        assert_non_null(fs->words(arg));
        assert_null(fs->words(arg));
    }
    for (size_t i = 0; i < COUNT(nowhere); i++) {
        assert_int_equal(sftp_fs_windows_path(arg, nowhere[i], SFTP_FS_WINDOWS_LOOK, &p), -ENOENT);
        assert_string_equal(
            fs->words(arg),
            "Only the drives of the machine are in /, such as /C:, and network shares have no path here");
        assert_int_equal(sftp_fs_windows_path(arg, nowhere[i], SFTP_FS_WINDOWS_MAKE, &p), -EACCES);
    }
    assert_int_equal(sftp_fs_windows_path(arg, "", SFTP_FS_WINDOWS_LOOK, &p), -ENOENT);
    /* The same by the calls of a client. */
    assert_int_equal(try_open("a:b", SFTP_FS_WRITE | SFTP_FS_CREATE), -EILSEQ);
    assert_int_equal(try_open("nul", SFTP_FS_WRITE), -ENOENT);
    assert_int_equal(fs->mkdir(arg, "x.", 0755), -EILSEQ);
    make_file("x", "");
    assert_int_equal(fs->rename(arg, "x", "con", true), -EILSEQ);
    assert_int_equal(fs->hardlink(arg, "x", "y "), -EILSEQ);
    assert_int_equal(fs->symlink(arg, "a\\b", "l"), -EILSEQ);
    assert_int_equal(fs->symlink(arg, "x", "l?"), -EILSEQ);
    assert_int_equal(fs->symlink(arg, "//server/share", "l"), -EACCES);
    assert_int_equal(find("x::$DATA"), -ENOENT);
}

static void long_names(void **state)
{
    static char path[SFTP_FS_PATH_MAX + 10];
    static struct sftp_fs_windows_path p;
    (void)state;
    memcpy(path, "/C:/", 5);
    memset(path + 4, 'x', 255);
    assert_int_equal(sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_MAKE, &p), 0);
    path[4 + 255] = 'x';
    assert_int_equal(sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_MAKE, &p), -ENAMETOOLONG);
    memset(path, 0, sizeof path);
    for (size_t i = 0; i < 600; i++)
        memcpy(path + 3 * i, i == 0 ? "C:/" : "\xe6\xbc\xa2", 3);
    path[3 + 3 * 255] = '\0';
    assert_int_equal(sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_MAKE, &p), 0);
    memcpy(path + 3 + 3 * 255, "x", 2);
    assert_int_equal(sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_MAKE, &p), -ENAMETOOLONG);
    /* As long as a client's path can be, and longer with the folder in front. */
    for (size_t i = 0; i < SFTP_FS_PATH_MAX - 1; i++)
        path[i] = i % 2 == 0 ? 'a' : '/';
    path[SFTP_FS_PATH_MAX - 1] = '\0';
    memcpy(path, "/C:", 3);
    assert_int_equal(sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_LOOK, &p), 0);
    memcpy(path, "aaa", 3);
    assert_int_equal(sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_LOOK, &p), -ENAMETOOLONG);
}

static void names_that_are_no_utf16(void **state)
{
    const wchar_t halves[] = {0xd83d, L'a', 0xde00, 0xde00, 0xd83d, 0xd83d, 0xde00, 0xdfff, 0};
    wchar_t wide[20];
    char text[40];
    (void)state;
    long n = sftp_fs_windows_to_text(halves, wcslen(halves), text, sizeof text);
    assert_int_equal(n, 3 + 1 + 3 + 3 + 3 + 4 + 3);
    assert_int_equal(sftp_fs_windows_to_wide(text, (size_t)n, wide, 20), 8);
    assert_int_equal(wcscmp(wide, halves), 0);
    assert_int_equal(sftp_fs_windows_to_wide("\xed\xa0\xbd\xed\xb8\x80", 6, wide, 20), -EILSEQ);
    assert_int_equal(sftp_fs_windows_to_wide("\xed\xa0", 2, wide, 20), -EILSEQ);
    assert_int_equal(sftp_fs_windows_to_wide("abc", 3, wide, 3), -ENAMETOOLONG);
    assert_int_equal(sftp_fs_windows_to_text(L"abc", 3, text, 5), -ENAMETOOLONG);
}

static void real_paths(void **state)
{
    char found[SFTP_FS_PATH_MAX];
    (void)state;
    assert_int_equal(strncmp(here, "/C:/", 4), 0);
    assert_int_equal(fs->mkdir(arg, "Folder", 0755), 0);
    make_file("Folder/File.txt", "x");
    leads_to("/", "/");
    leads_to("/c:", "/C:/");
    leads_to(".", "");
    leads_to("./Folder/../Folder/", "Folder");
    leads_to("FOLDER/file.TXT", "Folder/File.txt");
    leads_to("folder/New Name", "Folder/New Name");
    leads_to("/c:/New Name", "/C:/New Name");
    leads_to("/c:/New Name/../..", "/");
    assert_int_equal(fs->realpath(arg, "nothing/", found), -ENOENT);
    assert_int_equal(fs->realpath(arg, "nothing/x", found), -ENOENT);
    assert_int_equal(fs->realpath(arg, "Folder/File.txt/x", found), -ENOTDIR);
    assert_int_equal(fs->realpath(arg, "/Q:/", found), -ENOENT);
    assert_int_equal(fs->realpath(arg, "", found), -ENOENT);
    assert_int_equal(fs->realpath(arg, "a:b", found), -ENOENT);
}

/* A reparse point as Windows gives it. */
static size_t write_link(uint8_t *out, uint32_t tag, bool relative, const wchar_t *meant)
{
    uint16_t bytes = (uint16_t)(wcslen(meant) * 2), zero = 0;
    uint32_t flags = relative ? 1 : 0;
    bool symbolic = tag == (uint32_t)IO_REPARSE_TAG_SYMLINK;
    size_t n = symbolic ? 20 : 16;
    uint16_t whole = (uint16_t)(n - 8 + bytes);
    memcpy(out, &tag, 4);
    memcpy(out + 4, &whole, 2);
    memcpy(out + 6, &zero, 2);
    memcpy(out + 8, &zero, 2);
    memcpy(out + 10, &bytes, 2);
    memcpy(out + 12, &bytes, 2);
    memcpy(out + 14, &zero, 2);
    if (symbolic)
        memcpy(out + 16, &flags, 4);
    memcpy(out + n, meant, bytes);
    return n + bytes;
}

static void what_links_say(void **state)
{
    static const struct {
        bool junction, relative;
        const wchar_t *meant;
        int r;
        const char *target;
    } links[] = {
        {false, false, L"\\??\\C:\\Users\\me", 0, "/C:/Users/me"},
        {false, false, L"\\??\\c:\\", 0, "/C:/"},
        {false, true, L"..\\a b\\\u6f22", 0, "../a b/\xe6\xbc\xa2"},
        {false, true, L"file", 0, "file"},
        {false, true, L"\\top", 0, "/D:/top"},
        {true, false, L"\\??\\E:\\data\\", 0, "/E:/data"},
        {true, false, L"\\??\\Volume{01234567-89ab-cdef-0123-456789abcdef}\\", -EINVAL, NULL},
        {false, false, L"\\??\\UNC\\server\\share\\x", 0, "//server/share/x"},
        {false, false, L"\\??\\pipe\\x", -EINVAL, NULL},
        {false, false, L"", -EINVAL, NULL},
    };
    _Alignas(8) uint8_t data[512];
    char out[SFTP_FS_PATH_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(links); i++) {
        uint32_t tag = (uint32_t)(links[i].junction ? IO_REPARSE_TAG_MOUNT_POINT : IO_REPARSE_TAG_SYMLINK);
        size_t n = write_link(data, tag, links[i].relative, links[i].meant);
        assert_int_equal(sftp_fs_windows_link_target(data, n, 'D', out), links[i].r);
        if (links[i].r == 0)
            assert_string_equal(out, links[i].target);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(sftp_fs_windows_link_target(data, k, 'D', out), -EINVAL);
    }
    size_t n = write_link(data, (uint32_t)IO_REPARSE_TAG_SYMLINK, true, L"abcdef");
    data[8] = 2; /* begins later than there is room for */
    assert_int_equal(sftp_fs_windows_link_target(data, n, 'D', out), -EINVAL);
    data[8] = 0;
    data[10] = 3; /* half a character */
    assert_int_equal(sftp_fs_windows_link_target(data, n, 'D', out), -EINVAL);
    n = write_link(data, 0x80000017u, true, L"abcdef");
    assert_int_equal(sftp_fs_windows_link_target(data, n, 'D', out), -EINVAL);
    assert_true(sftp_fs_windows_is_link(
        &(struct sftp_fs_windows_facts){.attributes = FILE_ATTRIBUTE_REPARSE_POINT | FILE_ATTRIBUTE_DIRECTORY,
                                        .tag = (DWORD)IO_REPARSE_TAG_MOUNT_POINT}));
    assert_false(sftp_fs_windows_is_link(
        &(struct sftp_fs_windows_facts){.attributes = FILE_ATTRIBUTE_REPARSE_POINT, .tag = 0x9000001au}));
}

static void symbolic_links(void **state)
{
    char target[SFTP_FS_PATH_MAX];
    (void)state;
    make_file("f", "text");
    assert_int_equal(fs->readlink(arg, "f", target), -EINVAL);
    assert_non_null(fs->words(arg));
    assert_int_equal(fs->readlink(arg, "no", target), -ENOENT);
    assert_int_equal(fs->symlink(arg, "/", "l"), -EINVAL);
    assert_int_equal(fs->mkdir(arg, "d", 0755), 0);
    int r = fs->symlink(arg, "../f", "d/l");
    if (r == -ENOSYS || r == -EPERM) {
        /* Not here, or not for this account: said so, and nothing was made. */
        assert_non_null(fs->words(arg));
        assert_int_equal(find("d/l"), -ENOENT);
        skip();
    }
    assert_int_equal(r, 0);
    assert_int_equal(fs->symlink(arg, "f", "d/l"), -EEXIST);
    struct sftp_fs_attrs attrs;
    assert_int_equal(fs->stat(arg, "d/l", false, &attrs), 0);
    assert_int_equal(attrs.mode, 0120777);
    assert_int_equal(attrs_of("d/l").size, 4);
    assert_int_equal(fs->readlink(arg, "d/l", target), 0);
    assert_string_equal(target, "../f");
    leads_to("d/l", "f");
    assert_int_equal(try_open("d/l", SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_EXCLUSIVE), -EEXIST);
    assert_int_equal(fs->symlink(arg, here, "up"), 0);
    assert_int_equal(fs->readlink(arg, "up", target), 0);
    assert_string_equal(target, here);
    has_text("up/f", "text");
    assert_int_equal(fs->rmdir(arg, "up"), -ENOTDIR);
    assert_int_equal(fs->remove(arg, "up"), 0);
    has_text("f", "text");
}

static void paths_beyond_260(void **state)
{
    char path[1500] = "", name[1600];
    size_t n = 0;
    (void)state;
    while (n < 1000) {
        n += (size_t)snprintf(path + n, sizeof path - n, "%s%050d", n == 0 ? "" : "/", (int)n);
        assert_int_equal(fs->mkdir(arg, path, 0755), 0);
    }
    snprintf(name, sizeof name, "%s/file", path);
    make_file(name, "deep");
    has_text(name, "deep");
    assert_true(is_listed(path, "file"));
    leads_to(name, name);
    snprintf(name, sizeof name, "%s/other", path);
    snprintf(path + n, sizeof path - n, "/file");
    assert_int_equal(fs->rename(arg, path, name, false), 0);
    assert_int_equal(fs->hardlink(arg, name, path), 0);
    struct sftp_fs_space space;
    assert_int_equal(fs->statvfs(arg, name, &space), 0);
    assert_int_equal(fs->setstat(arg, name, true, &(struct sftp_fs_attrs){.has = SFTP_FS_TIMES, .mtime = 3}),
                     0);
    assert_int_equal(attrs_of(path).mtime, 3);
}

static void a_name_that_is_no_utf16(void **state)
{
    (void)state;
    /* Half a pair: not every file system of Wine's host takes it. */
    const wchar_t name[] = {L'a', 0xd83d, L'b', 0};
    HANDLE file = CreateFileW(name, GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL);
    if (file == INVALID_HANDLE_VALUE)
        skip();
    CloseHandle(file);
    assert_true(is_listed(".", "a\xed\xa0\xbd"
                               "b"));
    assert_int_equal(find("a\xed\xa0\xbd"
                          "b"),
                     0);
    assert_int_equal(fs->remove(arg, "a\xed\xa0\xbd"
                                     "b"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(paths, begin, end),
        cmocka_unit_test_setup_teardown(relative_paths, begin, end),
        cmocka_unit_test_setup_teardown(names_that_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(long_names, begin, end),
        cmocka_unit_test_setup_teardown(names_that_are_no_utf16, begin, end),
        cmocka_unit_test_setup_teardown(real_paths, begin, end),
        cmocka_unit_test_setup_teardown(what_links_say, begin, end),
        cmocka_unit_test_setup_teardown(symbolic_links, begin, end),
        cmocka_unit_test_setup_teardown(paths_beyond_260, begin, end),
        cmocka_unit_test_setup_teardown(a_name_that_is_no_utf16, begin, end),
    };
    return cmocka_run_group_tests_name("sshd_sftp_paths_windows", tests, NULL, NULL);
}
