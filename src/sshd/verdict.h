/* What a login may do and how a refusal is given, on every system: shared by the monitor (POSIX) and host_windows.c.
 * Pure. */
#ifndef MULTISSH_SSHD_VERDICT_H
#define MULTISSH_SSHD_VERDICT_H

#include "base/errmsg.h"
#include "base/keyline.h"
#include "sshd/authkeys.h"
#include "sshd/sshd_options.h"
#include <stddef.h>
#include <stdint.h>

#define VERDICT_BY_MAX (64 + KEYLINE_FINGERPRINT + 32)

/* For the log: "the key ssh-ed25519 SHA256:…" of key ("type base64"). Returns 0, or -EINVAL with err (it is no key
 * that is known here). */
int verdict_by_key(const char *key, char out[VERDICT_BY_MAX], struct errmsg *err);

/* How long after its begin a refusal is to be given that took took_ms to find. An account that there is costs a look
 * at its files: so that this cannot be seen from outside, every refusal takes one of a few times. */
uint64_t verdict_due_ms(uint64_t took_ms);

/* How many keys and passwords may be asked about on one connection, those included that would do. */
unsigned verdict_asks_max(const struct sshd_options *o);

/* HOST_RIGHT_* of a login. */
unsigned verdict_rights(const struct sshd_options *o, const struct authkeys_rights *r);

/* May a login with rights (HOST_RIGHT_*) connect to host:port, listen there? Return NULL, or why not. */
const char *verdict_connect(unsigned rights, const struct authkeys_rights *r, const char *host,
                            unsigned port);
const char *verdict_listen(unsigned rights, const struct authkeys_rights *r, const char *host, unsigned port);

#endif
