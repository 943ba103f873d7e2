/* install and remove of the service. */
#include "agent/service_windows.h"

#include "agent/agent.h"
#include "agent/join.h"
#include "agent/process.h"
#include "agent/rights_windows.h"
#include "agent/sessions.h"
#include "base/eventlog_windows.h"
#include "base/log.h"
#include <errno.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE L"multiSSH agent"
#define DESCRIPTION L"Makes this machine reachable over SSH through a multiSSH hub."
#define RIGHTS                                                                                               \
    (SERVICE_QUERY_STATUS | SERVICE_QUERY_CONFIG | SERVICE_CHANGE_CONFIG | SERVICE_START | SERVICE_STOP |    \
     SERVICE_USER_DEFINED_CONTROL | WRITE_DAC | DELETE)
/* One that fails for good is tried once a minute. */
#define RESET_S 3600
#define GONE_MS 10000
#define LOOK_MS 100

/* What is put together before anything is changed. */
struct plan {
    char *program, *sshd; /* sshd NULL: not beside it */
    wchar_t *program_wide, *line;
};

static void plan_release(struct plan *p)
{
    free(p->program);
    free(p->sshd);
    free(p->program_wide);
    free(p->line);
}

static int own_program(char **ret_path, struct errmsg *err)
{
    static wchar_t wide[FS_PATH_MAX];
    char path[FS_PATH_MAX];
    DWORD n = GetModuleFileNameW(NULL, wide, FS_PATH_MAX);
    int r = n == 0 ? win_errno(GetLastError()) : n == FS_PATH_MAX ? -ENAMETOOLONG : 0;
    if (r == 0)
        r = win_utf8_into(wide, path, sizeof path);
    if (r == 0)
        r = rights_real_path(path, ret_path);
    if (r == -EXDEV)
        return errmsg_set(
            err, r,
            "this program is not on a drive of this machine, where a service could be started from: copy "
            "the programs to a folder like C:\\Program Files\\multissh, and install it from there");
    return r == 0 ? 0 : errmsg_set(err, r, "cannot see where this program is: %s", strerror(-r));
}

/* The server for users: the agent starts it as the system, so it has to be as safe. */
static int check_sshd(struct plan *p, struct errmsg *err)
{
    char path[FS_PATH_MAX];
    int r = fs_sibling_program("multissh-sshd", path, sizeof path);
    if (r == 0)
        r = rights_real_path(path, &p->sshd);
    if (r == 0)
        return rights_check_program(p->sshd, err);
    log_warn("multissh-sshd.exe is not beside %s: where this machine runs no SSH server of its own, users "
             "will not get "
             "in",
             p->program);
    return 0;
}

static int make_plan(struct agent *a, struct plan *p, struct errmsg *err)
{
    wchar_t *wide = NULL;
    int r = own_program(&p->program, err);
    if (r == 0)
        r = rights_check_program(p->program, err);
    if (r == 0)
        r = check_sshd(p, err);
    if (r != 0)
        return r;
    /* The service has another working folder. */
    r = win_path(a->state_dir, &wide);
    if (r == 0)
        r = win_utf8_into(wide, a->state_dir, sizeof a->state_dir);
    free(wide);
    if (r == 0)
        r = win_utf16(p->program, &p->program_wide);
    if (r == 0)
        r = service_line(p->program, a->state_dir, &p->line);
    if (r == -EINVAL)
        return errmsg_set(err, r, "a service cannot have a %% or a \" in its paths: %s, %s", p->program,
                          a->state_dir);
    return r == 0 ? 0 : errmsg_set(err, r, "cannot set the service up: %s", strerror(-r));
}

/* --- the hub --- */

/* Under the lock; when the service runs, it has that, and writes agent.conf only when a hub welcomes it. */
static int join_hub(struct agent *a, const struct service_request *request, bool runs, struct errmsg *err)
{
    int r = runs ? 0 : agent_lock(a, err);
    if (r == 0)
        r = join_remember(a, request->hub, request->force, err);
    if (a->lock_fd >= 0)
        process_unlock(a->lock_fd);
    a->lock_fd = -1;
    return r;
}

static int check_joined(struct agent *a, struct errmsg *err)
{
    struct agent_options options;
    if (a->flags.argc > 1)
        return errmsg_set(err, -EINVAL,
                          "%s: settings are kept when a hub is named: service install HOST:PORT/CODE %s …",
                          a->flags.argv[1], a->flags.argv[1]);
    int r = agent_read_options(a, &options, err);
    if (r != 0)
        return r;
    if (options.hub.n == 0)
        r = errmsg_set(
            err, -EINVAL,
            "%s names no hub: say service install HOST:PORT/CODE, with what `multissh-hub invite` prints",
            a->conf_path);
    agent_options_release(&options);
    return r;
}

/* --- the registration --- */

static int create(struct service_scm *scm, const struct plan *p, struct errmsg *err)
{
    scm->service =
        CreateServiceW(scm->manager, SERVICE_OWN_NAME_W, TITLE, RIGHTS, SERVICE_WIN32_OWN_PROCESS,
                       SERVICE_AUTO_START, SERVICE_ERROR_NORMAL, p->line, NULL, NULL, NULL, NULL, NULL);
    return scm->service != NULL ? 0 : service_scm_fault(GetLastError(), "install the service", err);
}

static int change(const struct service_scm *scm, const struct plan *p, struct errmsg *err)
{
    static const wchar_t system_account[] = L"LocalSystem";
    if (!ChangeServiceConfigW(scm->service, SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START,
                              SERVICE_ERROR_NORMAL, p->line, NULL, NULL, NULL, system_account, NULL, TITLE))
        return service_scm_fault(GetLastError(), "change the service", err);
    return 0;
}

/* Restarts after 2 s, then 10 s, then every minute, until it has run for an hour; also when it ended by itself with an
 * exit status that is not 0. */
static int set_up(const struct service_scm *scm, struct errmsg *err)
{
    static wchar_t description[] = DESCRIPTION;
    SERVICE_DESCRIPTIONW words = {.lpDescription = description};
    SC_ACTION actions[] = {{SC_ACTION_RESTART, 2000}, {SC_ACTION_RESTART, 10000}, {SC_ACTION_RESTART, 60000}};
    SERVICE_FAILURE_ACTIONSW failure = {.dwResetPeriod = RESET_S, .cActions = 3, .lpsaActions = actions};
    SERVICE_FAILURE_ACTIONS_FLAG flag = {.fFailureActionsOnNonCrashFailures = TRUE};
    if (!ChangeServiceConfig2W(scm->service, SERVICE_CONFIG_DESCRIPTION, &words) ||
        !ChangeServiceConfig2W(scm->service, SERVICE_CONFIG_FAILURE_ACTIONS, &failure))
        return service_scm_fault(GetLastError(), "set the service up", err);
    /* Wine does not know this one. */
    if (!ChangeServiceConfig2W(scm->service, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, &flag) &&
        GetLastError() != ERROR_INVALID_LEVEL)
        return service_scm_fault(GetLastError(), "set the service up", err);
    return 0;
}

/* Else everybody who is logged in could restart it (a control of its own), which ends all sessions. */
static int close_to_others(const struct service_scm *scm, struct errmsg *err)
{
    PSECURITY_DESCRIPTOR rights = NULL;
    DWORD error = ERROR_SUCCESS;
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(service_rights, SDDL_REVISION_1, &rights,
                                                              NULL) ||
        !SetServiceObjectSecurity(scm->service, DACL_SECURITY_INFORMATION, rights))
        error = GetLastError();
    LocalFree(rights);
    return error == ERROR_SUCCESS ? 0
                                  : service_scm_fault(error, "set up who may do what to the service", err);
}

static void register_events(const struct plan *p)
{
    int r = eventlog_register(SERVICE_OWN_NAME, p->program_wide);
    if (r == 0)
        r = eventlog_register(SERVICE_SSHD_NAME, p->program_wide);
    if (r != 0)
        log_warn("the event log will put words of its own around ours: %s", strerror(-r));
}

static int configure(struct service_scm *scm, const struct plan *p, struct errmsg *err)
{
    int r = scm->service == NULL ? create(scm, p, err) : change(scm, p, err);
    if (r == 0)
        r = set_up(scm, err);
    if (r == 0)
        r = close_to_others(scm, err);
    if (r == 0)
        register_events(p);
    return r;
}

/* --- install --- */

static int begin(const struct service_scm *scm, struct errmsg *err)
{
    SERVICE_STATUS_PROCESS status;
    int r = service_scm_restart(scm, &status, err);
    if (r == 0 && status.dwCurrentState != SERVICE_RUNNING)
        r = service_not_begun(&status, err);
    if (r == 0)
        printf("multissh-agent is installed as a service and runs, process %lu; it starts with the machine\n",
               status.dwProcessId);
    return r;
}

static int install(struct agent *a, const struct service_request *request, struct service_scm *scm,
                   const struct plan *p, struct errmsg *err)
{
    SERVICE_STATUS_PROCESS status = {.dwCurrentState = SERVICE_STOPPED};
    int r = scm->service != NULL ? service_scm_await(scm, SERVICE_STOPPED, &status, err) : 0;
    bool runs = status.dwCurrentState == SERVICE_RUNNING;
    if (r == 0)
        r = rights_close_folder(a->state_dir, err);
    if (r == 0)
        r = agent_paths(a, err);
    if (r == 0)
        r = request->hub != NULL ? join_hub(a, request, runs, err) : check_joined(a, err);
    if (r == 0)
        r = configure(scm, p, err);
    if (r == 0 && !request->no_run)
        return begin(scm, err);
    if (r == 0)
        printf("multissh-agent is installed as a service; it starts with the machine, or by: multissh-agent "
               "service %s\n",
               runs ? "restart" : "start");
    return r;
}

/* A service that is there keeps its state folder, unless another one is named. */
static int keep_state(struct agent *a, const struct service_scm *scm, struct errmsg *err)
{
    char state[FS_PATH_MAX];
    QUERY_SERVICE_CONFIGW *config = service_scm_config(scm, err);
    if (config == NULL)
        return -EIO;
    if (service_line_state(config->lpBinaryPathName, state, sizeof state) == 0)
        memcpy(a->state_dir, state, strlen(state) + 1);
    free(config);
    return 0;
}

int service_install(struct agent *a, const struct service_request *request, struct errmsg *err)
{
    struct service_scm scm = {NULL, NULL};
    struct plan plan = {NULL, NULL, NULL, NULL};
    int r = service_scm_open(&scm, SC_MANAGER_CREATE_SERVICE, RIGHTS, err);
    if (r == -ENOENT) /* so it is installed now */
        r = 0;
    if (r == 0 && scm.service != NULL && !request->state_given)
        r = keep_state(a, &scm, err);
    if (r == 0)
        r = make_plan(a, &plan, err);
    if (r == 0)
        r = install(a, request, &scm, &plan, err);
    service_scm_close(&scm);
    plan_release(&plan);
    return r;
}

/* --- remove --- */

/* Gone it is only when nobody has it open any more. */
static int await_gone(struct service_scm *scm, struct errmsg *err)
{
    ULONGLONG end = GetTickCount64() + GONE_MS;
    service_scm_close(scm);
    for (;;) {
        int r = service_scm_open(scm, 0, SERVICE_QUERY_STATUS, err);
        service_scm_close(scm);
        if (r == -ENOENT)
            return 0;
        if (r != 0 && r != -EBUSY)
            return r;
        if (GetTickCount64() > end)
            return errmsg_set(
                err, -EBUSY,
                "the service is stopped and marked for removal, but some program still has it open: it goes "
                "when the Services window is closed, or with the next start of the machine");
        Sleep(LOOK_MS);
    }
}

static int delete (struct service_scm *scm, char *state, size_t size, struct errmsg *err)
{
    bool ignored;
    QUERY_SERVICE_CONFIGW *config = service_scm_config(scm, err);
    if (config == NULL)
        return -EIO;
    if (service_line_state(config->lpBinaryPathName, state, size) != 0)
        state[0] = 0;
    free(config);
    int r = service_scm_stop(scm, &ignored, err);
    if (r == 0 && !DeleteService(scm->service) && GetLastError() != ERROR_SERVICE_MARKED_FOR_DELETE)
        r = service_scm_fault(GetLastError(), "remove the service", err);
    return r == 0 ? await_gone(scm, err) : r;
}

/* Last, for whoever said it may have come through one of them. */
static int end_sessions(struct agent *a, struct errmsg *err)
{
    size_t n = 0;
    int r = sessions_end(a, &n, err);
    if (n > 0)
        printf("%zu session%s ended\n", n, n == 1 ? "" : "s");
    return r;
}

int service_remove(struct agent *a, struct errmsg *err)
{
    struct service_scm scm;
    char state[FS_PATH_MAX];
    int r = service_scm_open(&scm, 0, RIGHTS, err);
    if (r == -ENOENT) {
        printf("the service is not installed\n");
        r = 0;
        goto out;
    }
    if (r == 0)
        r = delete (&scm, state, sizeof state, err);
    if (r != 0)
        goto out;
    if (eventlog_unregister(SERVICE_OWN_NAME) != 0 || eventlog_unregister(SERVICE_SSHD_NAME) != 0)
        log_warn("its names stay in the event log");
    printf("the service is removed; the machine's key and settings stay in %s\n",
           state[0] != 0 ? state : "the state folder");
    fflush(stdout);
    if (state[0] != 0) {
        snprintf(a->state_dir, sizeof a->state_dir, "%s", state);
        r = end_sessions(a, err);
    }
out:
    service_scm_close(&scm);
    return r;
}
