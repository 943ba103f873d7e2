/* How the server's process is prepared on Windows. */
#include "cmocka_all.h"

#include "base/win.h"
#include "sshd/serve.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(libraries_beside_the_program_are_not_loaded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
