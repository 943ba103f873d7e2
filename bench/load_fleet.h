/* Shared by load_fleet.c (the agents of one process) and load_server.c (what they say of the machine's SSH server). */
#ifndef MULTISSH_BENCH_LOAD_FLEET_H
#define MULTISSH_BENCH_LOAD_FLEET_H

#include "agent/agent.h"
#include "load.h"

struct load_agent {
    struct agent agent; /* first: what the agent's modules hand back leads here */
    struct load_agent_row *row;
    struct sockaddr_in source;
    bool opened; /* its parts are there */
};

/* The one probe of the process has an answer, or another one. */
typedef void load_server_changed_fn(void *arg);
/* Begins to look at the SSH server of `a`, for all. Returns 0 or -ENOMEM. */
int load_server_begin(struct agent *a, load_server_changed_fn *changed, void *arg);
bool load_server_known(void);
void load_server_end(void);

#endif
