/* One process of the load maker: many agents on one loop. Each is what multissh-agent is while it has no session (its key and
 * settings on disk, its uplink with backoff, TLS and hello, its keepers), from the agent's own modules; sessions are kept by
 * the real keeper, a process for each machine that has one. Must not speak to the hub in any other way. */
#include "load_fleet.h"

#include "agent/control.h"
#include "agent/join_code.h"
#include "agent/keepers.h"
#include "agent/server.h"
#include "agent/uplink_private.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/dialer.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 100
_Static_assert(LOAD_NAME_MAX == NAMES_MACHINE_MAX + 1, "a machine's name");
#define FLAGS_MAX 24
#define SOURCE_FIRST 0x7f400001u /* 127.64.0.1 */
#define END_MS 5000              /* for the keepers */
#define LINES_SHOWN 5            /* of the log … */
#define LINES_MS 10000           /* … in so long */

static struct fleet {
    const struct load_part *part;
    uv_loop_t loop;
    uv_timer_t start, look;
    uv_poll_t end;
    struct join_code code;
    char hub[300], pin[80], token[JOIN_CODE_TOKEN_TEXT];
    struct load_agent *agent;
    uint64_t made, begun, begin_at, end_by;
    bool ending;
    uint64_t lines_since;
    unsigned lines_now;
} the;

/* Linked in place of the functions of these names (--wrap), which they call. */
int __wrap_dialer_new(const struct dialer_config *config, dialer_fn *fn, void *arg, struct dialer **ret_d);
int __real_dialer_new(const struct dialer_config *config, dialer_fn *fn, void *arg, struct dialer **ret_d);
void __wrap_agent_admitted(struct agent *a, const char *name);
void __real_agent_admitted(struct agent *a, const char *name);

static struct load_agent *of_agent(struct agent *a)
{
    return (struct load_agent *)a; /* its first member */
}

/* --- what happens, into the table --- */

/* What was counted since another mark is gone. */
static struct load_agent_row *row_now(struct load_agent *l)
{
    struct load_agent_row *row = l->row;
    uint32_t mark = atomic_load(&the.part->table->mark);
    if (atomic_load(&row->mark) != mark) {
        atomic_store(&row->tries, 0);
        atomic_store(&row->admissions, 0);
        atomic_store(&row->losses, 0);
        atomic_store(&row->tried_at, 0);
        atomic_store(&row->admitted_at, 0);
        atomic_store(&row->mark, mark);
    }
    return row;
}

static void note(_Atomic uint32_t *count, _Atomic uint64_t *first)
{
    if (atomic_fetch_add(count, 1) == 0 && first != NULL)
        atomic_store(first, clock_now_ms());
}

static void note_state(struct load_agent *l)
{
    uint32_t was = atomic_load(&l->row->state), now = LOAD_WAITING + (uint32_t)uplink_state(l->agent.uplink);
    if (was == now)
        return;
    if (was == LOAD_ADMITTED)
        note(&row_now(l)->losses, NULL);
    atomic_store(&l->row->state, now);
}

/* Each machine has an address of its own, as far as there are enough. */
int __wrap_dialer_new(const struct dialer_config *config, dialer_fn *fn, void *arg, struct dialer **ret_d)
{
    struct dialer_config own = *config;
    if (config->to.port == the.code.hub.port && strcmp(config->to.host, the.code.hub.host) == 0) {
        struct load_agent *l = of_agent(((struct uplink *)arg)->agent);
        struct load_agent_row *row = row_now(l);
        note_state(l);
        note(&row->tries, &row->tried_at);
        own.source = (const struct sockaddr *)&l->source;
    }
    return __real_dialer_new(&own, fn, arg, ret_d);
}

void __wrap_agent_admitted(struct agent *a, const char *name)
{
    struct load_agent *l = of_agent(a);
    struct load_agent_row *row = row_now(l);
    bool back = atomic_load(&row->state) != LOAD_ADMITTED;
    __real_agent_admitted(a, name);
    note_state(l);
    if (back)
        note(&row->admissions, &row->admitted_at);
}

/* Ten thousand agents say the same thing at once: some of it is shown. */
static void show(void *arg, enum log_level level, const char *text)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    uint64_t now = clock_now_ms();
    (void)arg;
    atomic_fetch_add(&the.part->table->process[the.part->process].lines, 1);
    if (the.lines_since == 0 || now >= the.lines_since + LINES_MS) {
        the.lines_since = now;
        the.lines_now = 0;
    }
    if (the.lines_now++ < LINES_SHOWN)
        fprintf(stderr, "multissh-load: an agent: %s: %s\n", words[level], text);
}

static void fail(const char *words)
{
    struct load_process_row *row = &the.part->table->process[the.part->process];
    snprintf(row->words, sizeof row->words, "%s", words);
    atomic_store(&row->failed, 1);
}

/* --- making agents --- */

static int read_target(struct errmsg *err)
{
    int r = join_code_parse(the.part->target, &the.code, err);
    if (r != 0)
        return r;
    addr_format(&the.code.hub, 0, the.hub, sizeof the.hub);
    if (!the.code.invited)
        return 0;
    keys_pin_text(the.code.pin, the.pin);
    (void)crypto_b64url_encode(the.code.token, sizeof the.code.token, the.token, sizeof the.token);
    return 0;
}

/* An id of a machine's own, in the form of one. */
static void set_machine(struct agent *a, uint64_t number)
{
    char id[40];
    host_read(&a->host);
    snprintf(id, sizeof id, "%032llx", (unsigned long long)number);
    host_set_machine_id(&a->host, id);
}

static int read_settings(struct agent *a, char *name, struct errmsg *err)
{
    char *argv[FLAGS_MAX] = {"", "--hub", the.hub, "--name", name};
    int argc = 5;
    bool joined = access(a->conf_path, F_OK) == 0; /* by an earlier run: the invitation was used */
    if (the.part->opt->ssh != NULL) {
        argv[argc++] = "--ssh";
        argv[argc++] = the.part->opt->ssh;
    }
    argv[argc++] = "--orphan-patience"; /* nobody looks for the sessions of a load maker that was killed */
    argv[argc++] = "10s";
    if (the.code.invited) {
        argv[argc++] = "--pin";
        argv[argc++] = the.pin;
    }
    if (the.code.invited && !joined) {
        argv[argc++] = "--token";
        argv[argc++] = the.token;
    }
    a->flags = (struct agent_flags){argc, argv};
    int r = agent_read_options(a, &a->opt, err);
    a->flags = (struct agent_flags){0};
    return r;
}

/* Without a folder that stays, nobody reads the key again: it is not written, which is half of what it costs. */
static int make_key(struct agent *a, struct errmsg *err)
{
    uint8_t pin[CRYPTO_HASH_SIZE];
    if (the.part->stays)
        return agent_load_key(a, err);
    a->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    int r = a->key != NULL ? keys_self_sign(a->key, "multissh-agent", 0, &a->cert) : -ENOMEM;
    if (r == 0)
        r = keys_pin(a->cert, pin);
    if (r != 0)
        return errmsg_set(err, r, "cannot make a key: %s", strerror(-r));
    keys_pin_text(pin, a->fingerprint);
    return 0;
}

static int open_parts(struct agent *a, struct errmsg *err)
{
    uint8_t start_id[16];
    int r = crypto_random(start_id, sizeof start_id);
    crypto_hex_encode(start_id, sizeof start_id, a->start_id, sizeof a->start_id);
    if (a->opt.pin != NULL)
        a->pinned = join_code_parse_pin(a->opt.pin, a->pin) == 0;
    if (r == 0)
        r = session_client_ctx(a->cert, a->key, &a->control_ctx);
    if (r == 0)
        r = keepers_new(a, &a->keepers);
    if (r == 0)
        r = uplink_new(a, &a->uplink);
    if (r == 0)
        r = server_new(a, &a->server);
    return r == 0 ? 0 : errmsg_set(err, r, "%s", strerror(-r));
}

static int make(struct load_agent *l, uint64_t i, struct errmsg *err)
{
    const struct load_options *opt = the.part->opt;
    struct agent *a = &l->agent;
    uint64_t number = the.part->first + i;
    l->row = &the.part->table->agent[number];
    l->source.sin_family = AF_INET;
    l->source.sin_addr.s_addr = htonl(SOURCE_FIRST + (uint32_t)(number % opt->sources));
    a->loop = &the.loop;
    a->lock_fd = -1;
    load_name(opt, number, a->name);
    int r = fs_join(a->state_dir, sizeof a->state_dir, opt->state, a->name);
    if (r != 0)
        return errmsg_set(err, r, "the path of the state folder is too long");
    r = agent_paths(a, err);
    if (r == 0)
        r = agent_make_folder(a, err);
    if (r == 0)
        r = read_settings(a, a->name, err);
    if (r == 0)
        r = make_key(a, err);
    if (r == 0)
        r = open_parts(a, err);
    set_machine(a, opt->first + number);
    l->opened = r == 0;
    return r;
}

/* --- life --- */

static void on_adopted(void *arg)
{
    struct load_agent *l = arg;
    if (the.ending)
        return;
    uplink_start(l->agent.uplink);
    note_state(l);
}

/* As many as are due by now at the wanted rate. */
static void on_start(uv_timer_t *timer)
{
    const struct load_part *part = the.part;
    uint64_t due = part->n;
    if (part->rate > 0)
        due = (clock_now_ms() - the.begin_at) * part->rate / 1000 + 1;
    for (; the.begun < part->n && the.begun < due; the.begun++) {
        struct load_agent *l = &the.agent[the.begun];
        keepers_adopt(l->agent.keepers, on_adopted, l);
    }
    if (the.begun == part->n)
        uv_timer_stop(timer);
}

static void on_server(void *arg)
{
    (void)arg;
    if (the.begin_at == 0 && !the.ending) {
        the.begin_at = clock_now_ms();
        uv_timer_start(&the.start, on_start, 0, 10);
        return;
    }
    for (uint64_t i = 0; i < the.begun; i++)
        control_send_state(&the.agent[i].agent);
}

static void on_look(uv_timer_t *timer)
{
    (void)timer;
    for (uint64_t i = 0; i < the.begun; i++)
        note_state(&the.agent[i]);
}

static void free_all(void)
{
    load_server_end();
    uv_close((uv_handle_t *)&the.start, NULL);
    uv_close((uv_handle_t *)&the.look, NULL);
    uv_close((uv_handle_t *)&the.end, NULL);
    for (uint64_t i = 0; i < the.made; i++) {
        struct agent *a = &the.agent[i].agent;
        uplink_free(a->uplink);
        keepers_free(a->keepers);
        server_free(a->server);
        a->uplink = NULL;
        a->keepers = NULL;
        a->server = NULL;
    }
}

/* The keepers end by themselves; each was told. */
static void on_ended(uv_timer_t *timer)
{
    size_t left = 0;
    for (uint64_t i = 0; i < the.begun; i++)
        left += keepers_count(the.agent[i].agent.keepers);
    if (left > 0 && clock_now_ms() < the.end_by)
        return;
    uv_timer_stop(timer);
    free_all();
}

static void begin_end(void)
{
    the.ending = true;
    the.end_by = clock_now_ms() + END_MS;
    uv_timer_stop(&the.look);
    for (uint64_t i = 0; i < the.begun; i++) {
        struct load_agent *l = &the.agent[i];
        keepers_end_all(l->agent.keepers, "the machine's agent is ending");
        uplink_stop(l->agent.uplink, "the load maker ends", true);
        atomic_store(&l->row->state, LOAD_STOPPED);
    }
    uv_timer_start(&the.start, on_ended, 0, 50);
}

static void on_end(uv_poll_t *poll_handle, int status, int events)
{
    (void)status;
    (void)events;
    uv_poll_stop(poll_handle);
    begin_end();
}

static bool told_to_end(void)
{
    struct pollfd p = {.fd = the.part->end_fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

static int make_all(struct errmsg *err)
{
    int r = 0;
    the.agent = calloc(the.part->n, sizeof *the.agent);
    if (the.agent == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    while (r == 0 && the.made < the.part->n && !told_to_end()) {
        r = make(&the.agent[the.made], the.made, err);
        the.made++;
    }
    return r;
}

static int begin(struct errmsg *err)
{
    uv_timer_start(&the.look, on_look, LOOK_MS, LOOK_MS);
    int r = uv_poll_start(&the.end, UV_READABLE | UV_DISCONNECT, on_end);
    if (r == 0)
        r = load_server_begin(&the.agent[0].agent, on_server, NULL);
    return r == 0 ? 0 : errmsg_set(err, r, "cannot start: %s", uv_strerror(r));
}

int load_fleet_run(const struct load_part *part)
{
    struct errmsg err;
    the.part = part;
    log_set_sink(show, NULL);
    log_set_level((enum log_level)part->opt->log_level);
    int r = uv_loop_init(&the.loop);
    if (r == 0)
        r = uv_poll_init(&the.loop, &the.end, part->end_fd);
    if (r != 0) {
        fail(uv_strerror(r));
        return EXIT_FAILURE;
    }
    uv_timer_init(&the.loop, &the.start);
    uv_timer_init(&the.loop, &the.look);
    r = read_target(&err);
    if (r == 0)
        r = make_all(&err);
    if (r == 0)
        r = begin(&err);
    if (r != 0) {
        fail(err.text);
        free_all();
    }
    uv_run(&the.loop, UV_RUN_DEFAULT);
    uv_loop_close(&the.loop);
    for (uint64_t i = 0; i < the.made; i++) {
        struct agent *a = &the.agent[i].agent;
        SSL_CTX_free(a->control_ctx);
        X509_free(a->cert);
        EVP_PKEY_free(a->key);
        agent_options_release(&a->opt);
    }
    free(the.agent);
    crypto_wipe(&the.code, sizeof the.code);
    crypto_wipe(the.token, sizeof the.token);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
