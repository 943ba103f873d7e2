/* multissh-agent as a service of the operating system: `multissh-agent service VERB`, and what an agent that is one
 * tells the system. Siblings: service_windows*.c (the Service Control Manager), service_posix.c (systemd does it
 * all). */
#ifndef MULTISSH_AGENT_SERVICE_H
#define MULTISSH_AGENT_SERVICE_H

#include "base/errmsg.h"
#include <stdbool.h>

struct agent;

#define SERVICE_VERBS "install, start, stop, restart, reload, status or remove"

/* What `status` ends with, as systemctl does. */
enum service_status { SERVICE_IS_RUNNING = 0, SERVICE_IS_STOPPED = 3, SERVICE_IS_ABSENT = 4 };

struct service_request {
    const char *verb; /* NULL: none was given */
    const char *hub;  /* of install: HOST:PORT[/CODE], or NULL */
    bool force;       /* as of join */
    bool no_run;      /* install does not start it */
    bool state_given; /* the agent's state_dir was chosen, and is not the default */
};

/* Runs the agent until its end. Returns 0 or a negative errno value with err filled. */
typedef int service_run_fn(struct agent *a, struct errmsg *err);

/* Does what the verb says and waits for it, and says in a line on standard output what was done. a has its state_dir
 * and its flags. run is for the verb by which the system starts the service. Returns the program's exit status, or a
 * negative errno value with err filled (-EINVAL: wrongly used). */
int service_command(struct agent *a, const struct service_request *request, service_run_fn *run,
                    struct errmsg *err);

/* The agent has started, and its loop is about to run; and the loop has ended. For the system, when this process is
 * a service of it; nothing else happens. */
void service_ready(struct agent *a);
void service_over(struct agent *a);

#endif
