/* Who is which machine, and which are there: names as leases of a key, presence, pending machines, clones. In
 * memory, backed by the store. Decides; sends nothing (the caller does what the verdict says).
 *
 * Rules: a name belongs to the key that first held it. The same key connecting again takes over at once (the
 * old link is dropped by the registry, code "replaced"). Another key is refused, unless its invitation names
 * that name (or the invitation names none and it is free): then the lease moves. An instance (start_id) that
 * returns after being replaced, while its replacement still answers, is a clone and is held. Pending machines
 * (no token, unknown key) are held, capped and expire. The hub is the authority over names: a key that holds
 * exactly one name is welcomed under it whatever it wants to be called (it was renamed while it was away). A
 * clone that is held back is let in when its machine has been offline for 30 s. A struct machine is valid
 * until its name is revoked: keep names, not pointers, from one turn to the next. */
#ifndef MULTISSH_HUB_REGISTRY_H
#define MULTISSH_HUB_REGISTRY_H

#include "base/errmsg.h"
#include "hub/link.h"
#include "hub/store.h"
#include <cjson/cJSON.h>

#define REGISTRY_REPLACED_MAX 8
#define REGISTRY_HUB_STOPPED "the hub was stopped" /* why a machine is offline that was online then */

struct machine {
    char name[NAMES_MACHINE_MAX + 1];
    char holder[80];
    struct link *link; /* NULL = offline */
    char start_id[40], boot_id[40];
    char replaced[REGISTRY_REPLACED_MAX][40]; /* start ids that were replaced, newest first */
    bool clone_seen;                          /* a clone was held back since the current instance came */
    char clone_source[64];
    int64_t leased_s; /* the holder has the name since */
    bool left;        /* offline: it said that it does not come back by itself, or is long gone */
    int64_t since_s;  /* online since, or offline since; wall seconds; 0: never seen */
    char reason[160]; /* offline: why ("keepalive lost") */
    char source[64];  /* where the link comes from */
    char os[32], arch[32], version[32], ssh[16], ssh_state[16], ssh_target[80], host_keys_from[16];
    char ssh_reason[301];
    char *host_keys[8]; /* "type base64"; heap */
    unsigned n_host_keys;
    char *labels;              /* JSON object of strings, compact; NULL = none */
    unsigned sessions;         /* jumps now open; kept by jumps.c */
    const struct link *probed; /* private: the link that REGISTRY_PROBE was said of */
};

struct registry;
struct registry_limits {
    uint64_t machines_max, pending_max, pending_ms;
};
/* Loads the leases. limits is copied. */
int registry_new(struct store *store, const struct registry_limits *limits, struct registry **ret_r,
                 struct errmsg *err);
void registry_free(struct registry *r);
void registry_set_limits(struct registry *r, const struct registry_limits *limits);

struct registry_hello {
    const char *key;      /* "SHA256:…" from TLS, or "user:NAME" for a publisher */
    const char *source;   /* IP */
    const cJSON *message; /* the hello; NULL for a publisher */
    const char *name;     /* the wanted name, already names_machine_ok */
    const char *token;    /* b64url or NULL */
    struct link *link;
    bool probe_failed; /* second call after REGISTRY_PROBE: the current link did not answer */
};
enum registry_verdict {
    REGISTRY_WELCOME, /* *ret_m is online through hello->link */
    REGISTRY_HELD,    /* keep the connection; registry_take_approved or the end comes later */
    REGISTRY_PROBE, /* *ret_m->link may be dead: ping it and call again with probe_failed, or hold this one if
                       it answers (registry_hold_clone) */
    REGISTRY_REFUSED,
};
struct registry_answer {
    enum registry_verdict verdict;
    struct machine *machine; /* WELCOME, PROBE */
    const char *code;        /* REFUSED: as in the protocol */
    char text[300];          /* for the agent's log: what, why, next step */
    bool joined;             /* a token was used */
};
/* Checks every field of the message against its bounds ("bad-hello" when one does not fit). */
void registry_hello(struct registry *r, const struct registry_hello *h, int64_t now_s,
                    struct registry_answer *ret_a);
/* The current link answered: this one is a clone; marks it and fills ret_a: HELD, REFUSED (too many are
 * held), or what registry_hello says when the machine has gone offline meanwhile. m must be looked up again
 * when a turn has passed. */
void registry_hold_clone(struct registry *r, const struct registry_hello *h, struct machine *m,
                         struct registry_answer *ret_a);
/* A later "state" or "pong" of an online machine. Unfit fields are ignored. */
void registry_state(struct registry *r, struct machine *m, const cJSON *message);
/* The agent of this link said that it ends for good: registry_gone follows. */
void registry_leaves(struct registry *r, struct link *link);
/* Is the machine away for a moment only, as far as can be told: it went less than within_s ago, and did not say that it
 * stays away. One that was there when an earlier hub ended counts as gone when this registry was made. A published machine
 * comes back by its user's hand: only the hub's own end counts for it. */
bool registry_soon_back(const struct registry *r, const struct machine *m, int64_t now_s, int64_t within_s);
/* The link is gone (admitted, pending or held alike). Records last seen and reason. Idempotent. */
void registry_gone(struct registry *r, struct link *link, const char *reason, int64_t now_s);

struct machine *registry_find(struct registry *r, const char *name); /* by name, case ignored; NULL */
/* The machine that this key means when it says name: the one of that name when the key holds it, else the
 * only one it holds; NULL. */
struct machine *registry_own(struct registry *r, const char *key, const char *name);
struct machine *registry_by_link(struct registry *r, const struct link *link);
typedef int registry_fn(struct machine *m, void *arg); /* non-zero stops and is returned */
int registry_each(struct registry *r, registry_fn *fn,
                  void *arg); /* sorted by name, case ignored, digits runs compared as numbers */
size_t registry_count(const struct registry *r, bool online_only);

struct registry_pending {
    const char *name, *key, *source;
    struct link *link;
    int64_t since_s;
    bool clone; /* held as a clone, not waiting for approval */
};
typedef int registry_pending_fn(const struct registry_pending *p, void *arg);
int registry_pendings(struct registry *r, registry_pending_fn *fn,
                      void *arg); /* link is NULL where the machine went away again */
/* approve NAME FINGERPRINT: gives the lease of name to that pending key. Its held link, when it is still
 * there, is reported to registry_on_approved's function; without one the key is remembered and welcomed when
 * it comes. Returns 0, -EINVAL, -ENOENT (no such key is pending), -EEXIST (name is held by another key),
 * -ENOSPC (machines_max, or the disk) or another code of the store, with err filled. */
int registry_approve(struct registry *r, const char *name, const char *fingerprint, struct errmsg *err);
/* Frees the name: its links are dropped (code "revoked"), the key is pending again when it returns. End its
 * jumps first. -ENOENT, or a code of the store. */
int registry_revoke(struct registry *r, const char *name);
/* -ENOENT, -EEXIST, -EINVAL (to is no name), or a code of the store, with err filled. */
int registry_rename(struct registry *r, const char *from, const char *to, struct errmsg *err);
/* Called (in the same turn, from registry_approve and registry_expire) with a held link that may now be
 * welcomed: the callee re-runs registry_hello for it in a later turn. */
void registry_on_approved(struct registry *r, void (*fn)(struct link *link, void *arg), void *arg);
/* Call it every few seconds. Sends pending machines away that waited too long (fn closes them), lets clones
 * in whose machine is gone, notes that the hub is alive. */
void registry_expire(struct registry *r, int64_t now_s, void (*fn)(struct link *link, void *arg), void *arg);

#endif
