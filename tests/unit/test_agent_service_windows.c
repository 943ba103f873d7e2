/* The command line that the service is registered with. */
#include "agent/service_windows.h"
#include "cmocka_all.h"
#include <errno.h>
#include <sddl.h>
#include <shellapi.h>
#include <stdlib.h>
#include <string.h>

/* --- the command line --- */

/* What Windows itself makes of it again is what it was. */
static void quoted_arguments_come_back(void **state)
{
    static const wchar_t *const arguments[] = {
        L"plain",
        L"",
        L"with a blank",
        L"C:\\Program Files\\x y\\",
        L"two \\\\ slashes \\\\",
        L"a \"quoted\" word",
        L"slash and quote \\\" \\\\\"",
        L"\u00fc\u4e2d",
    };
    (void)state;
    for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
        wchar_t line[200] = L"program ";
        wchar_t *quoted = service_quote(arguments[i]);
        int n = 0;
        assert_non_null(quoted);
        wcscat(line, quoted);
        wcscat(line, L" next");
        wchar_t **words = CommandLineToArgvW(line, &n);
        assert_non_null(words);
        assert_int_equal(n, 3);
        assert_int_equal(wcscmp(words[1], arguments[i]), 0);
        LocalFree(words);
        free(quoted);
    }
}

static void line_is_quoted(void **state)
{
    wchar_t *line = NULL;
    (void)state;
    assert_int_equal(service_line("C:\\Program Files\\m\\a.exe", "C:\\ProgramData\\m\\", &line), 0);
    assert_int_equal(
        wcscmp(line, L"\"C:\\Program Files\\m\\a.exe\" --state \"C:\\ProgramData\\m\\\\\" service run"), 0);
    free(line);
}

/* The Service Control Manager expands variables, and a quotation mark would end the path. */
static void line_refuses_what_changes_it(void **state)
{
    static const char *const bad[] = {"C:\\%TEMP%\\a.exe", "C:\\50%\\a.exe", "C:\\a\".exe", "C:\\a\xff"};
    wchar_t *line = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(service_line(bad[i], "C:\\s", &line) < 0);
        assert_true(service_line("C:\\a.exe", bad[i], &line) < 0);
        assert_null(line);
    }
}

static void state_is_found_in_a_line(void **state)
{
    char folder[40];
    wchar_t *line = NULL;
    (void)state;
    assert_int_equal(service_line("C:\\a b\\c.exe", "D:\\\xc3\xbc \xe4\xb8\xad\\", &line), 0);
    assert_int_equal(service_line_state(line, folder, sizeof folder), 0);
    assert_string_equal(folder, "D:\\\xc3\xbc \xe4\xb8\xad\\");
    assert_int_equal(service_line_state(line, folder, 5), -ENAMETOOLONG);
    free(line);
    assert_int_equal(service_line_state(L"", folder, sizeof folder), -ENOENT);
    assert_int_equal(service_line_state(L"a.exe service run", folder, sizeof folder), -ENOENT);
    assert_int_equal(service_line_state(L"a.exe service run --state", folder, sizeof folder), -ENOENT);
}

/* A restart is a control of the service's own, and ends everybody's sessions. */
static void others_look_and_no_more(void **state)
{
    const ACCESS_MASK look = SERVICE_QUERY_CONFIG | SERVICE_QUERY_STATUS | SERVICE_ENUMERATE_DEPENDENTS |
                             SERVICE_INTERROGATE | READ_CONTROL;
    const ACCESS_MASK use = SERVICE_START | SERVICE_STOP | SERVICE_USER_DEFINED_CONTROL | look;
    PSECURITY_DESCRIPTOR rights = NULL;
    BOOL present = FALSE, defaulted;
    PACL list = NULL;
    unsigned trusted = 0;
    (void)state;
    assert_true(
        ConvertStringSecurityDescriptorToSecurityDescriptorW(service_rights, SDDL_REVISION_1, &rights, NULL));
    assert_true(GetSecurityDescriptorDacl(rights, &present, &list, &defaulted) && present && list != NULL);
    for (DWORD i = 0; i < list->AceCount; i++) {
        ACCESS_ALLOWED_ACE *entry = NULL;
        assert_true(GetAce(list, i, (void **)&entry));
        PSID sid = &entry->SidStart;
        if (IsWellKnownSid(sid, WinLocalSystemSid) || IsWellKnownSid(sid, WinBuiltinAdministratorsSid)) {
            assert_int_equal(entry->Mask & use, use);
            trusted++;
        } else {
            assert_int_equal(entry->Mask & ~look, 0);
        }
    }
    assert_int_equal(trusted, 2);
    LocalFree(rights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoted_arguments_come_back),   cmocka_unit_test(line_is_quoted),
        cmocka_unit_test(line_refuses_what_changes_it), cmocka_unit_test(state_is_found_in_a_line),
        cmocka_unit_test(others_look_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
