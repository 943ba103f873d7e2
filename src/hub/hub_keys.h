/* The hub's own keys in the state folder, made at the first start: the CA and the leaf it signed (TLS), the
 * secret behind the tickets, the SSH host key, and the lock by which one hub runs a state folder. */
#ifndef MULTISSH_HUB_HUB_KEYS_H
#define MULTISSH_HUB_HUB_KEYS_H

#include "base/errmsg.h"
#include "stream/ticket.h"
#include <openssl/ssl.h>

#define HUB_KEYS_CA_KEY "ca.key"
#define HUB_KEYS_CA_CERT "ca.crt"
#define HUB_KEYS_TLS_KEY "tls.key"
#define HUB_KEYS_TLS_CERT "tls.crt"
#define HUB_KEYS_SECRET "secret"
#define HUB_KEYS_HOST_KEY "ssh_host_ed25519_key"
#define HUB_KEYS_LOCK "hub.lock"

struct hub_keys;

/* Loads what is there and makes what is not; name goes into the leaf. Needs the lock. Returns 0 or a negative
 * code with err filled. */
int hub_keys_load(const char *state_dir, const char *name, struct hub_keys **ret_k, struct errmsg *err);
void hub_keys_free(struct hub_keys *k);

/* SHA-256 of the CA's public key: what invitations carry. */
const uint8_t *hub_keys_pin(const struct hub_keys *k);
const uint8_t *hub_keys_secret(const struct hub_keys *k);
SSL_CTX *hub_keys_tls(const struct hub_keys *k); /* asks the agent for its certificate; stays the keys' */
const char *hub_keys_host_key_path(const struct hub_keys *k);

/* Takes the lock of the state folder, for which it waits up to a second; *ret_fd holds it until it is closed. Returns 0, -EWOULDBLOCK (another
 * hub has it) or another negative code; err filled. */
int hub_keys_lock(const char *state_dir, int *ret_fd, struct errmsg *err);

#endif
