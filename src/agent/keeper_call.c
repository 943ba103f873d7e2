/* The way to a keeper. */
#include "agent/keeper_call.h"

#include "agent/keeper_link.h"
#include "agent/process.h"
#include "agent/spawn.h"
#include "base/json.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { CHALLENGED, ANSWERED, STARTED, READY };

struct keeper_call {
    const struct keeper_call_calls *calls;
    void *arg;
    enum state state;
    bool agent, freed;
    struct keeper_place place;
    uint8_t keeper_nonce[KEEPER_NONCE_SIZE], nonce[KEEPER_NONCE_SIZE];
    int failed; /* a code of libuv's, to be told in a later turn */
    struct keeper_link *link;
    uv_timer_t timer;
};

static void on_timer_closed(uv_handle_t *handle)
{
    struct keeper_call *c = handle->data;
    crypto_wipe(&c->place, sizeof c->place);
    free(c);
}

void keeper_call_free(struct keeper_call *c)
{
    if (c == NULL || c->freed)
        return;
    c->freed = true;
    keeper_link_free(c->link);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

void keeper_call_send(struct keeper_call *c, cJSON *message)
{
    if (c->link != NULL)
        keeper_link_send(c->link, message);
    else
        cJSON_Delete(message);
}

static void on_timer(uv_timer_t *timer)
{
    struct keeper_call *c = timer->data;
    if (c->failed != 0)
        c->calls->ended(c->arg, c->failed == UV_ECONNREFUSED || c->failed == UV_ENOENT,
                        uv_strerror(c->failed));
    else
        c->calls->ended(c->arg, false, "it does not answer");
}

/* --- who are they? --- */

static const char *take_challenge(struct keeper_call *c, const cJSON *m)
{
    const char *nonce = json_str(m, "nonce", 2 * KEEPER_NONCE_SIZE);
    uint8_t mac[CRYPTO_HASH_SIZE];
    char text[2 * CRYPTO_HASH_SIZE + 1];
    if (json_int_or(m, "protocol", 1, INT32_MAX, 0) != KEEPER_PROTOCOL)
        return "it is of another version";
    if (nonce == NULL ||
        crypto_hex_decode(nonce, strlen(nonce), c->keeper_nonce, KEEPER_NONCE_SIZE) != KEEPER_NONCE_SIZE)
        return "its challenge is none";
    if (keeper_place_proof(&c->place, 'c', c->keeper_nonce, c->nonce, mac) != 0)
        return "out of randomness";
    cJSON *answer = json_new("hello");
    json_add_int(answer, "protocol", KEEPER_PROTOCOL);
    json_add_str(answer, "version", MULTISSH_VERSION);
    json_add_str(answer, "role", c->agent ? "agent" : "command");
    crypto_hex_encode(c->nonce, sizeof c->nonce, text, sizeof text);
    json_add_str(answer, "nonce", text);
    crypto_hex_encode(mac, sizeof mac, text, sizeof text);
    json_add_str(answer, "mac", text);
    keeper_link_send(c->link, answer);
    c->state = ANSWERED;
    return NULL;
}

static const char *take_hello(struct keeper_call *c, const cJSON *m)
{
    const char *mac = json_str(m, "mac", 2 * CRYPTO_HASH_SIZE);
    uint8_t said[CRYPTO_HASH_SIZE], own[CRYPTO_HASH_SIZE];
    if (json_int_or(m, "protocol", 1, INT32_MAX, 0) != KEEPER_PROTOCOL)
        return "it is of another version";
    if (c->state == ANSWERED &&
        (mac == NULL || crypto_hex_decode(mac, strlen(mac), said, sizeof said) != CRYPTO_HASH_SIZE ||
         keeper_place_proof(&c->place, 'k', c->keeper_nonce, c->nonce, own) != 0 ||
         !crypto_equal(said, own, sizeof own)))
        return "it is not the one that it should be";
    c->state = READY;
    uv_timer_stop(&c->timer);
    c->calls->ready(c->arg, json_str_or(m, "version", KEEPER_VERSION_MAX, "?"),
                    (long)json_int_or(m, "pid", 1, INT32_MAX, 0));
    return NULL;
}

static const char *on_message(void *arg, const char *type, const cJSON *m)
{
    struct keeper_call *c = arg;
    bool hello = strcmp(type, "hello") == 0;
    if (c->state == READY)
        return c->calls->message(c->arg, type, m);
    if (c->state == CHALLENGED && strcmp(type, "challenge") == 0)
        return take_challenge(c, m);
    if ((c->state == ANSWERED || c->state == STARTED) && hello)
        return take_hello(c, m);
    return "it says things out of their place";
}

static void on_ended(void *arg, const char *words)
{
    struct keeper_call *c = arg;
    c->calls->ended(c->arg, false, words);
}

static const struct keeper_link_calls link_calls = {.message = on_message, .ended = on_ended};

/* --- one that is there --- */

static struct keeper_call *make(uv_loop_t *loop, const struct keeper_place *place,
                                const struct keeper_call_calls *calls, void *arg)
{
    struct keeper_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->calls = calls;
    c->arg = arg;
    c->place = *place;
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    uv_timer_start(&c->timer, on_timer, KEEPER_CALL_MS, 0);
    return c;
}

/* Returns 0 or a negative code of libuv's. */
static int connect_to(struct keeper_call *c, uv_loop_t *loop)
{
    uv_pipe_t *pipe = calloc(1, sizeof *pipe);
    if (pipe == NULL)
        return UV_ENOMEM;
    uv_pipe_init(loop, pipe, 0);
    int r = keeper_place_connect(&c->place, pipe);
    if (r == 0)
        return keeper_link_new((uv_stream_t *)pipe, &link_calls, c, &c->link);
    uv_close((uv_handle_t *)pipe, (uv_close_cb)free);
    return r;
}

int keeper_call_new(uv_loop_t *loop, const struct keeper_place *place, bool agent,
                    const struct keeper_call_calls *calls, void *arg, struct keeper_call **ret_c)
{
    struct keeper_call *c = make(loop, place, calls, arg);
    if (c == NULL)
        return -ENOMEM;
    c->agent = agent;
    if (crypto_random(c->nonce, sizeof c->nonce) != 0) {
        keeper_call_free(c);
        return -EIO;
    }
    c->state = CHALLENGED;
    c->failed = connect_to(c, loop);
    if (c->failed != 0)
        uv_timer_start(&c->timer, on_timer, 0, 0);
    *ret_c = c;
    return 0;
}

/* --- a new one --- */

static void on_process_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_process_end(uv_process_t *process, int64_t status, int signal_number)
{
    if (signal_number != 0)
        log_warn("the keeper of sessions (process %d) was ended by signal %d", uv_process_get_pid(process),
                 signal_number);
    else if (status != 0)
        log_warn("the keeper of sessions (process %d) has failed, status %lld", uv_process_get_pid(process),
                 (long long)status);
    else
        log_debug("the keeper of sessions (process %d) has ended", uv_process_get_pid(process));
    uv_close((uv_handle_t *)process, on_process_closed);
}

static int spawn(uv_loop_t *loop, const char *state_dir, uv_stream_t **ret_stream, long *ret_pid,
                 struct errmsg *err)
{
    static char name[] = "multissh-agent", state_flag[] = "--state", flag[] = "--keeper";
    char program[FS_PATH_MAX], state[FS_PATH_MAX], words[200];
    char *args[] = {name, state_flag, state, flag, NULL};
    uv_process_t *process = calloc(1, sizeof *process);
    if (process == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    snprintf(state, sizeof state, "%s", state_dir);
    int r = spawn_self(program, sizeof program);
    if (r == 0)
        r = spawn_connected(loop, process, on_process_end, program, args, ret_stream);
    if (r != 0) {
        spawn_words(r, words, sizeof words);
        if (uv_handle_get_type((uv_handle_t *)process) == UV_PROCESS)
            uv_close((uv_handle_t *)process, on_process_closed);
        else
            free(process);
        return errmsg_set(err, r, "%s", words);
    }
    uv_unref((uv_handle_t *)process);
    *ret_pid = (long)uv_process_get_pid(process);
    return 0;
}

static cJSON *start_message(const struct keeper_place *place)
{
    char token[2 * KEEPER_TOKEN_SIZE + 1];
    cJSON *m = json_new("start");
    crypto_hex_encode(place->token, sizeof place->token, token, sizeof token);
    json_add_int(m, "protocol", KEEPER_PROTOCOL);
    json_add_str(m, "version", MULTISSH_VERSION);
    json_add_str(m, "id", place->id);
    json_add_str(m, "token", token);
    if (process_given_files() > 0)
        json_add_int(m, "files", (int64_t)process_given_files());
    crypto_wipe(token, sizeof token);
    return m;
}

int keeper_call_start(uv_loop_t *loop, const struct keeper_place *place, const char *state_dir,
                      const struct keeper_call_calls *calls, void *arg, struct keeper_call **ret_c,
                      long *ret_pid, struct errmsg *err)
{
    struct keeper_call *c = make(loop, place, calls, arg);
    uv_stream_t *stream = NULL;
    if (c == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    c->state = STARTED;
    int r = spawn(loop, state_dir, &stream, ret_pid, err);
    if (r == 0) {
        r = keeper_link_new(stream, &link_calls, c, &c->link);
        errmsg_set(err, r, "out of memory");
    }
    if (r != 0) {
        keeper_call_free(c);
        return r;
    }
    keeper_link_send(c->link, start_message(place));
    *ret_c = c;
    return 0;
}
