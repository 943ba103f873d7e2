/* Asks the hub by the user's own ssh: keys, agents, certificates and ~/.ssh/config are ssh's affair. What it has to ask
 * the user goes to the terminal past us; what it complains of goes to our standard error. */
#ifndef MULTISSH_CLIENT_ASK_H
#define MULTISSH_CLIENT_ASK_H

#include "base/buf.h"
#include "client/client_options.h"
#include <uv.h>

struct ask;
/* status: ssh's exit status (0: the hub did as asked; 255: ssh itself failed), 128 + signal, or a negative code: it could
 * not be run, or printed more than it may (-EMSGSIZE). text: what it printed; wiped after the call. */
typedef void ask_fn(void *arg, int status, struct buf *text);

/* Begins a command line that asks the hub; what is to be asked is added behind it. */
void ask_words(const struct client_options *o, const struct destination *hub, struct words *w);
/* May ssh be run from here, or was this program started by one that it has started, again and again? Returns 0 or
 * -ELOOP with err filled. */
int ask_allowed(struct errmsg *err);

/* Starts w's program. fn is called once, later. max: bytes that it may print. Returns 0 or -ENOMEM. */
int ask_run(uv_loop_t *loop, const struct words *w, size_t max, ask_fn *fn, void *arg, struct ask **ret_a);
/* Ends it without a call; NULL-safe. Not after fn was called. */
void ask_cancel(struct ask *a);

/* From this status on it was not the hub that said no. */
#define ASK_NO_COMMAND 127

/* The words for a status that is not 0: what is to be said besides what ssh said itself. what: "ask for a ticket". */
void ask_failure(const struct client_options *o, int status, const char *what, struct errmsg *err);

#endif
