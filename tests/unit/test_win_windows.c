/* Text, paths, errors and the environment of Windows. */
#include "cmocka_all.h"

#include "base/posix_windows.h"
#include "base/win.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static void text(void **state)
{
    static const char all[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa7";
    static const char *const broken[] = {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"};
    static const wchar_t half[] = {L'a', 0xd83d, 0};
    wchar_t *wide = NULL;
    char *back = NULL, out[sizeof all];
    (void)state;
    assert_int_equal(win_utf16(all, &wide), 0);
    assert_int_equal(wcslen(wide), 5);
    assert_int_equal(wide[3], 0xd83d);
    assert_int_equal(win_utf8(wide, &back), 0);
    assert_string_equal(back, all);
    assert_int_equal(win_utf8_into(wide, out, sizeof out), 0);
    assert_string_equal(out, all);
    assert_int_equal(win_utf8_into(wide, out, sizeof out - 1), -ENAMETOOLONG);
    assert_string_equal(out, "");
    assert_int_equal(win_utf8_into(wide, out, 0), -ENAMETOOLONG);
    free(wide);
    free(back);
    wide = NULL;
    back = NULL;
    for (size_t i = 0; i < COUNT(broken); i++)
        assert_int_equal(win_utf16(broken[i], &wide), -EILSEQ);
    assert_null(wide);
    assert_int_equal(win_utf8(half, &back), -EILSEQ);
    assert_null(back);
    assert_int_equal(win_utf8_into(half, out, sizeof out), -EILSEQ);
    assert_int_equal(win_utf16("", &wide), 0);
    assert_int_equal(wide[0], 0);
    free(wide);
}

static const char *path_of(const char *path)
{
    static char out[40000];
    wchar_t *wide = NULL;
    int r = win_path(path, &wide);
    if (r == 0)
        r = win_utf8_into(wide, out, sizeof out);
    if (r != 0)
        snprintf(out, sizeof out, "%d", r);
    free(wide);
    return out;
}

static void paths(void **state)
{
    char here[MAX_PATH], want[2 * MAX_PATH];
    wchar_t wide[MAX_PATH];
    (void)state;
    assert_string_equal(path_of("C:\\a\\b"), "C:\\a\\b");
    assert_string_equal(path_of("c:/a//b/./c/../d/"), "c:\\a\\b\\d\\");
    assert_string_equal(path_of("C:/../.."), "C:\\");
    assert_string_equal(path_of("//server/share/x/../y"), "\\\\server\\share\\y");
    assert_string_equal(path_of("\\\\?\\C:\\a"), "C:\\a");
    assert_string_equal(path_of("//?/c:/a/../b"), "c:\\b");
    assert_string_equal(path_of("\\\\?\\UNC\\server\\share\\x"), "\\\\server\\share\\x");
    assert_true(GetCurrentDirectoryW(MAX_PATH, wide) > 0);
    assert_int_equal(win_utf8_into(wide, here, sizeof here), 0);
    snprintf(want, sizeof want, "%s\\gr\xc3\xbc\xc3\x9f", here);
    assert_string_equal(path_of("gr\xc3\xbc\xc3\x9f"), want);
    assert_string_equal(path_of("."), here);
}

static void paths_that_are_none(void **state)
{
    static const char *const devices[] = {
        "NUL",
        "nul",
        "con",
        "C:\\a\\NUL",
        "\\\\.\\C:",
        "\\\\.\\PhysicalDrive0",
        "//./pipe/x",
        "\\\\?\\pipe",
        "\\\\?\\x",
        "\\??\\C:\\",
        "\\\\?\\Volume{1}\\",
        "\\\\?\\GLOBALROOT\\Device\\Null",
        "\\\\?\\C:foo",
    };
    char number[8];
    (void)state;
    snprintf(number, sizeof number, "%d", -EINVAL);
    for (size_t i = 0; i < COUNT(devices); i++) {
        /* That NUL and its like mean a device in every folder is so in Wine and Windows 10, and no more in 11. */
        if (strcmp(devices[i], "C:\\a\\NUL") != 0 && strcmp(path_of(devices[i]), number) != 0)
            fail_msg("%s: %s", devices[i], path_of(devices[i]));
    }
    snprintf(number, sizeof number, "%d", -ENOENT);
    assert_string_equal(path_of(""), number);
    snprintf(number, sizeof number, "%d", -EILSEQ);
    assert_string_equal(path_of("C:\\\xff"), number);
}

static void long_paths(void **state)
{
    char path[400];
    static char longest[40000];
    (void)state;
    memset(path, 'x', sizeof path);
    memcpy(path, "C:\\", 3);
    path[247] = '\0';
    assert_string_equal(path_of(path), path);
    path[247] = 'x';
    path[248] = '\0';
    assert_memory_equal(path_of(path), "\\\\?\\C:\\xx", 9);
    assert_int_equal(strlen(path_of(path)), 248 + 4);
    memcpy(path, "\\\\s\\t\\", 6);
    assert_memory_equal(path_of(path), "\\\\?\\UNC\\s\\t\\xx", 14);
    assert_int_equal(strlen(path_of(path)), 248 + 6);
    memset(longest, 'x', sizeof longest - 1);
    memcpy(longest, "C:\\", 3);
    assert_true(atoi(path_of(longest)) < 0);
}

static void errors(void **state)
{
    char words[300];
    (void)state;
    assert_int_equal(win_errno(ERROR_FILE_NOT_FOUND), -ENOENT);
    assert_int_equal(win_errno(ERROR_ACCESS_DENIED), -EACCES);
    assert_int_equal(win_errno(WSAEWOULDBLOCK), -EAGAIN);
    assert_int_equal(win_errno(WSAECONNREFUSED), -ECONNREFUSED);
    assert_int_equal(win_errno(ERROR_SUCCESS), -EIO); /* whoever asks has failed */
    assert_int_equal(win_errno(123456), -EIO);
    win_words(ERROR_ACCESS_DENIED, words, sizeof words);
    assert_non_null(strstr(words, "enied"));
    assert_non_null(strstr(words, " (5)"));
    assert_null(strpbrk(words, "\r\n"));
    assert_null(strstr(words, ". ("));
    win_words(123456, words, sizeof words);
    assert_non_null(strstr(words, " (123456)"));
    win_words(ERROR_ACCESS_DENIED, words, 10);
    assert_int_equal(strlen(words), 9);
}

/* What the C library has no words for, or none of use. */
static void words_of_codes(void **state)
{
    (void)state;
    assert_string_equal(strerror(ECONNREFUSED), "Connection refused");
    assert_string_equal(strerror(ETIMEDOUT), "Connection timed out");
    assert_string_equal(strerror(ENOENT), "No such file or directory");
    assert_string_equal(strerror(ESTALE), "Stale file handle");
    assert_string_equal(strerror(-UV_ECONNRESET), "connection reset by peer");
    assert_string_equal(strerror(-UV_EOF), "end of file");
    assert_string_equal(strerror(-UV_EAI_NONAME), "unknown node or service");
    assert_non_null(strstr(strerror(2999), "2999"));
    assert_true(strlen(strerror(ECHILD)) > 0);
}

static void pieces(void **state)
{
    static const char in[] = "ab\0aab\0b";
    (void)state;
    assert_ptr_equal(memmem(in, 8, "aab", 3), in + 3);
    assert_ptr_equal(memmem(in, 8, "b\0b", 3), in + 5);
    assert_ptr_equal(memmem(in, 8, "", 0), in);
    assert_ptr_equal(memmem(in, 8, in, 8), in);
    assert_null(memmem(in, 8, "b\0c", 3));
    assert_null(memmem(in, 2, "abc", 3));
    assert_null(memmem(in, 7, "b\0b", 3)); /* not beyond the end */
    char *copy = strndup("abc", 2);
    assert_string_equal(copy, "ab");
    free(copy);
    copy = strndup("abc", 10);
    assert_string_equal(copy, "abc");
    free(copy);
}

static void environment(void **state)
{
    wchar_t big[2000];
    (void)state;
    assert_null(win_env("MULTISSH_TEST_NOT_SET"));
    assert_true(SetEnvironmentVariableW(L"MULTISSH_TEST", L"\x20ac"));
    char *value = win_env("MULTISSH_TEST");
    assert_string_equal(value, "\xe2\x82\xac");
    free(value);
    wmemset(big, L'x', 1999);
    big[1999] = 0;
    assert_true(SetEnvironmentVariableW(L"MULTISSH_TEST", big));
    value = win_env("MULTISSH_TEST");
    assert_int_equal(strlen(value), 1999);
    free(value);
    assert_true(SetEnvironmentVariableW(L"MULTISSH_TEST", L""));
    value = win_env("MULTISSH_TEST");
    assert_string_equal(value, "");
    free(value);
}

static void arguments(void **state)
{
    int argc = 0;
    char **argv = NULL;
    (void)state;
    assert_int_equal(win_args(&argc, &argv), 0);
    assert_true(argc >= 1);
    assert_non_null(strstr(argv[0], "test_win_windows"));
    assert_null(argv[argc]);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    free(argv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),       cmocka_unit_test(paths),       cmocka_unit_test(paths_that_are_none),
        cmocka_unit_test(long_paths), cmocka_unit_test(errors),      cmocka_unit_test(words_of_codes),
        cmocka_unit_test(pieces),     cmocka_unit_test(environment), cmocka_unit_test(arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
