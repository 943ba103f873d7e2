/* tcpip-forward requests and what became of them. */
#include "front/publish.h"

#include "base/names.h"
#include "front/refusal.h"
#include <stdlib.h>
#include <string.h>

#define PUBLISH_MAX 64 /* a connection */
#define SSH_PORT 22    /* what a machine is reached at, for those who leave the port to the server */

struct publish {
    struct publish *next;
    uint64_t id;
    struct ssh_ask *ask;  /* waits for the hub's answer */
    uint64_t waits_since; /* without a hub that could give it; 0: there is one */
    char host[256];
    unsigned port;
};

static void publish_free(struct publish *p)
{
    if (p->ask != NULL) {
        ssh_ask_refuse(p->ask);
    }
    free(p);
}

static void remove_one(struct front *front, struct publish *gone)
{
    struct publish **at = &front->publishes;
    while (*at != NULL && *at != gone) {
        at = &(*at)->next;
    }
    if (*at == gone) {
        *at = gone->next;
    }
    publish_free(gone);
}

static cJSON *with_address(const char *type, const struct publish *p)
{
    cJSON *message = json_new(type);
    (void)json_add_str(message, "host", p->host);
    (void)json_add_int(message, "port", p->port);
    return message;
}

static void ask_hub(struct front *front, struct publish *p)
{
    cJSON *message;
    if (!hub_link_up(front->link)) {
        p->waits_since = ssh_loop_now(front->loop);
        return;
    }
    p->waits_since = 0;
    message = with_address("publish", p);
    (void)json_add_int(message, "id", (int64_t)p->id);
    front_send(front, message);
}

void publish_ask(struct front *front, struct ssh_ask *ask)
{
    struct publish *p;
    unsigned count = 0;
    front->uses++;
    for (const struct publish *q = front->publishes; q != NULL; q = q->next) {
        count++;
    }
    if (!names_host_ok(ask->host) || ask->port > 65535 || count >= PUBLISH_MAX) {
        ssh_ask_refuse(ask);
        ssh_server_debug(front->server,
                         "publish a machine as -R NAME:22:localhost:22, with a name of letters, "
                         "digits, '-' and '_'");
        return;
    }
    p = calloc(1, sizeof *p);
    if (p == NULL) {
        ssh_ask_refuse(ask);
        return;
    }
    p->id = front_next_id(front);
    p->ask = ask;
    p->port = ask->port;
    memcpy(p->host, ask->host, strlen(ask->host) + 1);
    p->next = front->publishes;
    front->publishes = p;
    ask_hub(front, p);
}

void publish_unask(struct front *front, struct ssh_ask *ask)
{
    for (struct publish *p = front->publishes; p != NULL; p = p->next) {
        if (p->ask == NULL && p->port == ask->port && strcmp(p->host, ask->host) == 0) {
            front_send(front, with_address("unpublish", p));
            remove_one(front, p);
            ssh_ask_accept(ask);
            return;
        }
    }
    ssh_ask_refuse(ask);
}

static void tell_user(struct front *front, const char *text)
{
    char clean[1024];
    refusal_clean(text, clean, sizeof clean);
    if (clean[0] != '\0') {
        ssh_server_debug(front->server, clean);
    }
}

static struct publish *find_id(const struct front *front, uint64_t id)
{
    struct publish *p = front->publishes;
    while (p != NULL && p->id != id) {
        p = p->next;
    }
    return p;
}

void publish_result(struct front *front, const cJSON *message)
{
    const char *text = json_str_or(message, "text", 1024, "");
    bool ok = json_bool(message, "ok", false);
    struct publish *p = find_id(front, (uint64_t)json_int_or(message, "id", 0, (int64_t)1 << 53, 0));
    struct ssh_ask *ask = p == NULL ? NULL : p->ask;
    if (p == NULL) {
        return;
    }
    if (ask != NULL || !ok) { /* the user knows of a yes that the next hub says again */
        tell_user(front, text);
    }
    p->ask = NULL;
    if (ask != NULL && ok) {
        ssh_ask_accept_port(ask, SSH_PORT);
    } else if (ask != NULL) {
        ssh_ask_refuse(ask);
    }
    if (!ok) {
        remove_one(front, p);
    }
}

/* --- between two hubs --- */

void publish_turn_all(struct front *front)
{
    for (struct publish *p = front->publishes, *next; p != NULL; p = next) {
        next = p->next;
        if (p->ask != NULL && front_waited_enough(front, p->waits_since)) {
            tell_user(front, front_why_no_hub(front));
            remove_one(front, p);
        }
    }
}

void publish_hub_lost(struct front *front)
{
    for (struct publish *p = front->publishes; p != NULL; p = p->next) {
        if (p->ask != NULL && p->waits_since == 0) {
            p->waits_since = ssh_loop_now(front->loop);
        }
    }
}

void publish_resume_all(struct front *front)
{
    for (struct publish *p = front->publishes; p != NULL; p = p->next) {
        if (p->ask == NULL) {
            ask_hub(front, p);
        }
    }
}

uint64_t publish_unanswered_after(const struct front *front, uint64_t id)
{
    uint64_t first = UINT64_MAX;
    for (const struct publish *p = front->publishes; p != NULL; p = p->next) {
        if (p->ask != NULL && p->id > id && p->id < first) {
            first = p->id;
        }
    }
    return first;
}

void publish_ask_again(struct front *front, uint64_t id)
{
    struct publish *p = find_id(front, id);
    if (p != NULL) {
        ask_hub(front, p);
    }
}

void publish_free_all(struct front *front)
{
    while (front->publishes != NULL) {
        remove_one(front, front->publishes);
    }
}
