/* Asks for the host key of the built-in SSH server: of its service, on a socket beside the service's own, or of
 * the program. */
#ifndef MULTISSH_AGENT_BUILTIN_KEYS_H
#define MULTISSH_AGENT_BUILTIN_KEYS_H

#include "agent/hostkeys.h"

struct builtin_keys;
/* The answer, valid during the call but for the keys, which are then the callee's: fault is NULL, or a sentence
 * that says why the server cannot be had; keys may be none in both cases. */
typedef void builtin_keys_fn(void *arg, const char *fault, struct hostkeys *keys);

/* program: a path, or a name that is looked for as a shell would; state: its state folder. fn is called once,
 * later. Returns 0 or -ENOMEM. */
int builtin_keys_of_program(uv_loop_t *loop, const char *program, const char *state, builtin_keys_fn *fn,
                            void *arg, struct builtin_keys **ret_k);
/* socket: that of the service. */
int builtin_keys_of_service(uv_loop_t *loop, const char *socket, builtin_keys_fn *fn, void *arg,
                            struct builtin_keys **ret_k);
/* Ends it without a call; NULL-safe. After fn was called there is nothing to be cancelled. */
void builtin_keys_cancel(struct builtin_keys *k);

#endif
