/* `multissh-agent service VERB` on Windows. */
#include "agent/service_windows.h"

#include "agent/agent.h"
#include "base/log.h"
#include <errno.h>
#include <string.h>

static int no_more_words(const struct agent *a, const struct service_request *request, struct errmsg *err)
{
    if (request->hub != NULL)
        return errmsg_set(err, -EINVAL, "%s: one word too many", request->hub);
    if (a->flags.argc > 1)
        return errmsg_set(err, -EINVAL,
                          "%s: service %s takes no settings; they are in agent.conf of the state folder",
                          a->flags.argv[1], request->verb);
    return 0;
}

int service_command(struct agent *a, const struct service_request *request, service_run_fn *run,
                    struct errmsg *err)
{
    const char *verb = request->verb != NULL ? request->verb : "";
    if (strcmp(verb, "run") == 0)
        return request->hub == NULL ? service_run(a, run, err)
                                    : errmsg_set(err, -EINVAL, "%s: one word too many", request->hub);
    log_set_level(LOG_LEVEL_WARN); /* what is done is said in one line */
    if (strcmp(verb, "install") == 0)
        return service_install(a, request, err);
    int r = no_more_words(a, request, err);
    if (r != 0)
        return r;
    if (strcmp(verb, "start") == 0)
        return service_start(a, err);
    if (strcmp(verb, "stop") == 0)
        return service_stop(err);
    if (strcmp(verb, "restart") == 0)
        return service_restart(a, err);
    if (strcmp(verb, "reload") == 0)
        return service_reload(a, err);
    if (strcmp(verb, "again") == 0)
        return service_again(err);
    if (strcmp(verb, "status") == 0)
        return service_show(err);
    if (strcmp(verb, "remove") == 0)
        return service_remove(a, err);
    return verb[0] == 0
               ? errmsg_set(err, -EINVAL, "service: say " SERVICE_VERBS)
               : errmsg_set(err, -EINVAL, "service %s: there is no such command; it is " SERVICE_VERBS, verb);
}
