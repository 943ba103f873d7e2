/* Talks to the Service Control Manager: opens, asks, starts, stops, waits. */
#include "agent/service_windows.h"

#include <errno.h>
#include <stdlib.h>

#define LOOK_MS 100
#define PROCESS_END_MS 5000
#define AGAIN_MS 6000     /* then the old one has not seen to it */
#define PATIENCE_MS 60000 /* the SCM itself gives a service 30 s to answer */

int service_scm_fault(DWORD error, const char *what, struct errmsg *err)
{
    char words[200];
    if (error == ERROR_ACCESS_DENIED)
        return errmsg_set(
            err, -EACCES,
            "cannot %s: this needs the rights of an administrator; open PowerShell with \"Run as "
            "administrator\", and say it again there",
            what);
    if (error == ERROR_SERVICE_DISABLED)
        return errmsg_set(err, -EPERM,
                          "cannot %s: the service is disabled; `multissh-agent service install` enables it",
                          what);
    if (error == ERROR_SERVICE_MARKED_FOR_DELETE)
        return errmsg_set(
            err, -EBUSY,
            "cannot %s: the service is about to be removed, but some program still has it open: close "
            "the Services and Event Viewer windows, and say it again",
            what);
    if (error == ERROR_SERVICE_DOES_NOT_EXIST)
        return errmsg_set(
            err, -ENOENT,
            "the service is not installed; `multissh-agent service install HOST:PORT/CODE` does that");
    win_words(error, words, sizeof words);
    int r = win_errno(error);
    return errmsg_set(err, r < 0 ? r : -EIO, "cannot %s: %s", what, words);
}

int service_scm_open(struct service_scm *scm, DWORD manager_rights, DWORD rights, struct errmsg *err)
{
    scm->service = NULL;
    scm->manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | manager_rights);
    if (scm->manager == NULL)
        return service_scm_fault(GetLastError(), "reach the Service Control Manager", err);
    scm->service = OpenServiceW(scm->manager, SERVICE_OWN_NAME_W, rights);
    return scm->service != NULL ? 0 : service_scm_fault(GetLastError(), "open the service", err);
}

void service_scm_close(struct service_scm *scm)
{
    if (scm->service != NULL)
        CloseServiceHandle(scm->service);
    if (scm->manager != NULL)
        CloseServiceHandle(scm->manager);
    scm->service = scm->manager = NULL;
}

int service_scm_status(const struct service_scm *scm, SERVICE_STATUS_PROCESS *ret_status, struct errmsg *err)
{
    DWORD n = 0;
    if (!QueryServiceStatusEx(scm->service, SC_STATUS_PROCESS_INFO, (BYTE *)ret_status, sizeof *ret_status,
                              &n))
        return service_scm_fault(GetLastError(), "see how the service is", err);
    return 0;
}

QUERY_SERVICE_CONFIGW *service_scm_config(const struct service_scm *scm, struct errmsg *err)
{
    DWORD size = 8192, n = 0; /* the most there can be */
    QUERY_SERVICE_CONFIGW *config = calloc(1, size);
    if (config == NULL) {
        errmsg_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    if (QueryServiceConfigW(scm->service, config, size, &n))
        return config;
    service_scm_fault(GetLastError(), "see how the service is set up", err);
    free(config);
    return NULL;
}

static bool under_way(DWORD state)
{
    return state == SERVICE_START_PENDING || state == SERVICE_STOP_PENDING;
}

int service_scm_await(const struct service_scm *scm, DWORD state, SERVICE_STATUS_PROCESS *ret_status,
                      struct errmsg *err)
{
    ULONGLONG end = GetTickCount64() + PATIENCE_MS;
    for (;;) {
        int r = service_scm_status(scm, ret_status, err);
        if (r != 0 || ret_status->dwCurrentState == state || !under_way(ret_status->dwCurrentState))
            return r;
        if (GetTickCount64() > end)
            return errmsg_set(err, -ETIMEDOUT,
                              "the service does not answer: after %d s it is still %s, process %lu",
                              PATIENCE_MS / 1000,
                              ret_status->dwCurrentState == SERVICE_STOP_PENDING ? "stopping" : "starting",
                              ret_status->dwProcessId);
        Sleep(LOOK_MS);
    }
}

int service_scm_start(const struct service_scm *scm, bool *ret_changed, SERVICE_STATUS_PROCESS *ret_status,
                      struct errmsg *err)
{
    /* One that is just ending is waited for. */
    int r = service_scm_await(scm, SERVICE_STOPPED, ret_status, err);
    *ret_changed = r == 0 && ret_status->dwCurrentState != SERVICE_RUNNING;
    if (r != 0 || !*ret_changed)
        return r;
    if (!StartServiceW(scm->service, 0, NULL) && GetLastError() != ERROR_SERVICE_ALREADY_RUNNING)
        return service_scm_fault(GetLastError(), "start the service", err);
    return service_scm_await(scm, SERVICE_RUNNING, ret_status, err);
}

static int tell_stop(const struct service_scm *scm, struct errmsg *err)
{
    SERVICE_STATUS_PROCESS status;
    SERVICE_STATUS ignored;
    if (!ControlService(scm->service, SERVICE_CONTROL_STOP, &ignored) &&
        GetLastError() != ERROR_SERVICE_NOT_ACTIVE)
        return service_scm_fault(GetLastError(), "stop the service", err);
    int r = service_scm_await(scm, SERVICE_STOPPED, &status, err);
    if (r == 0 && status.dwCurrentState != SERVICE_STOPPED)
        r = errmsg_set(err, -EBUSY, "the service was told to stop, but runs");
    return r;
}

int service_scm_stop(const struct service_scm *scm, bool *ret_changed, struct errmsg *err)
{
    SERVICE_STATUS_PROCESS status;
    int r = service_scm_await(scm, SERVICE_RUNNING, &status, err); /* one that is starting takes no stop */
    *ret_changed = r == 0 && status.dwCurrentState != SERVICE_STOPPED;
    if (r != 0 || !*ret_changed)
        return r;
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, status.dwProcessId);
    r = tell_stop(scm, err);
    if (r == 0 && process != NULL)
        (void)WaitForSingleObject(process, PROCESS_END_MS); /* then its program's file is free */
    if (process != NULL)
        CloseHandle(process);
    return r;
}

/* Waits until another process is the service's; when nobody has started it, this does. */
static int await_again(const struct service_scm *scm, DWORD old, SERVICE_STATUS_PROCESS *ret_status,
                       struct errmsg *err)
{
    ULONGLONG begin = GetTickCount64();
    bool ignored;
    for (;;) {
        int r = service_scm_status(scm, ret_status, err);
        ULONGLONG passed = GetTickCount64() - begin;
        if (r != 0 || (ret_status->dwCurrentState == SERVICE_RUNNING && ret_status->dwProcessId != old))
            return r;
        if (ret_status->dwCurrentState == SERVICE_STOPPED && passed > AGAIN_MS)
            return service_scm_start(scm, &ignored, ret_status, err);
        if (passed > PATIENCE_MS)
            return errmsg_set(err, -ETIMEDOUT, "the service does not end: process %lu was told to, %d s ago",
                              old, PATIENCE_MS / 1000);
        Sleep(LOOK_MS);
    }
}

int service_scm_restart(const struct service_scm *scm, SERVICE_STATUS_PROCESS *ret_status, struct errmsg *err)
{
    SERVICE_STATUS told;
    bool ignored;
    int r = service_scm_await(scm, SERVICE_RUNNING, ret_status, err);
    if (r != 0)
        return r;
    if (ret_status->dwCurrentState != SERVICE_RUNNING)
        return service_scm_start(scm, &ignored, ret_status, err);
    if (!ControlService(scm->service, SERVICE_CONTROL_AGAIN, &told))
        return service_scm_fault(GetLastError(), "restart the service", err);
    return await_again(scm, ret_status->dwProcessId, ret_status, err);
}
