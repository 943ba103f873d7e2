/* Starting a process as an account: what it is, where it is, and the job that it cannot leave. */
#include "sshd/child_windows_private.h"

#include "base/log.h"
#include "sshd/cmdline_windows.h"
#include "sshd/console_windows.h"
#include "sshd/environ_windows.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TERM_MAX 255u
#define PATH_UNITS_MAX 32768u

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

/* line: UTF-8. */
static int set_line(struct child_program *program, const char *line, struct errmsg *err)
{
    int rc = win_utf16(line, &program->line);
    if (rc == 0) {
        rc = win_path(program->name, &program->path);
    }
    return rc < 0 ? errmsg_set(err, rc, "%.300s cannot be started: %s", program->name, strerror(-rc)) : 0;
}

/* This program, with one flag or two. */
static int init_own(struct child_program *program, const char *flag, const char *more, struct errmsg *err)
{
    char *line = NULL;
    int rc = own_path(&program->name, err);
    if (rc == 0) {
        const char *const argv[] = {program->name, flag, more};
        rc = cmdline_join(argv, more == NULL ? 2 : 3, &line, err);
    }
    if (rc == 0) {
        rc = set_line(program, line, err);
    }
    free(line);
    return rc;
}

int child_program_init(struct child_program *program, const struct child_spec *spec, struct errmsg *err)
{
    char *line = NULL;
    int rc;
    *program = (struct child_program){0};
    if (spec->kind == HOST_SFTP) {
        return init_own(program, "--sftp", spec->read_only ? "--read-only" : NULL, err);
    }
    rc = cmdline_find(spec->shell, &program->name, err);
    if (rc == 0) {
        rc = cmdline_shell(program->name, spec->kind == HOST_EXEC ? spec->command : NULL, &line, err);
    }
    if (rc == 0) {
        rc = set_line(program, line, err);
    }
    free(line);
    return rc;
}

int child_program_init_console(struct child_program *program, struct errmsg *err)
{
    *program = (struct child_program){0};
    return init_own(program, CONSOLE_FLAG, NULL, err);
}

void child_program_release(struct child_program *program)
{
    free(program->name);
    free(program->path);
    free(program->line);
    *program = (struct child_program){0};
}

/* --- where --- */

static int make_environment(const struct child_spec *spec, wchar_t **ret_environment, struct errmsg *err)
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
    rc = environ_build(spec->logon == NULL ? NULL : spec->logon->token, env, n, ret_environment, err);
    free(env);
    return rc;
}

/* --- the process --- */

struct plan {
    const struct child_spec *spec;
    const struct child_program *program;
    const struct inherit *inherit;
    wchar_t *environment;
};

/* Commands have a console of their own that nobody sees: Ctrl-C in one is not heard in another, nor here. What makes a
 * pseudo console needs none itself. */
static DWORD console_flag(const struct plan *plan)
{
    return !plan->spec->pty ? CREATE_NO_WINDOW : plan->inherit->console == NULL ? DETACHED_PROCESS : 0;
}

static bool create(const struct plan *plan, const wchar_t *folder, PROCESS_INFORMATION *ret_made)
{
    const struct child_program *program = plan->program;
    const struct logon *logon = plan->spec->logon;
    const DWORD flags =
        CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT | console_flag(plan);
    const bool any = inherit_any(plan->inherit);
    STARTUPINFOEXW startup = inherit_startup(plan->inherit);
    if (logon != NULL && logon->token != NULL) {
        return CreateProcessAsUserW(logon->token, program->path, program->line, NULL, NULL, any, flags,
                                    plan->environment, folder, &startup.StartupInfo, ret_made);
    }
    return CreateProcessW(program->path, program->line, NULL, NULL, any, flags, plan->environment, folder,
                          &startup.StartupInfo, ret_made);
}

static int create_somewhere(const struct plan *plan, PROCESS_INFORMATION *ret_made, struct errmsg *err)
{
    const struct child_spec *spec = plan->spec;
    const wchar_t *home = spec->logon == NULL ? NULL : spec->logon->home;
    wchar_t folder[MAX_PATH];
    char what[320];
    DWORD error;
    if (spec->pty) {
        /* That Ctrl-C is ignored is inherited, and this process may have been started so. */
        (void)SetConsoleCtrlHandler(NULL, FALSE);
    }
    if (create(plan, home, ret_made)) {
        return 0;
    }
    if (home != NULL && GetLastError() == ERROR_DIRECTORY && GetSystemDirectoryW(folder, MAX_PATH) > 0 &&
        create(plan, folder, ret_made)) {
        log_warn("the folder %ls cannot be entered: what is started for %s starts in %ls", home,
                 spec->logon->name == NULL ? "its user" : spec->logon->name, folder);
        return 0;
    }
    error = GetLastError();
    (void)snprintf(what, sizeof what, "%.250s cannot be started", plan->program->name);
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

static int start(const struct plan *plan, struct child_process *ret_process, struct errmsg *err)
{
    PROCESS_INFORMATION made = {0};
    HANDLE job = NULL;
    int rc = make_job(&job, err);
    if (rc < 0) {
        return rc;
    }
    rc = create_somewhere(plan, &made, err);
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

int child_spawn(const struct child_spec *spec, const struct child_program *program,
                const struct inherit *inherit, struct child_process *ret_process, struct errmsg *err)
{
    struct plan plan = {.spec = spec, .program = program, .inherit = inherit};
    int rc = make_environment(spec, &plan.environment, err);
    if (rc == 0) {
        rc = start(&plan, ret_process, err);
    }
    free(plan.environment);
    return rc;
}
