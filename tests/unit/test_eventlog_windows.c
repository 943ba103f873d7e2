/* The log in the event log: when it is needed, and how its sources are registered. What is written is seen by the tests
 * of the service. */
#include "cmocka_all.h"

#include "base/eventlog_windows.h"
#include "base/log.h"
#include "base/win.h"
#include <errno.h>

#define SOURCE "multissh-test"
#define KEY L"SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\multissh-test"
#define PROGRAM L"C:\\Program Files\\multissh\\multissh-agent.exe"

static DWORD value_type;

static LSTATUS value(const wchar_t *name, void *out, DWORD size)
{
    return RegGetValueW(HKEY_LOCAL_MACHINE, KEY, name, RRF_RT_ANY | RRF_NOEXPAND, &value_type, out, &size);
}

static void a_source_is_registered_and_gone_again(void **state)
{
    wchar_t file[200];
    DWORD types = 0;
    (void)state;
    assert_int_equal(eventlog_register(SOURCE, L"C:\\old.exe"), 0);
    assert_int_equal(eventlog_register(SOURCE, PROGRAM), 0);
    assert_int_equal(value(L"EventMessageFile", file, sizeof file), ERROR_SUCCESS);
    assert_int_equal(value_type, REG_EXPAND_SZ);
    assert_int_equal(wcscmp(file, PROGRAM), 0);
    assert_int_equal(value(L"TypesSupported", &types, sizeof types), ERROR_SUCCESS);
    assert_int_equal(types, EVENTLOG_ERROR_TYPE | EVENTLOG_WARNING_TYPE | EVENTLOG_INFORMATION_TYPE);
    assert_int_equal(eventlog_unregister(SOURCE), 0);
    assert_int_equal(value(L"EventMessageFile", file, sizeof file), ERROR_FILE_NOT_FOUND);
    assert_int_equal(eventlog_unregister(SOURCE), 0);
}

static void names_are_bounded(void **state)
{
    char name[200] = "";
    (void)state;
    memset(name, 'x', sizeof name - 1);
    assert_int_equal(eventlog_register(name, PROGRAM), -ENAMETOOLONG);
    assert_int_equal(eventlog_unregister(name), -ENAMETOOLONG);
    assert_int_equal(eventlog_register("\xff", PROGRAM), -EILSEQ);
}

static void it_is_needed_without_a_standard_error(void **state)
{
    HANDLE own = GetStdHandle(STD_ERROR_HANDLE);
    (void)state;
    assert_false(eventlog_needed());
    assert_true(SetStdHandle(STD_ERROR_HANDLE, NULL));
    bool none = eventlog_needed();
    assert_true(SetStdHandle(STD_ERROR_HANDLE, INVALID_HANDLE_VALUE));
    bool invalid = eventlog_needed();
    assert_true(SetStdHandle(STD_ERROR_HANDLE, own));
    assert_true(none);
    assert_true(invalid);
}

static void lines_go_there_and_not_to_the_console(void **state)
{
    (void)state;
    log_init(SOURCE);
    assert_int_equal(eventlog_open(SOURCE), 0);
    log_error("an error with a letter beyond ASCII: \xc3\xbc");
    log_debug("not at this level");
    log_set_sink(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_is_registered_and_gone_again),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(it_is_needed_without_a_standard_error),
        cmocka_unit_test(lines_go_there_and_not_to_the_console),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
