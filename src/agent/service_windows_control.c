/* start, stop, restart, reload and status of the service that is installed. */
#include "agent/service_windows.h"

#include "agent/agent.h"
#include "base/eventlog_windows.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_TRIES 10
#define AGAIN_PAUSE_MS 3000
#define EVENTS "Get-WinEvent -ProviderName " SERVICE_OWN_NAME " -MaxEvents 5"

/* The settings as the service will find them, read before it is touched: whoever types sees what is wrong with them. */
static int check_settings(struct agent *a, const struct service_scm *scm, struct errmsg *err)
{
    struct agent_options options;
    QUERY_SERVICE_CONFIGW *config = service_scm_config(scm, err);
    if (config == NULL)
        return -EIO;
    int r = service_line_state(config->lpBinaryPathName, a->state_dir, sizeof a->state_dir);
    free(config);
    if (r != 0)
        return errmsg_set(err, r,
                          "the service was changed by somebody: its command line names no state folder; "
                          "`multissh-agent service install` repairs it");
    r = agent_paths(a, err);
    if (r == 0)
        r = agent_read_options(a, &options, err);
    if (r != 0)
        return r;
    if (options.hub.n == 0)
        r = errmsg_set(err, -EINVAL, "%s names no hub: say multissh-agent service install HOST:PORT/CODE",
                       a->conf_path);
    agent_options_release(&options);
    return r;
}

/* Opens the service with these rights, for a verb that it must be there for. */
static int open_installed(struct service_scm *scm, DWORD rights, struct errmsg *err)
{
    return service_scm_open(scm, 0, rights | SERVICE_QUERY_STATUS | SERVICE_QUERY_CONFIG, err);
}

int service_not_begun(const SERVICE_STATUS_PROCESS *status, struct errmsg *err)
{
    bool own = status->dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR;
    return errmsg_set(
        err, -ECANCELED,
        "the service has ended at once (%s %lu); the event log says why, in PowerShell: " EVENTS,
        own ? "exit status" : "error", own ? status->dwServiceSpecificExitCode : status->dwWin32ExitCode);
}

int service_start(struct agent *a, struct errmsg *err)
{
    struct service_scm scm;
    SERVICE_STATUS_PROCESS status;
    bool changed = false;
    int r = open_installed(&scm, SERVICE_START, err);
    if (r == 0)
        r = check_settings(a, &scm, err);
    if (r == 0)
        r = service_scm_start(&scm, &changed, &status, err);
    if (r == 0 && status.dwCurrentState != SERVICE_RUNNING)
        r = service_not_begun(&status, err);
    if (r == 0)
        printf("multissh-agent %s as a service, process %lu\n", changed ? "runs" : "runs already",
               status.dwProcessId);
    service_scm_close(&scm);
    return r;
}

int service_stop(struct errmsg *err)
{
    struct service_scm scm;
    bool changed = false;
    int r = open_installed(&scm, SERVICE_STOP, err);
    if (r == 0)
        r = service_scm_stop(&scm, &changed, err);
    if (r == 0)
        printf("multissh-agent is %s\n", changed ? "stopped" : "not running");
    service_scm_close(&scm);
    return r;
}

int service_end(long pid, struct errmsg *err)
{
    struct service_scm scm;
    SERVICE_STATUS_PROCESS status;
    bool changed = false, own = false;
    int r = open_installed(&scm, 0, err);
    if (r == 0)
        r = service_scm_status(&scm, &status, err);
    if (r == 0)
        own = status.dwProcessId != 0 && status.dwProcessId == (DWORD)pid;
    service_scm_close(&scm);
    if (r == -ENOENT || (r == 0 && !own))
        return 0;
    if (r == 0)
        r = open_installed(&scm, SERVICE_STOP, err);
    if (r == 0)
        r = service_scm_stop(&scm, &changed, err);
    if (own)
        service_scm_close(&scm);
    return r == 0 ? 1 : r;
}

int service_restart(struct agent *a, struct errmsg *err)
{
    struct service_scm scm;
    SERVICE_STATUS_PROCESS status;
    int r = open_installed(&scm, SERVICE_START | SERVICE_USER_DEFINED_CONTROL, err);
    if (r == 0)
        r = check_settings(a, &scm, err);
    if (r == 0)
        r = service_scm_restart(&scm, &status, err);
    if (r == 0 && status.dwCurrentState != SERVICE_RUNNING)
        r = service_not_begun(&status, err);
    if (r == 0)
        printf("multissh-agent is restarted, process %lu\n", status.dwProcessId);
    service_scm_close(&scm);
    return r;
}

int service_again(struct errmsg *err)
{
    struct service_scm scm;
    SERVICE_STATUS_PROCESS status;
    bool ignored;
    int r = -EAGAIN;
    if (eventlog_needed())
        (void)eventlog_open(SERVICE_OWN_NAME);
    for (int i = 0; r != 0 && i < AGAIN_TRIES; i++) {
        if (i > 0)
            Sleep(AGAIN_PAUSE_MS);
        r = open_installed(&scm, SERVICE_START, err);
        if (r == 0)
            r = service_scm_start(&scm, &ignored, &status, err);
        service_scm_close(&scm);
        if (r != 0)
            log_error("the restart has not begun: %s", err->text);
    }
    return r;
}

int service_reload(struct agent *a, struct errmsg *err)
{
    struct service_scm scm;
    SERVICE_STATUS told;
    int r = open_installed(&scm, SERVICE_PAUSE_CONTINUE, err);
    if (r == 0)
        r = check_settings(a, &scm, err);
    if (r == 0 && !ControlService(scm.service, SERVICE_CONTROL_PARAMCHANGE, &told))
        r = GetLastError() == ERROR_SERVICE_NOT_ACTIVE
                ? errmsg_set(err, -ESRCH,
                             "the service does not run: it reads its settings when it is started")
                : service_scm_fault(GetLastError(), "reach the service", err);
    if (r == 0)
        printf("multissh-agent reads %s again\n", a->conf_path);
    service_scm_close(&scm);
    return r;
}

/* --- status --- */

static const char *state_words(DWORD state)
{
    return state == SERVICE_RUNNING         ? "running"
           : state == SERVICE_START_PENDING ? "starting"
           : state == SERVICE_STOP_PENDING  ? "stopping"
                                            : "stopped";
}

static const char *start_words(DWORD type)
{
    return type == SERVICE_AUTO_START     ? "with the machine"
           : type == SERVICE_DEMAND_START ? "by hand only"
                                          : "never (disabled)";
}

static void show_end(const SERVICE_STATUS_PROCESS *status)
{
    char words[200];
    if (status->dwWin32ExitCode == ERROR_SERVICE_NEVER_STARTED)
        printf("last end: not started since the machine was\n");
    else if (status->dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR)
        printf("last end: exit status %lu\n", status->dwServiceSpecificExitCode);
    else if (status->dwWin32ExitCode != NO_ERROR) {
        win_words(status->dwWin32ExitCode, words, sizeof words);
        printf("last end: %s\n", words);
    } else {
        printf("last end: exit status 0\n");
    }
}

static void show(const SERVICE_STATUS_PROCESS *status, const QUERY_SERVICE_CONFIGW *config)
{
    char *line = NULL;
    printf("state: %s", state_words(status->dwCurrentState));
    if (status->dwProcessId != 0)
        printf(", process %lu", status->dwProcessId);
    printf("\nstarts: %s\n", start_words(config->dwStartType));
    if (status->dwCurrentState == SERVICE_STOPPED)
        show_end(status);
    if (win_utf8(config->lpBinaryPathName, &line) == 0)
        printf("command: %s\n", line);
    free(line);
    printf("log: event log, Application, " SERVICE_OWN_NAME " (" EVENTS ")\n");
}

int service_show(struct errmsg *err)
{
    struct service_scm scm;
    SERVICE_STATUS_PROCESS status;
    QUERY_SERVICE_CONFIGW *config = NULL;
    int r = open_installed(&scm, 0, err);
    if (r == -ENOENT) {
        printf("state: not installed\n");
        r = SERVICE_IS_ABSENT;
        goto out;
    }
    if (r == 0)
        r = service_scm_status(&scm, &status, err);
    if (r == 0)
        r = (config = service_scm_config(&scm, err)) != NULL ? 0 : -EIO;
    if (r == 0) {
        show(&status, config);
        r = status.dwCurrentState == SERVICE_RUNNING ? SERVICE_IS_RUNNING : SERVICE_IS_STOPPED;
    }
out:
    free(config);
    service_scm_close(&scm);
    return r;
}
