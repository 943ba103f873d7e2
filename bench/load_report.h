/* Turns the load maker's table into lines: for people on standard error, as JSON objects on standard output. */
#ifndef MULTISSH_BENCH_LOAD_REPORT_H
#define MULTISSH_BENCH_LOAD_REPORT_H

#include "load.h"

struct load_counts {
    uint64_t state[LOAD_STATES];
    uint64_t tries, admissions, losses, lines;
    uint64_t users_connected, users_ended;
};
void load_report_count(const struct load_options *opt, const struct load_table *t, struct load_counts *ret_c);
/* What agents are at: "9,990 of 10,000 online, 10 waiting". */
void load_report_words(const struct load_options *opt, const struct load_counts *c, char *out, size_t size);
/* event: "progress", "there" (every agent is online), "lost" (not every one any more), "users" (all of them are connected), "mark" or "end". */
void load_report_json(const struct load_options *opt, const struct load_table *t, const char *event);

#endif
