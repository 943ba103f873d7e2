/* Files and folders on Windows, in a real folder of their own. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/private_windows.h"
#include "base/win.h"
#include "portable.h"
#include <aclapi.h>
#include <errno.h>
#include <sddl.h>

static char dir[256];
static char path[FS_PATH_MAX];

static const char *in_dir(const char *name)
{
    assert_int_equal(fs_join(path, sizeof path, dir, name), 0);
    return path;
}

static int make_dir(void **state)
{
    (void)state;
    return portable_folder(dir, sizeof dir);
}

static int remove_dir(void **state)
{
    (void)state;
    return portable_remove(dir);
}

static void write_then_read(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 100000);
    assert_int_equal(fs_write_atomic(in_dir("f"), "old", 3, 0644), 0);
    assert_int_equal(fs_write_atomic(in_dir("f"), "new\0text\n", 9, 0600), 0);
    assert_int_equal(buf_append_str(&out, ">"), 0);
    assert_int_equal(fs_read(path, &out), 0);
    assert_int_equal(buf_len(&out), 10);
    assert_memory_equal(buf_data(&out), ">new\0text\n", 10);
    assert_int_equal(portable_entries(dir), 1);
    char *big = malloc(50000);
    memset(big, 'b', 50000);
    assert_int_equal(fs_write_atomic(in_dir("gr\xc3\xbc\xc3\x9f \xe2\x82\xac.key"), big, 50000, 0600), 0);
    buf_clear(&out);
    assert_int_equal(fs_read(path, &out), 0);
    assert_int_equal(buf_len(&out), 50000);
    assert_memory_equal(buf_data(&out), big, 50000);
    assert_int_equal(fs_write_atomic(path, NULL, 0, 0600), 0);
    buf_clear(&out);
    assert_int_equal(fs_read(path, &out), 0);
    assert_int_equal(buf_len(&out), 0);
    assert_int_equal(fs_sync_folder_of(path), 0);
    wchar_t *wide = NULL;
    assert_int_equal(win_path(path, &wide), 0);
    assert_true(DeleteFileW(wide)); /* it has the very name */
    free(wide);
    free(big);
    buf_release(&out);
}

static void refuses(void **state)
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
    assert_int_equal(fs_read(in_dir("none"), &out), -ENOENT);
    assert_int_equal(fs_read(in_dir("none/f"), &out), -ENOENT);
    assert_int_equal(fs_read(dir, &out), -EISDIR);
    assert_int_equal(fs_read("NUL", &out), -EINVAL);
    assert_int_equal(fs_read("\\\\.\\pipe\\multissh", &out), -EINVAL);
    assert_int_equal(fs_write_atomic(in_dir("none/f"), "x", 1, 0600), -ENOENT);
    assert_int_equal(fs_sync_folder_of(in_dir("none/f")), -ENOENT);
    /* What cannot be replaced stays, and nothing is left beside it. */
    assert_int_equal(fs_mkdir_private(in_dir("folder")), 0);
    assert_int_equal(fs_write_atomic(in_dir("folder"), "x", 1, 0600), -EISDIR);
    assert_int_equal(portable_entries(dir), 2);
    buf_release(&out);
}

struct holder {
    HANDLE file, held;
};

static DWORD WINAPI let_go_soon(void *arg)
{
    struct holder *h = arg;
    SetEvent(h->held);
    Sleep(150);
    CloseHandle(h->file);
    return 0;
}

/* As a virus scanner does: somebody has the file open for a moment, and allows nobody to take it away. */
static void one_who_holds_it_for_a_moment(void **state)
{
    struct holder h;
    struct buf out;
    wchar_t *wide = NULL;
    (void)state;
    assert_int_equal(fs_write_atomic(in_dir("f"), "old", 3, 0600), 0);
    assert_int_equal(win_path(path, &wide), 0);
    h.file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    assert_true(h.file != INVALID_HANDLE_VALUE);
    h.held = CreateEventW(NULL, TRUE, FALSE, NULL);
    HANDLE thread = CreateThread(NULL, 0, let_go_soon, &h, 0, NULL);
    assert_int_equal(WaitForSingleObject(h.held, 20000), WAIT_OBJECT_0);
    assert_int_equal(fs_write_atomic(path, "new", 3, 0600), 0);
    assert_int_equal(WaitForSingleObject(thread, 20000), WAIT_OBJECT_0);
    CloseHandle(thread);
    CloseHandle(h.held);
    buf_init(&out, 10);
    assert_int_equal(fs_read(path, &out), 0);
    assert_string_equal(buf_str(&out), "new");
    /* And one who does not let go. */
    h.file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    assert_true(h.file != INVALID_HANDLE_VALUE);
    int r = fs_write_atomic(path, "newer", 5, 0600);
    assert_true(r == -EACCES || r == -EBUSY);
    CloseHandle(h.file);
    buf_clear(&out);
    assert_int_equal(fs_read(path, &out), 0);
    assert_string_equal(buf_str(&out), "new");
    assert_int_equal(portable_entries(dir), 1);
    free(wide);
    buf_release(&out);
}

static DWORD WINAPI replace_again_and_again(void *arg)
{
    static char a[20000], b[30000];
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    for (int i = 0; i < 100; i++) {
        if (fs_write_atomic(arg, i % 2 == 0 ? b : a, i % 2 == 0 ? sizeof b : sizeof a, 0600) != 0)
            return 1;
    }
    return 0;
}

static void a_reader_sees_old_or_new(void **state)
{
    struct buf out;
    DWORD code = STILL_ACTIVE;
    size_t seen = 0;
    (void)state;
    buf_init(&out, 100000);
    assert_int_equal(fs_write_atomic(in_dir("f"), "", 0, 0600), 0);
    HANDLE thread = CreateThread(NULL, 0, replace_again_and_again, path, 0, NULL);
    while (WaitForSingleObject(thread, 0) == WAIT_TIMEOUT) {
        buf_clear(&out);
        int r = fs_read(path, &out);
        if (r == -EACCES || r == -EBUSY) /* in the middle of the change of names */
            continue;
        assert_int_equal(r, 0);
        size_t n = buf_len(&out);
        assert_true(n == 0 || n == 20000 || n == 30000);
        for (size_t i = 0; i < n; i++)
            assert_true(buf_data(&out)[i] == (n == 20000 ? 'a' : 'b'));
        seen++;
        Sleep(2); /* a file that somebody has open all the time cannot be replaced */
    }
    assert_true(GetExitCodeThread(thread, &code));
    assert_int_equal(code, 0);
    assert_true(seen > 0);
    assert_int_equal(portable_entries(dir), 1);
    CloseHandle(thread);
    buf_release(&out);
}

/* Deeper than 260 characters. */
static void long_paths(void **state)
{
    char deep[1000], up[1000];
    wchar_t *wide = NULL;
    struct buf out;
    int n = 0;
    (void)state;
    buf_init(&out, 10);
    n += snprintf(deep, sizeof deep, "%s", dir);
    for (int i = 0; i < 6; i++)
        n += snprintf(deep + n, sizeof deep - (size_t)n, "/%0100d", i);
    assert_int_equal(fs_mkdir_private(deep), 0);
    assert_int_equal(fs_mkdir_private(deep), 0);
    snprintf(deep + n, sizeof deep - (size_t)n, "/file");
    assert_int_equal(fs_write_atomic(deep, "deep", 4, 0600), 0);
    assert_int_equal(fs_write_atomic(deep, "down", 4, 0600), 0);
    assert_int_equal(fs_read(deep, &out), 0);
    assert_string_equal(buf_str(&out), "down");
    assert_int_equal(fs_check_private(deep), 0);
    buf_release(&out);
    assert_int_equal(win_path(deep, &wide), 0);
    assert_true(DeleteFileW(wide));
    free(wide);
    for (int i = 0; i < 6; i++) {
        snprintf(up, sizeof up, "%.*s", n - i * 101, deep);
        assert_int_equal(win_path(up, &wide), 0);
        assert_true(RemoveDirectoryW(wide));
        free(wide);
    }
}

static void folders(void **state)
{
    char *longest = malloc(FS_PATH_MAX + 10);
    (void)state;
    assert_int_equal(fs_mkdir_private(in_dir("a/b//c\\d/")), 0);
    assert_int_equal(fs_mkdir_private(in_dir("a\\b\\c\\d")), 0);
    assert_int_equal(fs_check_private(path), 0);
    assert_int_equal(fs_mkdir_private("C:\\"), 0);
    assert_int_equal(fs_mkdir_private("c:/"), 0);
    assert_int_equal(fs_mkdir_private(""), -ENOENT);
    assert_int_equal(fs_write_atomic(in_dir("file"), "", 0, 0600), 0);
    assert_int_equal(fs_mkdir_private(path), -ENOTDIR);
    assert_int_equal(fs_mkdir_private(in_dir("file/x")), -ENOTDIR);
    assert_int_equal(fs_check_private(in_dir("none")), -ENOENT);
    memset(longest, 'a', FS_PATH_MAX + 9);
    longest[FS_PATH_MAX + 9] = '\0';
    assert_int_equal(fs_mkdir_private(longest), -ENAMETOOLONG);
    assert_int_equal(fs_write_atomic(longest, "", 0, 0600), -ENAMETOOLONG);
    free(longest);
}

static void names(void **state)
{
    static const char *const absolute[] = {"C:\\", "c:/x", "\\\\server\\share", "//server/share"};
    static const char *const relative[] = {"", "x", "C:", "C:x", "\\x", "/x", "1:\\x", ".\\x"};
    char out[FS_PATH_MAX], self[FS_PATH_MAX];
    wchar_t wide[FS_PATH_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(absolute); i++)
        assert_true(fs_absolute(absolute[i]));
    for (size_t i = 0; i < COUNT(relative); i++)
        assert_false(fs_absolute(relative[i]));
    assert_int_equal(fs_join(out, 10, "12345", "6789"), -ENAMETOOLONG);
    assert_int_equal(fs_join(out, 11, "12345", "6789"), 0);
    assert_string_equal(out, "12345\\6789");
    assert_int_equal(fs_join(out, sizeof out, "C:\\", "x"), 0);
    assert_string_equal(out, "C:\\x");
    assert_int_equal(fs_join(out, sizeof out, "a/", "x"), 0);
    assert_string_equal(out, "a/x");
    assert_true(GetModuleFileNameW(NULL, wide, FS_PATH_MAX) > 0);
    assert_int_equal(win_utf8_into(wide, self, sizeof self), 0);
    assert_int_equal(fs_sibling_program("test_fs_windows", out, sizeof out), 0);
    assert_string_equal(out, self);
    assert_int_equal(fs_sibling_program("none", out, sizeof out), 0); /* beside it, where it would be */
    assert_int_equal(strcmp(out + strlen(out) - 9, "\\none.exe"), 0);
    assert_int_equal(fs_sibling_program("none", out, 9), -ENAMETOOLONG);
}

static int judged(const char *sddl)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    wchar_t *wide = NULL;
    assert_int_equal(win_utf16(sddl, &wide), 0);
    assert_true(
        ConvertStringSecurityDescriptorToSecurityDescriptorW(wide, SDDL_REVISION_1, &descriptor, NULL));
    int r = private_judge(descriptor);
    LocalFree(descriptor);
    free(wide);
    return r;
}

static void who_may(void **state)
{
    (void)state;
    assert_int_equal(judged("O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"), 0);
    assert_int_equal(judged("O:SYD:(A;;FA;;;SY)(A;;FA;;;OW)"), 0);
    assert_int_equal(judged("O:BAD:"), 0);                   /* nobody at all */
    assert_int_equal(judged("O:BAD:(D;;FA;;;WD)"), 0);       /* who is denied is given nothing */
    assert_int_equal(judged("O:BAD:(A;;0x100020;;;WD)"), 0); /* to pass through, and to wait for it */
    assert_int_equal(judged("O:BAD:(A;IOOICI;FA;;;WD)"), 0); /* for what will be in it */
    assert_int_equal(judged("O:BAD:(A;;FR;;;WD)"), -EPERM);  /* everybody reads */
    assert_int_equal(judged("O:BAD:(A;;GR;;;BU)"), -EPERM);  /* the users, by a generic right */
    assert_int_equal(judged("O:BAD:(A;;0x2;;;AU)"), -EPERM); /* writes */
    assert_int_equal(judged("O:BAD:(A;;WD;;;AU)"), -EPERM);  /* gives away rights */
    assert_int_equal(judged("O:BAD:(A;;WO;;;AU)"), -EPERM);  /* takes it */
    assert_int_equal(judged("O:BAD:(A;;SD;;;AU)"), -EPERM);  /* deletes it */
    assert_int_equal(judged("O:BAD:(A;;FR;;;S-1-5-21-1-2-3-1001)"), -EPERM); /* another account */
    assert_int_equal(judged("O:S-1-5-21-1-2-3-1001D:(A;;FA;;;SY)"), -EPERM);
    assert_int_equal(judged("O:WDD:(A;;FA;;;SY)"), -EPERM);
    assert_int_equal(judged("D:(A;;FA;;;SY)"), -EPERM); /* no owner */
    assert_int_equal(judged("O:BA"), -EPERM);           /* no list: all to everybody */
    assert_int_equal(judged("O:BAD:(A;;FA;;;SY)(A;;FR;;;WD)"), -EPERM);
}

/* The rights that are asked for when something private is made: nobody else's, and nothing from above. */
static void what_is_made(void **state)
{
    struct private_rights rights;
    wchar_t *sddl = NULL;
    SECURITY_DESCRIPTOR_CONTROL control;
    DWORD revision;
    PACL acl = NULL;
    BOOL present = FALSE, defaulted;
    (void)state;
    assert_int_equal(private_init(&rights), 0);
    assert_ptr_equal(rights.attributes.lpSecurityDescriptor, rights.descriptor);
    assert_false(rights.attributes.bInheritHandle);
    assert_true(GetSecurityDescriptorControl(rights.descriptor, &control, &revision));
    assert_true((control & SE_DACL_PROTECTED) != 0);
    assert_true(GetSecurityDescriptorDacl(rights.descriptor, &present, &acl, &defaulted));
    assert_true(present);
    assert_in_range(acl->AceCount, 2, 3); /* the third is for a user who is not elevated */
    assert_true(ConvertSecurityDescriptorToStringSecurityDescriptorW(rights.descriptor, SDDL_REVISION_1,
                                                                     DACL_SECURITY_INFORMATION, &sddl, NULL));
    assert_non_null(wcsstr(sddl, L"(A;OICI;FA;;;SY)"));
    assert_non_null(wcsstr(sddl, L"(A;OICI;FA;;;BA)"));
    LocalFree(sddl);
    private_release(&rights);
    private_release(&rights);
}

static void opened_to_others(void **state)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    wchar_t *wide = NULL;
    (void)state;
    assert_int_equal(fs_write_atomic(in_dir("f"), "", 0, 0600), 0);
    assert_int_equal(fs_check_private(path), 0);
    assert_int_equal(win_path(path, &wide), 0);
    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorW(
        L"D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FR;;;WD)", SDDL_REVISION_1, &descriptor, NULL));
    assert_true(SetFileSecurityW(wide, DACL_SECURITY_INFORMATION, descriptor));
    assert_int_equal(fs_check_private(path), -EPERM);
    assert_int_equal(fs_write_atomic(path, "again", 5, 0600), 0); /* a new file is private again */
    assert_int_equal(fs_check_private(path), 0);
    LocalFree(descriptor);
    free(wide);
}

/* As who is elevated (Wine: everybody) finds a folder that somebody else has prepared. */
static void a_folder_of_others(void **state)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    struct errmsg err = {""};
    wchar_t *wide = NULL;
    (void)state;
    assert_int_equal(private_check_folder(in_dir("none"), &err), 0);
    assert_int_equal(fs_mkdir_private(in_dir("theirs")), 0);
    assert_int_equal(fs_mkdir_private(path), 0);
    assert_int_equal(private_check_folder(path, &err), 0);
    assert_int_equal(win_path(path, &wide), 0);
    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorW(
        L"D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;WD)", SDDL_REVISION_1, &descriptor, NULL));
    assert_true(SetFileSecurityW(wide, DACL_SECURITY_INFORMATION, descriptor));
    assert_int_equal(private_check_folder(path, &err), -EPERM);
    assert_non_null(strstr(err.text, "not to be trusted"));
    assert_int_equal(fs_mkdir_private(path), -EPERM);
    assert_int_equal(fs_mkdir_private(in_dir("theirs\\below")),
                     0); /* the one above is the caller's to judge */
    LocalFree(descriptor);
    free(wide);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(write_then_read),
        CASE(refuses),
        CASE(one_who_holds_it_for_a_moment),
        CASE(a_reader_sees_old_or_new),
        CASE(long_paths),
        CASE(folders),
        cmocka_unit_test(names),
        cmocka_unit_test(who_may),
        cmocka_unit_test(what_is_made),
        CASE(opened_to_others),
        CASE(a_folder_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
