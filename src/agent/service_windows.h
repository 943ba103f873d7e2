/* What the parts of the Windows service share: its name, its command line, and talking to the Service Control Manager
 * (SCM). */
#ifndef MULTISSH_AGENT_SERVICE_WINDOWS_H
#define MULTISSH_AGENT_SERVICE_WINDOWS_H

#include "agent/service.h"
#include "base/win.h"
#include <winsvc.h>

#define SERVICE_OWN_NAME "multissh-agent"
#define SERVICE_OWN_NAME_W L"multissh-agent"
#define SERVICE_SSHD_NAME "multissh-sshd" /* its program logs, too */
/* A control of our own: end, and see to it that the service is started again. So a restart is not cut short when whoever
 * asked for it came through this very agent. */
#define SERVICE_CONTROL_AGAIN 128

/* Who may do what to the service, in SDDL: SYSTEM and the Administrators what Windows gives them, and others (who are
 * logged in, and services) may look at it. */
extern const wchar_t service_rights[];

/* What the service ends with besides 0, as a service-specific code: 1 and 2 as the program does; and this, when it could
 * not see to its being started again itself, so that the SCM does. */
#define SERVICE_EXIT_AGAIN 3

/* --- service_windows_line.c: service_rights, and the command line, in which there are no other words than these --- */

/* One argument as CommandLineToArgvW takes it apart again, the caller's to free; NULL: out of memory. */
wchar_t *service_quote(const wchar_t *argument);
/* `"PROGRAM" --state "STATE" service run` into *ret_line, the caller's to free. Returns 0, -EINVAL (a % in a path: the
 * SCM would take it for a variable; or a ") or -ENOMEM. */
int service_line(const char *program, const char *state, wchar_t **ret_line);
/* The state folder in a line. Returns 0, -ENOENT (it names none) or another negative errno value. */
int service_line_state(const wchar_t *line, char *out, size_t size);

/* --- service_windows_scm.c --- */

struct service_scm {
    SC_HANDLE manager, service; /* NULL: not open */
};

/* Opens the SCM and the service with these rights (SERVICE_QUERY_STATUS …). Returns 0, -ENOENT (it is not installed; the
 * manager is open), -EACCES or another negative errno value, with err. */
int service_scm_open(struct service_scm *scm, DWORD manager_rights, DWORD rights, struct errmsg *err);
void service_scm_close(struct service_scm *scm);
/* The words for a call to the SCM that failed. Returns the negative errno value. */
int service_scm_fault(DWORD error, const char *what, struct errmsg *err);
int service_scm_status(const struct service_scm *scm, SERVICE_STATUS_PROCESS *ret_status, struct errmsg *err);
/* The configuration, the caller's to free. NULL with err. */
QUERY_SERVICE_CONFIGW *service_scm_config(const struct service_scm *scm, struct errmsg *err);
/* Waits until the service is in the state, or in none that leads there. Returns 0 with *ret_status, or -ETIMEDOUT or
 * another negative errno value with err. */
int service_scm_await(const struct service_scm *scm, DWORD state, SERVICE_STATUS_PROCESS *ret_status,
                      struct errmsg *err);
/* Start it, or stop it, and wait. Nothing is done when it is so already; *ret_changed says. */
int service_scm_start(const struct service_scm *scm, bool *ret_changed, SERVICE_STATUS_PROCESS *ret_status,
                      struct errmsg *err);
int service_scm_stop(const struct service_scm *scm, bool *ret_changed, struct errmsg *err);
/* Ends it, if it runs, and has it started again: also when this process is ended with it, as a session of the agent's
 * is. Returns as service_scm_start. */
int service_scm_restart(const struct service_scm *scm, SERVICE_STATUS_PROCESS *ret_status,
                        struct errmsg *err);

/* --- the verbs --- */

/* The words for a service that was started and has ended. Returns a negative errno value. */
int service_not_begun(const SERVICE_STATUS_PROCESS *status, struct errmsg *err);

int service_install(struct agent *a, const struct service_request *request, struct errmsg *err);
int service_remove(struct agent *a, struct errmsg *err);
int service_start(struct agent *a, struct errmsg *err);
int service_stop(struct errmsg *err);
/* Stops the service when pid is its process. Returns 1, 0 (it is not), or a negative errno value with err. */
int service_end(long pid, struct errmsg *err);
int service_restart(struct agent *a, struct errmsg *err);
int service_reload(struct agent *a, struct errmsg *err);
/* In the process that the service leaves behind at a restart: waits for its end, and starts it. */
int service_again(struct errmsg *err);
/* Returns an enum service_status, or a negative errno value. */
int service_show(struct errmsg *err);
/* In the process that the SCM has started. Returns the exit status, or a negative errno value with err. */
int service_run(struct agent *a, service_run_fn *run, struct errmsg *err);

#endif
