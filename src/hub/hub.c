/* Owns the order in which the hub's parts begin and end, and its small regular chores. */
#include "hub/hub.h"
#include "base/addr.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "hub/admin.h"
#include "hub/config.h"
#include "hub/control.h"
#include "hub/door.h"
#include "hub/fronts.h"
#include "hub/hub_keys.h"
#include "hub/joins.h"
#include "hub/jumps.h"
#include "hub/listener.h"
#include "hub/lobby.h"
#include "hub/relays.h"
#include "hub/reload.h"
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FLUSH_MS 200
#define UPKEEP_MS 5000
#define PURGE_EVERY 120 /* upkeeps */
#define STOP_MS 5000
#define STOP_LOOK_MS 50

static const char users_template[] =
    "# The users of this hub, one key a line; multissh-authorized_users(5). Read again when it changes.\n"
    "#   NAME OPTIONS TYPE KEY COMMENT\n"
    "# alice machines=\"*\",admin ssh-ed25519 AAAA... alice@laptop\n"
    "# bob machines=\"web-*,!web-9\" ssh-ed25519 AAAA... bob@desk\n";

const uint8_t *hub_pin(const struct hub *hub)
{
    return hub_keys_pin(hub->keys);
}

SSL_CTX *hub_tls(const struct hub *hub)
{
    return hub_keys_tls(hub->keys);
}

/* --- chores --- */

static void flush_cb(uv_timer_t *h)
{
    struct hub *hub = h->data;

    (void)store_flush(hub->store);
}

static void upkeep_cb(uv_timer_t *h)
{
    static unsigned turns;
    struct hub *hub = h->data;
    int64_t now = clock_wall_s();

    controls_expire(hub->controls);
    /* Each time, for a call drops no more than so many: a user whose jumps are refused in a loop adds rows
     * faster than a rare call would take them out. */
    (void)store_events_trim(hub->store, hub->opt.audit_rows);
    if (turns++ % PURGE_EVERY != 0)
        return;
    (void)store_invitation_purge(hub->store, now);
    (void)store_kill_purge(hub->store, now);
}

static void signal_cb(uv_signal_t *h, int signal)
{
    struct hub *hub = h->data;

    if (hub->stopping) {
        log_info("signal %d again: ending at once", signal);
        uv_stop(hub->loop);
        return;
    }
    log_info("signal %d: ending; running sessions go on", signal);
    hub_stop(hub, false);
}

static void start_chores(struct hub *hub)
{
    (void)uv_timer_init(hub->loop, &hub->flush);
    (void)uv_timer_init(hub->loop, &hub->upkeep);
    (void)uv_timer_init(hub->loop, &hub->last);
    (void)uv_signal_init(hub->loop, &hub->on_term);
    (void)uv_signal_init(hub->loop, &hub->on_int);
    hub->flush.data = hub->upkeep.data = hub->last.data = hub->on_term.data = hub->on_int.data = hub;
    hub->handles = true;
    (void)uv_timer_start(&hub->flush, flush_cb, FLUSH_MS, FLUSH_MS);
    (void)uv_timer_start(&hub->upkeep, upkeep_cb, UPKEEP_MS, UPKEEP_MS);
    (void)uv_signal_start(&hub->on_term, signal_cb, SIGTERM);
    (void)uv_signal_start(&hub->on_int, signal_cb, SIGINT);
}

/* --- start --- */

/* Every machine that is online is a descriptor. */
static void raise_descriptors(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) < 0)
        log_warn("the limit of open files cannot be raised to %llu: %s", (unsigned long long)r.rlim_max,
                 strerror(errno));
    else
        log_debug("at most %llu open files", (unsigned long long)r.rlim_cur);
}

/* The host's full name, as the resolver has it. */
static void own_name(char *out, size_t size)
{
    struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM}, *list = NULL;
    char host[254] = "localhost";

    if (gethostname(host, sizeof host - 1) < 0)
        (void)snprintf(host, sizeof host, "localhost");
    (void)snprintf(out, size, "%s", host);
    if (strchr(host, '.') == NULL && getaddrinfo(host, NULL, &hints, &list) == 0) {
        if (list->ai_canonname != NULL && names_host_ok(list->ai_canonname))
            (void)snprintf(out, size, "%s", list->ai_canonname);
        freeaddrinfo(list);
    }
}

static void take_names(struct hub *hub)
{
    struct addr_hostport hp;

    if (hub->opt.public_addr != NULL && addr_parse(hub->opt.public_addr, CONFIG_NO_PORT, false, &hp) == 0) {
        (void)snprintf(hub->public_host, sizeof hub->public_host, "%s", hp.host);
        hub->public_port = hp.port == CONFIG_NO_PORT ? 0 : hp.port;
    } else {
        own_name(hub->public_host, sizeof hub->public_host);
        log_warn("the option public is not set: users and machines are told '%s', the name of this host; set "
                 "public = "
                 "HOST[:PORT] in %s if they reach it by another",
                 hub->public_host, hub->config->file);
    }
    (void)snprintf(hub->domain, sizeof hub->domain, "%s",
                   hub->opt.domain != NULL && hub->opt.domain[0] != '\0' ? hub->opt.domain
                                                                         : hub->public_host);
}

static int open_state(struct hub *hub, struct errmsg *err)
{
    int rc = fs_mkdir_private(hub->state_dir);

    if (rc < 0)
        return errmsg_set(err, rc, "%s: %s; choose another state folder with --state DIR", hub->state_dir,
                          strerror(-rc));
    rc = hub_keys_lock(hub->state_dir, &hub->lock, err);
    if (rc < 0)
        return rc;
    if (access(hub->config->users, F_OK) < 0 && errno == ENOENT) {
        rc = fs_write_atomic(hub->config->users, users_template, sizeof users_template - 1, 0600);
        if (rc < 0)
            return errmsg_set(err, rc, "%s: %s", hub->config->users, strerror(-rc));
        log_info("made an empty list of users: %s", hub->config->users);
    }
    return 0;
}

static int open_store(struct hub *hub, struct errmsg *err)
{
    struct registry_limits limits = {.machines_max = hub->opt.machines_max,
                                     .pending_max = hub->opt.pending_max,
                                     .pending_ms = hub->opt.pending_ms};
    char path[FS_PATH_MAX];
    int rc = fs_join(path, sizeof path, hub->state_dir, "hub.db");

    if (rc < 0)
        return errmsg_set(err, rc, "the path of the state folder is too long");
    rc = store_open(path, &hub->store, err);
    if (rc == 0)
        rc = registry_new(hub->store, &limits, &hub->registry, err);
    return rc;
}

static int start_parts(struct hub *hub, struct errmsg *err)
{
    int rc = jumps_new(hub, &hub->jumps);

    if (rc == 0)
        rc = joins_new(hub, &hub->joins);
    if (rc == 0)
        rc = door_new(hub, &hub->door);
    if (rc == 0)
        rc = lobby_new(hub, &hub->lobby);
    if (rc == 0)
        rc = controls_new(hub, &hub->controls);
    if (rc == 0)
        rc = fronts_new(hub, &hub->fronts);
    if (rc == 0)
        rc = relays_new(hub, &hub->relays);
    if (rc == 0)
        rc = reload_new(hub, &hub->reload);
    if (rc < 0)
        return errmsg_set(err, rc, "cannot start: %s", uv_strerror(rc));
    /* After the watch has begun, so that no change falls between the two; before anybody can come. */
    rc = reload_read_users(hub, NULL, err);
    if (rc == 0)
        rc = admin_new(hub, &hub->admin, err);
    if (rc == 0)
        rc = listener_new(hub, &hub->listener, err);
    return rc;
}

/* What a person does next, while there is nobody and nothing yet. */
static void next_steps(const struct hub *hub)
{
    if (policy_count(hub->policy) == 0)
        log_info("next: add a user, by appending a line like this to %s: alice machines=\"*\",admin "
                 "ssh-ed25519 AAAA... "
                 "(the line of her ~/.ssh/id_ed25519.pub)",
                 hub->config->users);
    if (registry_count(hub->registry, false) == 0)
        log_info(
            "next: invite a machine, and paste on it what this prints: multissh-hub --state %s invite web01",
            hub->state_dir);
}

/* What the last hub left is taken up: from now on anybody is let in. */
static void begin(struct hub *hub)
{
    if (hub->stopping)
        return;
    hub->begun = true;
    fronts_ready(hub->fronts);
    listener_begin(hub->listener);
    admin_begin(hub->admin);
    activation_notify("READY=1");
}

static void fronts_taken(struct hub *hub)
{
    joins_take_up(hub->joins, begin);
}

int hub_start(struct hub *hub, struct errmsg *err)
{
    int rc = 0;

    hub->lock = -1;
    (void)snprintf(hub->state_dir, sizeof hub->state_dir, "%s", hub->config->state_dir);
    rc = config_options(hub->config, &hub->opt, err);
    if (rc < 0)
        return rc;
    log_set_level((enum log_level)hub->opt.log_level);
    raise_descriptors();
    rc = open_state(hub, err);
    if (rc < 0)
        return rc;
    take_names(hub);
    rc = hub_keys_load(hub->state_dir, hub->public_host, &hub->keys, err);
    if (rc == 0)
        rc = open_store(hub, err);
    if (rc < 0)
        return rc;
    start_chores(hub);
    rc = start_parts(hub, err);
    if (rc < 0)
        return rc;
    if (hub->public_port == 0)
        hub->public_port = listener_port(hub->listener);
    log_info("multissh-hub %s runs: state %s, public %s port %u, domain %s, %zu users, %zu machines",
             MULTISSH_VERSION, hub->state_dir, hub->public_host, (unsigned)hub->public_port, hub->domain,
             policy_count(hub->policy), registry_count(hub->registry, false));
    next_steps(hub);
    /* Whoever comes meanwhile waits in the backlogs. */
    rc = fronts_take_up(hub->fronts, fronts_taken);
    if (rc < 0)
        return errmsg_set(err, rc, "cannot start: %s", uv_strerror(rc));
    return 0;
}

/* --- stop --- */

static void stop_cb(uv_timer_t *h)
{
    struct hub *hub = h->data;

    /* Not in hub_stop itself: the answer to the command that led there is sent first. */
    fronts_leave(hub->fronts);
    fronts_tick(hub->fronts);
    if (clock_now_ms() < hub->stop_by &&
        (controls_count(hub->controls) > 0 || fronts_ending(hub->fronts) > 0 ||
         joins_ending(hub->joins) > 0))
        return;
    (void)uv_timer_stop(h);
    uv_stop(hub->loop);
}

static void end_sessions(struct hub *hub, const char *text)
{
    fronts_end_all(hub->fronts, text);
    joins_end_all(hub->joins, text);
}

void hub_stop(struct hub *hub, bool with_fronts)
{
    static const char text[] = "the hub is shutting down";

    if (hub->stopping) {
        if (with_fronts)
            end_sessions(hub, text);
        return;
    }
    hub->stopping = true;
    activation_notify("STOPPING=1");
    hub->stop_by = clock_now_ms() + STOP_MS;
    listener_free(hub->listener);
    hub->listener = NULL;
    if (!with_fronts)
        door_let_users_in(hub->door);
    door_shut(hub->door);
    lobby_shut(hub->lobby);
    if (with_fronts)
        end_sessions(hub, text); /* while the machines can still be told */
    jumps_stop(hub->jumps);
    controls_bye(hub->controls);
    (void)uv_timer_start(&hub->last, stop_cb, STOP_LOOK_MS, STOP_LOOK_MS);
}

void hub_release(struct hub *hub)
{
    listener_free(hub->listener);
    fronts_free(hub->fronts);
    joins_free(hub->joins);
    controls_free(hub->controls);
    lobby_free(hub->lobby);
    relays_free(hub->relays);
    reload_free(hub->reload);
    if (hub->handles) {
        uv_close((uv_handle_t *)&hub->flush, NULL);
        uv_close((uv_handle_t *)&hub->upkeep, NULL);
        uv_close((uv_handle_t *)&hub->last, NULL);
        uv_close((uv_handle_t *)&hub->on_term, NULL);
        uv_close((uv_handle_t *)&hub->on_int, NULL);
    }
    jumps_free(hub->jumps);
    door_free(hub->door);
    registry_free(hub->registry);
    store_close(hub->store);
    policy_free(hub->policy);
    hub_keys_free(hub->keys);
    for (size_t i = 0; i < hub->n_passed; i++)
        close(hub->passed[i]);
    /* Last: a `stop` that waits for the hub's end sees it here. */
    admin_free(hub->admin);
    if (hub->lock >= 0)
        close(hub->lock);
    options_release(hub_options_table, hub_options_count, &hub->opt);
}
