/* Reads the table while others write it: each number is whole, and all of them are of about now. */
#include "load_report.h"

#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_words[LOAD_STATES] = {
    [LOAD_NOT_STARTED] = "not started", [LOAD_WAITING] = "waiting for the next try",
    [LOAD_DIALING] = "connecting",      [LOAD_HANDSHAKE] = "in the TLS handshake",
    [LOAD_HELLO] = "saying hello",      [LOAD_HELD] = "held by the hub",
    [LOAD_ADMITTED] = "online",         [LOAD_STOPPED] = "stopped",
};
static const char *const state_names[LOAD_STATES] = {
    [LOAD_NOT_STARTED] = "not_started", [LOAD_WAITING] = "waiting", [LOAD_DIALING] = "dialing",
    [LOAD_HANDSHAKE] = "handshake",     [LOAD_HELLO] = "hello",     [LOAD_HELD] = "held",
    [LOAD_ADMITTED] = "online",         [LOAD_STOPPED] = "stopped",
};

void load_report_count(const struct load_options *opt, const struct load_table *t, struct load_counts *ret_c)
{
    uint32_t mark = atomic_load(&t->mark);
    memset(ret_c, 0, sizeof *ret_c);
    for (uint64_t i = 0; i < opt->agents; i++) {
        const struct load_agent_row *row = &t->agent[i];
        uint32_t state = atomic_load(&row->state);
        ret_c->state[state < LOAD_STATES ? state : LOAD_NOT_STARTED]++;
        if (atomic_load(&row->mark) != mark)
            continue;
        ret_c->tries += atomic_load(&row->tries);
        ret_c->admissions += atomic_load(&row->admissions);
        ret_c->losses += atomic_load(&row->losses);
    }
    for (uint64_t i = 0; i < opt->users; i++) {
        ret_c->users_connected += atomic_load(&t->user[i].state) == LOAD_USER_CONNECTED;
        ret_c->users_ended += atomic_load(&t->user[i].ends);
    }
    for (uint64_t i = 0; i < opt->processes; i++)
        ret_c->lines += atomic_load(&t->process[i].lines);
}

void load_report_words(const struct load_options *opt, const struct load_counts *c, char *out, size_t size)
{
    int n = snprintf(out, size, "%llu of %llu online", (unsigned long long)c->state[LOAD_ADMITTED],
                     (unsigned long long)opt->agents);
    for (unsigned i = 0; i < LOAD_STATES && n >= 0 && (size_t)n < size; i++)
        if (i != LOAD_ADMITTED && c->state[i] > 0)
            n += snprintf(out + n, size - (size_t)n, ", %llu %s", (unsigned long long)c->state[i],
                          state_words[i]);
    if (opt->users > 0 && n >= 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, ", %llu of %llu users", (unsigned long long)c->users_connected,
                 (unsigned long long)opt->users);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The spread of n times, in ms since the mark. */
static void print_spread(const char *name, uint64_t *ms, uint64_t n)
{
    if (n == 0)
        return;
    qsort(ms, n, sizeof *ms, by_size);
    printf(",\"%s\":{\"n\":%llu,\"least\":%llu,\"median\":%llu,\"p99\":%llu,\"most\":%llu}", name,
           (unsigned long long)n, (unsigned long long)ms[0], (unsigned long long)ms[n / 2],
           (unsigned long long)ms[n * 99 / 100], (unsigned long long)ms[n - 1]);
}

static void print_times(const struct load_options *opt, const struct load_table *t)
{
    uint32_t mark = atomic_load(&t->mark);
    uint64_t marked_at = atomic_load(&t->marked_at), tried = 0, admitted = 0;
    uint64_t *a = calloc(opt->agents, sizeof *a), *b = calloc(opt->agents, sizeof *b);
    for (uint64_t i = 0; a != NULL && b != NULL && i < opt->agents; i++) {
        const struct load_agent_row *row = &t->agent[i];
        if (atomic_load(&row->mark) != mark)
            continue;
        uint64_t tried_at = atomic_load(&row->tried_at), admitted_at = atomic_load(&row->admitted_at);
        if (tried_at >= marked_at && tried_at > 0)
            a[tried++] = tried_at - marked_at;
        if (admitted_at >= marked_at && admitted_at > 0)
            b[admitted++] = admitted_at - marked_at;
    }
    if (a != NULL && b != NULL) {
        print_spread("first_try_ms", a, tried);
        print_spread("admitted_ms", b, admitted);
    }
    free(a);
    free(b);
}

static void print_users(const struct load_options *opt, const struct load_table *t,
                        const struct load_counts *c)
{
    uint64_t *ms = calloc(opt->users + 1, sizeof *ms), n = 0;
    for (uint64_t i = 0; ms != NULL && i < opt->users; i++)
        if (atomic_load(&t->user[i].first_byte_ms) > 0)
            ms[n++] = atomic_load(&t->user[i].first_byte_ms);
    printf(",\"users\":%llu,\"users_connected\":%llu,\"users_ended\":%llu", (unsigned long long)opt->users,
           (unsigned long long)c->users_connected, (unsigned long long)c->users_ended);
    print_spread("user_first_byte_ms", ms, n);
    free(ms);
}

void load_report_json(const struct load_options *opt, const struct load_table *t, const char *event)
{
    struct load_counts c;
    load_report_count(opt, t, &c);
    printf("{\"event\":\"%s\",\"at_ms\":%llu,\"marked_ms\":%llu,\"marks\":%u,\"agents\":%llu", event,
           (unsigned long long)clock_now_ms(), (unsigned long long)atomic_load(&t->marked_at),
           atomic_load(&t->mark), (unsigned long long)opt->agents);
    for (unsigned i = 0; i < LOAD_STATES; i++)
        printf(",\"%s\":%llu", state_names[i], (unsigned long long)c.state[i]);
    printf(",\"tries\":%llu,\"admissions\":%llu,\"losses\":%llu,\"log_lines\":%llu",
           (unsigned long long)c.tries, (unsigned long long)c.admissions, (unsigned long long)c.losses,
           (unsigned long long)c.lines);
    print_times(opt, t);
    if (opt->users > 0)
        print_users(opt, t, &c);
    printf("}\n");
    fflush(stdout);
}
