/* The agent's one context: what its parts need of each other, from the start to the clean end. Owned by
 * main.c; every part holds a pointer to it. */
#ifndef MULTISSH_AGENT_AGENT_H
#define MULTISSH_AGENT_AGENT_H

#include "agent/agent_options.h"
#include "agent/host.h"
#include "agent/process.h"
#include "base/fs.h"
#include "base/names.h"
#include "net/proxy.h"
#include "tls/keys.h"
#include "tls/session.h"
#include <uv.h>

struct uplink;
struct keepers;
struct server;
struct netwatch;

/* What the command line said, to be said again after each reading of the file. */
struct agent_flags {
    int argc;
    char **argv; /* argv[0] is not looked at */
};

struct agent {
    uv_loop_t *loop;
    struct agent_flags flags;
    struct agent_options opt;
    char state_dir[FS_PATH_MAX], conf_path[FS_PATH_MAX];
    int lock_fd;

    EVP_PKEY *key;
    X509 *cert;
    char fingerprint[KEYS_FINGERPRINT_TEXT];
    SSL_CTX *control_ctx;
    bool pinned;
    uint8_t pin[CRYPTO_HASH_SIZE];

    char name[NAMES_MACHINE_MAX + 1]; /* wanted, then given */
    char start_id[33];
    struct host host;

    /* Where a hub last welcomed or held this machine: where streams go. */
    struct {
        struct addr_hostport to;
        struct sockaddr_storage at; /* unset (family 0) behind a proxy */
    } hub;
    bool streams_tls; /* plain streams were seen not to get through; in memory only */

    struct uplink *uplink;
    struct keepers *keepers;
    struct server *server;
    struct netwatch *netwatch;
    uv_signal_t signals[PROCESS_SIGNALS];
    uv_timer_t stop_timer;
    unsigned open;            /* of the handles above */
    bool stopping, stops_all; /* all: its sessions too */
    uint64_t stop_by;
};

/* Fills the paths from state_dir, which is set. Returns 0 or a negative code with err filled. */
int agent_paths(struct agent *a, struct errmsg *err);
/* Makes the state folder where needed, private. */
int agent_make_folder(const struct agent *a, struct errmsg *err);
/* Takes the state folder for this process. */
int agent_lock(struct agent *a, struct errmsg *err);
/* Reads agent.conf and the flags into *ret_opt and checks them. */
int agent_read_options(const struct agent *a, struct agent_options *ret_opt, struct errmsg *err);
/* Loads or makes the key and fills fingerprint. */
int agent_load_key(struct agent *a, struct errmsg *err);

/* Starts everything on a->loop, which the caller then runs. The options, key, folder and lock are there. */
int agent_start(struct agent *a, struct errmsg *err);
/* Reads the settings again and takes over those that can change while it runs; faults in them are logged and change
 * nothing. */
void agent_reload(struct agent *a);
/* Begins a clean end: says goodbye; the loop then runs dry. The sessions go on without it, and the next agent finds them;
 * all: they are ended first. A second call ends at once. */
void agent_stop(struct agent *a, bool all, const char *reason);
void agent_release(struct agent *a);

/* How the hub at host is to be recognised. */
void agent_trust(const struct agent *a, const char *host, struct session_trust *ret_trust);
/* First contact: from now on only this hub. Does nothing when one is pinned. */
void agent_pin_hub(struct agent *a, const uint8_t pin[CRYPTO_HASH_SIZE]);
/* The hub has admitted this machine under this name: remembered, and the token forgotten. */
void agent_admitted(struct agent *a, const char *name);
/* The proxy on the way to host. Returns 0 or -EINVAL with err filled (from the environment). */
int agent_proxy(const struct agent *a, const char *host, struct proxy *ret_proxy, struct errmsg *err);

#endif
