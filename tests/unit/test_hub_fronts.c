/* The fronts of the last hub, and what else is kept over a gap: the test is the fronts and the machines' links. */
#include "cmocka_all.h"

#include "base/json.h"
#include "hub/fronts.h"
#include "hub/jumps.h"
#include "hub/voucher.h"
#include "hub_running.h"
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define USERS                                                                                                \
    "alice machines=\"web-*\" " KEY_ED25519 "\n"                                                             \
    "bob machines=\"web-*\" " KEY_P256 "\n"                                                                  \
    "carol publish=\"desk-*\" " KEY_P384 "\n"
#define AGENT "SHA256:0000000000000000000000000000000000000000000"

/* A machine that is online by a link of the test's own. */
struct wire {
    struct link link;
    unsigned dials, hangups;
    struct link_dial last;
};

static int wire_dial(struct link *l, const struct link_dial *d)
{
    struct wire *w = (struct wire *)l;

    w->dials++;
    w->last = *d;
    return 0;
}

static void wire_hangup(struct link *l, const uint8_t stream[TICKET_ID_SIZE], const char *reason)
{
    (void)stream;
    assert_true(reason[0] != '\0');
    ((struct wire *)l)->hangups++;
}

static void wire_drop(struct link *l, const char *code, const char *reason)
{
    (void)l;
    (void)code;
    (void)reason;
}

static void wire_renamed(struct link *l, const char *name)
{
    (void)l;
    (void)name;
}

static const struct link_ops wire_ops = {
    .kind = "agent", .dial = wire_dial, .hangup = wire_hangup, .drop = wire_drop, .renamed = wire_renamed};

/* What a front keeps for the next hub. */
struct kept {
    char voucher[VOUCHER_TEXT_MAX];
    char ticket[TICKET_TEXT_MAX];
    char stream[2 * TICKET_ID_SIZE + 1];
    int listener, fd; /* fd: the machine's half */
};

struct bench {
    struct running r;
    struct wire w;
    const char *const *flags;
    char data[65536];
    cJSON *m; /* the last message to a front */
    int fd;   /* and its descriptor */
    unsigned berths;
};

static void tell(int front, const char *text)
{
    assert_int_equal(send(front, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

static bool try_receive(struct bench *b, int front)
{
    struct iovec iov = {b->data, sizeof b->data - 1};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t k = recvmsg(front, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (k <= 0)
        return false;
    b->data[k] = '\0';
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

static void expect(struct bench *b, int front, const char *want, const char *text)
{
    RUNNING_UNTIL(&b->r, 5000, try_receive(b, front));
    if (strcmp(json_str_or(b->m, "type", 32, ""), want) != 0)
        fail_msg("%s instead of %s", b->data, want);
    if (text != NULL && strstr(json_str_or(b->m, "text", 1000, ""), text) == NULL)
        fail_msg("%s does not say '%s'", b->data, text);
}

static void come_online(struct bench *b, const char *name)
{
    struct registry_hello h = {.key = AGENT, .source = "192.0.2.9", .name = name, .link = &b->w.link};
    struct registry_answer a;

    registry_hello(b->r.hub.registry, &h, clock_wall_s(), &a);
    assert_int_equal(a.verdict, REGISTRY_WELCOME);
    jumps_machine_back(b->r.hub.jumps, a.machine);
}

static void go(struct bench *b, const char *why)
{
    registry_gone(b->r.hub.registry, &b->w.link, why, clock_wall_s());
    jumps_link_gone(b->r.hub.jumps, &b->w.link);
}

static int make_with(void **state, const char *const *flags)
{
    struct bench *b = calloc(1, sizeof *b);

    assert_non_null(b);
    b->fd = -1;
    b->flags = flags;
    b->w.link.ops = &wire_ops;
    running_start(&b->r, USERS, flags);
    come_online(b, "web-1");
    *state = b;
    return 0;
}

static int make(void **state)
{
    return make_with(state, NULL);
}

static int make_tight(void **state)
{
    static const char *const flags[] = {"--channels-per-connection",
                                        "3",
                                        "--restart-wait",
                                        "1s",
                                        "--parked-per-machine",
                                        "1",
                                        "--parked-max",
                                        "2",
                                        "--log-level",
                                        "error",
                                        NULL};

    return make_with(state, flags);
}

static int clean(void **state)
{
    struct bench *b = *state;

    go(b, "the test ended");
    running_end(&b->r);
    if (b->fd >= 0)
        close(b->fd);
    cJSON_Delete(b->m);
    free(b);
    return 0;
}

/* --- under the first hub --- */

static int front_come(struct bench *b, struct kept *k)
{
    struct door_slot slot = {.held = false};
    struct front *f = NULL;
    int pair[2];

    memset(k, 0, sizeof *k);
    k->listener = k->fd = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fronts_speak(b->r.hub.fronts, pair[0], "192.0.2.7", 4711, &slot, &f), 0);
    expect(b, pair[1], "start", NULL);
    assert_int_equal(json_int_or(b->m, "protocol", 0, 100, -1), 1);
    assert_true(json_int_or(b->m, "orphan_ms", 0, INT32_MAX, -1) > 0);
    assert_true(json_int_or(b->m, "wait_ms", 0, INT32_MAX, -1) > 0);
    snprintf(k->voucher, sizeof k->voucher, "%s", json_str_or(b->m, "voucher", VOUCHER_TEXT_MAX, ""));
    return pair[1];
}

static void auth(struct bench *b, int front, const char *key)
{
    char text[1000];

    snprintf(text, sizeof text,
             "{\"type\":\"auth\",\"id\":1,\"key\":\"%s\",\"verified\":true,\"login\":\"x\"}", key);
    tell(front, text);
    expect(b, front, "auth-result", NULL);
    assert_true(json_bool(b->m, "ok", false));
}

static int login(struct bench *b, const char *key, struct kept *k)
{
    int front = front_come(b, k);

    auth(b, front, key);
    snprintf(k->voucher, sizeof k->voucher, "%s", json_str_or(b->m, "voucher", VOUCHER_TEXT_MAX, ""));
    return front;
}

static void ask(int front, int id)
{
    char text[200];

    snprintf(text, sizeof text,
             "{\"type\":\"open\",\"id\":%d,\"host\":\"web-1\",\"port\":22,\"origin\":\"x\"}", id);
    tell(front, text);
}

static int connect_stream(struct bench *b, const char *ticket, uint32_t epoch)
{
    struct preamble p = {.edge = 'b', .epoch = epoch};
    uint8_t key[TICKET_KEY_SIZE];
    struct ticket t;
    int pair[2];

    snprintf(p.ticket, sizeof p.ticket, "%s", ticket);
    assert_int_equal(ticket_open(hub_keys_secret(b->r.hub.keys), ticket, &t, key), 0);
    assert_int_equal(preamble_sign(&p, key), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    jumps_connection(b->r.hub.jumps, pair[0], &p, "192.0.2.9", 5000);
    return pair[1];
}

static void open_jump(struct bench *b, int front, int id, struct kept *k)
{
    unsigned dials = b->w.dials;

    ask(front, id);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == dials + 1);
    assert_int_equal(jumps_dialled(b->r.hub.jumps, &b->w.link, b->w.last.id), 0);
    k->fd = connect_stream(b, b->w.last.ticket, 0);
    expect(b, front, "opened", NULL);
    snprintf(k->ticket, sizeof k->ticket, "%s", json_str_or(b->m, "ticket", TICKET_TEXT_MAX, ""));
    snprintf(k->stream, sizeof k->stream, "%s", json_str_or(b->m, "stream", sizeof k->stream, ""));
    assert_string_equal(k->ticket, b->w.last.ticket);
}

/* A front's own listening socket in the folder. */
static void listen_for_hub(struct bench *b, struct kept *k)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    k->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(k->listener >= 0);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s/fronts/%016x", b->r.scratch.folder, ++b->berths);
    assert_int_equal(bind(k->listener, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(k->listener, 4), 0);
}

/* Alice's connection with one session, as it is when its hub has ended. */
static void one_session(struct bench *b, const char *key, struct kept *k)
{
    int front = login(b, key, k);

    open_jump(b, front, 1, k);
    close(front);
    listen_for_hub(b, k);
}

/* --- the next hub --- */

static void next_hub_with(struct bench *b, const char *users)
{
    struct scratch scratch = b->r.scratch;

    running_stop(&b->r);
    memset(&b->r, 0, sizeof b->r);
    b->r.scratch = scratch;
    b->w.link.ops = &wire_ops;
    running_start_in(&b->r, users, b->flags);
}

static void next_hub(struct bench *b)
{
    next_hub_with(b, USERS);
}

static bool try_accept(const struct kept *k, int *ret_front)
{
    *ret_front = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC);
    return *ret_front >= 0;
}

static int accepted(struct bench *b, const struct kept *k)
{
    int front = -1;

    RUNNING_UNTIL(&b->r, 5000, try_accept(k, &front));
    expect(b, front, "adopt", NULL);
    assert_int_equal(json_int_or(b->m, "protocol", 0, 100, -1), 1);
    return front;
}

static void tell_adopted(int front, const char *voucher, int protocol)
{
    static char text[VOUCHER_TEXT_MAX + 200];

    snprintf(text, sizeof text,
             "{\"type\":\"adopted\",\"protocol\":%d,\"version\":\"x\",\"pid\":1,\"voucher\":\"%s\"}",
             protocol, voucher);
    tell(front, text);
}

static void tell_resume(int front, int id, const char *ticket, const char *more)
{
    char text[800];

    snprintf(text, sizeof text,
             "{\"type\":\"resume\",\"id\":%d,\"ticket\":\"%s\",\"started_s\":%lld,\"window\":65536,"
             "\"patience_ms\":60000%s}",
             id, ticket, (long long)clock_wall_s() - 100, more);
    tell(front, text);
}

static void tell_resumed(int front)
{
    tell(front, "{\"type\":\"resumed\"}");
}

/* The whole of it, for one session. */
static int taken_up(struct bench *b, const struct kept *k)
{
    int front = accepted(b, k);

    tell_adopted(front, k->voucher, 1);
    tell_resume(front, 1, k->ticket, ",\"epoch\":2");
    tell_resumed(front);
    RUNNING_UNTIL(&b->r, 5000, jumps_count(b->r.hub.jumps) > 0);
    return front;
}

static void done(struct kept *k)
{
    if (k->listener >= 0)
        close(k->listener);
    if (k->fd >= 0)
        close(k->fd);
}

static int see(const struct jump_info *i, void *arg)
{
    *(struct jump_info *)arg = *i;
    return 0;
}

static void test_taken_up(void **state)
{
    struct bench *b = *state;
    struct jump_info i = {.id = 0};
    struct kept k;
    int front = -1, stream = -1;

    one_session(b, KEY_ED25519, &k);
    next_hub(b);
    assert_false(b->r.hub.begun);
    front = taken_up(b, &k);
    RUNNING_UNTIL(&b->r, 3000, b->r.hub.begun);
    jumps_each(b->r.hub.jumps, see, &i);
    assert_true(i.open && !i.parked);
    assert_string_equal(i.user, "alice");
    assert_string_equal(i.machine, "web-1");
    assert_string_equal(i.source, "192.0.2.7");
    assert_true(clock_wall_s() - i.started_s >= 100);
    assert_int_equal(registry_find(b->r.hub.registry, "web-1")->sessions, 1);
    /* Its broken connection is resumed, by an epoch above all before. */
    stream = connect_stream(b, k.ticket, 2);
    assert_false(try_receive(b, front));
    close(stream);
    stream = connect_stream(b, k.ticket, 3);
    expect(b, front, "connection", NULL);
    assert_string_equal(json_str(b->m, "stream", 64), k.stream);
    close(stream);
    /* It is asked for more, and killed. */
    come_online(b, "web-1");
    ask(front, 7);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 2);
    assert_int_equal(jumps_kill(b->r.hub.jumps, i.id, "killed by the test"), 0);
    expect(b, front, "kill", "killed by the test");
    assert_int_equal(b->w.hangups, 1);
    close(front);
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 0);
    done(&k);
}

/* The kill that the first hub had no time to tell. */
static void test_killed_stays_killed(void **state)
{
    struct bench *b = *state;
    struct kept k;
    struct ticket t;
    uint8_t key[TICKET_KEY_SIZE];
    int front = -1;

    one_session(b, KEY_ED25519, &k);
    assert_int_equal(ticket_open(hub_keys_secret(b->r.hub.keys), k.ticket, &t, key), 0);
    assert_int_equal(store_kill_add(b->r.hub.store, t.id, clock_wall_s() + 1000), 0);
    next_hub(b);
    front = accepted(b, &k);
    tell_adopted(front, k.voucher, 1);
    tell_resume(front, 1, k.ticket, "");
    tell_resumed(front);
    expect(b, front, "kill", "killed by the hub's admin");
    RUNNING_UNTIL(&b->r, 3000, b->r.hub.begun);
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
    close(front);
    done(&k);
}

static void test_revoked_meanwhile(void **state)
{
    struct bench *b = *state;
    uint8_t key[TICKET_KEY_SIZE];
    struct ticket t;
    struct kept k;
    int front = -1;

    one_session(b, KEY_ED25519, &k);
    next_hub(b);
    front = accepted(b, &k);
    /* Revoked before the front has answered, and given to another that holds it from a later second on. */
    assert_int_equal(registry_revoke(b->r.hub.registry, "web-1"), 0);
    come_online(b, "web-1");
    registry_find(b->r.hub.registry, "web-1")->leased_s++;
    tell_adopted(front, k.voucher, 1);
    tell_resume(front, 1, k.ticket, "");
    expect(b, front, "kill", "revoked");
    tell_resumed(front);
    RUNNING_UNTIL(&b->r, 3000, b->r.hub.begun);
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
    /* And it stays dead, also for the machine's side. */
    assert_int_equal(ticket_open(hub_keys_secret(b->r.hub.keys), k.ticket, &t, key), 0);
    assert_true(store_kill_has(b->r.hub.store, t.id));
    close(front);
    done(&k);
}

/* Its sessions go on, and nobody who gets the old name gets them. */
static void test_a_machine_that_was_renamed(void **state)
{
    struct bench *b = *state;
    struct jump_info i = {.id = 0};
    struct errmsg err;
    struct kept k;
    int front = -1;

    one_session(b, KEY_ED25519, &k);
    assert_int_equal(registry_rename(b->r.hub.registry, "web-1", "web-2", &err), 0);
    assert_int_equal(registry_rename(b->r.hub.registry, "web-2", "WEB-2", &err), 0);
    assert_int_equal(registry_rename(b->r.hub.registry, "WEB-2", "web-3", &err), 0);
    next_hub(b);
    come_online(b, "web-1"); /* its key's name is another now */
    assert_non_null(registry_find(b->r.hub.registry, "web-3")->link);
    front = taken_up(b, &k);
    jumps_each(b->r.hub.jumps, see, &i);
    assert_string_equal(i.machine, "web-3");
    assert_int_equal(registry_find(b->r.hub.registry, "web-3")->sessions, 1);
    close(front);
    done(&k);
}

static void test_a_user_who_is_no_more(void **state)
{
    struct bench *b = *state;
    struct kept k;
    int front = -1;

    one_session(b, KEY_ED25519, &k);
    next_hub_with(b, "bob machines=\"*\" " KEY_P256 "\n");
    front = accepted(b, &k);
    tell_adopted(front, k.voucher, 1);
    expect(b, front, "end", "no longer accepted");
    tell_resume(front, 1, k.ticket, "");
    expect(b, front, "kill", "may no longer use");
    tell_resumed(front);
    ask(front, 2);
    expect(b, front, "refused", "no machine");
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
    close(front);
    done(&k);
}

/* The key is bob's now: alice's sessions are not his. */
static void test_a_key_that_is_another_users(void **state)
{
    struct bench *b = *state;
    struct kept k;
    int front = -1;

    one_session(b, KEY_ED25519, &k);
    next_hub_with(b, "bob machines=\"*\" " KEY_ED25519 "\n");
    front = accepted(b, &k);
    tell_adopted(front, k.voucher, 1);
    expect(b, front, "end", "no longer accepted");
    close(front);
    done(&k);
}

static void test_nobody_logged_in_yet(void **state)
{
    struct bench *b = *state;
    struct kept k;
    int front = front_come(b, &k);

    close(front);
    listen_for_hub(b, &k);
    next_hub(b);
    front = accepted(b, &k);
    tell_adopted(front, k.voucher, 1);
    tell_resumed(front);
    auth(b, front, KEY_ED25519);
    assert_non_null(json_str(b->m, "voucher", VOUCHER_TEXT_MAX));
    tell(front, "{\"type\":\"exec\",\"id\":9,\"command\":\"whoami\",\"tty\":false,\"columns\":0}");
    expect(b, front, "output", NULL);
    assert_non_null(strstr(json_str(b->m, "data", 1000), "alice, from 192.0.2.7"));
    close(front);
    done(&k);
}

/* --- what is not believed --- */

static void test_tickets_of_others(void **state)
{
    struct bench *b = *state;
    struct kept alice, bob;
    int a = -1, o = -1;

    one_session(b, KEY_ED25519, &alice);
    one_session(b, KEY_P256, &bob);
    next_hub(b);
    o = accepted(b, &bob);
    tell_adopted(o, bob.voucher, 1);
    tell_resume(o, 1, alice.ticket, "");
    expect(b, o, "kill", "another user's");
    tell_resume(o, 2, "AAAA.BBBB", "");
    expect(b, o, "kill", "not of this hub");
    alice.ticket[5] ^= 1;
    tell_resume(o, 3, alice.ticket, "");
    alice.ticket[5] ^= 1;
    expect(b, o, "kill", "not of this hub");
    tell_resume(o, 4, bob.ticket, "");
    tell_resume(o, 5, bob.ticket, "");
    expect(b, o, "kill", "in use by another");
    tell_resumed(o);
    /* Alice's is as good as before. */
    a = taken_up(b, &alice);
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 2);
    RUNNING_UNTIL(&b->r, 3000, b->r.hub.begun);
    close(a);
    close(o);
    done(&alice);
    done(&bob);
}

/* Told to end, and the channel closed. */
static void expect_expelled(struct bench *b, int front)
{
    RUNNING_UNTIL(&b->r, 5000,
                  try_receive(b, front) && strcmp(json_str_or(b->m, "type", 32, ""), "end") == 0);
    RUNNING_UNTIL(&b->r, 5000, running_closed(front));
    close(front);
}

static void test_fronts_that_break_the_rules(void **state)
{
    struct bench *b = *state;
    struct kept good, bad[8];
    int front = -1;

    one_session(b, KEY_ED25519, &good);
    for (size_t i = 0; i < COUNT(bad); i++)
        one_session(b, KEY_P256, &bad[i]);
    next_hub(b);
    front = accepted(b, &bad[0]); /* garbage */
    tell(front, "}{");
    RUNNING_UNTIL(&b->r, 3000, running_closed(front));
    close(front);
    front = accepted(b, &bad[1]); /* forged */
    bad[1].voucher[10] ^= 1;
    tell_adopted(front, bad[1].voucher, 1);
    expect_expelled(b, front);
    front = accepted(b, &bad[2]); /* a ticket in the voucher's place */
    tell_adopted(front, bad[2].ticket, 1);
    expect_expelled(b, front);
    front = accepted(b, &bad[3]); /* out of place */
    tell_resume(front, 1, bad[3].ticket, "");
    expect_expelled(b, front);
    front = accepted(b, &bad[4]);
    tell_adopted(front, bad[4].voucher, 1);
    ask(front, 5);
    expect_expelled(b, front);
    front = accepted(b, &bad[5]); /* an id twice */
    tell_adopted(front, bad[5].voucher, 1);
    tell_resume(front, 1, bad[5].ticket, "");
    tell_resume(front, 1, bad[4].ticket, "");
    expect_expelled(b, front);
    front = accepted(b, &bad[6]); /* it hangs up */
    close(front);
    front = accepted(b, &bad[7]); /* twice */
    tell_adopted(front, bad[7].voucher, 1);
    tell_adopted(front, bad[7].voucher, 1);
    expect_expelled(b, front);
    front = taken_up(b, &good);
    RUNNING_UNTIL(&b->r, 3000, b->r.hub.begun);
    RUNNING_UNTIL(&b->r, 3000, fronts_count(b->r.hub.fronts) == 1);
    assert_int_equal(jumps_count(b->r.hub.jumps), 1);
    close(front);
    done(&good);
    for (size_t i = 0; i < COUNT(bad); i++)
        done(&bad[i]);
}

static void test_ten_thousand_sessions(void **state)
{
    struct bench *b = *state;
    struct kept good, bad;
    int front = -1, told = 0;
    char text[800];

    one_session(b, KEY_ED25519, &good);
    one_session(b, KEY_P256, &bad);
    next_hub(b);
    front = accepted(b, &bad);
    tell_adopted(front, bad.voucher, 1);
    /* channels-per-connection is 3. */
    for (; told < 10000; told++) {
        snprintf(text, sizeof text, "{\"type\":\"resume\",\"id\":%d,\"ticket\":\"%s\"}", told, bad.ticket);
        while (send(front, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EAGAIN)
            running_turn(&b->r, clock_now_ms() + 1000);
        if (errno == EPIPE)
            break;
        errno = 0;
    }
    assert_true(told < 10000);
    RUNNING_UNTIL(&b->r, 5000, running_closed(front));
    close(front);
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
    front = taken_up(b, &good);
    close(front);
    done(&good);
    done(&bad);
}

/* Nobody waits for one that says nothing longer than 3 s; it is taken up when it does. */
static void test_one_that_says_nothing(void **state)
{
    struct bench *b = *state;
    struct kept good, late;
    uint64_t began = 0;
    int a = -1, o = -1;

    one_session(b, KEY_ED25519, &good);
    one_session(b, KEY_P256, &late);
    next_hub(b);
    began = clock_now_ms();
    o = accepted(b, &late);
    a = taken_up(b, &good);
    assert_false(b->r.hub.begun);
    RUNNING_UNTIL(&b->r, 10000, b->r.hub.begun);
    assert_true(clock_now_ms() - began >= 2500);
    assert_int_equal(jumps_count(b->r.hub.jumps), 1);
    tell_adopted(o, late.voucher, 1);
    tell_resume(o, 1, late.ticket, "");
    tell_resumed(o);
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 2);
    close(a);
    close(o);
    done(&good);
    done(&late);
}

static void test_another_version(void **state)
{
    struct bench *b = *state;
    struct kept k;
    char path[300];
    int front = -1;

    one_session(b, KEY_ED25519, &k);
    next_hub(b);
    front = accepted(b, &k);
    tell_adopted(front, "whatever it means there", 2);
    expect(b, front, "unfit", "connect again");
    assert_int_equal(json_int_or(b->m, "protocol", 0, 100, -1), 1);
    RUNNING_UNTIL(&b->r, 3000, running_hung_up(front));
    RUNNING_UNTIL(&b->r, 3000, b->r.hub.begun);
    RUNNING_UNTIL(&b->r, 3000, fronts_count(b->r.hub.fronts) == 0);
    /* A later hub may know it. */
    snprintf(path, sizeof path, "%s/fronts/%016x", b->r.scratch.folder, b->berths);
    assert_int_equal(access(path, F_OK), 0);
    close(front);
    done(&k);
}

/* --- published machines --- */

static void publish(struct bench *b, int front, int id, const char *name, bool ok)
{
    char text[200];

    snprintf(text, sizeof text, "{\"type\":\"publish\",\"id\":%d,\"host\":\"%s\",\"port\":22}", id, name);
    tell(front, text);
    expect(b, front, "publish-result", NULL);
    assert_int_equal(json_bool(b->m, "ok", !ok), ok);
}

static void test_publications_come_back(void **state)
{
    struct bench *b = *state;
    struct kept k;
    int front = login(b, KEY_P384, &k);

    publish(b, front, 2, "desk-1", true);
    listen_for_hub(b, &k);
    close(front);
    next_hub(b);
    assert_null(registry_find(b->r.hub.registry, "desk-1")->link);
    front = accepted(b, &k);
    tell_adopted(front, k.voucher, 1);
    publish(b, front, 3, "desk-1", true);
    assert_non_null(registry_find(b->r.hub.registry, "desk-1")->link);
    /* What may not be published any more ends the connection, whose client believes that it is. */
    publish(b, front, 4, "other-1", false);
    expect(b, front, "end", "may not publish");
    tell_resumed(front);
    RUNNING_UNTIL(&b->r, 3000, b->r.hub.begun);
    close(front);
    done(&k);
}

/* --- lost connections --- */

static void parked(int front, int id, bool yes)
{
    char text[100];

    snprintf(text, sizeof text, "{\"type\":\"parked\",\"id\":%d,\"parked\":%s}", id, yes ? "true" : "false");
    tell(front, text);
}

static unsigned n_parked;

static int count_parked(const struct jump_info *i, void *arg)
{
    (void)arg;
    n_parked += i->parked ? 1 : 0;
    return 0;
}

static bool parked_are(struct bench *b, unsigned n)
{
    n_parked = 0;
    jumps_each(b->r.hub.jumps, count_parked, NULL);
    return n_parked == n;
}

static void test_parked(void **state)
{
    struct bench *b = *state;
    struct kept k[3];
    int front = login(b, KEY_ED25519, &k[0]);

    k[1] = k[2] = k[0];
    for (int i = 0; i < 3; i++)
        open_jump(b, front, i + 1, &k[i]);
    parked(front, 1, true);
    parked(front, 1, true);
    RUNNING_UNTIL(&b->r, 3000, parked_are(b, 1));
    parked(front, 1, false);
    parked(front, 99, true); /* nothing of the kind: it may have ended */
    RUNNING_UNTIL(&b->r, 3000, parked_are(b, 0));
    parked(front, 2, true);
    RUNNING_UNTIL(&b->r, 3000, parked_are(b, 1));
    parked(front, 3, true); /* one too many */
    expect(b, front, "kill", "parked-per-machine");
    assert_int_equal(json_int_or(b->m, "id", 0, 10, -1), 3);
    assert_int_equal(jumps_count(b->r.hub.jumps), 2);
    /* The end of one makes room. */
    tell(front, "{\"type\":\"close\",\"id\":2,\"reason\":\"done\"}");
    parked(front, 1, true);
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 1 && parked_are(b, 1));
    /* Also under another name. */
    jumps_renamed(b->r.hub.jumps, "web-1", "web-7");
    parked(front, 1, false);
    RUNNING_UNTIL(&b->r, 3000, parked_are(b, 0));
    close(front);
    for (int i = 0; i < 3; i++)
        done(&k[i]);
}

static void test_parked_when_taken_up(void **state)
{
    struct bench *b = *state;
    struct jump_info i = {.id = 0};
    struct kept k, other;
    int front = -1;

    one_session(b, KEY_ED25519, &k);
    one_session(b, KEY_ED25519, &other);
    next_hub(b);
    front = accepted(b, &k);
    tell_adopted(front, k.voucher, 1);
    tell_resume(front, 1, k.ticket, ",\"parked\":true,\"parked_ms\":12345");
    tell_resume(front, 2, other.ticket, ",\"parked\":true,\"parked_ms\":1");
    expect(b, front, "kill", "parked-per-machine");
    assert_int_equal(json_int_or(b->m, "id", 0, 10, -1), 2);
    jumps_each(b->r.hub.jumps, see, &i);
    assert_true(i.parked && i.parked_ms >= 12345 && i.parked_ms < 60000);
    close(front);
    done(&k);
    done(&other);
}

/* --- machines that are away --- */

static void test_a_machine_that_comes_back(void **state)
{
    struct bench *b = *state;
    struct kept k;
    int front = login(b, KEY_ED25519, &k);

    go(b, "keepalive lost");
    ask(front, 1);
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 1);
    come_online(b, "web-1");
    assert_int_equal(b->w.dials, 1);
    assert_int_equal(jumps_dialled(b->r.hub.jumps, &b->w.link, b->w.last.id), 0);
    k.fd = connect_stream(b, b->w.last.ticket, 0);
    expect(b, front, "opened", NULL);
    /* One that goes while it is asked is asked again when it is back, once. */
    ask(front, 2);
    RUNNING_UNTIL(&b->r, 3000, b->w.dials == 2);
    go(b, "keepalive lost");
    come_online(b, "web-1");
    assert_int_equal(b->w.dials, 3);
    go(b, "keepalive lost");
    expect(b, front, "refused", "lost its connection to the hub");
    close(front);
    done(&k);
}

static void test_a_machine_that_does_not(void **state)
{
    struct bench *b = *state;
    struct kept k;
    int front = login(b, KEY_ED25519, &k);

    go(b, "keepalive lost");
    ask(front, 1);
    expect(b, front, "refused", "web-1 is offline, last seen");
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
    /* Away for longer than restart-wait: at once. */
    registry_find(b->r.hub.registry, "web-1")->since_s -= 2;
    ask(front, 2);
    RUNNING_UNTIL(&b->r, 3000, try_receive(b, front));
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
    /* It said that it goes: at once. */
    come_online(b, "web-1");
    registry_leaves(b->r.hub.registry, &b->w.link);
    go(b, "the agent ended: by hand");
    ask(front, 3);
    running_turn(&b->r, clock_now_ms() + 100);
    RUNNING_UNTIL(&b->r, 500, try_receive(b, front));
    assert_non_null(strstr(json_str_or(b->m, "text", 1000, ""), "by hand"));
    close(front);
    done(&k);
}

/* After the start of a hub those that were there under the last one are waited for, whenever that was. */
static void test_machines_of_the_last_hub(void **state)
{
    struct bench *b = *state;
    struct kept k;
    int front = -1;

    one_session(b, KEY_ED25519, &k);
    assert_int_equal(store_flush(b->r.hub.store), 0);
    next_hub(b);
    front = taken_up(b, &k);
    registry_find(b->r.hub.registry, "web-1")->since_s -= 86400;
    ask(front, 2);
    RUNNING_UNTIL(&b->r, 3000, jumps_count(b->r.hub.jumps) == 2);
    come_online(b, "web-1");
    assert_int_equal(b->w.dials, 2);
    close(front);
    done(&k);
}

static void test_a_stream_that_broke_on_the_machine(void **state)
{
    static const struct wire stranger = {.link = {.ops = &wire_ops}};
    struct bench *b = *state;
    struct kept k;
    uint8_t stream[TICKET_ID_SIZE];
    int front = login(b, KEY_ED25519, &k);

    open_jump(b, front, 1, &k);
    memcpy(stream, b->w.last.stream, sizeof stream);
    jumps_lost(b->r.hub.jumps, &stranger.link, stream, "no machine of theirs");
    assert_int_equal(jumps_count(b->r.hub.jumps), 1);
    jumps_lost(b->r.hub.jumps, &b->w.link, stream, "the keeper died");
    expect(b, front, "kill", "the keeper died");
    assert_int_equal(jumps_count(b->r.hub.jumps), 0);
    jumps_lost(b->r.hub.jumps, &b->w.link, stream, "twice");
    close(front);
    done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_taken_up, make, clean),
        cmocka_unit_test_setup_teardown(test_killed_stays_killed, make, clean),
        cmocka_unit_test_setup_teardown(test_revoked_meanwhile, make, clean),
        cmocka_unit_test_setup_teardown(test_a_machine_that_was_renamed, make, clean),
        cmocka_unit_test_setup_teardown(test_a_user_who_is_no_more, make, clean),
        cmocka_unit_test_setup_teardown(test_a_key_that_is_another_users, make, clean),
        cmocka_unit_test_setup_teardown(test_nobody_logged_in_yet, make, clean),
        cmocka_unit_test_setup_teardown(test_tickets_of_others, make, clean),
        cmocka_unit_test_setup_teardown(test_fronts_that_break_the_rules, make, clean),
        cmocka_unit_test_setup_teardown(test_ten_thousand_sessions, make_tight, clean),
        cmocka_unit_test_setup_teardown(test_one_that_says_nothing, make, clean),
        cmocka_unit_test_setup_teardown(test_another_version, make, clean),
        cmocka_unit_test_setup_teardown(test_publications_come_back, make, clean),
        cmocka_unit_test_setup_teardown(test_parked, make_tight, clean),
        cmocka_unit_test_setup_teardown(test_parked_when_taken_up, make_tight, clean),
        cmocka_unit_test_setup_teardown(test_a_machine_that_comes_back, make, clean),
        cmocka_unit_test_setup_teardown(test_a_machine_that_does_not, make_tight, clean),
        cmocka_unit_test_setup_teardown(test_machines_of_the_last_hub, make, clean),
        cmocka_unit_test_setup_teardown(test_a_stream_that_broke_on_the_machine, make, clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
