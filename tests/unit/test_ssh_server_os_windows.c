/* The guard: a call that does not come back ends the process, one that does, or that waits, does not. */
#include "cmocka_all.h"

#include "base/io.h"
#include "base/win.h"
#include "ssh/ssh_os.h"
#include <errno.h>
#include <string.h>
#include <wchar.h>

/* In a process of its own: a second and more of the processor's time. */
static int spin(bool guarded)
{
    volatile uint64_t n = 0;
    ssh_os_guard_start();
    ssh_os_guard(true);
    ssh_os_guard(guarded);
    for (ULONGLONG until = GetTickCount64() + 20000; GetTickCount64() < until;) {
        FILETIME created, ended, kernel, user;
        n++;
        (void)GetThreadTimes(GetCurrentThread(), &created, &ended, &kernel, &user);
        if (!guarded && user.dwLowDateTime + (uint64_t)kernel.dwLowDateTime > 25u * 1000 * 1000)
            return 0; /* two and a half: it would have been seen */
    }
    return 1;
}

static DWORD run_self(const wchar_t *arg)
{
    wchar_t path[MAX_PATH], line[MAX_PATH + 32];
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;
    DWORD code = 999;
    assert_true(GetModuleFileNameW(NULL, path, MAX_PATH) > 0);
    (void)swprintf(line, sizeof line / sizeof line[0], L"\"%ls\" %ls", path, arg);
    assert_true(CreateProcessW(path, line, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &process));
    assert_int_equal(WaitForSingleObject(process.hProcess, 60000), WAIT_OBJECT_0);
    assert_true(GetExitCodeProcess(process.hProcess, &code));
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
    return code;
}

static void a_call_without_end(void **state)
{
    (void)state;
    assert_int_equal(run_self(L"spin"), 70);
}

static void work_outside_of_the_call(void **state)
{
    (void)state;
    assert_int_equal(run_self(L"work"), 0);
}

static void a_second_descriptor(void **state)
{
    int pair[2], copy;
    char byte = 0;
    DWORD flags = HANDLE_FLAG_INHERIT;
    struct pollfd one;
    (void)state;
    assert_int_equal(io_pair(true, pair), 0);
    copy = ssh_os_dup(pair[1]);
    assert_true(copy >= 0);
    assert_int_not_equal(copy, pair[1]);
    assert_true(GetHandleInformation((HANDLE)(SOCKET)copy, &flags));
    assert_int_equal(flags & HANDLE_FLAG_INHERIT, 0);
    assert_int_equal(io_read(copy, &byte, 1), -EAGAIN); /* both are non-blocking now */
    assert_int_equal(io_read(pair[1], &byte, 1), -EAGAIN);
    io_close(pair[1]); /* the connection lasts as long as one of them */
    assert_int_equal(io_write(pair[0], "x", 1), 1);
    one = (struct pollfd){.fd = (SOCKET)copy, .events = POLLIN};
    assert_int_equal(io_poll(&one, 1, 10000), 1);
    assert_int_equal(io_read(copy, &byte, 1), 1);
    assert_int_equal(ssh_os_peer_silence(copy), 0); /* itself */
    io_close(copy);
    io_close(pair[0]);
    assert_true(ssh_os_dup(pair[0]) < 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_call_without_end),
                                       cmocka_unit_test(work_outside_of_the_call),
                                       cmocka_unit_test(a_second_descriptor)};
    if (argc == 2)
        return spin(strcmp(argv[1], "spin") == 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
