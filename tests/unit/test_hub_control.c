/* Agents' control connections to a running hub: the test is the agents, with real TLS. */
#include "cmocka_all.h"

#include "base/buf.h"
#include "base/json.h"
#include "hub/commands.h"
#include "hub/control.h"
#include "hub/door.h"
#include "hub/jumps.h"
#include "hub/lobby.h"
#include "hub_running.h"
#include "tls/keys.h"
#include "tls/session.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct agent {
    struct running *r;
    SSL_CTX *ctx;
    EVP_PKEY *key;
    X509 *cert;
    struct session *tls;
    struct buf plain, out;
    cJSON *m;
    int fd;
    bool ended, busy;
    unsigned tickets;
    char fingerprint[KEYS_FINGERPRINT_TEXT];
};

static void agent_key(struct agent *a)
{
    uint8_t pin[CRYPTO_HASH_SIZE];

    a->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(a->key);
    assert_int_equal(keys_self_sign(a->key, "agent", 0, &a->cert), 0);
    assert_int_equal(session_client_ctx(a->cert, a->key, &a->ctx), 0);
    assert_int_equal(keys_pin(a->cert, pin), 0);
    keys_pin_text(pin, a->fingerprint);
}

static void agent_connect_from(struct agent *a, struct running *r, uint32_t host)
{
    struct session_trust trust = {.how = SESSION_TRUST_PIN};

    memcpy(trust.pin, hub_pin(&r->hub), sizeof trust.pin);
    a->r = r;
    a->ended = a->busy = false;
    buf_init(&a->plain, 1 << 20);
    buf_init(&a->out, 4 << 20);
    assert_int_equal(session_new_client(a->ctx, TLS_ALPN_CONTROL, &trust, &a->tls), 0);
    a->fd = running_connect_from(r, host);
}

static void agent_connect(struct agent *a, struct running *r)
{
    agent_connect_from(a, r, INADDR_LOOPBACK);
}

static void agent_hang_up(struct agent *a)
{
    session_free(a->tls);
    a->tls = NULL;
    buf_release(&a->plain);
    buf_release(&a->out);
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
}

static void agent_free(struct agent *a)
{
    agent_hang_up(a);
    cJSON_Delete(a->m);
    SSL_CTX_free(a->ctx);
    X509_free(a->cert);
    EVP_PKEY_free(a->key);
}

static void agent_flush(struct agent *a)
{
    ssize_t k = 0;

    assert_int_equal(session_output(a->tls, &a->out), 0);
    while (buf_len(&a->out) > 0 && k >= 0) {
        k = send(a->fd, buf_data(&a->out), buf_len(&a->out), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k > 0)
            buf_consume(&a->out, (size_t)k);
        else if (errno != EAGAIN)
            a->ended = true;
    }
}

/* Moves bytes both ways; returns true so that it can stand in a condition. */
static bool agent_pump(struct agent *a)
{
    uint8_t data[8192];
    struct errmsg err;
    ssize_t k = 0;

    agent_flush(a);
    while (!a->ended && (k = recv(a->fd, data, sizeof data, MSG_DONTWAIT)) > 0) {
        int rc = session_input(a->tls, data, (size_t)k, &a->plain, &err);

        a->ended = rc < 0;
        a->busy = rc == -EBUSY;
        agent_flush(a);
    }
    if (k == 0 || (k < 0 && errno != EAGAIN))
        a->ended = true;
    return true;
}

/* As an agent does. */
static void keep_ticket(struct agent *a)
{
    struct session_ticket t = {.n = 0};
    const char *ticket = json_str(a->m, "ticket", 200), *key = json_str(a->m, "key", 64);

    assert_true(ticket != NULL && key != NULL);
    t.n = (size_t)crypto_b64url_decode(ticket, strlen(ticket), t.ticket, sizeof t.ticket);
    assert_int_equal(crypto_hex_decode(key, strlen(key), t.key, sizeof t.key), sizeof t.key);
    session_ticket_keep(a->tls, &t, (uint32_t)json_int_or(a->m, "lifetime_s", 1, 1 << 30, 1));
    a->tickets++;
}

static bool agent_line(struct agent *a)
{
    const char *at = NULL, *end = NULL;

    (void)agent_pump(a);
    at = (const char *)buf_data(&a->plain);
    end = buf_len(&a->plain) > 0 ? memchr(at, '\n', buf_len(&a->plain)) : NULL;
    if (end == NULL)
        return false;
    cJSON_Delete(a->m);
    a->m = NULL;
    assert_int_equal(json_parse(at, (size_t)(end - at), 16384, &a->m), 0);
    buf_consume(&a->plain, (size_t)(end - at) + 1);
    if (strcmp(json_str_or(a->m, "type", 32, ""), "resume") != 0)
        return true;
    keep_ticket(a);
    return agent_line(a);
}

static void agent_expect(struct agent *a, const char *type)
{
    RUNNING_UNTIL(a->r, 8000, agent_line(a));
    if (strcmp(json_str_or(a->m, "type", 32, ""), type) != 0) {
        char *text = cJSON_PrintUnformatted(a->m);

        fail_msg("%s instead of %s", text, type);
    }
}

static void agent_expect_end(struct agent *a)
{
    RUNNING_UNTIL(a->r, 8000, agent_pump(a) && a->ended);
}

static void agent_ready(struct agent *a)
{
    RUNNING_UNTIL(a->r, 5000, agent_pump(a) && session_ready(a->tls));
}

static void agent_say(struct agent *a, const char *text)
{
    assert_int_equal(session_write(a->tls, text, strlen(text)), 0);
    (void)agent_pump(a);
}

/* more: further fields, beginning with a comma, or "". */
static void agent_hello(struct agent *a, const char *name, const char *start_id, const char *more)
{
    char text[2000];

    (void)snprintf(
        text, sizeof text,
        "{\"type\":\"hello\",\"protocol\":1,\"version\":\"0.1\",\"name\":\"%s\",\"os\":\"linux\",\"arch\":"
        "\"x\","
        "\"machine_id\":\"00112233445566778899aabbccddeeff\",\"boot_id\":\"b\",\"start_id\":\"%s\",\"ssh\":"
        "\"openssh\",\"ssh_state\":\"ok\",\"ssh_target\":\"127.0.0.1:22\",\"host_keys\":[],"
        "\"host_keys_from\":\"none\",\"labels\":{}%s}\n",
        name, start_id, more);
    agent_ready(a);
    agent_say(a, text);
}

/* A token for name ("" = any), as `invite` makes it. */
static void invite(struct running *r, const char *name, char more[128])
{
    uint8_t token[16];
    struct store_invitation i = {.expires_s = clock_wall_s() + 60, .uses_left = 1, .by = "test"};
    char text[64];

    assert_int_equal(crypto_random(token, sizeof token), 0);
    assert_int_equal(crypto_sha256(token, sizeof token, i.token_hash), 0);
    (void)snprintf(i.name, sizeof i.name, "%s", name);
    assert_int_equal(store_invitation_add(r->hub.store, &i), 0);
    assert_true(crypto_b64url_encode(token, sizeof token, text, sizeof text) > 0);
    (void)snprintf(more, 128, ",\"token\":\"%s\"", text);
}

struct bench {
    struct running r;
    struct agent a, b, c;
};

static int make_with(void **state, const char *const *flags)
{
    struct bench *b = calloc(1, sizeof *b);

    assert_non_null(b);
    b->a.fd = b->b.fd = b->c.fd = -1;
    running_start(&b->r, "", flags);
    agent_key(&b->a);
    agent_key(&b->b);
    agent_key(&b->c);
    *state = b;
    return 0;
}

static int make(void **state)
{
    return make_with(state, NULL);
}

static int make_short(void **state)
{
    static const char *const flags[] = {"--login-grace", "1s", NULL};

    return make_with(state, flags);
}

static int make_tight(void **state)
{
    static const char *const flags[] = {"--unauthenticated-per-source", "2", NULL};

    return make_with(state, flags);
}

static int make_open(void **state)
{
    static const char *const flags[] = {"--unauthenticated-per-source", "500", NULL};

    return make_with(state, flags);
}

static int clean(void **state)
{
    struct bench *b = *state;

    agent_free(&b->a);
    agent_free(&b->b);
    agent_free(&b->c);
    running_end(&b->r);
    free(b);
    return 0;
}

static void join(struct bench *b, struct agent *a, const char *name, const char *start_id)
{
    char more[128];

    invite(&b->r, name, more);
    agent_connect(a, &b->r);
    agent_hello(a, name, start_id, more);
    agent_expect(a, "welcome");
}

static void test_welcome(void **state)
{
    struct bench *b = *state;
    struct machine *m = NULL;

    join(b, &b->a, "web01", "one");
    assert_string_equal(json_str(b->a.m, "name", 63), "web01");
    assert_string_equal(json_str(b->a.m, "public", 100), "hub.example.com:2244");
    assert_string_equal(json_str(b->a.m, "domain", 100), "machines.test");
    assert_int_equal(json_int_or(b->a.m, "ping_ms", 0, 100000, 0), 15000);
    assert_true(json_bool(b->a.m, "joined", false));
    m = registry_find(b->r.hub.registry, "web01");
    assert_true(m != NULL && m->link != NULL);
    assert_int_equal(door_unauthenticated(b->r.hub.door), 0);
    agent_say(&b->a, "{\"type\":\"ping\",\"n\":41}\n");
    agent_expect(&b->a, "pong");
    assert_int_equal(json_int_or(b->a.m, "n", 0, 100, 0), 41);
    agent_say(&b->a, "{\"type\":\"from-the-future\"}\n{\"type\":\"state\",\"ssh_state\":\"refused\"}\n{"
                     "\"type\":\"ping\",\"n\":42}\n");
    agent_expect(&b->a, "pong");
    assert_string_equal(m->ssh_state, "refused");
    agent_say(&b->a, "{\"type\":\"bye\",\"reason\":\"rebooting\"}\n");
    agent_expect_end(&b->a);
    assert_null(m->link);
    assert_non_null(strstr(m->reason, "rebooting"));
}

static void test_the_same_key_takes_over(void **state)
{
    struct bench *b = *state;
    struct agent again = b->a;

    join(b, &b->a, "web01", "one");
    again.fd = -1;
    agent_connect(&again, &b->r);
    agent_hello(&again, "web01", "two", "");
    agent_expect(&again, "welcome");
    agent_expect(&b->a, "bye");
    assert_string_equal(json_str(b->a.m, "code", 20), "replaced");
    agent_expect_end(&b->a);
    agent_hang_up(&b->a);
    /* The end of the old one does not take the new one offline. */
    RUNNING_UNTIL(&b->r, 3000, controls_count(b->r.hub.controls) == 1);
    assert_non_null(registry_find(b->r.hub.registry, "web01")->link);
    agent_hang_up(&again);
    cJSON_Delete(again.m);
}

static void come_again(struct bench *b, struct agent *a)
{
    unsigned had = a->tickets;

    RUNNING_UNTIL(&b->r, 3000,
                  agent_pump(a) && (agent_line(a) || a->tickets > 0)); /* it comes behind the welcome */
    assert_true(a->tickets >= had);
    agent_hang_up(a);
    agent_connect(a, &b->r);
    agent_hello(a, "web01", "one", "");
}

/* A machine that resumes is asked about like any other: by its key, in the registry of the moment. */
static void test_resumes(void **state)
{
    struct bench *b = *state;
    struct agent *a = &b->a;
    struct errmsg err;

    join(b, a, "web01", "one");
    assert_false(session_resumed(a->tls));
    come_again(b, a);
    assert_true(session_resumed(a->tls));
    agent_expect(a, "welcome");
    assert_string_equal(registry_find(b->r.hub.registry, "web01")->holder, a->fingerprint);
    assert_int_equal(registry_rename(b->r.hub.registry, "web01", "db01", &err), 0);
    agent_expect(a, "renamed");
    come_again(b, a);
    assert_true(session_resumed(a->tls));
    agent_expect(a, "welcome");
    assert_string_equal(json_str(a->m, "name", 63), "db01");
    assert_int_equal(registry_revoke(b->r.hub.registry, "db01"), 0);
    agent_expect(a, "bye");
    assert_string_equal(json_str(a->m, "code", 20), "revoked");
    come_again(b, a);
    assert_true(session_resumed(a->tls));
    agent_expect(a, "held"); /* it is nobody now */
    assert_string_equal(json_str(a->m, "fingerprint", 100), a->fingerprint);
    assert_null(registry_find(b->r.hub.registry, "web01"));
    /* The name has gone to another machine: the ticket is not it. */
    agent_hang_up(a);
    join(b, &b->b, "web01", "two");
    agent_connect(a, &b->r);
    agent_hello(a, "web01", "one", "");
    assert_true(session_resumed(a->tls));
    agent_expect(a, "refused");
    assert_string_equal(json_str(a->m, "code", 20), "name-taken");
    assert_string_equal(registry_find(b->r.hub.registry, "web01")->holder, b->b.fingerprint);
}

/* The places for strangers of one source are taken: a machine is told when to come again, and comes in later. */
static void test_busy(void **state)
{
    struct bench *b = *state;
    int fd[2];

    for (size_t i = 0; i < COUNT(fd); i++) {
        fd[i] = running_connect(&b->r);
        assert_int_equal(send(fd[i], "M", 1, MSG_NOSIGNAL), 1);
    }
    RUNNING_UNTIL(&b->r, 3000, door_unauthenticated(b->r.hub.door) == COUNT(fd));
    for (int i = 0; i < 3; i++) {
        agent_connect(&b->a, &b->r);
        agent_expect_end(&b->a);
        assert_true(b->a.busy);
        assert_in_range(session_busy_ms(b->a.tls), 900, 5000);
        agent_hang_up(&b->a);
    }
    for (size_t i = 0; i < COUNT(fd); i++)
        close(fd[i]);
    RUNNING_UNTIL(&b->r, 3000, door_unauthenticated(b->r.hub.door) == 0);
    join(b, &b->a, "web01", "one");
}

/* One source that begins handshakes and says no more takes nobody else's place, however long it goes on. */
static void test_who_stalls_is_in_nobodys_way(void **state)
{
    enum { MANY = 400 };
    struct bench *b = *state;
    struct agent *many = calloc(MANY, sizeof *many);

    assert_non_null(many);
    for (size_t i = 0; i < MANY; i++) {
        many[i] = b->a;
        many[i].m = NULL;
        agent_connect_from(&many[i], &b->r, INADDR_LOOPBACK + 1);
        agent_flush(&many[i]);
    }
    RUNNING_UNTIL(&b->r, 10000,
                  controls_count(b->r.hub.controls) > 0 && lobby_count(b->r.hub.lobby) > MANY / 2);
    join(b, &b->b, "web01", "one");
    assert_true(lobby_count(b->r.hub.lobby) > 0); /* it has passed those that came before */
    assert_true(controls_count(b->r.hub.controls) < MANY);
    for (size_t i = 0; i < MANY; i++)
        agent_hang_up(&many[i]);
    free(many);
}

/* All at once, and then they say nothing more: everybody is let in all the same, some behind those that stall. */
static void test_a_crowd(void **state)
{
    enum { MANY = 150 };
    struct bench *b = *state;
    struct agent *many = calloc(MANY, sizeof *many);
    size_t most = 0;

    assert_non_null(many);
    for (size_t i = 0; i < MANY; i++) {
        many[i] = b->a; /* one key will do: nobody says hello */
        many[i].m = NULL;
        agent_connect(&many[i], &b->r);
        agent_flush(&many[i]);
    }
    for (size_t ready = 0; ready < MANY;) {
        running_turn(&b->r, clock_now_ms() + 20);
        most = lobby_count(b->r.hub.lobby) > most ? lobby_count(b->r.hub.lobby) : most;
        assert_true(controls_count(b->r.hub.controls) + lobby_count(b->r.hub.lobby) <= MANY);
        for (size_t i = ready = 0; i < MANY; i++) {
            assert_true(agent_pump(&many[i]) && !many[i].ended);
            ready += session_ready(many[i].tls);
        }
    }
    assert_true(most > 0);
    assert_int_equal(lobby_count(b->r.hub.lobby), 0);
    for (size_t i = 0; i < MANY; i++) {
        agent_hang_up(&many[i]);
        cJSON_Delete(many[i].m);
    }
    RUNNING_UNTIL(&b->r, 5000, controls_count(b->r.hub.controls) == 0);
    assert_int_equal(door_unauthenticated(b->r.hub.door), 0);
    free(many);
}

static void test_another_key_is_refused(void **state)
{
    struct bench *b = *state;

    join(b, &b->a, "web01", "one");
    agent_connect(&b->b, &b->r);
    agent_hello(&b->b, "WEB01", "x", "");
    agent_expect(&b->b, "refused");
    assert_string_equal(json_str(b->b.m, "code", 20), "name-taken");
    agent_expect_end(&b->b);
    assert_non_null(registry_find(b->r.hub.registry, "web01")->link);
}

static void test_held_until_approved(void **state)
{
    struct bench *b = *state;
    struct errmsg err;

    agent_connect(&b->a, &b->r);
    agent_hello(&b->a, "web01", "one", "");
    agent_expect(&b->a, "held");
    assert_string_equal(json_str(b->a.m, "fingerprint", 100), b->a.fingerprint);
    assert_int_equal(door_unauthenticated(b->r.hub.door), 0);
    assert_int_equal(registry_approve(b->r.hub.registry, "web01", b->a.fingerprint, &err), 0);
    agent_expect(&b->a, "welcome");
    assert_false(json_bool(b->a.m, "joined", true));
}

/* One image, two machines: the second takes over from the first, the first comes back and is found to be a
 * clone. */
static void test_a_clone(void **state)
{
    struct bench *b = *state;
    struct agent second = b->a, first = b->a;

    join(b, &b->a, "web01", "first");
    second.fd = first.fd = -1;
    agent_connect(&second, &b->r);
    agent_hello(&second, "web01", "second", "");
    agent_expect(&second, "welcome");
    agent_expect(&b->a, "bye");
    agent_connect(&first, &b->r);
    agent_hello(&first, "web01", "first", "");
    agent_expect(&second, "ping"); /* is it there? */
    {
        char text[64];

        (void)snprintf(text, sizeof text, "{\"type\":\"pong\",\"n\":%d}\n",
                       (int)json_int_or(second.m, "n", 0, 100, 0));
        agent_say(&second, text);
    }
    agent_expect(&first, "held");
    assert_true(registry_find(b->r.hub.registry, "web01")->clone_seen);
    agent_hang_up(&first);
    agent_hang_up(&second);
    cJSON_Delete(first.m);
    cJSON_Delete(second.m);
}

/* The same, but the one in force is dead behind its connection: the first has the name again. */
static void test_a_probe_that_nobody_answers(void **state)
{
    struct bench *b = *state;
    struct agent second = b->a, first = b->a;

    join(b, &b->a, "web01", "first");
    second.fd = first.fd = -1;
    agent_connect(&second, &b->r);
    agent_hello(&second, "web01", "second", "");
    agent_expect(&second, "welcome");
    agent_connect(&first, &b->r);
    agent_hello(&first, "web01", "first", "");
    agent_expect(&first, "welcome");
    agent_hang_up(&first);
    agent_hang_up(&second);
    cJSON_Delete(first.m);
    cJSON_Delete(second.m);
}

static void test_bad_lines(void **state)
{
    static const char *const lines[] = {
        "not json\n", "{\"type\":\"ping\",\"n\":1}\n", /* before hello */
        "{}\n",       "[1]\n",
        "\n",         "{\"type\":\"hello\",\"type\":\"hello\"}\n",
    };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT(lines); i++) {
        agent_connect(&b->a, &b->r);
        agent_ready(&b->a);
        agent_say(&b->a, lines[i]);
        agent_expect_end(&b->a);
        agent_hang_up(&b->a);
    }
    assert_int_equal(controls_count(b->r.hub.controls), 0);
    assert_int_equal(registry_count(b->r.hub.registry, false), 0);
}

static void test_bad_hellos(void **state)
{
    static const char *const hellos[] = {
        "{\"type\":\"hello\"}\n",
        "{\"type\":\"hello\",\"protocol\":2,\"name\":\"web01\"}\n",
        "{\"type\":\"hello\",\"protocol\":1,\"name\":\"-web01\"}\n",
        "{\"type\":\"hello\",\"protocol\":1,\"name\":\"web\\n01\"}\n",
        "{\"type\":\"hello\",\"protocol\":1,\"name\":7}\n",
        "{\"type\":\"hello\",\"protocol\":1,\"name\":\"web01\",\"token\":5}\n",
    };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT(hellos); i++) {
        agent_connect(&b->a, &b->r);
        agent_ready(&b->a);
        agent_say(&b->a, hellos[i]);
        agent_expect(&b->a, "refused");
        assert_string_equal(json_str(b->a.m, "code", 20), "bad-hello");
        agent_expect_end(&b->a);
        agent_hang_up(&b->a);
    }
}

static void test_the_longest_line(void **state)
{
    struct bench *b = *state;
    char *line = calloc(1, CONTROL_LINE_MAX + 2);

    assert_non_null(line);
    join(b, &b->a, "web01", "one");
    memset(line, ' ', CONTROL_LINE_MAX);
    memcpy(line, "{\"type\":\"ping\",\"n\":5", 20);
    line[CONTROL_LINE_MAX - 2] = '}';
    line[CONTROL_LINE_MAX - 1] = '\n';
    agent_say(&b->a, line);
    agent_expect(&b->a, "pong");
    /* One byte more is too much, with its newline or without. */
    line[CONTROL_LINE_MAX - 2] = ' ';
    line[CONTROL_LINE_MAX - 1] = '}';
    line[CONTROL_LINE_MAX] = '\n';
    agent_say(&b->a, line);
    agent_expect_end(&b->a);
    free(line);
}

static void test_after_hello(void **state)
{
    static const char *const lines[] = {
        "{\"type\":\"hello\",\"protocol\":1,\"name\":\"web01\"}\n",
        "{\"type\":\"dialled\",\"id\":7}\n",
        "{\"type\":\"failed\",\"id\":7,\"code\":\"refused\",\"reason\":\"x\"}\n",
        "{\"type\":\"dialled\"}\n",
        "garbage\n",
    };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT(lines); i++) {
        join(b, &b->a, "web01", "one");
        agent_say(&b->a, lines[i]);
        agent_expect_end(&b->a);
        assert_null(registry_find(b->r.hub.registry, "web01")->link);
        agent_hang_up(&b->a);
    }
}

static void test_grace(void **state)
{
    struct bench *b = *state;

    agent_connect(&b->a, &b->r); /* the handshake, and nothing more */
    agent_ready(&b->a);
    agent_expect_end(&b->a);
    agent_hang_up(&b->a);
    agent_connect(&b->b, &b->r);
    agent_ready(&b->b);
    agent_say(&b->b, "{\"type\":\"hel");
    agent_expect_end(&b->b);
    assert_int_equal(door_unauthenticated(b->r.hub.door), 0);
}

/* Asks without end and reads no answer: closed when 256 KiB wait, and no other is. */
static void test_an_agent_that_does_not_read(void **state)
{
    struct bench *b = *state;
    char lines[4000] = "";
    int small = 4096;
    size_t at = 0;

    join(b, &b->b, "web02", "one");
    invite(&b->r, "web01", lines);
    b->r.hub.opt.ping_ms = 60000; /* on a slow machine the kernel would give the connection up before */
    agent_connect(&b->a, &b->r);
    (void)setsockopt(b->a.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    agent_hello(&b->a, "web01", "one", lines);
    agent_expect(&b->a, "welcome");
    while (at < sizeof lines - 40)
        at += (size_t)snprintf(lines + at, sizeof lines - at, "{\"type\":\"ping\",\"n\":1}\n");
    for (int i = 0; i < 8000 && registry_find(b->r.hub.registry, "web01")->link != NULL; i++) {
        if (buf_len(&b->a.out) < 100000)
            assert_int_equal(session_write(b->a.tls, lines, at), 0);
        agent_flush(&b->a);
        running_turn(&b->r, clock_now_ms() + 20);
    }
    assert_null(registry_find(b->r.hub.registry, "web01")->link);
    assert_string_equal(registry_find(b->r.hub.registry, "web01")->reason, "it does not read its messages");
    agent_say(&b->b, "{\"type\":\"ping\",\"n\":9}\n");
    agent_expect(&b->b, "pong");
}

static void test_shutdown(void **state)
{
    struct bench *b = *state;

    join(b, &b->a, "web01", "one");
    agent_connect(&b->b, &b->r); /* in the middle of its greeting */
    agent_ready(&b->b);
    hub_stop(&b->r.hub, false);
    agent_expect(&b->a, "bye");
    assert_string_equal(json_str(b->a.m, "code", 20), "shutdown");
    assert_true(json_int_or(b->a.m, "retry_ms", 1, 60000, -1) > 0);
    agent_expect_end(&b->a);
    agent_expect_end(&b->b);
    agent_hang_up(&b->a);
    RUNNING_UNTIL(&b->r, 5000, controls_count(b->r.hub.controls) == 0);
    assert_string_equal(registry_find(b->r.hub.registry, "web01")->reason, "the hub was stopped");
}

static void test_revoke_and_rename(void **state)
{
    struct bench *b = *state;
    struct errmsg err;

    join(b, &b->a, "web01", "one");
    assert_int_equal(registry_rename(b->r.hub.registry, "web01", "web09", &err), 0);
    agent_expect(&b->a, "renamed");
    assert_string_equal(json_str(b->a.m, "name", 63), "web09");
    assert_int_equal(registry_revoke(b->r.hub.registry, "web09"), 0);
    agent_expect(&b->a, "bye");
    assert_string_equal(json_str(b->a.m, "code", 20), "revoked");
    agent_expect_end(&b->a);
    RUNNING_UNTIL(&b->r, 5000, controls_count(b->r.hub.controls) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_welcome, make, clean),
        cmocka_unit_test_setup_teardown(test_the_same_key_takes_over, make, clean),
        cmocka_unit_test_setup_teardown(test_resumes, make, clean),
        cmocka_unit_test_setup_teardown(test_busy, make_tight, clean),
        cmocka_unit_test_setup_teardown(test_a_crowd, make_open, clean),
        cmocka_unit_test_setup_teardown(test_who_stalls_is_in_nobodys_way, make_open, clean),
        cmocka_unit_test_setup_teardown(test_another_key_is_refused, make, clean),
        cmocka_unit_test_setup_teardown(test_held_until_approved, make, clean),
        cmocka_unit_test_setup_teardown(test_a_clone, make, clean),
        cmocka_unit_test_setup_teardown(test_a_probe_that_nobody_answers, make, clean),
        cmocka_unit_test_setup_teardown(test_bad_lines, make, clean),
        cmocka_unit_test_setup_teardown(test_bad_hellos, make, clean),
        cmocka_unit_test_setup_teardown(test_the_longest_line, make, clean),
        cmocka_unit_test_setup_teardown(test_after_hello, make, clean),
        cmocka_unit_test_setup_teardown(test_grace, make_short, clean),
        cmocka_unit_test_setup_teardown(test_an_agent_that_does_not_read, make, clean),
        cmocka_unit_test_setup_teardown(test_shutdown, make, clean),
        cmocka_unit_test_setup_teardown(test_revoke_and_rename, make, clean),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    log_init("test_hub_control");
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
