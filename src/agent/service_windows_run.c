/* The agent in the process that the Service Control Manager (SCM) has started. Two threads: the SCM's calls come on the
 * program's first one, and only leave word for the agent, which runs on the other one. */
#include "agent/service_windows.h"

#include "agent/agent.h"
#include "agent/process.h"
#include "agent/rights_windows.h"
#include "agent/uplink.h"
#include "base/eventlog_windows.h"
#include "base/log.h"
#include <errno.h>
#include <string.h>

#define EXIT_FAULT 1
#define EXIT_SETTINGS 2
#define START_HINT_MS 30000
#define STOP_HINT_MS 15000
#define POWER_RESUMED 18 /* PBT_APMRESUMEAUTOMATIC */

enum asked { ASKED_STOP = 1, ASKED_AGAIN = 2, ASKED_RELOAD = 4, ASKED_NETWORK = 8 };

static struct {
    struct agent *agent;
    service_run_fn *run;
    int result;
    struct errmsg err;
    SERVICE_STATUS_HANDLE handle; /* NULL: this process is no service */
    SRWLOCK lock;                 /* for what is below */
    SERVICE_STATUS status;
    unsigned asked; /* by the SCM, not done yet */
    bool again;     /* it is to be started again */
    bool attached;  /* wake is there */
    uv_async_t wake;
} state = {.lock = SRWLOCK_INIT};

/* --- what the SCM is told; under the lock --- */

static void report(DWORD now, DWORD hint)
{
    state.status.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
    state.status.dwCurrentState = now;
    state.status.dwControlsAccepted =
        now != SERVICE_RUNNING ? 0
                               : SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PRESHUTDOWN |
                                     SERVICE_ACCEPT_PARAMCHANGE | SERVICE_ACCEPT_POWEREVENT;
    state.status.dwCheckPoint = hint > 0 ? state.status.dwCheckPoint + 1 : 0;
    state.status.dwWaitHint = hint;
    (void)SetServiceStatus(state.handle, &state.status); /* nobody else to tell when it fails */
}

/* A process of its own that waits for the end of this one and starts the service again. Whoever asked for that may be
 * gone with the sessions. Returns 0 or a negative errno value. */
static int start_starter(void)
{
    static wchar_t program[FS_PATH_MAX];
    static wchar_t line[] = L"multissh-agent service again";
    STARTUPINFOW how = {.cb = sizeof how};
    PROCESS_INFORMATION made;
    DWORD n = GetModuleFileNameW(NULL, program, FS_PATH_MAX);
    if (n == 0 || n == FS_PATH_MAX)
        return -ENAMETOOLONG;
    if (!CreateProcessW(program, line, NULL, NULL, FALSE, DETACHED_PROCESS, NULL, NULL, &how, &made))
        return win_errno(GetLastError());
    CloseHandle(made.hThread);
    CloseHandle(made.hProcess);
    return 0;
}

static void report_end(int result)
{
    DWORD code = result == -EINVAL || result == -ERANGE ? EXIT_SETTINGS : EXIT_FAULT;
    AcquireSRWLockExclusive(&state.lock);
    bool left = result == 0 && state.again && start_starter() != 0; /* to the SCM, as after a fault */
    if (left)
        code = SERVICE_EXIT_AGAIN;
    if (result != 0 || left) {
        state.status.dwWin32ExitCode = ERROR_SERVICE_SPECIFIC_ERROR;
        state.status.dwServiceSpecificExitCode = code;
    }
    report(SERVICE_STOPPED, 0);
    ReleaseSRWLockExclusive(&state.lock);
}

/* --- what the SCM says, on its thread --- */

static unsigned meaning(DWORD control, DWORD event)
{
    switch (control) {
    case SERVICE_CONTROL_STOP:
    case SERVICE_CONTROL_SHUTDOWN:
    case SERVICE_CONTROL_PRESHUTDOWN:
        return ASKED_STOP;
    case SERVICE_CONTROL_AGAIN:
        return ASKED_AGAIN;
    case SERVICE_CONTROL_PARAMCHANGE:
        return ASKED_RELOAD;
    case SERVICE_CONTROL_POWEREVENT:
        return event == POWER_RESUMED ? ASKED_NETWORK : 0;
    default:
        return 0;
    }
}

static DWORD WINAPI on_control(DWORD control, DWORD event, void *data, void *arg)
{
    unsigned asked = meaning(control, event);
    (void)data;
    (void)arg;
    if (asked == 0)
        return control == SERVICE_CONTROL_INTERROGATE || control == SERVICE_CONTROL_POWEREVENT
                   ? NO_ERROR
                   : ERROR_CALL_NOT_IMPLEMENTED;
    AcquireSRWLockExclusive(&state.lock);
    state.asked |= asked;
    if ((asked & (ASKED_STOP | ASKED_AGAIN)) != 0 && state.status.dwCurrentState == SERVICE_RUNNING)
        report(SERVICE_STOP_PENDING, STOP_HINT_MS);
    if (state.attached)
        (void)uv_async_send(&state.wake);
    ReleaseSRWLockExclusive(&state.lock);
    return NO_ERROR;
}

/* --- and what the agent does then, on its own --- */

static void on_wake(uv_async_t *wake)
{
    struct agent *a = wake->data;
    AcquireSRWLockExclusive(&state.lock);
    unsigned asked = state.asked;
    state.asked = 0;
    state.again = state.again || ((asked & ASKED_AGAIN) != 0 && !a->stopping);
    ReleaseSRWLockExclusive(&state.lock);
    if (a->stopping)
        return;
    if ((asked & (ASKED_STOP | ASKED_AGAIN)) != 0) {
        agent_stop(a, false,
                   (asked & ASKED_STOP) != 0 ? "the service was told to stop"
                                             : "the service was told to restart");
        return;
    }
    if ((asked & ASKED_RELOAD) != 0)
        agent_reload(a);
    if ((asked & ASKED_NETWORK) != 0)
        uplink_network_changed(a->uplink);
}

void service_ready(struct agent *a)
{
    if (state.handle == NULL)
        return;
    int r = uv_async_init(a->loop, &state.wake, on_wake);
    if (r != 0) {
        log_error("the service could not be stopped any more, so it does not start: %s", uv_strerror(r));
        agent_stop(a, false, "there is no way to stop it otherwise");
        return;
    }
    state.wake.data = a;
    uv_unref((uv_handle_t *)&state.wake); /* the loop's end waits for the agent alone */
    AcquireSRWLockExclusive(&state.lock);
    state.attached = true;
    report(SERVICE_RUNNING, 0);
    ReleaseSRWLockExclusive(&state.lock);
}

void service_over(struct agent *a)
{
    bool attached;
    (void)a;
    AcquireSRWLockExclusive(&state.lock);
    attached = state.attached;
    state.attached = false;
    if (attached && state.status.dwCurrentState == SERVICE_RUNNING)
        report(SERVICE_STOP_PENDING, STOP_HINT_MS);
    ReleaseSRWLockExclusive(&state.lock);
    if (attached)
        uv_close((uv_handle_t *)&state.wake, NULL);
}

/* The next agent finds the state folder free as soon as the SCM knows of the end. */
static void release(struct agent *a)
{
    agent_release(a);
    if (a->lock_fd >= 0)
        process_unlock(a->lock_fd);
    *a = (struct agent){.lock_fd = -1};
}

static void WINAPI service_main(DWORD argc, wchar_t **argv)
{
    (void)argc;
    (void)argv;
    state.handle = RegisterServiceCtrlHandlerExW(SERVICE_OWN_NAME_W, on_control, NULL);
    if (state.handle == NULL) {
        state.result = errmsg_set(&state.err, win_errno(GetLastError()),
                                  "the Service Control Manager does not know this service");
        return;
    }
    AcquireSRWLockExclusive(&state.lock);
    report(SERVICE_START_PENDING, START_HINT_MS);
    ReleaseSRWLockExclusive(&state.lock);
    (void)eventlog_open(SERVICE_OWN_NAME);
    int r = rights_close_folder(state.agent->state_dir, &state.err);
    if (r == 0)
        r = state.run(state.agent, &state.err);
    if (r != 0)
        log_error("%s", state.err.text);
    release(state.agent);
    state.result = r;
    report_end(r);
}

int service_run(struct agent *a, service_run_fn *run, struct errmsg *err)
{
    static wchar_t name[] = SERVICE_OWN_NAME_W;
    const SERVICE_TABLE_ENTRYW services[] = {{name, service_main}, {NULL, NULL}};
    state.agent = a;
    state.run = run;
    if (!StartServiceCtrlDispatcherW(services)) {
        DWORD error = GetLastError();
        return error == ERROR_FAILED_SERVICE_CONTROLLER_CONNECT
                   ? errmsg_set(err, -EINVAL,
                                "service run: only the Service Control Manager can say this; by hand it is "
                                "`multissh-agent run`, or `multissh-agent service start`")
                   : service_scm_fault(error, "reach the Service Control Manager", err);
    }
    *err = state.err;
    return state.result;
}
