/* The agent's options: the table is in agent_options.c, this is where the values live. */
#ifndef MULTISSH_AGENT_AGENT_OPTIONS_H
#define MULTISSH_AGENT_AGENT_OPTIONS_H

#include "base/addr.h"
#include "base/options.h"
#include <cjson/cJSON.h>

#define AGENT_OPTIONS_SSH_PORT 22
#define AGENT_OPTIONS_LABELS_MAX 16
#define AGENT_OPTIONS_ORPHAN_MIN 1000
#define AGENT_OPTIONS_ORPHAN_MAX (7 * 24 * 3600 * 1000)

enum agent_ssh_mode { AGENT_SSH_AUTO, AGENT_SSH_OPENSSH, AGENT_SSH_BUILTIN };
enum agent_trust { AGENT_TRUST_PIN, AGENT_TRUST_SYSTEM };

struct agent_options {
    struct option_list hub; /* HOST:PORT each, tried in turn */
    char *pin;              /* of the hub's CA; NULL until the first contact */
    char *token;            /* of an invitation, until the hub has welcomed this machine; secret */
    char *name;
    char *ssh;
    unsigned ssh_mode;
    char *sshd_socket; /* a path, or "none"; NULL where there is no such option */
    unsigned streams;  /* enum edge_streams */
    unsigned trust;
    char *proxy;
    uint64_t patience_ms, window, orphan_ms;
    uint64_t sessions_max;
    char *labels;
    unsigned log_level;
};

extern const struct option agent_options_table[];
extern const size_t agent_options_count;

/* Sets the defaults, then what the file says (it may be missing). Returns 0 or a negative code with err
 * filled. */
int agent_options_load(struct agent_options *o, const char *conf_path, struct errmsg *err);
/* What the table cannot say: that hubs are no wildcards, a pin is one, labels are pairs … Returns 0 or
 * -EINVAL with err filled. */
int agent_options_check(const struct agent_options *o, struct errmsg *err);
void agent_options_release(struct agent_options *o);

/* The nth hub and the SSH server; only after agent_options_check. */
void agent_options_hub(const struct agent_options *o, size_t i, struct addr_hostport *ret_hp);
void agent_options_ssh(const struct agent_options *o, struct addr_hostport *ret_hp);
/* Is it one of the hubs? */
bool agent_options_is_hub(const struct agent_options *o, const struct addr_hostport *hp);
/* The labels as an object of strings; the caller's. NULL when out of memory. */
cJSON *agent_options_labels(const struct agent_options *o);

#endif
