/* The client's options: the table is in client_options.c, this is where the values live. A flag wins over the
 * environment (MULTISSH_NAME), that over the file. */
#ifndef MULTISSH_CLIENT_CLIENT_OPTIONS_H
#define MULTISSH_CLIENT_CLIENT_OPTIONS_H

#include "base/addr.h"
#include "base/options.h"
#include "client/destination.h"

#define CLIENT_OPTIONS_PORT 2244 /* of a hub's streams, where `at` names none */

enum client_streams { CLIENT_STREAMS_AUTO, CLIENT_STREAMS_PLAIN, CLIENT_STREAMS_TLS };

struct client_options {
    char *hub, *domain;
    char *ssh, *ssh_config;
    unsigned streams;
    char *at, *proxy;
    bool progress;
    uint64_t port;
    char *bind;
    unsigned log_level;
};

extern const struct option client_options_table[];
extern const size_t client_options_count;

/* Defaults, then the file (it may be missing; NULL: none), then the environment. Returns 0 or a negative code with err
 * filled. */
int client_options_load(struct client_options *o, const char *path, struct errmsg *err);
/* What the table cannot say; a hub that is not set is not looked at. Returns 0 or -EINVAL with err filled. */
int client_options_check(const struct client_options *o, struct errmsg *err);
/* Sets the environment, so that a program started from here reads the same values. Returns 0 or a negative code. */
int client_options_export(const struct client_options *o);
void client_options_release(struct client_options *o);

/* The hub; only after client_options_check. Returns 0 or -ENOENT (not set) with err filled. */
int client_options_hub(const struct client_options *o, struct destination *ret_d, struct errmsg *err);
/* Begins a command line of ssh: the program and the user's file of settings. */
void client_options_ssh(const struct client_options *o, struct words *w);
/* The name under which the host keys of a machine are kept: NAME.DOMAIN; name may have the domain already. */
void client_options_alias(const struct client_options *o, const char *name, char *out, size_t size);

#endif
