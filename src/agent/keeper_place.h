/* Where keepers are found: the folder `sessions` of the state folder, with a private file for each that has what is
 * needed to talk to it, and the address it listens at. Siblings of keeper_place.c: keeper_place_posix.c,
 * keeper_place_windows.c. */
#ifndef MULTISSH_AGENT_KEEPER_PLACE_H
#define MULTISSH_AGENT_KEEPER_PLACE_H

#include "base/crypto.h"
#include "base/errmsg.h"
#include "base/fs.h"
#include <uv.h>

#define KEEPER_PROTOCOL 1
#define KEEPER_ID_SIZE 16
#define KEEPER_ID_TEXT (2 * KEEPER_ID_SIZE + 1)
#define KEEPER_TOKEN_SIZE 32
#define KEEPER_VERSION_MAX 40

struct keeper_place {
    char folder[FS_PATH_MAX]; /* STATE/sessions */
    char id[KEEPER_ID_TEXT];
    uint8_t token[KEEPER_TOKEN_SIZE]; /* secret */
    long pid;
    int protocol;
    char version[KEEPER_VERSION_MAX + 1];
};

/* A new one in that state folder, with id and token; nothing is written. Returns 0, -ENAMETOOLONG or -EIO. */
int keeper_place_new(struct keeper_place *ret_p, const char *state_dir);
/* One whose id and token are given in hex. Returns 0, -EINVAL or -ENAMETOOLONG. */
int keeper_place_given(struct keeper_place *ret_p, const char *state_dir, const char *id, const char *token);

/* Makes the folder where needed, has pipe listen there (bound, not listening yet) and writes the file, for this process.
 * Returns 0 or a negative errno code with err filled. */
int keeper_place_take(struct keeper_place *p, uv_pipe_t *pipe, struct errmsg *err);
/* Removes what is on disk. */
void keeper_place_remove(const struct keeper_place *p);

/* Calls fn for each keeper that has a file there, at most KEEPER_PLACES_MAX; *p is valid during the call. What is no keeper's
 * file is passed over, with a word in the log. Returns 0 (also when there is no folder), or a negative errno code. */
#define KEEPER_PLACES_MAX 1000
typedef void keeper_place_fn(void *arg, const struct keeper_place *p);
int keeper_place_each(const char *state_dir, keeper_place_fn *fn, void *arg);

/* What proves the knowledge of the token: side 'c' (who connects) or 'k' (the keeper). Returns 0 or -EIO. */
#define KEEPER_NONCE_SIZE 32
int keeper_place_proof(const struct keeper_place *p, char side, const uint8_t keeper_nonce[KEEPER_NONCE_SIZE],
                       const uint8_t nonce[KEEPER_NONCE_SIZE], uint8_t ret_mac[CRYPTO_HASH_SIZE]);

/* The siblings: where it listens. Return 0 or libuv's negative code; pipe, which is initialised, is then connected. */
int keeper_place_bind(const struct keeper_place *p, uv_pipe_t *pipe);
int keeper_place_connect(const struct keeper_place *p, uv_pipe_t *pipe);
void keeper_place_unbind(const struct keeper_place *p);

#endif
