/* The connections to a keeper: the agent that started it, on standard input, and whoever proves to know its token. */
#include "agent/keeper.h"

#include "agent/process.h"
#include "agent/spawn.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS_MAX 16 /* each may be one whom nobody knows, until its time is over */
#define BACKLOG 16
#define HELLO_MS 5000
#define START_MS 15000 /* for the agent that has started this process */

enum role { ROLE_STARTER, ROLE_STRANGER, ROLE_AGENT, ROLE_COMMAND };

struct peer {
    struct keeper *keeper;
    struct peer *next;
    struct keeper_link *link;
    enum role role;
    uint64_t hello_by;
    uint8_t nonce[KEEPER_NONCE_SIZE];
};

struct keeper_peers {
    struct keeper *keeper;
    struct peer *all;
    unsigned n;
    uv_pipe_t *listener; /* NULL: it does not listen */
    uv_timer_t timer;    /* for those who have not said hello */
    struct log_limit refusals;
};

static void leave(struct peer *peer)
{
    struct keeper *k = peer->keeper;
    struct peer **at = &k->peers->all;
    bool agent = peer->link == k->agent, unsaid = peer->role == ROLE_STARTER;
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    k->peers->n--;
    keeper_link_free(peer->link);
    free(peer);
    if (agent)
        keeper_agent_left(k);
    else if (unsaid)
        keeper_look(k);
}

/* --- who is it? --- */

static void watch(struct keeper_peers *p);

static void on_timer(uv_timer_t *timer)
{
    struct keeper_peers *p = timer->data;
    uint64_t now = clock_now_ms();
    for (struct peer *i = p->all, *next; i != NULL; i = next) {
        next = i->next;
        if (i->role <= ROLE_STRANGER && now >= i->hello_by)
            leave(i);
    }
    watch(p);
}

static void watch(struct keeper_peers *p)
{
    uint64_t at = UINT64_MAX, now = clock_now_ms();
    for (const struct peer *i = p->all; i != NULL; i = i->next)
        if (i->role <= ROLE_STRANGER && i->hello_by < at)
            at = i->hello_by;
    if (at != UINT64_MAX && !p->keeper->over)
        uv_timer_start(&p->timer, on_timer, at > now ? at - now : 0, 0);
}

bool keeper_peers_expected(const struct keeper_peers *p)
{
    for (const struct peer *i = p->all; i != NULL; i = i->next)
        if (i->role == ROLE_STARTER)
            return true;
    return false;
}

static cJSON *hello(void)
{
    cJSON *m = json_new("hello");
    json_add_int(m, "protocol", KEEPER_PROTOCOL);
    json_add_str(m, "version", MULTISSH_VERSION);
    json_add_int(m, "pid", (int64_t)uv_os_getpid());
    return m;
}

/* Without a place, nobody finds it later: its sessions then end with the agent. */
static const char *take_start(struct peer *peer, const char *type, const cJSON *m)
{
    struct keeper *k = peer->keeper;
    struct errmsg err;
    if (strcmp(type, "start") != 0)
        return "it did not begin with start";
    if (json_int_or(m, "protocol", 1, INT32_MAX, 0) != KEEPER_PROTOCOL)
        return "an agent of another version";
    if (keeper_place_given(&k->place, k->state_dir, json_str(m, "id", KEEPER_ID_TEXT - 1),
                           json_str(m, "token", 2 * KEEPER_TOKEN_SIZE)) != 0)
        return "a start that is none";
    process_children_files((uint64_t)json_int_or(m, "files", 1, INT32_MAX, 0));
    k->placed = keeper_peers_listen(k->peers, &err) == 0;
    if (!k->placed)
        log_warn("the sessions will not outlive this agent: %s", err.text);
    peer->role = ROLE_AGENT;
    keeper_agent_came(k, peer->link, false);
    keeper_link_send(peer->link, hello());
    return NULL;
}

/* Returns whether the peer knows the token; then *ret_mac says that this side does. */
static bool proven(const struct peer *peer, const cJSON *m, char ret_mac[2 * CRYPTO_HASH_SIZE + 1])
{
    const struct keeper_place *place = &peer->keeper->place;
    const char *nonce = json_str(m, "nonce", 2 * KEEPER_NONCE_SIZE),
               *mac = json_str(m, "mac", 2 * CRYPTO_HASH_SIZE);
    uint8_t theirs[KEEPER_NONCE_SIZE], said[CRYPTO_HASH_SIZE], own[CRYPTO_HASH_SIZE];
    if (nonce == NULL || mac == NULL ||
        crypto_hex_decode(nonce, strlen(nonce), theirs, sizeof theirs) != KEEPER_NONCE_SIZE ||
        crypto_hex_decode(mac, strlen(mac), said, sizeof said) != CRYPTO_HASH_SIZE ||
        keeper_place_proof(place, 'c', peer->nonce, theirs, own) != 0 ||
        !crypto_equal(own, said, sizeof own) || keeper_place_proof(place, 'k', peer->nonce, theirs, own) != 0)
        return false;
    crypto_hex_encode(own, sizeof own, ret_mac, 2 * CRYPTO_HASH_SIZE + 1);
    return true;
}

/* The newest agent is the one. */
static void replace_agent(struct peer *peer)
{
    struct keeper *k = peer->keeper;
    for (struct peer *i = k->peers->all, *next; i != NULL; i = next) {
        next = i->next;
        if (i != peer && i->role == ROLE_AGENT)
            leave(i);
    }
    keeper_agent_came(k, peer->link, true);
}

static const char *take_hello(struct peer *peer, const char *type, const cJSON *m)
{
    struct keeper *k = peer->keeper;
    char mac[2 * CRYPTO_HASH_SIZE + 1];
    const char *role = json_str_or(m, "role", 20, "");
    bool agent = strcmp(role, "agent") == 0;
    if (strcmp(type, "hello") != 0)
        return "it did not begin with hello";
    if (!proven(peer, m, mac))
        return "it does not know the token";
    if (json_int_or(m, "protocol", 1, INT32_MAX, 0) != KEEPER_PROTOCOL)
        return "it is of another version";
    if (!agent && strcmp(role, "command") != 0)
        return "it has a role that is none";
    cJSON *answer = hello();
    json_add_str(answer, "mac", mac);
    keeper_link_send(peer->link, answer);
    peer->role = agent ? ROLE_AGENT : ROLE_COMMAND;
    if (agent)
        replace_agent(peer);
    watch(k->peers);
    return NULL;
}

static const char *on_message(void *arg, const char *type, const cJSON *m)
{
    struct peer *peer = arg;
    if (peer->role == ROLE_STARTER)
        return take_start(peer, type, m);
    if (peer->role == ROLE_STRANGER)
        return take_hello(peer, type, m);
    return keeper_message(peer->keeper, peer->link, peer->role == ROLE_AGENT, type, m);
}

static void on_ended(void *arg, const char *words)
{
    struct peer *peer = arg;
    struct keeper_peers *p = peer->keeper->peers;
    if (peer->role == ROLE_STRANGER)
        log_limited(&p->refusals, LOG_LEVEL_WARN, "a connection to the keeper of sessions was closed: %s",
                    words);
    else
        log_debug("a connection to the keeper of sessions has ended: %s", words);
    leave(peer);
}

static const struct keeper_link_calls link_calls = {.message = on_message, .ended = on_ended};

/* stream is taken in every case. */
static int add(struct keeper_peers *p, uv_stream_t *stream, enum role role)
{
    struct peer *peer = p->n < PEERS_MAX ? calloc(1, sizeof *peer) : NULL;
    if (peer == NULL) {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
        return -ENOMEM;
    }
    int r = keeper_link_new(stream, &link_calls, peer, &peer->link);
    if (r != 0) {
        free(peer);
        return r;
    }
    peer->keeper = p->keeper;
    peer->role = role;
    peer->hello_by = clock_now_ms() + (role == ROLE_STARTER ? START_MS : HELLO_MS);
    peer->next = p->all;
    p->all = peer;
    p->n++;
    watch(p);
    return 0;
}

/* --- the door --- */

static void challenge(struct peer *peer)
{
    char nonce[2 * KEEPER_NONCE_SIZE + 1];
    cJSON *m = json_new("challenge");
    crypto_hex_encode(peer->nonce, sizeof peer->nonce, nonce, sizeof nonce);
    json_add_int(m, "protocol", KEEPER_PROTOCOL);
    json_add_str(m, "nonce", nonce);
    keeper_link_send(peer->link, m);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct keeper_peers *p = listener->data;
    uint8_t nonce[KEEPER_NONCE_SIZE];
    uv_pipe_t *pipe = status == 0 ? calloc(1, sizeof *pipe) : NULL;
    if (pipe == NULL)
        return;
    uv_pipe_init(listener->loop, pipe, 0);
    if (uv_accept(listener, (uv_stream_t *)pipe) != 0 || crypto_random(nonce, sizeof nonce) != 0) {
        uv_close((uv_handle_t *)pipe, (uv_close_cb)free);
        return;
    }
    if (add(p, (uv_stream_t *)pipe, ROLE_STRANGER) != 0)
        return;
    memcpy(p->all->nonce, nonce, sizeof nonce);
    challenge(p->all);
}

int keeper_peers_listen(struct keeper_peers *p, struct errmsg *err)
{
    struct keeper *k = p->keeper;
    uv_pipe_t *pipe = calloc(1, sizeof *pipe);
    if (pipe == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    uv_pipe_init(k->loop, pipe, 0);
    pipe->data = p;
    int r = keeper_place_take(&k->place, pipe, err);
    if (r == 0) {
        r = uv_listen((uv_stream_t *)pipe, BACKLOG, on_connection);
        if (r != 0) {
            errmsg_set(err, r, "cannot listen in %s: %s", k->place.folder, uv_strerror(r));
            keeper_place_remove(&k->place);
        }
    }
    if (r != 0) {
        uv_close((uv_handle_t *)pipe, (uv_close_cb)free);
        return r;
    }
    uv_unref((uv_handle_t *)pipe);
    p->listener = pipe;
    return 0;
}

/* --- life --- */

int keeper_peers_new(struct keeper *k, struct keeper_peers **ret_p)
{
    struct keeper_peers *p = calloc(1, sizeof *p);
    uv_stream_t *stream = NULL;
    if (p == NULL)
        return -ENOMEM;
    p->keeper = k;
    p->refusals = (struct log_limit){.burst = 5, .interval_ms = 10000};
    *ret_p = p;
    uv_timer_init(k->loop, &p->timer);
    p->timer.data = p;
    uv_unref((uv_handle_t *)&p->timer);
    int r = spawn_take(k->loop, &stream);
    return r == 0 ? add(p, stream, ROLE_STARTER) : r;
}

void keeper_peers_close(struct keeper_peers *p)
{
    p->keeper->agent = NULL;
    for (struct peer *peer = p->all, *next = NULL; peer != NULL; peer = next) {
        next = peer->next;
        leave(peer);
    }
    if (p->listener != NULL)
        uv_close((uv_handle_t *)p->listener, (uv_close_cb)free);
    p->listener = NULL;
    uv_close((uv_handle_t *)&p->timer, NULL);
}

void keeper_peers_free(struct keeper_peers *p)
{
    free(p);
}
