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
    struct ssh_ask *ask; /* waits for the hub */
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

void publish_ask(struct front *front, struct ssh_ask *ask)
{
    struct publish *p;
    cJSON *message;
    unsigned count = 0;
    for (const struct publish *q = front->publishes; q != NULL; q = q->next) {
        count++;
    }
    if (!hub_link_up(front->link) || !names_host_ok(ask->host) || ask->port > 65535 || count >= PUBLISH_MAX) {
        ssh_ask_refuse(ask);
        ssh_server_debug(front->server,
                         !hub_link_up(front->link)
                             ? FRONT_RESTARTING
                             : "publish a machine as -R NAME:22:localhost:22, with a name of letters, "
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
    message = with_address("publish", p);
    (void)json_add_int(message, "id", (int64_t)p->id);
    front_send(front, message);
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

void publish_result(struct front *front, const cJSON *message)
{
    int64_t id = json_int_or(message, "id", 0, (int64_t)1 << 53, 0);
    const char *text = json_str(message, "text", 1024);
    for (struct publish *p = front->publishes; p != NULL; p = p->next) {
        struct ssh_ask *ask = p->ask;
        if (p->id != (uint64_t)id || ask == NULL) {
            continue;
        }
        p->ask = NULL;
        if (text != NULL && text[0] != '\0') {
            char clean[1024];
            refusal_clean(text, clean, sizeof clean);
            ssh_server_debug(front->server, clean);
        }
        if (json_bool(message, "ok", false)) {
            ssh_ask_accept_port(ask, SSH_PORT);
        } else {
            ssh_ask_refuse(ask);
            remove_one(front, p);
        }
        return;
    }
}

void publish_hub_lost(struct front *front)
{
    publish_free_all(front);
}

void publish_free_all(struct front *front)
{
    while (front->publishes != NULL) {
        remove_one(front, front->publishes);
    }
}
