/* Programs that may run as the system, and folders that it believes. Made for Wine, which keeps the owner and the rights
 * of others and little more: what counts of an access list is test_acl_windows.c's. */
#include "cmocka_all.h"

#include "agent/rights_windows.h"
#include "base/fs.h"
#include "base/win.h"
#include <aclapi.h>
#include <errno.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char root[FS_PATH_MAX];

static wchar_t *wide_of(const char *path)
{
    wchar_t *wide = NULL;
    assert_int_equal(win_path(path, &wide), 0);
    return wide;
}

static const char *below(const char *name)
{
    static char path[4][FS_PATH_MAX];
    static unsigned at;
    char *out = path[at++ % 4];
    assert_int_equal(fs_join(out, FS_PATH_MAX, root, name), 0);
    return out;
}

static void make_folder(const char *path)
{
    wchar_t *wide = wide_of(path);
    assert_true(CreateDirectoryW(wide, NULL));
    free(wide);
}

static void make_file(const char *path)
{
    assert_int_equal(fs_write_atomic(path, "x", 1, 0600), 0);
}

static void open_to_all(const char *path)
{
    wchar_t *wide = wide_of(path);
    PSECURITY_DESCRIPTOR sd = NULL;
    PACL acl = NULL;
    BOOL present, defaulted;
    assert_true(
        ConvertStringSecurityDescriptorToSecurityDescriptorW(L"D:(A;;FA;;;WD)", SDDL_REVISION_1, &sd, NULL));
    assert_true(GetSecurityDescriptorDacl(sd, &present, &acl, &defaulted));
    assert_int_equal(
        SetNamedSecurityInfoW(wide, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, acl, NULL),
        ERROR_SUCCESS);
    LocalFree(sd);
    free(wide);
}

static void assert_says(const struct errmsg *err, const char *words)
{
    if (strstr(err->text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err->text, words);
}

static void real_paths(void **state)
{
    char *path = NULL;
    char dotted[FS_PATH_MAX];
    (void)state;
    make_file(below("Program.exe"));
    snprintf(dotted, sizeof dotted, "%s/./program.EXE", root);
    assert_int_equal(rights_real_path(dotted, &path), 0);
    assert_string_equal(path, below("Program.exe"));
    free(path);
    path = NULL;
    assert_int_equal(rights_real_path(below("missing"), &path), -ENOENT);
    assert_null(path);
}

static void programs(void **state)
{
    struct errmsg err = {""};
    (void)state;
    make_folder(below("p"));
    make_folder(below("p\\q"));
    make_file(below("p\\q\\a.exe"));
    int r = rights_check_program(below("p\\q\\a.exe"), &err);
    if (r != 0)
        fail_msg("%d: %s", r, err.text);
    open_to_all(below("p\\q\\a.exe"));
    assert_int_equal(rights_check_program(below("p\\q\\a.exe"), &err), -EACCES);
    assert_says(&err, "Program Files");
    make_file(below("p\\q\\b.exe"));
    open_to_all(below("p\\q"));
    assert_int_equal(rights_check_program(below("p\\q\\b.exe"), &err), -EACCES);
    make_folder(below("p\\r"));
    make_file(below("p\\r\\c.exe"));
    assert_int_equal(rights_check_program(below("p\\r\\c.exe"), &err), 0);
    open_to_all(below("p"));
    assert_int_equal(rights_check_program(below("p\\r\\c.exe"), &err), -EACCES);
    assert_int_equal(rights_check_program(below("p\\missing.exe"), &err), -ENOENT);
}

static void folders_are_made_and_taken(void **state)
{
    struct errmsg err = {""};
    (void)state;
    for (int i = 0; i < 2; i++) {
        int r = rights_close_folder(below("state"), &err);
        if (r != 0)
            fail_msg("%d: %s", r, err.text);
        make_file(below("state\\agent.conf"));
    }
    make_folder(below("state\\sshd"));
    make_file(below("state\\sshd\\sshd.conf"));
    assert_int_equal(rights_close_folder(below("state"), &err), 0);
}

static void folders_of_others_are_not(void **state)
{
    struct errmsg err = {""};
    (void)state;
    make_folder(below("other"));
    make_folder(below("other\\sshd"));
    make_file(below("other\\sshd\\sshd.conf"));
    open_to_all(below("other\\sshd\\sshd.conf"));
    assert_int_equal(rights_close_folder(below("other"), &err), -EACCES);
    assert_says(&err, "not to be trusted");
    assert_says(&err, "sshd.conf");

    make_file(below("a file"));
    assert_int_equal(rights_close_folder(below("a file"), &err), -ENOTDIR);
    assert_int_equal(rights_close_folder(below("missing\\folder"), &err), -ENOENT);

    make_folder(below("open"));
    open_to_all(below("open"));
    assert_int_equal(rights_close_folder(below("open\\folder"), &err), -EACCES);
    assert_says(&err, "in its place");
}

static void deep_folders_are_bounded(void **state)
{
    struct errmsg err = {""};
    char path[FS_PATH_MAX];
    (void)state;
    make_folder(below("deep"));
    snprintf(path, sizeof path, "%s", below("deep"));
    for (int i = 0; i < 9; i++) {
        strncat(path, "\\d", sizeof path - strlen(path) - 1);
        make_folder(path);
    }
    assert_int_equal(rights_close_folder(below("deep"), &err), -E2BIG);
}

static int remove_tree(const char *path)
{
    char inner[FS_PATH_MAX], name[FS_PATH_MAX];
    WIN32_FIND_DATAW found;
    assert_int_equal(fs_join(inner, sizeof inner, path, "*"), 0);
    wchar_t *wide = wide_of(inner);
    HANDLE list = FindFirstFileW(wide, &found);
    free(wide);
    while (list != INVALID_HANDLE_VALUE) {
        if (wcscmp(found.cFileName, L".") != 0 && wcscmp(found.cFileName, L"..") != 0 &&
            win_utf8_into(found.cFileName, name, sizeof name) == 0 &&
            fs_join(inner, sizeof inner, path, name) == 0) {
            wide = wide_of(inner);
            if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
                (void)remove_tree(inner);
            else
                DeleteFileW(wide);
            free(wide);
        }
        if (!FindNextFileW(list, &found)) {
            FindClose(list);
            break;
        }
    }
    wide = wide_of(path);
    int r = RemoveDirectoryW(wide) ? 0 : -1;
    free(wide);
    return r;
}

static int setup(void **state)
{
    wchar_t temp[MAX_PATH + 1];
    char *text = NULL, name[FS_PATH_MAX];
    (void)state;
    assert_true(GetTempPathW(MAX_PATH, temp) > 0);
    assert_int_equal(win_utf8(temp, &text), 0);
    snprintf(name, sizeof name, "%smultissh-rights-%lu-%llu", text, GetCurrentProcessId(), GetTickCount64());
    make_folder(name);
    free(text);
    text = NULL;
    assert_int_equal(rights_real_path(name, &text), 0);
    snprintf(root, sizeof root, "%s", text);
    free(text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return remove_tree(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_paths),
        cmocka_unit_test(programs),
        cmocka_unit_test(folders_are_made_and_taken),
        cmocka_unit_test(folders_of_others_are_not),
        cmocka_unit_test(deep_folders_are_bounded),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
