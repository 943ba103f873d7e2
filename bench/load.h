/* The load maker's parts share this: the options, and the table in which its processes keep what every agent is at.
 *
 * load_main.c reads the options, starts the processes, reports and ends; load_fleet.c is one such process: many agents on
 * one loop, made of the agent's own modules; load_server.c stands in for what they ask about the machine's SSH server;
 * load_users.c is the users; load_report.c turns the table into lines. */
#ifndef MULTISSH_BENCH_LOAD_H
#define MULTISSH_BENCH_LOAD_H

#include "base/errmsg.h"
#include "base/options.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOAD_AGENTS_MAX 100000
#define LOAD_PROCESSES_MAX 64
#define LOAD_USERS_MAX 2000 /* each is a process */
#define LOAD_NAME_MAX 64
#define LOAD_SPARE_FILES 100 /* of a process, for what is no agent */
#define LOAD_WORDS_MAX 512

struct load_options {
    uint64_t agents, first, processes, rate, sources;
    uint64_t for_ms, every_ms;
    char *names, *ssh, *state;
    bool json, until_there;
    unsigned log_level;
    uint64_t users, user_rate;
    char *ssh_config;
};
extern const struct option load_options_table[];
extern const size_t load_options_count;

/* What an agent is at. */
enum load_state {
    LOAD_NOT_STARTED,
    LOAD_WAITING,
    LOAD_DIALING,
    LOAD_HANDSHAKE,
    LOAD_HELLO,
    LOAD_HELD,
    LOAD_ADMITTED,
    LOAD_STOPPED,
    LOAD_STATES
};

/* Written by the agent's process, read by the reporting one. Times: clock_now_ms. What is counted is counted since the
 * mark, and belongs to it: with another mark there was nothing yet. */
struct load_agent_row {
    _Atomic uint32_t state, mark;
    _Atomic uint32_t tries, admissions, losses;
    _Atomic uint64_t tried_at, admitted_at; /* the first ones; 0: not yet */
};
enum load_user_state { LOAD_USER_AWAY, LOAD_USER_CONNECTING, LOAD_USER_CONNECTED };
struct load_user_row {
    _Atomic uint32_t state, ends;   /* ends: how often it was cut off */
    _Atomic uint64_t first_byte_ms; /* from the start of ssh to the machine's first byte */
};
struct load_process_row {
    _Atomic uint32_t lines; /* of the log, also those that were not shown */
    _Atomic uint32_t failed;
    char words[LOAD_WORDS_MAX]; /* why; set before failed */
};
/* In memory that all processes share. */
struct load_table {
    _Atomic uint32_t mark; /* raised: the counting begins anew */
    _Atomic uint64_t marked_at;
    struct load_process_row process[LOAD_PROCESSES_MAX + 1]; /* the last one: the users' */
    struct load_user_row user[LOAD_USERS_MAX];
    struct load_agent_row agent[];
};

/* The name of the machine of this number, from 0. */
void load_name(const struct load_options *opt, uint64_t number, char out[LOAD_NAME_MAX]);

/* One process's part. */
struct load_part {
    const struct load_options *opt;
    const char *target; /* HOST:PORT or HOST:PORT/CODE */
    struct load_table *table;
    unsigned process;
    uint64_t first, n; /* of the agents, or of the users, from 0 */
    uint64_t rate;     /* that come in a second */
    bool users;        /* and not agents */
    bool stays;        /* the state folder is read again by a later run */
    int end_fd;        /* readable: end */
};

/* load_fleet.c: runs until end_fd is readable and every agent has said goodbye. Returns the exit status. */
int load_fleet_run(const struct load_part *part);
/* load_users.c: the same for users. */
int load_users_run(const struct load_part *part);

#endif
