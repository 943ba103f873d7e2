/* The switchboard in a running hub: the test is the front (the other end of its channel) and the machine's
 * link. */
#include "cmocka_all.h"

#include "base/json.h"
#include "hub/fronts.h"
#include "hub/jumps.h"
#include "hub_running.h"
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define USERS                                                                                                \
    "alice machines=\"web-*\" " KEY_ED25519 "\n"                                                             \
    "boss admin " KEY_P256 "\n"                                                                              \
    "carol publish=\"desk-*\",machines=\"desk-*\" " KEY_P384 "\n"

/* A machine that is online by a link of the test's own. */
struct wire {
    struct link link;
    unsigned dials, hangups, dropped;
    int rc; /* what dial returns */
    struct link_dial last;
};

static int wire_dial(struct link *l, const struct link_dial *d)
{
    struct wire *w = (struct wire *)l;

    w->dials++;
    w->last = *d;
    return w->rc;
}

static void wire_hangup(struct link *l, const uint8_t stream[TICKET_ID_SIZE], const char *reason)
{
    struct wire *w = (struct wire *)l;

    assert_memory_equal(stream, w->last.stream, TICKET_ID_SIZE);
    assert_true(reason[0] != '\0');
    w->hangups++;
}

static void wire_drop(struct link *l, const char *code, const char *reason)
{
    (void)code;
    (void)reason;
    ((struct wire *)l)->dropped++;
}

static void wire_renamed(struct link *l, const char *name)
{
    (void)l;
    (void)name;
}

static const struct link_ops wire_ops = {
    .kind = "agent", .dial = wire_dial, .hangup = wire_hangup, .drop = wire_drop, .renamed = wire_renamed};

struct bench {
    struct running r;
    struct wire w;
    int front; /* the test's end of the front's channel */
    char data[65536];
    cJSON *m; /* the last message to the front */
    int fd;   /* and its descriptor */
};

static void tell(struct bench *b, int front, const char *text)
{
    (void)b;
    assert_int_equal(send(front, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

static bool try_receive(struct bench *b, int front)
{
    struct iovec iov = {b->data, sizeof b->data};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t k = recvmsg(front, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (k <= 0)
        return false;
    cJSON_Delete(b->m);
    b->m = NULL;
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
    assert_int_equal(json_parse(b->data, (size_t)k, sizeof b->data, &b->m), 0);
    if (CMSG_FIRSTHDR(&m) != NULL)
        memcpy(&b->fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof b->fd);
    return true;
}

static const char *type(const struct bench *b)
{
    return json_str_or(b->m, "type", 32, "");
}

static void expect(struct bench *b, int front, const char *want)
{
    RUNNING_UNTIL(&b->r, 3000, try_receive(b, front));
    if (strcmp(type(b), want) != 0)
        fail_msg("%s instead of %s", b->data, want);
}

static void expect_text(struct bench *b, int front, const char *want_type, const char *want_text)
{
    expect(b, front, want_type);
    if (strstr(json_str_or(b->m, "text", 1000, ""), want_text) == NULL)
        fail_msg("'%s' does not say '%s'", json_str_or(b->m, "text", 1000, ""), want_text);
}

static int front_come(struct bench *b)
{
    struct door_slot slot = {.held = false};
    struct front *f = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fronts_speak(b->r.hub.fronts, pair[0], "192.0.2.7", 4711, &slot, &f), 0);
    expect(b, pair[1], "start");
    return pair[1];
}

static int login(struct bench *b, const char *key)
{
    char text[1000];
    int front = front_come(b);

    (void)snprintf(text, sizeof text,
                   "{\"type\":\"auth\",\"id\":1,\"key\":\"%s\",\"verified\":true,\"login\":\"x\"}", key);
    tell(b, front, text);
    expect(b, front, "auth-result");
    assert_true(json_bool(b->m, "ok", false));
    return front;
}

static void come_online(struct bench *b, const char *name)
{
    struct registry_hello h = {.key = "user:test", .source = "192.0.2.9", .name = name, .link = &b->w.link};
    struct registry_answer a;

    registry_hello(b->r.hub.registry, &h, clock_wall_s(), &a);
    assert_int_equal(a.verdict, REGISTRY_WELCOME);
}

static int make_with(void **state, const char *const *flags)
{
    struct bench *b = calloc(1, sizeof *b);

    assert_non_null(b);
    b->fd = -1;
    b->w.link.ops = &wire_ops;
    running_start(&b->r, USERS, flags);
    come_online(b, "web-1");
    b->front = login(b, KEY_ED25519);
    *state = b;
    return 0;
}

static int make(void **state)
{
    return make_with(state, NULL);
}

static int make_tight(void **state)
{
    static const char *const flags[] = {
        "--sessions-per-user", "2", "--channels-per-connection", "3", "--dial-timeout", "1s", NULL};

    return make_with(state, flags);
}

static int clean(void **state)
{
    struct bench *b = *state;

    registry_gone(b->r.hub.registry, &b->w.link, "the test ended", clock_wall_s());
    running_end(&b->r);
    close(b->front);
    if (b->fd >= 0)
        close(b->fd);
    cJSON_Delete(b->m);
    free(b);
    return 0;
}

static void ask(struct bench *b, int id, const char *host, int port)
{
    char text[400];

    (void)snprintf(text, sizeof text,
                   "{\"type\":\"open\",\"id\":%d,\"host\":\"%s\",\"port\":%d,\"origin\":\"x\"}", id, host,
                   port);
    tell(b, b->front, text);
}

/* The machine's stream connection; returns the machine's end. */
static int connect_stream(struct bench *b, uint32_t epoch)
{
    struct preamble p = {.edge = 'b', .epoch = epoch};
    int pair[2];

    (void)snprintf(p.ticket, sizeof p.ticket, "%s", b->w.last.ticket);
    assert_int_equal(preamble_sign(&p, b->w.last.key), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    jumps_connection(b->r.hub.jumps, pair[0], &p, "192.0.2.9", 4712);
    return pair[1];
}

static int open_jump(struct bench *b, int id)
{
    unsigned dials = b->w.dials;
    int fd = -1;

    ask(b, id, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == dials + 1);
    assert_int_equal(jumps_dialled(b->r.hub.jumps, &b->w.link, b->w.last.id), 0);
    fd = connect_stream(b, 0);
    expect(b, b->front, "opened");
    assert_int_equal(json_int_or(b->m, "id", 0, 1000, -1), id);
    assert_true(b->fd >= 0);
    return fd;
}

static void test_a_jump(void **state)
{
    struct bench *b = *state;
    char key[2 * TICKET_KEY_SIZE + 1], byte = 0;
    struct ticket t;
    uint8_t made[TICKET_KEY_SIZE];
    int fd = open_jump(b, 5);

    assert_string_equal(b->w.last.user, "alice");
    assert_string_equal(b->w.last.source, "192.0.2.7");
    assert_int_equal(b->w.last.source_port, 4711);
    crypto_hex_encode(b->w.last.key, sizeof b->w.last.key, key, sizeof key);
    assert_string_equal(json_str(b->m, "key", 100), key);
    assert_int_equal(ticket_open(hub_keys_secret(b->r.hub.keys), b->w.last.ticket, &t, made), 0);
    assert_string_equal(t.machine, "web-1");
    assert_memory_equal(made, b->w.last.key, sizeof made);
    /* The descriptor is the machine's connection. */
    assert_int_equal(write(fd, "!", 1), 1);
    assert_int_equal(read(b->fd, &byte, 1), 1);
    assert_int_equal(byte, '!');
    assert_int_equal(jumps_count(b->r.hub.jumps), 1);
    assert_int_equal(registry_find(b->r.hub.registry, "web-1")->sessions, 1);
    tell(b, b->front, "{\"type\":\"close\",\"id\":5,\"reason\":\"done\",\"sent\":1,\"received\":2}");
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 0);
    assert_int_equal(registry_find(b->r.hub.registry, "web-1")->sessions, 0);
    close(fd);
}

/* The agent's connection may overtake its answer; the jump waits for both. */
/* Both ends of a stream must have the same bounds. */
static void test_a_reload_in_the_middle(void **state)
{
    struct bench *b = *state;
    int fd = -1;

    ask(b, 1, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 1);
    running_put(&b->r, "hub.conf", "window = 64K\npatience = 1s\n");
    assert_int_equal(hub_reload(&b->r.hub, NULL), 0);
    assert_int_equal(jumps_dialled(b->r.hub.jumps, &b->w.link, b->w.last.id), 0);
    fd = connect_stream(b, 0);
    expect(b, b->front, "opened");
    assert_int_equal(json_int_or(b->m, "window", 0, UINT32_MAX, -1), b->w.last.window);
    assert_int_equal(json_int_or(b->m, "patience_ms", 0, UINT32_MAX, -1), b->w.last.patience_ms);
    close(fd);
}

static void test_the_connection_first(void **state)
{
    struct bench *b = *state;
    int fd = -1;

    ask(b, 1, "WEB-1.Machines.Test", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 1);
    fd = connect_stream(b, 0);
    assert_false(try_receive(b, b->front));
    assert_int_equal(jumps_dialled(b->r.hub.jumps, &b->w.link, b->w.last.id), 0);
    expect(b, b->front, "opened");
    close(fd);
}

/* How the hub refused that connection; text is "" when it closed it without a word. */
static struct preamble_refusal refusal(struct bench *b, int fd, uint32_t epoch)
{
    struct preamble p = {.edge = 'b', .epoch = epoch};
    struct preamble_refusal r = {.text = ""};
    char line[PREAMBLE_MAX + 1];
    ssize_t k = recv(fd, line, sizeof line, MSG_DONTWAIT);

    assert_true(k >= 0); /* closed, at least in this direction */
    if (k > 0) {
        assert_int_equal(preamble_refuse_parse(line, (size_t)k, &p, b->w.last.key, &r), (int)k);
        assert_true(running_closed(fd));
    }
    return r;
}

/* Whoever saw the line on the wire sends it too, and whatever else can be made of it: the machine's own
 * connection is not pushed out. */
static void test_a_listener_pushes_nobody_out(void **state)
{
    struct bench *b = *state;
    struct preamble_refusal r;
    struct preamble p = {.edge = 'b', .epoch = 1};
    int fd = -1, slow = -1, thief = -1, pair[2];

    ask(b, 1, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 1);
    fd = connect_stream(b, 0);
    for (unsigned i = 0; i < 2; i++) {
        thief = connect_stream(b, 0);
        r = refusal(b, thief, 0);
        assert_non_null(strstr(r.text, "used already"));
        assert_false(r.final);
        close(thief);
        if (i == 0) { /* the same before the answer and after */
            slow = connect_stream(b, 2);
            assert_int_equal(jumps_dialled(b->r.hub.jumps, &b->w.link, b->w.last.id), 0);
            expect(b, b->front, "opened");
            assert_int_equal(json_int_or(b->m, "epoch", 0, UINT32_MAX, -1), 0);
            expect(b, b->front, "connection");
            assert_int_equal(json_int_or(b->m, "epoch", 0, UINT32_MAX, -1), 2);
        }
    }
    /* One that was seen late, and one with another epoch that nobody signed. */
    thief = connect_stream(b, 1);
    assert_non_null(strstr(refusal(b, thief, 1).text, "used already"));
    close(thief);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(p.ticket, sizeof p.ticket, "%s", b->w.last.ticket);
    assert_int_equal(preamble_sign(&p, b->w.last.key), 0);
    p.epoch = 9;
    jumps_connection(b->r.hub.jumps, pair[0], &p, "192.0.2.66", 4712);
    assert_string_equal(refusal(b, pair[1], 9).text, "");
    close(pair[1]);
    assert_false(try_receive(b, b->front));
    close(slow);
    close(fd);
}

/* No more than a few wait for the machine's answer. */
static void test_many_connections_before_the_answer(void **state)
{
    struct bench *b = *state;
    int fd[4];

    ask(b, 1, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 1);
    for (uint32_t i = 0; i < 4; i++)
        fd[i] = connect_stream(b, i);
    assert_non_null(strstr(refusal(b, fd[3], 3).text, "too many"));
    assert_int_equal(jumps_dialled(b->r.hub.jumps, &b->w.link, b->w.last.id), 0);
    expect(b, b->front, "opened");
    for (int i = 1; i < 3; i++) {
        expect(b, b->front, "connection");
        assert_int_equal(json_int_or(b->m, "epoch", 0, UINT32_MAX, -1), i);
    }
    for (int i = 0; i < 4; i++)
        close(fd[i]);
}

static void test_rename(void **state)
{
    struct bench *b = *state;
    struct errmsg err;
    int fd = open_jump(b, 1);

    assert_int_equal(registry_rename(b->r.hub.registry, "web-1", "web-9", &err), 0);
    jumps_renamed(b->r.hub.jumps, "WEB-1", "web-9");
    assert_int_equal(registry_find(b->r.hub.registry, "web-9")->sessions, 1);
    tell(b, b->front, "{\"type\":\"close\",\"id\":1,\"reason\":\"done\"}");
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 0);
    assert_int_equal(registry_find(b->r.hub.registry, "web-9")->sessions, 0);
    close(fd);
}

static void test_refusals(void **state)
{
    struct bench *b = *state;

    ask(b, 1, "nosuch", 22);
    expect_text(b, b->front, "refused", "no machine \"nosuch\" that you may use");
    /* What is not hers is as if it were not there. */
    registry_gone(b->r.hub.registry, &b->w.link, "x", clock_wall_s());
    come_online(b, "secret-1");
    ask(b, 1, "secret-1", 22);
    expect_text(b, b->front, "refused", "no machine \"secret-1\" that you may use");
    ask(b, 1, "web-1", 22);
    expect_text(b, b->front, "refused", "web-1 is offline, last seen ");
    ask(b, 1, "web-1", 80);
    expect_text(b, b->front, "refused", "only port 22");
    ask(b, 1, "\\u001b[31mx", 22);
    expect_text(b, b->front, "refused", "?[31mx");
    assert_int_equal(b->w.dials, 0);
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
}

static void test_failed(void **state)
{
    struct bench *b = *state;
    struct jumps *j = b->r.hub.jumps;

    ask(b, 1, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 1);
    assert_int_equal(jumps_failed(j, &b->w.link, b->w.last.id, "refused", "127.0.0.1:22\x1b: no"), 0);
    expect_text(b, b->front, "refused", "SSH server refused the connection");
    assert_non_null(strstr(json_str_or(b->m, "text", 1000, ""), "127.0.0.1:22?: no"));
    assert_int_equal(b->w.hangups, 0); /* it gave up by itself */
    /* Late or doubled is not invented. */
    assert_int_equal(jumps_dialled(j, &b->w.link, b->w.last.id), 0);
    assert_int_equal(jumps_failed(j, &b->w.link, b->w.last.id, "other", ""), 0);
}

static void test_invented_answers(void **state)
{
    struct bench *b = *state;
    struct jumps *j = b->r.hub.jumps;
    struct wire stranger = {.link.ops = &wire_ops};

    assert_int_equal(jumps_dialled(j, &b->w.link, 1), -ENOENT);
    assert_int_equal(jumps_failed(j, &b->w.link, 1, "other", ""), -ENOENT);
    ask(b, 1, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 1);
    /* The right number, from the wrong machine. */
    assert_int_equal(jumps_dialled(j, &stranger.link, b->w.last.id), -ENOENT);
    assert_int_equal(jumps_failed(j, &stranger.link, b->w.last.id, "other", ""), -ENOENT);
    assert_int_equal(jumps_count(j), 1);
}

static void test_a_dial_that_nobody_answers(void **state)
{
    struct bench *b = *state;

    ask(b, 1, "web-1", 22);
    expect_text(b, b->front, "refused", "its agent did not answer within 1 s");
    assert_int_equal(b->w.hangups, 1);
    ask(b, 1, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 2);
    assert_int_equal(jumps_dialled(b->r.hub.jumps, &b->w.link, b->w.last.id), 0);
    expect_text(b, b->front, "refused", "stream connection did not reach the hub");
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
}

static bool refused(struct bench *b, int fd)
{
    (void)b;
    return running_closed(fd);
}

static void test_connections(void **state)
{
    struct bench *b = *state;
    struct preamble p = {.edge = 'b'};
    int fd = open_jump(b, 1), other = connect_stream(b, 0), pair[2];

    assert_false(refusal(b, other, 0).final); /* the ticket was used */
    close(other);
    other = connect_stream(b, 3);
    expect(b, b->front, "connection");
    assert_int_equal(json_int_or(b->m, "epoch", 0, 100, -1), 3);
    assert_true(b->fd >= 0);
    close(other);
    /* Forged: a byte of the ticket changed. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(p.ticket, sizeof p.ticket, "%s", b->w.last.ticket);
    p.ticket[10] = p.ticket[10] == 'A' ? 'B' : 'A';
    p.epoch = 4;
    jumps_connection(b->r.hub.jumps, pair[0], &p, "192.0.2.9", 4712);
    assert_true(refused(b, pair[1]));
    close(pair[1]);
    /* After the end nothing comes in by it. */
    tell(b, b->front, "{\"type\":\"close\",\"id\":1,\"reason\":\"done\"}");
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 0);
    other = connect_stream(b, 5);
    assert_non_null(strstr(refusal(b, other, 5).text, "has ended"));
    close(other);
    /* Shortly after its start the hub does not know all yet that goes on. */
    assert_false(refusal(b, other = connect_stream(b, 6), 6).final);
    close(other);
    close(fd);
}

static void test_an_expired_ticket(void **state)
{
    struct bench *b = *state;
    struct ticket t = {.expiry_s = clock_wall_s() - 1, .machine = "web-1", .user = "alice"};
    uint8_t key[TICKET_KEY_SIZE];
    int fd = -1;

    ask(b, 1, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 1);
    memcpy(t.id, b->w.last.stream, sizeof t.id);
    assert_int_equal(ticket_make(hub_keys_secret(b->r.hub.keys), &t, b->w.last.ticket, key), 0);
    memcpy(b->w.last.key, key, sizeof key);
    fd = connect_stream(b, 0);
    assert_true(refusal(b, fd, 0).final);
    close(fd);
}

static void test_too_many_connections(void **state)
{
    struct bench *b = *state;
    int fd = open_jump(b, 1);
    unsigned taken = 0;

    for (uint32_t epoch = 1; epoch <= 20; epoch++) {
        int other = connect_stream(b, epoch);

        taken += try_receive(b, b->front) ? 1 : 0;
        close(other);
    }
    assert_in_range(taken, 5, 10); /* five a second; the second may turn in between */
    close(fd);
}

static void test_kill(void **state)
{
    struct bench *b = *state;
    struct jumps *j = b->r.hub.jumps;
    int fd = open_jump(b, 9), other = -1;
    uint8_t stream[TICKET_ID_SIZE];

    memcpy(stream, b->w.last.stream, sizeof stream);
    assert_int_equal(jumps_kill(j, 77, "x"), -ENOENT);
    assert_int_equal(jumps_kill(j, 1, "killed by the admin"), 0);
    expect_text(b, b->front, "kill", "killed by the admin");
    assert_int_equal(json_int_or(b->m, "id", 0, 1000, -1), 9);
    assert_int_equal(b->w.hangups, 1);
    assert_true(store_kill_has(b->r.hub.store, stream));
    other = connect_stream(b, 1);
    assert_true(refusal(b, other, 1).final);
    tell(b, b->front, "{\"type\":\"close\",\"id\":9,\"reason\":\"crossed\"}"); /* is ignored */
    close(other);
    close(fd);
    fd = open_jump(b, 9); /* the front still lives */
    close(fd);
}

/* The session ends all the same, and the one who kills is told. */
static void test_a_kill_that_cannot_be_kept(void **state)
{
    struct bench *b = *state;
    int fd = open_jump(b, 9);
    char path[160];
    sqlite3 *db = NULL;

    assert_int_equal(store_flush(b->r.hub.store), 0);
    (void)snprintf(path, sizeof path, "%s/hub.db", b->r.scratch.folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(jumps_kill(b->r.hub.jumps, 1, "killed by the admin"), -EBUSY);
    sqlite3_close(db);
    expect(b, b->front, "kill");
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
    close(fd);
}

static void test_limits(void **state)
{
    struct bench *b = *state;
    int a = open_jump(b, 1), c = open_jump(b, 2);

    ask(b, 3, "web-1", 22);
    expect_text(b, b->front, "refused", "sessions-per-user");
    b->r.hub.opt.sessions_per_user = 100;
    b->r.hub.opt.sessions_per_machine = 2;
    ask(b, 3, "web-1", 22);
    expect_text(b, b->front, "refused", "sessions-per-machine");
    b->r.hub.opt.sessions_per_machine = 100;
    close(open_jump(b, 3));
    ask(b, 4, "web-1", 22);
    expect_text(b, b->front, "refused", "channels-per-connection");
    close(a);
    close(c);
}

static void test_the_link_goes(void **state)
{
    struct bench *b = *state;
    struct wire again = {.link.ops = &wire_ops};
    struct registry_hello h = {
        .key = "user:test", .source = "192.0.2.9", .name = "web-1", .link = &again.link};
    struct registry_answer a;

    ask(b, 1, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 1);
    /* The machine is back by another link before the old one is gone: the jump is asked for there. */
    registry_hello(b->r.hub.registry, &h, clock_wall_s(), &a);
    assert_int_equal(a.verdict, REGISTRY_WELCOME);
    registry_gone(b->r.hub.registry, &b->w.link, "lost", clock_wall_s());
    jumps_link_gone(b->r.hub.jumps, &b->w.link);
    assert_int_equal(again.dials, 1);
    assert_memory_equal(again.last.stream, b->w.last.stream, TICKET_ID_SIZE);
    /* And gone for good. */
    registry_gone(b->r.hub.registry, &again.link, "lost", clock_wall_s());
    jumps_link_gone(b->r.hub.jumps, &again.link);
    expect_text(b, b->front, "refused", "lost its connection to the hub");
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
}

static void test_rights_that_go(void **state)
{
    struct bench *b = *state;
    int fd = open_jump(b, 1), other = -1;

    running_put(&b->r, "authorized_users", "alice machines=\"db-*\" " KEY_ED25519 "\n");
    assert_int_equal(hub_reload(&b->r.hub, NULL), 0);
    expect_text(b, b->front, "kill", "may no longer use");
    other = connect_stream(b, 1);
    assert_true(refusal(b, other, 1).final);
    close(other);
    running_put(&b->r, "authorized_users", "");
    assert_int_equal(hub_reload(&b->r.hub, NULL), 0);
    expect_text(b, b->front, "end", "no longer accepted");
    close(fd);
}

/* Also while a front takes its time to end, or does not want to. */
static void test_a_key_that_goes(void **state)
{
    struct bench *b = *state;
    int fd = open_jump(b, 1);

    running_put(&b->r, "authorized_users", "");
    assert_int_equal(hub_reload(&b->r.hub, NULL), 0);
    expect_text(b, b->front, "end", "no longer accepted");
    expect(b, b->front, "kill");
    assert_int_equal(b->w.hangups, 1);
    ask(b, 2, "web-1", 22);
    expect_text(b, b->front, "refused", "there is no machine");
    assert_int_equal(b->w.dials, 1);
    assert_int_equal(hub_reload(&b->r.hub, NULL), 0); /* it is not told twice */
    ask(b, 3, "web-1", 22);
    expect(b, b->front, "refused");
    close(fd);
}

static void test_a_broken_file_changes_nothing(void **state)
{
    struct bench *b = *state;
    struct buf complaints;

    buf_init(&complaints, 4096);
    running_put(&b->r, "hub.conf", "login-grace = soon\n");
    assert_true(hub_reload(&b->r.hub, &complaints) < 0);
    assert_non_null(strstr(buf_str(&complaints), "hub.conf:1"));
    assert_int_equal(b->r.hub.opt.login_grace_ms, 60000);
    running_put(&b->r, "hub.conf", "login-grace = 7s\n");
    running_put(&b->r, "authorized_users", "alice machines=\"*\" " KEY_ED25519 "\nbroken\n");
    buf_clear(&complaints);
    assert_int_equal(hub_reload(&b->r.hub, &complaints), 0);
    assert_non_null(strstr(buf_str(&complaints), "authorized_users:2"));
    assert_int_equal(b->r.hub.opt.login_grace_ms, 7000);
    assert_int_equal(policy_count(b->r.hub.policy), 1);
    buf_release(&complaints);
}

/* The streams of those who are connected still come. */
static void test_as_many_users_as_may_be(void **state)
{
    struct bench *b = *state;
    struct door_slot slot = {.held = false};
    int pair[2];

    b->r.hub.opt.fronts_max = fronts_count(b->r.hub.fronts);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fronts_accept(b->r.hub.fronts, pair[0], "192.0.2.8", 4712, &slot);
    assert_true(running_closed(pair[1]));
    close(pair[1]);
    assert_int_equal(fronts_count(b->r.hub.fronts), b->r.hub.opt.fronts_max);
    assert_null(fronts_may_start(b->r.hub.fronts, "192.0.2.9"));
}

static void test_connections_of_one_user(void **state)
{
    struct bench *b = *state;
    int other = front_come(b);

    b->r.hub.opt.connections_per_user = 1;
    tell(b, other,
         "{\"type\":\"auth\",\"id\":1,\"key\":\"" KEY_ED25519 "\",\"verified\":true,\"login\":\"x\"}");
    expect_text(b, other, "end", "connections-per-user");
    expect(b, other, "auth-result");
    assert_false(json_bool(b->m, "ok", true));
    close(other);
    close(b->front);
    RUNNING_UNTIL(&b->r, 3000, fronts_count(b->r.hub.fronts) == 0);
    b->front = login(b, KEY_ED25519);
}

static void test_what_waits_for_the_next_start(void **state)
{
    struct bench *b = *state;

    running_put(&b->r, "hub.conf", "message = hello\n");
    assert_int_equal(hub_reload(&b->r.hub, NULL), 0);
    assert_string_equal(b->r.hub.opt.message, "hello");
    b->r.config.n_flags = 1; /* as if they had been in the file */
    assert_int_equal(hub_reload(&b->r.hub, NULL), 0);
    assert_non_null(b->r.hub.opt.public_addr);
    assert_string_equal(b->r.hub.opt.public_addr, "hub.example.com:2244");
    assert_string_equal(b->r.hub.opt.domain, "machines.test");
    assert_int_equal(b->r.hub.opt.listen.n, 1);
    assert_string_equal(b->r.hub.opt.listen.item[0], b->r.listen);
}

/* Replaced as an editor does it: by a rename. */
static void test_the_file_is_watched(void **state)
{
    struct bench *b = *state;
    int fd = open_jump(b, 1);

    running_put(&b->r, "authorized_users", "alice machines=\"db-*\" " KEY_ED25519 "\n");
    expect_text(b, b->front, "kill", "may no longer use");
    close(fd);
}

/* --- fronts that break the rules --- */

static void test_a_front_without_a_user(void **state)
{
    static const char *const texts[] = {
        "{\"type\":\"open\",\"id\":1,\"host\":\"web-1\",\"port\":22}",
        "{\"type\":\"exec\",\"id\":1,\"command\":\"list\"}",
        "{\"type\":\"publish\",\"id\":1,\"host\":\"desk-1\",\"port\":22}",
        "{\"type\":\"auth\",\"key\":\"" KEY_ED25519 "\",\"verified\":true}",
        "{\"id\":1}",
        "{",
    };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT(texts); i++) {
        int front = front_come(b);

        tell(b, front, texts[i]);
        RUNNING_UNTIL(&b->r, 3000, running_closed(front));
        close(front);
    }
    assert_int_equal(b->w.dials, 0);
    close(open_jump(b, 1)); /* the others live on */
}

static void test_unverified_is_not_logged_in(void **state)
{
    struct bench *b = *state;
    int front = front_come(b);

    tell(b, front,
         "{\"type\":\"auth\",\"id\":1,\"key\":\"" KEY_P256 "\",\"verified\":false,\"login\":\"x\"}");
    expect(b, front, "auth-result");
    assert_true(json_bool(b->m, "ok", false)); /* the key would do */
    tell(b, front,
         "{\"type\":\"auth\",\"id\":2,\"key\":\"" KEY_RSA2048 "\",\"verified\":true,\"login\":\"x\"}");
    expect(b, front, "auth-result");
    assert_false(json_bool(b->m, "ok", true)); /* a stranger's */
    tell(b, front, "{\"type\":\"open\",\"id\":1,\"host\":\"web-1\",\"port\":22}");
    RUNNING_UNTIL(&b->r, 3000, running_closed(front));
    close(front);
}

static void test_an_id_twice(void **state)
{
    struct bench *b = *state;
    int fd = open_jump(b, 1);

    ask(b, 1, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, running_closed(b->front));
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
    close(fd);
}

static void test_a_front_that_goes_takes_its_jumps_along(void **state)
{
    struct bench *b = *state;
    int fd = open_jump(b, 1);

    ask(b, 2, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 2);
    close(b->front);
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 0);
    assert_int_equal(b->w.hangups, 1); /* of the one that was being opened */
    b->front = login(b, KEY_ED25519);
    close(fd);
}

/* --- commands, and machines published by a front --- */

static void test_a_command(void **state)
{
    struct bench *b = *state;

    tell(b, b->front, "{\"type\":\"exec\",\"id\":1,\"command\":\"list\",\"tty\":false,\"columns\":0}");
    expect(b, b->front, "output");
    assert_string_equal(json_str(b->m, "data", 1000), "web-1\n");
    assert_true(json_bool(b->m, "last", false));
    expect(b, b->front, "exit");
    assert_int_equal(json_int_or(b->m, "status", 0, 255, -1), 0);
}

static void test_long_output_waits_for_more(void **state)
{
    struct bench *b = *state;
    size_t total = 0;
    unsigned pieces = 0;

    for (int i = 0; i < 300; i++) {
        struct store_event e = {.at_s = 1700000000,
                                .kind = "login",
                                .user = "alice",
                                .text =
                                    "\xc3\xa4\xc3\xb6 a line of the audit log that is long enough to count"};

        assert_int_equal(store_event_add(b->r.hub.store, &e), 0);
    }
    close(b->front);
    b->front = login(b, KEY_P256);
    tell(b, b->front, "{\"type\":\"exec\",\"id\":1,\"command\":\"log -n 300\",\"tty\":false,\"columns\":0}");
    for (;;) {
        expect(b, b->front, "output");
        assert_true(strlen(json_str(b->m, "data", 16384)) <= 16384);
        total += strlen(json_str(b->m, "data", 16384));
        pieces++;
        if (json_bool(b->m, "last", false))
            break;
        assert_false(try_receive(b, b->front));
        tell(b, b->front, "{\"type\":\"more\",\"id\":1}");
    }
    expect(b, b->front, "exit");
    assert_true(total > 20000);
    assert_true(pieces >= 2);
}

struct events {
    const char *kind;
    unsigned n;
};

static int count_event(const struct store_event *e, void *arg)
{
    struct events *c = arg;

    c->n += strcmp(e->kind, c->kind) == 0 && strcmp(e->user, "carol") == 0;
    return 0;
}

static int count_kind(const struct store_event *e, void *arg)
{
    struct events *c = arg;

    c->n += strcmp(e->kind, c->kind) == 0;
    return 0;
}

static unsigned events_about(struct bench *b, const char *kind)
{
    struct events c = {.kind = kind};

    assert_int_equal(store_events(b->r.hub.store, NULL, NULL, 100, count_kind, &c), 0);
    return c.n;
}

/* Carol's, in the audit log. */
static unsigned events_of(struct bench *b, const char *machine, const char *kind)
{
    struct events c = {.kind = kind};

    assert_int_equal(store_events(b->r.hub.store, machine, NULL, 100, count_event, &c), 0);
    return c.n;
}

static void test_publish(void **state)
{
    struct bench *b = *state;
    int publisher = login(b, KEY_P384), mine = -1;
    char text[128], byte = 0;
    struct machine *m = NULL;

    tell(b, publisher, "{\"type\":\"publish\",\"id\":1,\"host\":\"other-1\",\"port\":22}");
    expect_text(b, publisher, "publish-result", "you may not publish");
    assert_false(json_bool(b->m, "ok", true));
    tell(b, publisher, "{\"type\":\"publish\",\"id\":2,\"host\":\"desk-1\",\"port\":8080}");
    expect_text(b, publisher, "publish-result", "port 22");
    tell(b, publisher, "{\"type\":\"publish\",\"id\":3,\"host\":\"desk-1\",\"port\":22}");
    expect(b, publisher, "publish-result");
    assert_true(json_bool(b->m, "ok", false));
    m = registry_find(b->r.hub.registry, "desk-1");
    assert_true(m != NULL && m->link != NULL);
    close(b->front);
    b->front = login(b, KEY_P384);
    ask(b, 4, "desk-1", 22);
    expect(b, publisher, "reach");
    assert_string_equal(json_str(b->m, "user", 64), "carol");
    mine = dup(b->fd);
    (void)snprintf(text, sizeof text, "{\"type\":\"reached\",\"id\":%lld}",
                   (long long)json_int_or(b->m, "id", 0, INT64_C(1) << 53, -1));
    tell(b, publisher, text);
    expect(b, b->front, "opened");
    assert_int_equal(write(mine, "!", 1), 1); /* the two fronts hold the ends of one pair */
    assert_int_equal(read(b->fd, &byte, 1), 1);
    assert_int_equal(byte, '!');
    close(mine);
    /* Its end is the machine's. */
    close(publisher);
    RUNNING_UNTIL(&b->r, 3000, m->link == NULL);
    ask(b, 5, "desk-1", 22);
    expect_text(b, b->front, "refused", "desk-1 is offline");
    assert_int_equal(events_of(b, "desk-1", "publish"), 1);
    assert_int_equal(events_of(b, "desk-1", "offline"), 1);
}

static void test_a_publication_that_is_no_longer_allowed(void **state)
{
    struct bench *b = *state;
    int publisher = login(b, KEY_P384);

    tell(b, publisher, "{\"type\":\"publish\",\"id\":3,\"host\":\"desk-1\",\"port\":22}");
    expect(b, publisher, "publish-result");
    running_put(&b->r, "authorized_users", "carol machines=\"desk-*\" " KEY_P384 "\n");
    assert_int_equal(hub_reload(&b->r.hub, NULL), 0);
    expect_text(b, publisher, "end", "no longer published");
    assert_null(registry_find(b->r.hub.registry, "desk-1")->link);
    assert_int_equal(events_of(b, "desk-1", "offline"), 1);
    close(publisher);
}

static void test_reach_failed(void **state)
{
    struct bench *b = *state;
    int publisher = login(b, KEY_P384);
    char text[128];

    tell(b, publisher, "{\"type\":\"publish\",\"id\":3,\"host\":\"desk-1\",\"port\":22}");
    expect(b, publisher, "publish-result");
    close(b->front);
    b->front = login(b, KEY_P384);
    ask(b, 4, "desk-1", 22);
    expect(b, publisher, "reach");
    (void)snprintf(text, sizeof text,
                   "{\"type\":\"reach-failed\",\"id\":%lld,\"reason\":\"connection refused\"}",
                   (long long)json_int_or(b->m, "id", 0, INT64_C(1) << 53, -1));
    tell(b, publisher, text);
    expect_text(b, b->front, "refused", "connection refused");
    /* An answer that nobody asked for ends that front. */
    tell(b, publisher, "{\"type\":\"reached\",\"id\":12345}");
    RUNNING_UNTIL(&b->r, 3000, running_closed(publisher));
    close(publisher);
}

static void test_shutting_down(void **state)
{
    struct bench *b = *state;
    int fd = open_jump(b, 1);

    ask(b, 2, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 2);
    hub_stop(&b->r.hub, false);
    assert_int_equal(b->w.hangups, 1); /* nobody waits for what was being opened */
    assert_int_equal(jumps_count(b->r.hub.jumps), 1);
    /* The front hears nothing but the end of the channel, and asks the next hub. */
    ask(b, 3, "web-1", 22);
    RUNNING_UNTIL(&b->r, 3000, running_hung_up(b->front));
    assert_int_equal(events_about(b, "end"), 0); /* the session goes on */
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_jump, make, clean),
        cmocka_unit_test_setup_teardown(test_a_reload_in_the_middle, make, clean),
        cmocka_unit_test_setup_teardown(test_the_connection_first, make, clean),
        cmocka_unit_test_setup_teardown(test_a_listener_pushes_nobody_out, make, clean),
        cmocka_unit_test_setup_teardown(test_many_connections_before_the_answer, make, clean),
        cmocka_unit_test_setup_teardown(test_rename, make, clean),
        cmocka_unit_test_setup_teardown(test_refusals, make, clean),
        cmocka_unit_test_setup_teardown(test_failed, make, clean),
        cmocka_unit_test_setup_teardown(test_invented_answers, make, clean),
        cmocka_unit_test_setup_teardown(test_a_dial_that_nobody_answers, make_tight, clean),
        cmocka_unit_test_setup_teardown(test_connections, make, clean),
        cmocka_unit_test_setup_teardown(test_an_expired_ticket, make, clean),
        cmocka_unit_test_setup_teardown(test_too_many_connections, make, clean),
        cmocka_unit_test_setup_teardown(test_kill, make, clean),
        cmocka_unit_test_setup_teardown(test_a_kill_that_cannot_be_kept, make, clean),
        cmocka_unit_test_setup_teardown(test_limits, make_tight, clean),
        cmocka_unit_test_setup_teardown(test_the_link_goes, make, clean),
        cmocka_unit_test_setup_teardown(test_rights_that_go, make, clean),
        cmocka_unit_test_setup_teardown(test_a_key_that_goes, make, clean),
        cmocka_unit_test_setup_teardown(test_a_broken_file_changes_nothing, make, clean),
        cmocka_unit_test_setup_teardown(test_as_many_users_as_may_be, make, clean),
        cmocka_unit_test_setup_teardown(test_connections_of_one_user, make, clean),
        cmocka_unit_test_setup_teardown(test_what_waits_for_the_next_start, make, clean),
        cmocka_unit_test_setup_teardown(test_the_file_is_watched, make, clean),
        cmocka_unit_test_setup_teardown(test_a_front_without_a_user, make, clean),
        cmocka_unit_test_setup_teardown(test_unverified_is_not_logged_in, make, clean),
        cmocka_unit_test_setup_teardown(test_an_id_twice, make, clean),
        cmocka_unit_test_setup_teardown(test_a_front_that_goes_takes_its_jumps_along, make, clean),
        cmocka_unit_test_setup_teardown(test_a_command, make, clean),
        cmocka_unit_test_setup_teardown(test_long_output_waits_for_more, make, clean),
        cmocka_unit_test_setup_teardown(test_publish, make, clean),
        cmocka_unit_test_setup_teardown(test_a_publication_that_is_no_longer_allowed, make, clean),
        cmocka_unit_test_setup_teardown(test_reach_failed, make, clean),
        cmocka_unit_test_setup_teardown(test_shutting_down, make, clean),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    log_init("test_hub_jumps");
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
