/* There, systemd runs the agent as a service; it needs nothing from us. */
#include "agent/service.h"

#include <errno.h>

int service_command(struct agent *a, const struct service_request *request, service_run_fn *run,
                    struct errmsg *err)
{
    (void)a;
    (void)request;
    (void)run;
    return errmsg_set(
        err, -EINVAL,
        "service: this is for Windows; here systemd does it: multissh-agent join HOST:PORT/CODE "
        "--no-run, then systemctl enable --now multissh-agent");
}

void service_ready(struct agent *a)
{
    (void)a;
}

void service_over(struct agent *a)
{
    (void)a;
}
