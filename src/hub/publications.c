/* Owns the machines that a front publishes with stock OpenSSH (`ssh -R web01:22:…`): each is a link like an
 * agent's, whose dial asks the front for a forwarded channel. */
#include "base/clock.h"
#include "base/json.h"
#include "hub/describe.h"
#include "hub/fronts_private.h"
#include "hub/jumps.h"
#include "hub/refusals.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PUBLICATIONS_MAX 64 /* of one front */
#define REACHES_MAX 256     /* asked and not answered, of one publication */
#define ID_MAX (INT64_C(1) << 53)

/* A jump that the front was asked to reach; our end of the socket pair waits here for its yes. */
struct reach {
    struct reach *next;
    uint64_t id;
    int fd;
    uint8_t stream[TICKET_ID_SIZE];
};

struct publication {
    struct link link; /* first: link_ops cast back */
    struct front *front;
    struct publication *next;
    struct reach *reaches;
    unsigned n_reaches;
    bool dropped;
    char host[256]; /* as the client wrote it: forwarded-tcpip must name the same */
    uint16_t port;
    char name[NAMES_MACHINE_MAX + 1];
};

static struct publication *of_link(struct link *l)
{
    return (struct publication *)l; /* its first member */
}

static void reach_free(struct publication *p, struct reach *r)
{
    struct reach **at = &p->reaches;

    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    p->n_reaches--;
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

/* --- the link --- */

static void audit(const struct front *f, const char *kind, const char *machine, const char *text)
{
    struct store_event e = {.at_s = clock_wall_s(),
                            .kind = kind,
                            .user = f->who.name,
                            .machine = machine,
                            .source = f->source,
                            .text = text};

    (void)store_event_add(f->owner->hub->store, &e);
}

static cJSON *reach_message(const struct publication *p, const struct link_dial *d)
{
    char stream[2 * TICKET_ID_SIZE + 1], key[2 * TICKET_KEY_SIZE + 1];
    cJSON *m = json_new("reach");

    crypto_hex_encode(d->stream, sizeof d->stream, stream, sizeof stream);
    crypto_hex_encode(d->key, sizeof d->key, key, sizeof key);
    (void)json_add_int(m, "id", (int64_t)d->id);
    (void)json_add_str(m, "host", p->host);
    (void)json_add_int(m, "port", p->port);
    (void)json_add_str(m, "stream", stream);
    (void)json_add_str(m, "key", key);
    (void)json_add_int(m, "window", d->window);
    (void)json_add_int(m, "patience_ms", d->patience_ms);
    (void)json_add_str(m, "user", d->user);
    (void)json_add_str(m, "source", d->source);
    (void)json_add_int(m, "source_port", d->source_port);
    if (ticket_id_joined(d->stream))
        (void)json_add_bool(m, "resumes", true);
    crypto_wipe(key, sizeof key);
    return m;
}

static int link_dial(struct link *l, const struct link_dial *d)
{
    struct publication *p = of_link(l);
    struct reach *r = NULL;
    int pair[2] = {-1, -1};
    int rc = 0;

    if (p->dropped || p->front->gone)
        return -EPIPE;
    if (p->n_reaches >= REACHES_MAX)
        return -EBUSY;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    r = calloc(1, sizeof *r);
    if (r == NULL) {
        close(pair[0]);
        close(pair[1]);
        return -ENOMEM;
    }
    r->id = d->id;
    r->fd = pair[0];
    memcpy(r->stream, d->stream, sizeof r->stream);
    r->next = p->reaches;
    p->reaches = r;
    p->n_reaches++;
    rc = seqpacket_send(p->front->channel, reach_message(p, d), pair[1]);
    if (rc < 0)
        reach_free(p, r);
    return rc;
}

/* A stream that runs is ended from its user's side; one that is only asked for ends with its socket. */
static void link_hangup(struct link *l, const uint8_t stream[TICKET_ID_SIZE], const char *reason)
{
    struct publication *p = of_link(l);

    (void)reason;
    for (struct reach *r = p->reaches; r != NULL; r = r->next) {
        if (memcmp(r->stream, stream, TICKET_ID_SIZE) == 0) {
            reach_free(p, r);
            return;
        }
    }
}

static int link_connect(struct link *l, const uint8_t stream[TICKET_ID_SIZE], uint32_t epoch, int fd)
{
    struct publication *p = of_link(l);
    char hex[2 * TICKET_ID_SIZE + 1];
    cJSON *m = NULL;

    if (p->dropped || p->front->gone) {
        close(fd);
        return -EPIPE;
    }
    m = json_new("connection");
    crypto_hex_encode(stream, TICKET_ID_SIZE, hex, sizeof hex);
    (void)json_add_str(m, "stream", hex);
    (void)json_add_int(m, "epoch", epoch);
    return seqpacket_send(p->front->channel, m, fd);
}

static void link_drop(struct link *l, const char *code, const char *reason)
{
    struct publication *p = of_link(l);
    char text[300];

    (void)code;
    if (p->dropped)
        return;
    p->dropped = true;
    log_info("%s, published by %s from %s, is taken back: %s", p->name, p->front->who.name, p->front->source,
             reason);
    audit(p->front, "offline", p->name, reason);
    (void)snprintf(text, sizeof text, "%s is no longer published here: %s", p->name, reason);
    front_end(p->front, text);
    p->front->end_by = clock_now_ms() + 5000;
}

static void link_renamed(struct link *l, const char *name)
{
    struct publication *p = of_link(l);

    (void)snprintf(p->name, sizeof p->name, "%s", name);
}

static const struct link_ops publication_link_ops = {
    .kind = "publisher",
    .dial = link_dial,
    .hangup = link_hangup,
    .connect = link_connect,
    .drop = link_drop,
    .renamed = link_renamed,
};

/* --- what the front says --- */

static void answer(struct front *f, int64_t id, bool ok, const char *text)
{
    cJSON *m = json_new("publish-result");

    (void)json_add_int(m, "id", id);
    (void)json_add_bool(m, "ok", ok);
    (void)json_add_str(m, "text", text);
    (void)seqpacket_send(f->channel, m, -1);
    if (ok)
        return;
    log_limited(&f->limit, LOG_LEVEL_INFO, "%s from %s may not publish: %s", f->who.name, f->source, text);
    if (f->state == FRONT_RESUMES) /* its client believes that it does */
        fronts_ask_to_end(f, text);
}

static void publication_free(struct publication *p)
{
    while (p->reaches != NULL)
        reach_free(p, p->reaches);
    free(p);
}

/* Takes p out of the rest of the hub, and frees it. */
static void publication_end(struct front *f, struct publication *p, const char *why)
{
    struct hub *hub = f->owner->hub;
    struct publication **at = &f->publications;
    bool told = p->dropped; /* by then another one may hold the name */

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    p->dropped = true;
    f->unpublished = true;
    registry_gone(hub->registry, &p->link, why, clock_wall_s());
    jumps_link_gone(hub->jumps, &p->link);
    if (!told) {
        log_info("%s, published by %s from %s, is offline: %s", p->name, f->who.name, f->source, why);
        audit(f, "offline", p->name, why);
    }
    publication_free(p);
}

static unsigned count(const struct front *f)
{
    unsigned n = 0;

    for (const struct publication *p = f->publications; p != NULL; p = p->next)
        n++;
    return n;
}

static struct publication *find(const struct front *f, const char *name)
{
    struct publication *p = f->publications;

    while (p != NULL && (p->dropped || !names_same(p->name, name)))
        p = p->next;
    return p;
}

/* Checks what can be checked before the registry is asked. Returns true, or false with the text. */
static bool may_publish(struct front *f, const char *host, int64_t port, char name[NAMES_MACHINE_MAX + 1],
                        char *text)
{
    const struct hub *hub = f->owner->hub;
    char shown[80];

    describe_clean(host, shown, sizeof shown);
    if (describe_machine_name(host, hub->domain, name) < 0 || strcmp(name, "localhost") == 0)
        (void)snprintf(text, REFUSALS_TEXT_MAX,
                       "'%s' cannot be a machine's name: publish as in ssh -N -R web01:22:localhost:22",
                       shown);
    else if (port != 22)
        (void)snprintf(text, REFUSALS_TEXT_MAX,
                       "%s: a machine is published on port 22, as in ssh -N -R %s:22:localhost:22", name,
                       name);
    else if (!who_may_publish(&f->who, name))
        (void)snprintf(text, REFUSALS_TEXT_MAX,
                       "%s: you may not publish a machine of that name; the hub's authorized_users says "
                       "publish=\"…\" where you may",
                       name);
    else if (find(f, name) != NULL)
        (void)snprintf(text, REFUSALS_TEXT_MAX, "%s is published by this connection already", name);
    else if (count(f) >= PUBLICATIONS_MAX)
        (void)snprintf(text, REFUSALS_TEXT_MAX,
                       "%s: this connection publishes %d machines already; open another", name,
                       PUBLICATIONS_MAX);
    else
        return true;
    return false;
}

static const char *publish(struct front *f, int64_t id, const char *host, const char *name)
{
    struct hub *hub = f->owner->hub;
    struct registry_answer a = {.text = ""};
    struct registry_hello h = {.source = f->source, .name = name};
    char holder[80], text[REFUSALS_TEXT_MAX], address[DESCRIBE_HUB_MAX];
    struct publication *p = calloc(1, sizeof *p);

    if (p == NULL)
        return "out of memory";
    p->link.ops = &publication_link_ops;
    p->front = f;
    p->port = 22;
    (void)snprintf(p->host, sizeof p->host, "%s", host);
    (void)snprintf(p->name, sizeof p->name, "%s", name);
    (void)snprintf(holder, sizeof holder, "user:%s", f->who.name);
    h.key = holder;
    h.link = &p->link;
    registry_hello(hub->registry, &h, clock_wall_s(), &a);
    if (a.verdict != REGISTRY_WELCOME) {
        registry_gone(hub->registry, &p->link, "refused", clock_wall_s());
        answer(f, id, false, a.text);
        publication_free(p);
        return NULL;
    }
    p->next = f->publications;
    f->publications = p;
    describe_hub(hub, 22, address);
    (void)snprintf(text, sizeof text, "%s is published: ssh -J %s USER@%s", a.machine->name, address,
                   a.machine->name);
    log_info("%s is online, published by %s from %s", a.machine->name, f->who.name, f->source);
    audit(f, "publish", a.machine->name, f->who.fingerprint);
    answer(f, id, true, text);
    jumps_machine_back(hub->jumps, a.machine);
    return NULL;
}

const char *publications_add(struct front *f, const cJSON *m)
{
    char name[NAMES_MACHINE_MAX + 1], text[REFUSALS_TEXT_MAX];
    const char *host = json_str(m, "host", sizeof((struct publication *)0)->host - 1);
    int64_t id = json_int_or(m, "id", 0, ID_MAX, -1), port = json_int_or(m, "port", 0, 65535, -1);

    if (id < 0 || port < 0)
        return "a publish without an id or a port";
    if (!may_publish(f, host != NULL ? host : "", port, name, text)) {
        answer(f, id, false, text);
        return NULL;
    }
    return publish(f, id, host, name);
}

const char *publications_remove(struct front *f, const cJSON *m)
{
    const char *host = json_str(m, "host", 255);

    for (struct publication *p = f->publications; p != NULL && host != NULL; p = p->next) {
        if (strcmp(p->host, host) == 0) {
            publication_end(f, p, "its user took it back");
            break;
        }
    }
    return NULL;
}

const char *publications_answer(struct front *f, const cJSON *m, bool reached)
{
    struct jumps *j = f->owner->hub->jumps;
    int64_t id = json_int_or(m, "id", 0, ID_MAX, -1);
    int rc = -ENOENT;

    for (struct publication *p = f->publications; p != NULL && id >= 0; p = p->next) {
        struct reach *r = p->reaches;
        int fd = -1;

        while (r != NULL && r->id != (uint64_t)id)
            r = r->next;
        if (r != NULL && reached) {
            fd = r->fd;
            r->fd = -1;
            reach_free(p, r);
            rc = jumps_reached(j, &p->link, (uint64_t)id, fd);
        } else {
            if (r != NULL)
                reach_free(p, r);
            rc = jumps_failed(j, &p->link, (uint64_t)id, "other", json_str_or(m, "reason", 400, ""));
        }
        if (rc == 0)
            return NULL;
    }
    /* That of a publication which has ended meanwhile is not known any more. */
    return rc < 0 && f->publications != NULL && !f->unpublished ? "an answer to a reach that was not asked"
                                                                : NULL;
}

void publications_gone(struct front *f, const char *why)
{
    while (f->publications != NULL)
        publication_end(f, f->publications, why);
}

void publications_check(struct front *f)
{
    static const char why[] = "its user may no longer publish it";

    for (struct publication *p = f->publications, *next = NULL; p != NULL; p = next) {
        next = p->next;
        if (p->dropped || who_may_publish(&f->who, p->name))
            continue;
        link_drop(&p->link, "revoked", why);
        publication_end(f, p, why); /* now: the front may take its time */
    }
}
