/* Owns what jumps and the registry ask of an agent's connection. Must not call back into either in the same
 * turn. */
#include "base/json.h"
#include "base/log.h"
#include "hub/control_private.h"
#include "hub/jumps.h"
#include <errno.h>
#include <stdio.h>

struct control *control_of_link(struct link *l)
{
    return (struct control *)l; /* its first member */
}

static int link_dial(struct link *l, const struct link_dial *d)
{
    struct control *c = control_of_link(l);
    cJSON *m = NULL;
    char key[2 * TICKET_KEY_SIZE + 1];
    int rc = 0;

    if (c->state != CONTROL_ONLINE)
        return -EPIPE;
    m = json_new("dial");
    crypto_hex_encode(d->key, sizeof d->key, key, sizeof key);
    (void)json_add_int(m, "id", (int64_t)d->id);
    (void)json_add_str(m, "ticket", d->ticket);
    (void)json_add_str(m, "key", key);
    (void)json_add_str(m, "user", d->user);
    (void)json_add_str(m, "source", d->source);
    if (d->source_port != 0)
        (void)json_add_int(m, "source_port", d->source_port);
    (void)json_add_int(m, "window", d->window);
    (void)json_add_int(m, "patience_ms", d->patience_ms);
    rc = control_io_send(c, m);
    crypto_wipe(key, sizeof key);
    return rc;
}

static void link_hangup(struct link *l, const uint8_t stream[TICKET_ID_SIZE], const char *reason)
{
    struct control *c = control_of_link(l);
    cJSON *m = NULL;
    char id[2 * TICKET_ID_SIZE + 1];

    if (c->state != CONTROL_ONLINE)
        return;
    m = json_new("hangup");
    crypto_hex_encode(stream, TICKET_ID_SIZE, id, sizeof id);
    (void)json_add_str(m, "stream", id);
    (void)json_add_str(m, "reason", reason);
    (void)control_io_send(c, m);
}

static void link_drop(struct link *l, const char *code, const char *reason)
{
    struct control *c = control_of_link(l);

    if (c->state == CONTROL_DEAD || c->state == CONTROL_CLOSING)
        return;
    log_info("%s: its connection from %s is closed: %s", control_name(c), c->source, reason);
    c->machine = NULL;
    control_messages_bye(c, code, reason, 0);
}

static void link_renamed(struct link *l, const char *name)
{
    struct control *c = control_of_link(l);
    cJSON *m = json_new("renamed");

    (void)snprintf(c->name, sizeof c->name, "%s", name);
    (void)json_add_str(m, "name", name);
    (void)control_io_send(c, m);
}

const struct link_ops control_link_ops = {
    .kind = "agent",
    .dial = link_dial,
    .hangup = link_hangup,
    .drop = link_drop,
    .renamed = link_renamed,
};

/* --- from the registry --- */

void control_link_approved(struct link *l, void *arg)
{
    struct control *c = control_of_link(l);

    (void)arg;
    if (l == NULL || l->ops != &control_link_ops || c->state != CONTROL_HELD)
        return;
    c->again = true;
    control_soon(c);
}

void control_link_expired(struct link *l, void *arg)
{
    (void)arg;
    if (l->ops == &control_link_ops && control_of_link(l)->state == CONTROL_HELD)
        control_messages_refuse(
            control_of_link(l), "busy",
            "nobody approved this machine in time (pending-expires); it may ask again, or be invited", 0);
}
