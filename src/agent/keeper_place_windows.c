/* A named pipe; it goes with its process. */
#include "agent/keeper_place.h"

#include <stdio.h>

static void pipe_name(const struct keeper_place *p, char *out, size_t size)
{
    snprintf(out, size, "\\\\.\\pipe\\multissh-agent-%s", p->id);
}

int keeper_place_bind(const struct keeper_place *p, uv_pipe_t *pipe)
{
    char name[100];
    pipe_name(p, name, sizeof name);
    return uv_pipe_bind(pipe, name);
}

int keeper_place_connect(const struct keeper_place *p, uv_connect_t *req, uv_pipe_t *pipe, uv_connect_cb fn)
{
    char name[100];
    pipe_name(p, name, sizeof name);
    uv_pipe_connect(req, pipe, name, fn);
    return 0;
}

void keeper_place_unbind(const struct keeper_place *p)
{
    (void)p;
}
