/* The command line that the service is registered with, and who is trusted with a program that runs as the system. */
#include "agent/rights_windows.h"
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

/* --- who is trusted --- */

#define PERSON "S-1-5-21-1-2-3-1001"
#define OTHER "S-1-5-21-1-2-3-1002"

static int judge(const char *sddl, DWORD rights, const char *own, char words[RIGHTS_WORDS_MAX])
{
    PSECURITY_DESCRIPTOR sd = NULL;
    PSID sid = NULL;
    words[0] = 0;
    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorA(sddl, SDDL_REVISION_1, &sd, NULL));
    if (own != NULL)
        assert_true(ConvertStringSidToSidA(own, &sid));
    int r = rights_judge(sd, rights, sid, words);
    LocalFree(sid);
    LocalFree(sd);
    return r;
}

static void assert_trusted(const char *sddl, DWORD rights)
{
    char words[RIGHTS_WORDS_MAX];
    int r = judge(sddl, rights, NULL, words);
    if (r != 0)
        fail_msg("%s: %d, %s", sddl, r, words);
}

static void assert_refused(const char *sddl, DWORD rights, const char *expected)
{
    char words[RIGHTS_WORDS_MAX];
    int r = judge(sddl, rights, NULL, words);
    if (r != -EPERM || strstr(words, expected) == NULL)
        fail_msg("%s: %d, \"%s\" and not \"%s\"", sddl, r, words, expected);
}

static void windows_own_folders_are_trusted(void **state)
{
    (void)state;
    /* C:\Program Files, and a folder in it as an installer makes it */
    assert_trusted(
        "O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464D:PAI"
        "(A;;FA;;;S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)(A;;0x1301bf;;;SY)"
        "(A;OICIIO;GA;;;SY)(A;;0x1301bf;;;BA)(A;OICIIO;GA;;;BA)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)"
        "(A;OICIIO;GA;;;CO)(A;;0x1200a9;;;AC)",
        RIGHTS_WRITE);
    assert_trusted("O:BAD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)", RIGHTS_WRITE);
    /* C:\, in which everybody may make folders */
    assert_trusted("O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464D:PAI(A;;LC;;;AU)"
                   "(A;OICIIO;SDGXGWGR;;;AU)(A;;FA;;;SY)(A;OICIIO;GA;;;SY)(A;OICIIO;GA;;;BA)(A;;FA;;;BA)"
                   "(A;OICI;0x1200a9;;;BU)",
                   RIGHTS_ABOVE);
    /* C:\ProgramData, likewise */
    assert_trusted("O:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)"
                   "(A;CI;DCLCRPCR;;;BU)",
                   RIGHTS_ABOVE);
}

static void folders_of_persons_are_not(void **state)
{
    (void)state;
    /* C:\Users\joe\Downloads: his own, even if an administrator's */
    assert_refused("O:" PERSON "D:(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;" PERSON ")", RIGHTS_WRITE,
                   "it belongs to " PERSON);
    assert_refused("O:BAD:(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;" PERSON ")", RIGHTS_WRITE,
                   PERSON " may write to it");
    /* C:\multissh, made in C:\ by an administrator */
    assert_refused("O:BAD:AI(A;OICIID;FA;;;BA)(A;OICIID;FA;;;SY)(A;OICIID;0x1200a9;;;BU)(A;ID;0x1301bf;;;AU)"
                   "(A;OICIIOID;SDGXGWGR;;;AU)",
                   RIGHTS_WRITE, "may write to it");
    assert_refused("O:BAD:(A;;FA;;;SY)(A;;FA;;;WD)", RIGHTS_WRITE, "may write to it");
}

static void every_right_that_changes_counts(void **state)
{
    (void)state;
    assert_trusted("O:BAD:(A;;FR;;;WD)(A;;FX;;;WD)", RIGHTS_WRITE);
    assert_refused("O:BAD:(A;;SD;;;WD)", RIGHTS_WRITE, "may delete it");
    assert_refused("O:BAD:(A;;WD;;;WD)", RIGHTS_WRITE, "may give away rights");
    assert_refused("O:BAD:(A;;WO;;;WD)", RIGHTS_WRITE, "may give away rights");
    assert_refused("O:BAD:(A;;DT;;;WD)", RIGHTS_WRITE, "may delete what is in it");
    assert_refused("O:BAD:(A;;GW;;;WD)", RIGHTS_WRITE, "may write to it");
    assert_refused("O:BAD:(A;;GA;;;WD)", RIGHTS_ABOVE, "may delete what is in it");
    assert_refused("O:BAD:(A;;RP;;;WD)", RIGHTS_WRITE, "may change it");
    assert_trusted("O:BAD:(A;;DCLC;;;WD)", RIGHTS_ABOVE);
}

static void entries_that_give_nothing_do_not_count(void **state)
{
    (void)state;
    assert_trusted("O:BAD:(D;;FA;;;WD)(A;;FA;;;BA)", RIGHTS_WRITE);
    assert_trusted("O:BAD:(A;OICIIO;FA;;;WD)", RIGHTS_WRITE);
    assert_trusted("O:SYD:", RIGHTS_WRITE); /* an empty list: nobody */
    /* One that denies does not save one that allows. */
    assert_refused("O:BAD:(D;;FA;;;" PERSON ")(A;;FA;;;" PERSON ")", RIGHTS_WRITE, PERSON);
}

static void without_a_list_everybody_may(void **state)
{
    (void)state;
    assert_refused("O:BA", RIGHTS_WRITE, "no access control list");
    assert_refused("D:(A;;FA;;;BA)", RIGHTS_WRITE, "belongs to nobody");
}

static void own_is_trusted_when_it_is_given(void **state)
{
    char words[RIGHTS_WORDS_MAX];
    (void)state;
    assert_int_equal(judge("O:" PERSON "D:(A;;FA;;;" PERSON ")", RIGHTS_WRITE, PERSON, words), 0);
    assert_int_equal(judge("O:" PERSON "D:(A;;FA;;;" OTHER ")", RIGHTS_WRITE, PERSON, words), -EPERM);
    assert_int_equal(judge("O:" OTHER "D:(A;;FA;;;" PERSON ")", RIGHTS_WRITE, PERSON, words), -EPERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoted_arguments_come_back),
        cmocka_unit_test(line_is_quoted),
        cmocka_unit_test(line_refuses_what_changes_it),
        cmocka_unit_test(state_is_found_in_a_line),
        cmocka_unit_test(windows_own_folders_are_trusted),
        cmocka_unit_test(folders_of_persons_are_not),
        cmocka_unit_test(every_right_that_changes_counts),
        cmocka_unit_test(entries_that_give_nothing_do_not_count),
        cmocka_unit_test(without_a_list_everybody_may),
        cmocka_unit_test(own_is_trusted_when_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
