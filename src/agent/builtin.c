/* Whether the built-in SSH server can be had: asked for its host key, now and then. */
#include "agent/builtin.h"

#include "agent/agent.h"
#include "agent/builtin_keys.h"
#include "agent/process.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 4000    /* between looks at the socket */
#define AGAIN_MS 60000  /* between questions to one that is not there */
#define KEYS_MS 3600000 /* between questions to one that is */
#define PROGRAM "multissh-sshd"

struct builtin {
    struct agent *agent;
    builtin_changed_fn *changed;
    void *arg;
    uv_timer_t look;
    struct builtin_keys *question;
    struct hostkeys keys;
    char words[BUILTIN_WORDS_MAX];
    bool watched, known, there, soon;
    bool by_socket, told_by_socket; /* how it was asked, and what the answer was told of, last */
    uint64_t asked_at;
};

bool builtin_known(const struct builtin *b)
{
    return b->known;
}

bool builtin_there(const struct builtin *b)
{
    return b->there;
}

const char *builtin_words(const struct builtin *b)
{
    return b->words;
}

const struct hostkeys *builtin_hostkeys(const struct builtin *b)
{
    return &b->keys;
}

const char *builtin_socket(const char *path)
{
    return path != NULL && path[0] == '/' && process_socket_usable(path) ? path : NULL;
}

int builtin_program(const char *state_dir, char program[FS_PATH_MAX], char state[FS_PATH_MAX])
{
    int r = fs_sibling_program(PROGRAM, program, FS_PATH_MAX);
    return r == 0 ? fs_join(state, FS_PATH_MAX, state_dir, "sshd") : r;
}

bool builtin_useless(char *words)
{
    char account[64];
    if (process_has_shell(account, sizeof account))
        return false;
    snprintf(words, BUILTIN_WORDS_MAX,
             "the agent runs as %s, who has no shell; try: systemctl enable --now multissh-sshd.socket",
             account);
    return true;
}

static void on_answer(void *arg, const char *fault, struct hostkeys *keys)
{
    struct builtin *b = arg;
    bool there = fault == NULL, news = !b->known || b->there != there || !hostkeys_same(&b->keys, keys) ||
                                       b->by_socket != b->told_by_socket;
    if (fault != NULL)
        news = news || strcmp(b->words, fault) != 0;
    b->question = NULL;
    b->known = true;
    b->told_by_socket = b->by_socket;
    b->there = there;
    snprintf(b->words, sizeof b->words, "%s", fault != NULL ? fault : "");
    hostkeys_release(&b->keys);
    b->keys = *keys;
    if (news && !there)
        log_warn("the built-in SSH server cannot be had: %s", fault);
    else if (news)
        log_info("the built-in SSH server is there (%s), host keys: %u",
                 b->by_socket ? b->agent->opt.sshd_socket : PROGRAM, keys->n);
    if (news)
        b->changed(b->arg);
}

static void ask(struct builtin *b)
{
    char program[FS_PATH_MAX], state[FS_PATH_MAX], words[BUILTIN_WORDS_MAX];
    struct hostkeys none = {.from = "none"};
    const char *socket = builtin_socket(b->agent->opt.sshd_socket);
    if (b->question != NULL)
        return;
    b->soon = false;
    b->by_socket = socket != NULL;
    b->asked_at = clock_now_ms();
    if (socket != NULL)
        (void)builtin_keys_of_service(b->agent->loop, socket, on_answer, b, &b->question);
    else if (builtin_useless(words))
        on_answer(b, words, &none);
    else if (builtin_program(b->agent->state_dir, program, state) != 0)
        on_answer(b, "the path of the state folder is too long", &none);
    else
        (void)builtin_keys_of_program(b->agent->loop, program, state, on_answer, b, &b->question);
}

/* Always from the loop: answers may come at once. */
static void on_look(uv_timer_t *timer)
{
    struct builtin *b = timer->data;
    uint64_t now = clock_now_ms();
    if (b->soon || !b->known || b->by_socket != (builtin_socket(b->agent->opt.sshd_socket) != NULL) ||
        now >= b->asked_at + (b->there ? KEYS_MS : AGAIN_MS))
        ask(b);
}

static void forget(struct builtin *b)
{
    builtin_keys_cancel(b->question);
    b->question = NULL;
    hostkeys_release(&b->keys);
    b->keys.from = "none";
    b->known = b->there = false;
    b->words[0] = 0;
}

void builtin_watch(struct builtin *b, bool on)
{
    if (b->watched == on)
        return;
    b->watched = on;
    forget(b);
    if (on)
        uv_timer_start(&b->look, on_look, 0, LOOK_MS);
    else
        uv_timer_stop(&b->look);
}

void builtin_restart(struct builtin *b)
{
    forget(b);
    if (b->watched)
        uv_timer_start(&b->look, on_look, 0, LOOK_MS);
}

void builtin_soon(struct builtin *b)
{
    b->soon = true;
}

int builtin_new(struct agent *a, builtin_changed_fn *changed, void *arg, struct builtin **ret_b)
{
    struct builtin *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    b->agent = a;
    b->changed = changed;
    b->arg = arg;
    b->keys.from = "none";
    uv_timer_init(a->loop, &b->look);
    b->look.data = b;
    *ret_b = b;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void builtin_free(struct builtin *b)
{
    if (b == NULL)
        return;
    forget(b);
    uv_close((uv_handle_t *)&b->look, on_closed);
}
