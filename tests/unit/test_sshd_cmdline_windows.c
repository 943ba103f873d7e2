/* Command lines of Windows' shells: verbatim where they take it so, quoted by the rules of who splits them. */
#include "cmocka_all.h"

#include "base/win.h"
#include "sshd/cmdline_windows.h"
#include <errno.h>
#include <shellapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CMD "C:\\Windows\\System32\\cmd.exe"
#define PS "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"
#define BASH "C:\\Program Files\\Git\\bin\\bash.exe"

static void test_lines(void **state)
{
    static const struct {
        const char *program, *command, *line;
    } lines[] = {
        {CMD, NULL, "\"" CMD "\""},
        {CMD, "dir", "\"" CMD "\" /d /s /c \"dir\""},
        {CMD, "", "\"" CMD "\" /d /s /c \"\""},
        {CMD, "\"C:\\a b\\c.exe\" \"d\\\" & echo %PATH%",
         "\"" CMD "\" /d /s /c \"\"C:\\a b\\c.exe\" \"d\\\" & echo %PATH%\""},
        {"c:\\x\\CMD.EXE", "dir", "\"c:\\x\\CMD.EXE\" /d /s /c \"dir\""},
        {PS, NULL, "\"" PS "\""},
        {PS, "Get-Item \"a b\"", "\"" PS "\" -NoProfile -NonInteractive -Command \"Get-Item \\\"a b\\\"\""},
        {"C:/P/pwsh.exe", "a\\", "\"C:/P/pwsh.exe\" -NoProfile -NonInteractive -Command \"a\\\\\""},
        {BASH, NULL, "\"" BASH "\" -l"},
        {BASH, "echo \"$HOME\" \\\\ 'x'", "\"" BASH "\" -c \"echo \\\"$HOME\\\" \\\\\\\\ 'x'\""},
        {BASH, "C:\\x.exe", "\"" BASH "\" -c \" C:\\\\x.exe\""},
        {"C:\\t\\nu.exe", NULL, "\"C:\\t\\nu.exe\""},
        {"C:\\t\\nu.exe", "a\\b \\\"", "\"C:\\t\\nu.exe\" -c \"a\\b \\\\\\\"\""},
        {"C:\\t\\cmd.exe.exe", "x", "\"C:\\t\\cmd.exe.exe\" -c \"x\""},
        {"C:\\t\\bashful.exe", NULL, "\"C:\\t\\bashful.exe\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct errmsg err = {""};
        char *line = NULL;
        assert_int_equal(cmdline_shell(lines[i].program, lines[i].command, &line, &err), 0);
        assert_string_equal(line, lines[i].line);
        free(line);
    }
}

/* Linux' bash in the system's own folder is started by a program that splits its line as others do. */
static void test_bash_of_linux(void **state)
{
    struct errmsg err;
    char program[MAX_PATH + 16], expected[2 * MAX_PATH];
    char *line = NULL;
    UINT n = GetSystemDirectoryA(program, MAX_PATH);
    (void)state;
    assert_in_range(n, 1, MAX_PATH - 1);
    (void)snprintf(program + n, sizeof program - n, "\\bash.exe");
    (void)snprintf(expected, sizeof expected, "\"%s\" -c \"a\\\\b\"", program);
    assert_int_equal(cmdline_shell(program, "a\\\\b", &line, &err), 0);
    assert_string_equal(line, expected);
    free(line);
}

/* Windows itself splits what was joined. */
static void test_round_trip(void **state)
{
    static const char *const argv[] = {"C:\\a b\\program.exe",
                                       "",
                                       "plain",
                                       "a b",
                                       "\"",
                                       "\\",
                                       "\\\\",
                                       "\\\"",
                                       "a\\\\\"b\\",
                                       "tab\there",
                                       "two\nlines",
                                       "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80",
                                       "--x=\"y z\\\\\""};
    struct errmsg err;
    char *line = NULL;
    wchar_t *wide;
    wchar_t **split;
    int n = 0;
    (void)state;
    assert_int_equal(cmdline_join(argv, COUNT(argv), &line, &err), 0);
    assert_int_equal(win_utf16(line, &wide), 0);
    split = CommandLineToArgvW(wide, &n);
    assert_non_null(split);
    assert_int_equal(n, COUNT(argv));
    for (size_t i = 0; i < COUNT(argv); i++) {
        char *text;
        assert_int_equal(win_utf8(split[i], &text), 0);
        assert_string_equal(text, argv[i]);
        free(text);
    }
    LocalFree(split);
    free(wide);
    free(line);
}

static int length(const char *program, size_t n, char with, char *ret_text, size_t size)
{
    struct errmsg err = {""};
    char *line = NULL;
    char *command = malloc(n + 1);
    int rc;
    assert_non_null(command);
    memset(command, with, n);
    command[n] = '\0';
    rc = cmdline_shell(program, command, &line, &err);
    (void)snprintf(ret_text, size, "%s", err.text);
    free(command);
    free(line);
    return rc;
}

static void test_bounds(void **state)
{
    char text[600];
    const size_t around_cmd = strlen("\"" CMD "\" /d /s /c \"\"");
    const size_t around = strlen("\"C:\\x.exe\" -c \"\"");
    (void)state;
    assert_int_equal(length(CMD, CMDLINE_CMD_MAX - around_cmd, 'x', text, sizeof text), 0);
    assert_int_equal(length(CMD, CMDLINE_CMD_MAX - around_cmd + 1, 'x', text, sizeof text), -E2BIG);
    assert_non_null(strstr(text, "cmd.exe"));
    assert_non_null(strstr(text, "8191"));
    assert_int_equal(length("C:\\x.exe", CMDLINE_MAX - around, 'x', text, sizeof text), 0);
    assert_int_equal(length("C:\\x.exe", CMDLINE_MAX - around + 1, 'x', text, sizeof text), -E2BIG);
    assert_int_equal(length("C:\\x.exe", CMDLINE_MAX - around, '"', text, sizeof text), -E2BIG);
    assert_int_equal(length("C:\\x.exe", 131000, '\\', text, sizeof text), -E2BIG);
    assert_int_equal(length("C:\\x.exe", 1, '\xff', text, sizeof text), -EILSEQ);
    assert_non_null(strstr(text, "UTF-8"));
}

/* What is long in UTF-8 is not in UTF-16. */
static void test_units(void **state)
{
    struct errmsg err;
    char command[3 * 8000 + 1];
    char *line = NULL;
    (void)state;
    for (size_t i = 0; i < 8000; i++) {
        memcpy(command + 3 * i, "\xe4\xb8\xad", 3);
    }
    command[3 * 8000] = '\0';
    assert_int_equal(cmdline_shell(CMD, command, &line, &err), 0);
    free(line);
}

static void test_find(void **state)
{
    static const char *const cmds[] = {NULL, "", "cmd", "CMD"};
    struct errmsg err;
    char *program = NULL;
    (void)state;
    for (size_t i = 0; i < COUNT(cmds); i++) {
        assert_int_equal(cmdline_find(cmds[i], &program, &err), 0);
        assert_int_equal(_stricmp(program + strlen(program) - 8, "\\cmd.exe"), 0);
        free(program);
    }
    assert_int_equal(cmdline_find("C:\\no\\such.exe", &program, &err), -ENOENT);
    assert_non_null(strstr(err.text, "C:\\no\\such.exe"));
    assert_int_equal(cmdline_find("tcsh", &program, &err), -EINVAL);
    assert_non_null(strstr(err.text, "powershell"));
    assert_int_equal(cmdline_find("C:relative.exe", &program, &err), -EINVAL);
    assert_int_equal(cmdline_find("C:\\a\"b.exe", &program, &err), -EINVAL);
}

static void append(char *path, size_t size, const char *part)
{
    size_t n = strlen(path);
    (void)snprintf(path + n, size - n, "%s", part);
}

/* A shell that is not installed is looked for where it would be, and the words say so. */
static void test_find_elsewhere(void **state)
{
    static const char *const folders[] = {"\\Programs", "\\Git", "\\bin"};
    char folder[MAX_PATH], path[MAX_PATH + 64];
    struct errmsg err;
    char *program = NULL;
    HANDLE file;
    (void)state;
    assert_in_range(GetTempPathA(sizeof folder, folder), 1, sizeof folder - 1);
    (void)snprintf(path, sizeof path, "%smultissh-test-%lu", folder, (unsigned long)GetCurrentProcessId());
    assert_true(CreateDirectoryA(path, NULL));
    assert_true(SetEnvironmentVariableA("ProgramFiles", path));
    assert_int_equal(cmdline_find("pwsh", &program, &err), -ENOENT);
    assert_non_null(strstr(err.text, "PowerShell\\7\\pwsh.exe"));
    assert_true(SetEnvironmentVariableA("LOCALAPPDATA", path));
    for (size_t i = 0; i < COUNT(folders); i++) {
        append(path, sizeof path, folders[i]);
        assert_true(CreateDirectoryA(path, NULL));
    }
    append(path, sizeof path, "\\bash.exe");
    file = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    CloseHandle(file);
    assert_int_equal(cmdline_find("bash", &program, &err), 0);
    assert_string_equal(program, path);
    free(program);
    assert_true(DeleteFileA(path));
    for (int i = 0; i < 4; i++) {
        *strrchr(path, '\\') = '\0';
        assert_true(RemoveDirectoryA(path));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),          cmocka_unit_test(test_bash_of_linux),
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_units),          cmocka_unit_test(test_find),
        cmocka_unit_test(test_find_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
