/* Starting a process as an account: what it is, what it inherits, and the job that it cannot leave. */
#include "sshd/child_windows_private.h"

#include "base/log.h"
#include "sshd/cmdline_windows.h"
#include "sshd/environ_windows.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TERM_MAX 255u
#define PATH_UNITS_MAX 32768u

struct plan {
    char *program; /* UTF-8, for messages */
    wchar_t *path, *line, *environment;
    LPPROC_THREAD_ATTRIBUTE_LIST attributes;
    HANDLE inherited[3]; /* which attributes point to */
    HANDLE std[3];       /* of these, those from conpty_std_handles are closed */
    bool std_owned;
};

static void plan_release(struct plan *plan)
{
    for (int i = 0; plan->std_owned && i < 2; i++) {
        if (plan->std[i] != NULL) {
            CloseHandle(plan->std[i]);
        }
    }
    if (plan->attributes != NULL) {
        DeleteProcThreadAttributeList(plan->attributes);
        free(plan->attributes);
    }
    free(plan->program);
    free(plan->path);
    free(plan->line);
    free(plan->environment);
}

static int out_of_memory(struct errmsg *err)
{
    return errmsg_set(err, -ENOMEM, "nothing was started: out of memory");
}

static int failed(const char *what, DWORD error, struct errmsg *err)
{
    char words[256];
    win_words(error, words, sizeof words);
    return errmsg_set(err, win_errno(error), "%s: %s", what, words);
}

/* --- which program, with which arguments --- */

static int own_path(char **ret_path, struct errmsg *err)
{
    wchar_t *wide = malloc(PATH_UNITS_MAX * sizeof *wide);
    DWORD n = wide == NULL ? 0 : GetModuleFileNameW(NULL, wide, PATH_UNITS_MAX);
    int rc = wide == NULL                    ? -ENOMEM
             : n == 0 || n >= PATH_UNITS_MAX ? -ENAMETOOLONG
                                             : win_utf8(wide, ret_path);
    free(wide);
    return rc < 0 ? errmsg_set(err, rc, "this program's own path cannot be learnt: %s", strerror(-rc)) : 0;
}

static int plan_program(struct plan *plan, const struct child_spec *spec, struct errmsg *err)
{
    char *line = NULL;
    int rc;
    if (spec->kind == HOST_SFTP) {
        rc = own_path(&plan->program, err);
        if (rc == 0) {
            const char *const argv[] = {plan->program, "--sftp", "--read-only"};
            rc = cmdline_join(argv, spec->read_only ? 3 : 2, &line, err);
        }
    } else {
        rc = cmdline_find(spec->shell, &plan->program, err);
        if (rc == 0) {
            rc = cmdline_shell(plan->program, spec->kind == HOST_EXEC ? spec->command : NULL, &line, err);
        }
    }
    if (rc == 0) {
        rc = win_utf16(line, &plan->line);
        if (rc == 0) {
            rc = win_path(plan->program, &plan->path);
        }
        if (rc < 0) {
            (void)errmsg_set(err, rc, "%.300s cannot be started: %s", plan->program, strerror(-rc));
        }
    }
    free(line);
    return rc;
}

static int plan_environment(struct plan *plan, const struct child_spec *spec, struct errmsg *err)
{
    const char **env = calloc(spec->env_n + 1, sizeof *env);
    char term[sizeof "TERM=" + TERM_MAX];
    size_t n = 0;
    int rc;
    if (env == NULL) {
        return out_of_memory(err);
    }
    if (spec->pty && spec->term != NULL && spec->term[0] != '\0' && strlen(spec->term) <= TERM_MAX) {
        (void)snprintf(term, sizeof term, "TERM=%s", spec->term);
        env[n++] = term;
    }
    for (size_t i = 0; i < spec->env_n; i++) {
        env[n++] = spec->env[i];
    }
    rc = environ_build(spec->logon == NULL ? NULL : spec->logon->token, env, n, &plan->environment, err);
    free(env);
    return rc;
}

/* --- what it inherits --- */

static bool set_attribute(struct plan *plan, DWORD_PTR which, void *value, size_t size)
{
    return UpdateProcThreadAttribute(plan->attributes, 0, which, value, size, NULL, NULL);
}

static int plan_attributes(struct plan *plan, const HANDLE std[3], const struct conpty *console,
                           struct errmsg *err)
{
    SIZE_T size = 0;
    size_t n = 0;
    int rc = 0;
    if (std != NULL) {
        memcpy(plan->std, std, sizeof plan->std);
    } else {
        rc = conpty_std_handles(console, &plan->std[0], &plan->std[1], err);
        plan->std[2] = plan->std[1];
        plan->std_owned = true;
    }
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < (plan->std_owned ? 2 : 3); i++) {
        if (plan->std[i] != NULL) {
            plan->inherited[n++] = plan->std[i];
        }
    }
    (void)InitializeProcThreadAttributeList(NULL, 2, 0, &size);
    plan->attributes = malloc(size);
    if (plan->attributes == NULL) {
        return out_of_memory(err);
    }
    if (!InitializeProcThreadAttributeList(plan->attributes, 2, 0, &size)) {
        free(plan->attributes);
        plan->attributes = NULL;
        return failed("nothing was started", GetLastError(), err);
    }
    if ((n > 0 &&
         !set_attribute(plan, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, plan->inherited, n * sizeof(HANDLE))) ||
        (console != NULL &&
         !set_attribute(plan, PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, conpty_handle(console), sizeof(HANDLE)))) {
        return failed("nothing was started", GetLastError(), err);
    }
    return 0;
}

/* --- the process --- */

/* Commands have a console of their own that nobody sees: Ctrl-C in one is not heard in another, nor here. */
static bool create(const struct plan *plan, const struct child_spec *spec, const wchar_t *folder,
                   PROCESS_INFORMATION *ret_made)
{
    /* Null handles with a console: so that it does not get this process' own, and the console's are put there. */
    STARTUPINFOEXW startup = {.StartupInfo = {.cb = sizeof startup,
                                              .dwFlags = STARTF_USESTDHANDLES,
                                              .hStdInput = plan->std[0],
                                              .hStdOutput = plan->std[1],
                                              .hStdError = plan->std[2]},
                              .lpAttributeList = plan->attributes};
    const DWORD flags = CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT |
                        (spec->pty ? 0 : CREATE_NO_WINDOW);
    const BOOL inherit = plan->inherited[0] != NULL;
    if (spec->logon != NULL && spec->logon->token != NULL) {
        return CreateProcessAsUserW(spec->logon->token, plan->path, plan->line, NULL, NULL, inherit, flags,
                                    plan->environment, folder, &startup.StartupInfo, ret_made);
    }
    return CreateProcessW(plan->path, plan->line, NULL, NULL, inherit, flags, plan->environment, folder,
                          &startup.StartupInfo, ret_made);
}

static int create_somewhere(const struct plan *plan, const struct child_spec *spec,
                            PROCESS_INFORMATION *ret_made, struct errmsg *err)
{
    const wchar_t *home = spec->logon == NULL ? NULL : spec->logon->home;
    wchar_t folder[MAX_PATH];
    char what[320];
    DWORD error;
    if (spec->pty) {
        /* That Ctrl-C is ignored is inherited, and this process may have been started so. */
        (void)SetConsoleCtrlHandler(NULL, FALSE);
    }
    if (create(plan, spec, home, ret_made)) {
        return 0;
    }
    if (home != NULL && GetLastError() == ERROR_DIRECTORY && GetSystemDirectoryW(folder, MAX_PATH) > 0 &&
        create(plan, spec, folder, ret_made)) {
        log_warn("the folder %ls cannot be entered: what is started for %s starts in %ls", home,
                 spec->logon->name == NULL ? "its user" : spec->logon->name, folder);
        return 0;
    }
    error = GetLastError();
    (void)snprintf(what, sizeof what, "%.250s cannot be started", plan->program);
    return failed(what, error, err);
}

/* Nothing may leave it, and it ends with its last handle: with this process, if nothing else ends it before. */
static int make_job(HANDLE *ret_job, struct errmsg *err)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {
        .BasicLimitInformation = {.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}};
    HANDLE job = CreateJobObjectW(NULL, NULL);
    if (job == NULL) {
        return failed("no job object", GetLastError(), err);
    }
    if (!SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits)) {
        int rc = failed("no job object", GetLastError(), err);
        CloseHandle(job);
        return rc;
    }
    *ret_job = job;
    return 0;
}

static int start(const struct plan *plan, const struct child_spec *spec, struct child_process *ret_process,
                 struct errmsg *err)
{
    PROCESS_INFORMATION made = {0};
    HANDLE job = NULL;
    int rc = make_job(&job, err);
    if (rc < 0) {
        return rc;
    }
    rc = create_somewhere(plan, spec, &made, err);
    if (rc == 0 && !AssignProcessToJobObject(job, made.hProcess)) {
        rc = failed("the program has no job object", GetLastError(), err);
        (void)TerminateProcess(made.hProcess, 1);
        CloseHandle(made.hThread);
        CloseHandle(made.hProcess);
    }
    if (rc < 0) {
        CloseHandle(job);
        return rc;
    }
    *ret_process = (struct child_process){.process = made.hProcess, .thread = made.hThread, .job = job};
    return 0;
}

int child_spawn(const struct child_spec *spec, const HANDLE std[3], const struct conpty *console,
                struct child_process *ret_process, struct errmsg *err)
{
    struct plan plan = {0};
    int rc = plan_program(&plan, spec, err);
    if (rc == 0) {
        rc = plan_environment(&plan, spec, err);
    }
    if (rc == 0) {
        rc = plan_attributes(&plan, std, console, err);
    }
    if (rc == 0) {
        rc = start(&plan, spec, ret_process, err);
    }
    plan_release(&plan);
    return rc;
}
