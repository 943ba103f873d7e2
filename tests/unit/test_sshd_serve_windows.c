/* How the server's process is prepared on Windows, and whose host keys it believes. */
#include "cmocka_all.h"

#include "base/fs.h"
#include "base/win.h"
#include "portable.h"
#include "sshd/identity.h"
#include "sshd/serve.h"
#include <errno.h>
#include <sddl.h>
#include <stdio.h>
#include <string.h>

#define PLANTED L"multissh-planted.dll"

/* One of the system's, under another name in this program's own folder. */
static void plant(wchar_t *ret_path, size_t size)
{
    wchar_t own[MAX_PATH + 1], from[MAX_PATH + 32];
    DWORD n = GetModuleFileNameW(NULL, own, MAX_PATH);
    assert_true(n > 0 && n < MAX_PATH);
    *wcsrchr(own, L'\\') = L'\0';
    assert_true(swprintf(ret_path, size, L"%ls\\" PLANTED, own) > 0);
    n = GetSystemDirectoryW(from, MAX_PATH);
    assert_true(n > 0 && n < MAX_PATH);
    wcscat(from, L"\\version.dll");
    assert_true(CopyFileW(from, ret_path, FALSE));
}

static bool is_loaded(void)
{
    HMODULE library = LoadLibraryW(PLANTED);
    if (library != NULL)
        FreeLibrary(library);
    return library != NULL;
}

static void libraries_beside_the_program_are_not_loaded(void **state)
{
    wchar_t path[MAX_PATH + 64];
    struct errmsg err = {""};
    char **argv = NULL;
    int argc = 0;
    (void)state;
    plant(path, sizeof path / sizeof path[0]);
    bool before = is_loaded();
    int rc = serve_prepare(&argc, &argv, &err);
    bool after = is_loaded();
    HMODULE system = LoadLibraryW(L"version.dll");
    DeleteFileW(path);
    assert_true(before);
    assert_int_equal(rc, 0);
    assert_int_equal(argc, 1);
    assert_false(after);
    assert_non_null(system);
    FreeLibrary(system);
}

static char folder[MAX_PATH + 8];

static void set_rights(const wchar_t *sddl)
{
    PSECURITY_DESCRIPTOR rights = NULL;
    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorW(sddl, SDDL_REVISION_1, &rights, NULL));
    assert_true(SetFileSecurityA(folder, DACL_SECURITY_INFORMATION, rights));
    LocalFree(rights);
}

/* As who is elevated (Wine: everybody): a folder that others may write into says nothing of who this machine is. */
static void host_keys_of_a_folder_of_others(void **state)
{
    char data[256], key[FS_PATH_MAX], out[FS_PATH_MAX];
    (void)state;
    assert_int_equal(portable_folder(data, sizeof data), 0);
    assert_true(SetEnvironmentVariableA("ProgramData", data));
    assert_true(identity_system(0, out, sizeof out) < 0); /* there is none */
    (void)snprintf(folder, sizeof folder, "%s\\ssh", data);
    assert_int_equal(fs_mkdir_private(folder), 0);
    (void)snprintf(key, sizeof key, "%s\\ssh_host_ed25519_key", folder);
    assert_int_equal(fs_write_atomic(key, "x", 1, 0600), 0);
    int closed = identity_system(0, out, sizeof out);
    set_rights(L"D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;WD)");
    int open = identity_system(0, out, sizeof out);
    assert_int_equal(portable_remove(data), 0);
    assert_int_equal(closed, 0);
    assert_int_equal(open, -EACCES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(libraries_beside_the_program_are_not_loaded),
                                       cmocka_unit_test(host_keys_of_a_folder_of_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
