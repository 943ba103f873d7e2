/* The registry: who is which machine, in every order of coming and going. */
#include "cmocka_all.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "hub/hashmap.h"
#include "hub/registry.h"
#include "hub_keys_samples.h"
#include "hub_scratch.h"
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define KEY_A "SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "SHA256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define KEY_C "SHA256:ccccccccccccccccccccccccccccccccccccccccccc"

/* A link that notes what the registry asks of it. */
struct wire {
    struct link link;
    unsigned dropped, renamed;
    char code[16], name[80];
};

static void wire_drop(struct link *l, const char *code, const char *reason)
{
    struct wire *w = (struct wire *)l;
    assert_true(reason[0] != '\0');
    w->dropped++;
    snprintf(w->code, sizeof w->code, "%s", code);
}

static void wire_renamed(struct link *l, const char *name)
{
    struct wire *w = (struct wire *)l;
    w->renamed++;
    snprintf(w->name, sizeof w->name, "%s", name);
}

static const struct link_ops wire_ops = {.kind = "agent", .drop = wire_drop, .renamed = wire_renamed};

struct bench {
    struct scratch scratch;
    struct store *store;
    struct registry *r;
    struct registry_limits limits;
    struct wire w[8];
    struct link *approved[8];
    unsigned n_approved;
};

static void note_approved(struct link *link, void *arg)
{
    struct bench *b = arg;
    b->approved[b->n_approved++] = link;
}

static void open_registry(struct bench *b)
{
    struct errmsg err = {""};
    if (store_open(b->scratch.db, &b->store, &err) < 0 || registry_new(b->store, &b->limits, &b->r, &err) < 0)
        fail_msg("%s", err.text);
    registry_on_approved(b->r, note_approved, b);
}

static void close_registry(struct bench *b)
{
    registry_free(b->r);
    store_close(b->store);
    b->r = NULL;
    b->store = NULL;
}

static int make(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    scratch_make(&b->scratch);
    b->limits = (struct registry_limits){.machines_max = 100, .pending_max = 3, .pending_ms = 60000};
    for (size_t i = 0; i < COUNT(b->w); i++)
        b->w[i].link.ops = &wire_ops;
    open_registry(b);
    *state = b;
    return 0;
}

static int clean(void **state)
{
    struct bench *b = *state;
    close_registry(b);
    scratch_remove(&b->scratch);
    free(b);
    return 0;
}

/* Who says hello, and how. */
struct hail {
    const char *key, *name, *start, *token, *json; /* json: a whole message instead of the usual one */
    unsigned wire;
    bool probe_failed;
    int64_t at;
};

static struct registry_answer hail(struct bench *b, struct hail h)
{
    struct registry_answer a;
    cJSON *message = NULL;
    char text[1000];
    snprintf(text, sizeof text,
             "{\"type\":\"hello\",\"protocol\":1,\"start_id\":\"%s\",\"boot_id\":\"boot\",\"os\":\"linux\","
             "\"arch\":\"x86_64\","
             "\"version\":\"0.1.0\",\"ssh\":\"openssh\",\"ssh_state\":\"ok\",\"ssh_target\":\"127.0.0.1:22\","
             "\"host_keys\":[\"" KEY_ED25519
             "\"],\"host_keys_from\":\"ssh-keyscan\",\"labels\":{\"site\":\"K\xc3\xb6ln\"}}",
             h.start == NULL ? "s1" : h.start);
    if (h.json != NULL)
        snprintf(text, sizeof text, "%s", h.json);
    assert_int_equal(json_parse(text, strlen(text), 16384, &message), 0);
    struct registry_hello hello = {.key = h.key,
                                   .source = "192.0.2.1",
                                   .message = strncmp(h.key, "user:", 5) == 0 ? NULL : message,
                                   .name = h.name,
                                   .token = h.token,
                                   .link = &b->w[h.wire].link,
                                   .probe_failed = h.probe_failed};
    registry_hello(b->r, &hello, h.at == 0 ? 1000 : h.at, &a);
    assert_true(a.text[0] != '\0');
    cJSON_Delete(message);
    return a;
}

/* The same hello once more, held back as a clone of the machine. */
static struct registry_answer hold_clone(struct bench *b, struct hail h)
{
    struct registry_answer a;
    cJSON *message = NULL;
    char text[200];
    snprintf(text, sizeof text, "{\"protocol\":1,\"start_id\":\"%s\"}", h.start);
    assert_int_equal(json_parse(text, strlen(text), 16384, &message), 0);
    struct registry_hello hello = {
        .key = h.key, .source = "192.0.2.9", .message = message, .name = h.name, .link = &b->w[h.wire].link};
    registry_hold_clone(b->r, &hello, registry_own(b->r, h.key, h.name), &a);
    cJSON_Delete(message);
    return a;
}

static void expect(struct registry_answer a, enum registry_verdict verdict, const char *code)
{
    if (a.verdict != verdict || (code != NULL && (a.code == NULL || strcmp(a.code, code) != 0)))
        fail_msg("verdict %d code %s: %s", (int)a.verdict, a.code == NULL ? "-" : a.code, a.text);
}

static void invite(struct bench *b, const char *name, unsigned uses, int64_t expires_s, char token[32])
{
    static uint8_t count;
    uint8_t raw[16] = {0};
    struct store_invitation i = {.expires_s = expires_s, .uses_left = uses, .by = "root"};
    raw[0] = ++count;
    snprintf(i.name, sizeof i.name, "%s", name);
    crypto_sha256(raw, sizeof raw, i.token_hash);
    assert_int_equal(store_invitation_add(b->store, &i), 0);
    crypto_b64url_encode(raw, sizeof raw, token, 32);
}

/* web01 with KEY_A is online through wire 0, start id s1. */
static struct machine *join_web01(struct bench *b)
{
    char token[32];
    invite(b, "web01", 1, 5000, token);
    struct registry_answer a = hail(b, (struct hail){.key = KEY_A, .name = "whatever", .token = token});
    expect(a, REGISTRY_WELCOME, NULL);
    assert_true(a.joined);
    assert_string_equal(a.machine->name, "web01");
    return a.machine;
}

/* --- joining --- */

static void joins_by_invitation(void **state)
{
    struct bench *b = *state;
    struct machine *m = join_web01(b);
    assert_ptr_equal(m, registry_find(b->r, "WEB01"));
    assert_ptr_equal(m, registry_by_link(b->r, &b->w[0].link));
    assert_ptr_equal(m->link, &b->w[0].link);
    assert_string_equal(m->holder, KEY_A);
    assert_string_equal(m->os, "linux");
    assert_string_equal(m->ssh_target, "127.0.0.1:22");
    assert_string_equal(m->start_id, "s1");
    assert_string_equal(m->boot_id, "boot");
    assert_string_equal(m->source, "192.0.2.1");
    assert_string_equal(m->labels, "{\"site\":\"K\xc3\xb6ln\"}");
    assert_int_equal(m->n_host_keys, 1);
    assert_string_equal(m->host_keys[0], KEY_ED25519);
    assert_int_equal(m->since_s, 1000);
    assert_int_equal(registry_count(b->r, false), 1);
    assert_int_equal(registry_count(b->r, true), 1);
    registry_gone(b->r, &b->w[0].link, "keepalive lost", 1200);
    registry_gone(b->r, &b->w[0].link, "again", 1300);
    assert_null(m->link);
    assert_null(registry_by_link(b->r, &b->w[0].link));
    assert_string_equal(m->reason, "keepalive lost");
    assert_int_equal(m->since_s, 1200);
    assert_int_equal(registry_count(b->r, true), 0);
}

static void bad_tokens(void **state)
{
    struct bench *b = *state;
    char old[32], used[32];
    invite(b, "web01", 1, 900, old);
    struct registry_answer a = hail(b, (struct hail){.key = KEY_A, .name = "web01", .token = old});
    expect(a, REGISTRY_REFUSED, "bad-token");
    assert_non_null(strstr(a.text, "expired 1 min ago"));
    a = hail(b, (struct hail){.key = KEY_A, .name = "web01", .token = "AAAAAAAAAAAAAAAAAAAAAA"});
    expect(a, REGISTRY_REFUSED, "bad-token");
    assert_non_null(strstr(a.text, "does not know"));
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .token = "not base64!"}), REGISTRY_REFUSED,
           "bad-token");
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .token = ""}), REGISTRY_REFUSED, "bad-token");
    assert_int_equal(registry_count(b->r, false), 0);
    invite(b, "web01", 1, 5000, used);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .token = used}), REGISTRY_WELCOME, NULL);
    a = hail(b, (struct hail){.key = KEY_B, .name = "web02", .token = used, .wire = 1});
    expect(a, REGISTRY_REFUSED, "bad-token");
    assert_non_null(strstr(a.text, "used up"));
    /* The holder, who did not hear the welcome, comes again with the spent token. */
    registry_gone(b->r, &b->w[0].link, "lost", 1100);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .token = used, .wire = 2}), REGISTRY_WELCOME,
           NULL);
}

static void invitations_for_many(void **state)
{
    struct bench *b = *state;
    char token[32];
    invite(b, "", 2, 5000, token);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "n1", .token = token}), REGISTRY_WELCOME, NULL);
    /* A clash of names is refused and uses nothing up; the same machine again neither. */
    struct registry_answer a = hail(b, (struct hail){.key = KEY_B, .name = "N1", .token = token, .wire = 1});
    expect(a, REGISTRY_REFUSED, "name-taken");
    assert_non_null(strstr(a.text, "multissh-hub invite N1"));
    expect(hail(b, (struct hail){.key = KEY_A, .name = "n1", .token = token, .wire = 2}), REGISTRY_WELCOME,
           NULL);
    expect(hail(b, (struct hail){.key = KEY_B, .name = "n2", .token = token, .wire = 1}), REGISTRY_WELCOME,
           NULL);
    expect(hail(b, (struct hail){.key = KEY_C, .name = "n3", .token = token, .wire = 3}), REGISTRY_REFUSED,
           "bad-token");
    assert_int_equal(registry_count(b->r, false), 2);
}

static void invitation_moves_the_lease(void **state)
{
    struct bench *b = *state;
    char token[32];
    struct machine *m = join_web01(b);
    invite(b, "web01", 1, 5000, token);
    struct registry_answer a =
        hail(b, (struct hail){.key = KEY_B, .name = "x", .token = token, .wire = 1, .start = "s2"});
    expect(a, REGISTRY_WELCOME, NULL);
    assert_ptr_equal(a.machine, m);
    assert_string_equal(m->holder, KEY_B);
    assert_int_equal(b->w[0].dropped, 1);
    assert_string_equal(b->w[0].code, "revoked");
    /* The old key has lost it. */
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .wire = 2}), REGISTRY_REFUSED, "name-taken");
    close_registry(b);
    open_registry(b);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .wire = 2}), REGISTRY_REFUSED, "name-taken");
    expect(hail(b, (struct hail){.key = KEY_B, .name = "web01", .wire = 3}), REGISTRY_WELCOME, NULL);
}

/* --- coming back --- */

static void another_key_is_refused(void **state)
{
    struct bench *b = *state;
    struct machine *m = join_web01(b);
    struct registry_answer a = hail(b, (struct hail){.key = KEY_B, .name = "web01", .wire = 1});
    expect(a, REGISTRY_REFUSED, "name-taken");
    assert_non_null(strstr(a.text, "multissh-hub invite web01"));
    assert_ptr_equal(m->link, &b->w[0].link);
    assert_int_equal(b->w[0].dropped, 0);
}

static void same_instance_reconnects(void **state)
{
    struct bench *b = *state;
    struct machine *m = join_web01(b);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .wire = 1, .at = 2000}), REGISTRY_WELCOME,
           NULL);
    assert_ptr_equal(m->link, &b->w[1].link);
    assert_int_equal(b->w[0].dropped, 1);
    assert_string_equal(b->w[0].code, "replaced");
    assert_int_equal(m->since_s, 1000);               /* the same process: it was never away */
    registry_gone(b->r, &b->w[0].link, "late", 2001); /* the old link's end says nothing of the new one */
    assert_ptr_equal(m->link, &b->w[1].link);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .at = 2002}), REGISTRY_WELCOME, NULL);
    assert_int_equal(registry_count(b->r, true), 1);
}

static void restarted_agent_takes_over(void **state)
{
    struct bench *b = *state;
    struct machine *m = join_web01(b);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .wire = 1, .start = "s2", .at = 2000}),
           REGISTRY_WELCOME, NULL);
    assert_ptr_equal(m->link, &b->w[1].link);
    assert_int_equal(b->w[0].dropped, 1);
    assert_int_equal(m->since_s, 2000);
    assert_string_equal(m->replaced[0], "s1");
    assert_false(m->clone_seen);
    /* Once more over the very same link (after an approval, say): nothing is dropped. */
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .wire = 1, .start = "s2"}), REGISTRY_WELCOME,
           NULL);
    assert_int_equal(b->w[1].dropped, 0);
}

static void the_hub_knows_the_name_better(void **state)
{
    struct bench *b = *state;
    join_web01(b);
    registry_gone(b->r, &b->w[0].link, "x", 1001);
    assert_int_equal(registry_rename(b->r, "web01", "db01", NULL), 0);
    struct registry_answer a = hail(b, (struct hail){.key = KEY_A, .name = "web01"});
    expect(a, REGISTRY_WELCOME, NULL);
    assert_string_equal(a.machine->name, "db01");
    assert_non_null(strstr(a.text, "db01"));
    /* With two names it must say which. */
    char token[32];
    invite(b, "web02", 1, 5000, token);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web02", .token = token, .wire = 1}), REGISTRY_WELCOME,
           NULL);
    assert_int_equal(registry_count(b->r, true), 2);
    a = hail(b, (struct hail){.key = KEY_A, .name = "DB01", .wire = 2});
    assert_string_equal(a.machine->name, "db01");
    expect(hail(b, (struct hail){.key = KEY_A, .name = "neither", .wire = 3}), REGISTRY_HELD, NULL);
}

/* --- clones --- */

static void clones(void **state)
{
    struct bench *b = *state;
    const struct hail a = {.key = KEY_A, .name = "web01", .start = "A", .wire = 1};
    const struct hail second = {.key = KEY_A, .name = "web01", .start = "B", .wire = 2};
    struct machine *m = join_web01(b);
    registry_gone(b->r, &b->w[0].link, "x", 1001);
    expect(hail(b, a), REGISTRY_WELCOME, NULL);      /* A */
    expect(hail(b, second), REGISTRY_WELCOME, NULL); /* B takes over from A */
    assert_int_equal(b->w[1].dropped, 1);
    struct registry_answer answer = hail(b, a); /* A again, while B is there */
    expect(answer, REGISTRY_PROBE, NULL);
    assert_ptr_equal(answer.machine, m);
    assert_ptr_equal(m->link, &b->w[2].link);
    expect(hold_clone(b, a), REGISTRY_HELD, NULL);
    assert_true(m->clone_seen);
    assert_string_equal(m->clone_source, "192.0.2.9");
    assert_int_equal(b->w[2].dropped, 0);
    /* B reconnects: still the current one, still a clone beside it. */
    expect(hail(b, second), REGISTRY_WELCOME, NULL);
    assert_true(m->clone_seen);
    /* B goes: A is let in, but not at once. */
    registry_gone(b->r, &b->w[2].link, "reboot", 2000);
    registry_expire(b->r, 2029, NULL, NULL);
    assert_int_equal(b->n_approved, 0);
    registry_expire(b->r, 2030, NULL, NULL);
    assert_int_equal(b->n_approved, 1);
    assert_ptr_equal(b->approved[0], &b->w[1].link);
    expect(hail(b, a), REGISTRY_WELCOME, NULL);
    assert_false(m->clone_seen);
    /* B comes back as it was: it was never replaced, so it takes over; A is held again: no ping-pong. */
    expect(hail(b, second), REGISTRY_WELCOME, NULL);
    expect(hail(b, a), REGISTRY_PROBE, NULL);
    expect(hold_clone(b, a), REGISTRY_HELD, NULL);
    assert_ptr_equal(m->link, &b->w[2].link);
}

static void a_dead_replacement_gives_way(void **state)
{
    struct bench *b = *state;
    const struct hail a = {.key = KEY_A, .name = "web01", .start = "A", .wire = 1};
    struct hail again = {.key = KEY_A, .name = "web01", .start = "A", .wire = 3, .probe_failed = true};
    struct machine *m = join_web01(b);
    expect(hail(b, a), REGISTRY_WELCOME, NULL);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .start = "B", .wire = 2}), REGISTRY_WELCOME,
           NULL);
    /* A probe that nobody asked for counts for nothing. */
    expect(hail(b, again), REGISTRY_PROBE, NULL);
    /* Meanwhile another instance has come: the failed probe was not of this one. */
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .start = "C", .wire = 4}), REGISTRY_WELCOME,
           NULL);
    expect(hail(b, again), REGISTRY_PROBE, NULL);
    assert_ptr_equal(m->link, &b->w[4].link);
    expect(hail(b, again), REGISTRY_WELCOME, NULL);
    assert_ptr_equal(m->link, &b->w[3].link);
    assert_int_equal(b->w[4].dropped, 1);
    /* Who was thought dead comes back: it was replaced, so it is asked about. */
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .start = "C", .wire = 5}), REGISTRY_PROBE,
           NULL);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .start = "B", .wire = 6}), REGISTRY_PROBE,
           NULL);
}

static void many_instances(void **state)
{
    struct bench *b = *state;
    struct machine *m = join_web01(b);
    char start[16];
    for (int i = 0; i < 30; i++) { /* restarts: each takes over, the list of the replaced stays bounded */
        snprintf(start, sizeof start, "r%d", i);
        expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .start = start, .wire = (unsigned)i % 2}),
               REGISTRY_WELCOME, NULL);
    }
    assert_string_equal(m->replaced[0], "r28");
    assert_string_equal(m->replaced[REGISTRY_REPLACED_MAX - 1], "r21");
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .start = "r21", .wire = 5}), REGISTRY_PROBE,
           NULL);
}

struct waiting {
    unsigned pending, clones;
    char name[80], key[80];
    struct link *link;
};

static int note_waiting(const struct registry_pending *p, void *arg)
{
    struct waiting *w = arg;
    ++*(p->clone ? &w->clones : &w->pending);
    snprintf(w->name, sizeof w->name, "%s", p->name);
    snprintf(w->key, sizeof w->key, "%s", p->key);
    w->link = p->link;
    return 0;
}

static struct waiting waiting(struct bench *b)
{
    struct waiting w = {0};
    assert_int_equal(registry_pendings(b->r, note_waiting, &w), 0);
    return w;
}

static void held_clones_are_bounded_and_forgotten(void **state)
{
    struct bench *b = *state;
    struct machine *m = join_web01(b);
    struct hail h = {.key = KEY_A, .name = "web01", .start = "c"};
    char start[8];
    h.start = start;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(start, sizeof start, "c%u", i);
        h.wire = i + 1;
        expect(hold_clone(b, h), REGISTRY_HELD, NULL);
    }
    h.wire = 6;
    expect(hold_clone(b, h), REGISTRY_HELD, NULL); /* c2 again over a new link */
    assert_int_equal(b->w[3].dropped, 1);
    assert_int_equal(waiting(b).clones, 3);
    snprintf(start, sizeof start, "c9");
    expect(hold_clone(b, h), REGISTRY_REFUSED, "busy");
    registry_gone(b->r, &b->w[1].link, "bye", 1001);
    assert_int_equal(waiting(b).clones, 2);
    assert_int_equal(registry_rename(b->r, "web01", "db01", NULL), 0);
    assert_string_equal(waiting(b).name, "db01");
    assert_int_equal(registry_revoke(b->r, "db01"), 0);
    m = NULL;
    assert_int_equal(waiting(b).clones, 0);
    assert_string_equal(b->w[6].code, "revoked");
    assert_string_equal(b->w[2].code, "revoked");
    (void)m;
}

/* --- approval --- */

static void pending_and_approved(void **state)
{
    struct bench *b = *state;
    struct errmsg err = {""};
    struct registry_answer a = hail(b, (struct hail){.key = KEY_A, .name = "web01"});
    expect(a, REGISTRY_HELD, NULL);
    assert_non_null(strstr(a.text, "multissh-hub approve web01 " KEY_A));
    assert_null(registry_find(b->r, "web01"));
    assert_int_equal(registry_approve(b->r, "web01", KEY_B, &err), -ENOENT);
    assert_int_equal(registry_approve(b->r, "web01", "SHA256:short", &err), -EINVAL);
    assert_int_equal(registry_approve(b->r, "-bad-", KEY_A, &err), -EINVAL);
    assert_int_equal(b->n_approved, 0);
    assert_int_equal(registry_approve(b->r, "web1", KEY_A, &err), 0); /* under another name than it wanted */
    assert_int_equal(b->n_approved, 1);
    assert_ptr_equal(b->approved[0], &b->w[0].link);
    assert_int_equal(waiting(b).pending, 0);
    a = hail(b, (struct hail){.key = KEY_A, .name = "web01"});
    expect(a, REGISTRY_WELCOME, NULL);
    assert_string_equal(a.machine->name, "web1");
    /* Again: done already. Another key for the name: no. */
    assert_int_equal(registry_approve(b->r, "web1", KEY_A, &err), 0);
    expect(hail(b, (struct hail){.key = KEY_B, .name = "other", .wire = 1}), REGISTRY_HELD, NULL);
    assert_int_equal(registry_approve(b->r, "WEB1", KEY_B, &err), -EEXIST);
    assert_non_null(strstr(err.text, KEY_A));
}

static void approved_while_away(void **state)
{
    struct bench *b = *state;
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01"}), REGISTRY_HELD, NULL);
    registry_gone(b->r, &b->w[0].link, "away", 1001);
    assert_int_equal(waiting(b).pending, 1);
    assert_null(waiting(b).link);
    assert_int_equal(registry_approve(b->r, "web01", KEY_A, NULL), 0);
    assert_int_equal(b->n_approved, 0);
    close_registry(b); /* remembered across a restart too */
    open_registry(b);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01"}), REGISTRY_WELCOME, NULL);
}

static void note_closed(struct link *link, void *arg)
{
    struct bench *b = arg;
    registry_gone(b->r, link, "expired", 1); /* as a close that answers at once would */
    b->approved[b->n_approved++] = link;
}

static void pending_is_capped_and_expires(void **state)
{
    struct bench *b = *state;
    char key[64];
    for (unsigned i = 0; i < 3; i++) {
        snprintf(key, sizeof key, "%.*s%u", 49, KEY_A, i);
        expect(hail(b, (struct hail){.key = key, .name = "web01", .wire = i, .at = 1000 + i}), REGISTRY_HELD,
               NULL);
    }
    expect(hail(b, (struct hail){.key = KEY_B, .name = "late", .wire = 4}), REGISTRY_REFUSED, "full");
    /* One who waits may connect again; the old connection goes. */
    expect(hail(b, (struct hail){.key = key, .name = "web02", .wire = 5}), REGISTRY_HELD, NULL);
    assert_int_equal(b->w[2].dropped, 1);
    assert_string_equal(waiting(b).name, "web02");
    /* One who went away makes room. */
    registry_gone(b->r, &b->w[1].link, "away", 1003);
    expect(hail(b, (struct hail){.key = KEY_B, .name = "late", .wire = 4, .at = 1010}), REGISTRY_HELD, NULL);
    assert_int_equal(waiting(b).pending, 3);
    registry_expire(b->r, 1059, note_closed, b);
    assert_int_equal(b->n_approved, 0);
    registry_expire(b->r, 1062, note_closed, b);
    assert_int_equal(b->n_approved, 2);
    assert_ptr_equal(b->approved[0], &b->w[0].link);
    assert_ptr_equal(b->approved[1], &b->w[5].link);
    registry_expire(b->r, 1070, note_closed, b);
    assert_int_equal(b->n_approved, 3);
    assert_int_equal(waiting(b).pending, 0);
}

static void machines_max(void **state)
{
    struct bench *b = *state;
    char token[32];
    b->limits.machines_max = 1;
    registry_set_limits(b->r, &b->limits);
    join_web01(b);
    invite(b, "", 2, 5000, token);
    expect(hail(b, (struct hail){.key = KEY_B, .name = "web02", .token = token, .wire = 1}), REGISTRY_REFUSED,
           "full");
    expect(hail(b, (struct hail){.key = "user:alice", .name = "nas", .wire = 1}), REGISTRY_REFUSED, "full");
    expect(hail(b, (struct hail){.key = KEY_C, .name = "web03", .wire = 2}), REGISTRY_HELD, NULL);
    assert_int_equal(registry_approve(b->r, "web03", KEY_C, NULL), -ENOSPC);
    b->limits.machines_max = 2;
    registry_set_limits(b->r, &b->limits);
    expect(hail(b, (struct hail){.key = KEY_B, .name = "web02", .token = token, .wire = 1}), REGISTRY_WELCOME,
           NULL);
}

/* --- names --- */

static void revoked(void **state)
{
    struct bench *b = *state;
    join_web01(b);
    assert_int_equal(registry_revoke(b->r, "nobody"), -ENOENT);
    assert_int_equal(registry_revoke(b->r, "WEB01"), 0);
    assert_string_equal(b->w[0].code, "revoked");
    assert_null(registry_find(b->r, "web01"));
    assert_int_equal(registry_count(b->r, false), 0);
    assert_int_equal(registry_count(b->r, true), 0);
    registry_gone(b->r, &b->w[0].link, "revoked", 1100);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .wire = 1}), REGISTRY_HELD, NULL);
    close_registry(b);
    open_registry(b);
    assert_int_equal(registry_count(b->r, false), 0);
}

static void rename_online(void **state)
{
    struct bench *b = *state;
    struct errmsg err = {""};
    char token[32];
    struct machine *m = join_web01(b);
    invite(b, "aaa", 1, 5000, token);
    expect(hail(b, (struct hail){.key = KEY_B, .name = "aaa", .token = token, .wire = 1}), REGISTRY_WELCOME,
           NULL);
    assert_int_equal(registry_rename(b->r, "nobody", "x1", &err), -ENOENT);
    assert_int_equal(registry_rename(b->r, "web01", "AAA", &err), -EEXIST);
    assert_int_equal(registry_rename(b->r, "web01", "no dots.", &err), -EINVAL);
    assert_int_equal(b->w[0].renamed, 0);
    assert_int_equal(registry_rename(b->r, "web01", "Web01", &err), 0);
    assert_string_equal(m->name, "Web01");
    assert_int_equal(registry_rename(b->r, "web01", "A0", &err), 0);
    assert_ptr_equal(registry_find(b->r, "a0"), m);
    assert_null(registry_find(b->r, "web01"));
    assert_int_equal(b->w[0].renamed, 2);
    assert_string_equal(b->w[0].name, "A0");
    assert_ptr_equal(registry_by_link(b->r, &b->w[0].link), m);
    assert_int_equal(b->w[0].dropped, 0);
}

static int note_name(struct machine *m, void *arg)
{
    return buf_appendf(arg, "%s ", m->name);
}

static void natural_order(void **state)
{
    struct bench *b = *state;
    static const char *const names[] = {"n10", "Zeta", "n9",       "alpha",   "n1",
                                        "N2",  "n01",  "web-2-10", "web-2-9", "n1a"};
    struct buf text;
    buf_init(&text, 200);
    for (size_t i = 0; i < COUNT(names); i++)
        expect(hail(b, (struct hail){.key = "user:alice", .name = names[i], .wire = 0}), REGISTRY_WELCOME,
               NULL);
    registry_each(b->r, note_name, &text);
    assert_string_equal(buf_str(&text), "alpha n01 n1 n1a N2 n9 n10 web-2-9 web-2-10 Zeta ");
    registry_rename(b->r, "n10", "a1", NULL);
    registry_revoke(b->r, "n9");
    buf_clear(&text);
    registry_each(b->r, note_name, &text);
    assert_string_equal(buf_str(&text), "a1 alpha n01 n1 n1a N2 web-2-9 web-2-10 Zeta ");
    close_registry(b);
    open_registry(b);
    buf_clear(&text);
    registry_each(b->r, note_name, &text);
    assert_string_equal(buf_str(&text), "a1 alpha n01 n1 n1a N2 web-2-9 web-2-10 Zeta ");
    buf_release(&text);
}

static void publishers(void **state)
{
    struct bench *b = *state;
    struct registry_answer a = hail(b, (struct hail){.key = "user:alice", .name = "nas"});
    expect(a, REGISTRY_WELCOME, NULL);
    assert_string_equal(a.machine->holder, "user:alice");
    /* The same user again, from elsewhere: at once, and never a clone. */
    for (unsigned i = 1; i < 6; i++)
        expect(hail(b, (struct hail){.key = "user:alice", .name = "nas", .wire = i}), REGISTRY_WELCOME, NULL);
    assert_int_equal(b->w[4].dropped, 1);
    expect(hail(b, (struct hail){.key = "user:bob", .name = "nas", .wire = 6}), REGISTRY_REFUSED,
           "name-taken");
    expect(hail(b, (struct hail){.key = "user:alice", .name = "nas-2", .wire = 6}), REGISTRY_WELCOME, NULL);
    assert_int_equal(registry_count(b->r, true), 2);
    join_web01(b);
    expect(hail(b, (struct hail){.key = "user:alice", .name = "web01", .wire = 7}), REGISTRY_REFUSED,
           "name-taken");
    expect(hail(b, (struct hail){.key = KEY_B, .name = "nas", .wire = 7}), REGISTRY_REFUSED, "name-taken");
}

/* --- what a machine says of itself --- */

#define HELLO(more) "{\"protocol\":1,\"start_id\":\"s1\"" more "}"

/* Neither the name nor the invitation has moved, and both can later. */
static void a_move_that_the_disk_refuses(void **state)
{
    struct bench *b = *state;
    struct machine *m = join_web01(b);
    char token[32];
    sqlite3 *db = NULL;
    invite(b, "web01", 1, 5000, token);
    assert_int_equal(store_flush(b->store), 0);
    assert_int_equal(sqlite3_open(b->scratch.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    expect(hail(b, (struct hail){.key = KEY_B, .name = "web01", .token = token, .wire = 1}), REGISTRY_REFUSED,
           "busy");
    sqlite3_close(db);
    assert_string_equal(m->holder, KEY_A);
    assert_ptr_equal(m->link, &b->w[0].link);
    assert_ptr_equal(registry_own(b->r, KEY_A, "other"), m);
    assert_null(registry_own(b->r, KEY_B, "other"));
    expect(hail(b, (struct hail){.key = KEY_B, .name = "web01", .token = token, .wire = 1}), REGISTRY_WELCOME,
           NULL);
    assert_ptr_equal(registry_own(b->r, KEY_B, "other"), m);
    assert_null(registry_own(b->r, KEY_A, "other"));
}

static void bounds_of_a_hello(void **state)
{
    struct bench *b = *state;
    static const char *const bad[] = {
        "{\"start_id\":\"s1\"}",
        "{\"protocol\":2,\"start_id\":\"s1\"}",
        "{\"protocol\":1}",
        "{\"protocol\":1,\"start_id\":\"\"}",
        "{\"protocol\":1,\"start_id\":\"a b\"}",
        "{\"protocol\":1,\"start_id\":7}",
        "{\"protocol\":1,\"start_id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
        HELLO(",\"os\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""),
        HELLO(",\"os\":\"a\\u001bb\""),
        HELLO(",\"os\":\"\xc3\xa4\""),
        HELLO(",\"os\":null"),
        HELLO(",\"version\":1"),
        HELLO(",\"ssh\":\"Open SSH\""),
        HELLO(",\"ssh_state\":\"ok\\n\""),
        HELLO(",\"ssh_reason\":\"a\\u001b[31m\""),
        HELLO(",\"ssh_target\":\"a b:22\""),
        HELLO(",\"ssh_target\":\"x:99999\""),
        HELLO(",\"host_keys\":\"" KEY_ED25519 "\""),
        HELLO(",\"host_keys\":[1]"),
        HELLO(",\"host_keys\":[\"\"]"),
        HELLO(",\"host_keys\":[\"" KEY_ED25519 " comment\"]"),
        HELLO(",\"host_keys\":[\"" KEY_ED25519 "\\nevil ssh-ed25519 AAAA\"]"),
        HELLO(",\"host_keys\":[\"" KEY_LIES "\"]"),
        HELLO(",\"host_keys\":[\"" KEY_CERT "\"]"),
        HELLO(",\"labels\":[]"),
        HELLO(",\"labels\":{\"a\":1}"),
        HELLO(",\"labels\":{\"\":\"x\"}"),
        HELLO(",\"labels\":{\"a\":\"\\u0007\"}"),
        HELLO(",\"labels\":{\"a\":\"\\u009b2J\"}"),
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct registry_answer a = hail(b, (struct hail){.key = KEY_A, .name = "web01", .json = bad[i]});
        if (a.verdict != REGISTRY_REFUSED || strcmp(a.code, "bad-hello") != 0)
            fail_msg("taken: %s", bad[i]);
    }
    assert_int_equal(waiting(b).pending, 0);
    expect(hail(b, (struct hail){.key = KEY_A, .name = "-no-", .json = HELLO("")}), REGISTRY_REFUSED,
           "bad-hello");
    expect(hail(b, (struct hail){.key = KEY_A, .name = "web01", .json = HELLO("")}), REGISTRY_HELD, NULL);
    expect(hail(b, (struct hail){.key = KEY_A,
                                 .name = "web01",
                                 .json = HELLO(",\"unknown\":[[1]],\"ssh\":\"from-the-future\"")}),
           REGISTRY_HELD, NULL);
}

/* As many and as long as they may be, and one more. */
static void most_of_everything(void **state)
{
    struct bench *b = *state;
    struct machine *m = join_web01(b);
    cJSON *o = cJSON_CreateObject(), *keys = cJSON_AddArrayToObject(o, "host_keys"),
          *labels = cJSON_AddObjectToObject(o, "labels");
    char name[16], value[60];
    for (int i = 0; i < 8; i++)
        cJSON_AddItemToArray(keys, cJSON_CreateString(KEY_RSA2048));
    char reason[302];
    memset(reason, '\\', 300);
    reason[300] = '\0';
    cJSON_AddStringToObject(o, "ssh_reason", reason);
    memset(value, '"', 40); /* what needs an escape in JSON */
    value[40] = '\0';
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "l%d", i);
        cJSON_AddStringToObject(labels, name, value);
    }
    registry_state(b->r, m, o);
    assert_int_equal(m->n_host_keys, 8);
    assert_non_null(strstr(m->labels, "l15"));
    close_registry(b);
    open_registry(b);
    m = registry_find(b->r, "web01");
    assert_int_equal(m->n_host_keys, 8);
    assert_non_null(strstr(m->labels, "l15"));
    assert_string_equal(m->ssh_reason, reason);
    memcpy(reason + 300, "x", 2);
    cJSON_SetValuestring(cJSON_GetObjectItemCaseSensitive(o, "ssh_reason"), reason);
    cJSON_AddItemToArray(keys, cJSON_CreateString(KEY_ED25519));
    cJSON_AddStringToObject(labels, "l16", "x");
    registry_state(b->r, m, o);
    assert_int_equal(m->n_host_keys, 8);
    assert_null(strstr(m->labels, "l16"));
    assert_int_equal(strlen(m->ssh_reason), 300);
    cJSON_Delete(o);
}

static void later_states(void **state)
{
    struct bench *b = *state;
    struct machine *m = join_web01(b);
    cJSON *o = NULL;
    static const char text[] =
        "{\"ssh_state\":\"refused\",\"os\":7,\"version\":\"\\u001b\",\"host_keys\":[\"" KEY_P256 "\"]}";
    assert_int_equal(json_parse(text, strlen(text), 16384, &o), 0);
    registry_state(b->r, m, o);
    cJSON_Delete(o);
    assert_string_equal(m->ssh_state, "refused");
    assert_string_equal(m->os, "linux"); /* unfit or absent: as before */
    assert_string_equal(m->version, "0.1.0");
    assert_string_equal(m->host_keys[0], KEY_P256);
    registry_gone(b->r, &b->w[0].link, "bye\x1b[31m now", 1500);
    assert_null(strchr(m->reason, '\x1b'));
    close_registry(b);
    open_registry(b);
    m = registry_find(b->r, "web01");
    assert_null(m->link);
    assert_int_equal(m->since_s, 1500);
    assert_string_equal(m->reason, "bye?[31m now");
    assert_string_equal(m->ssh_state, "refused");
    assert_string_equal(m->os, "linux");
    assert_string_equal(m->source, "192.0.2.1");
    assert_string_equal(m->host_keys[0], KEY_P256);
}

/* The hub dies while machines are online: when it is back they were last seen when it last lived. */
static void last_seen_after_a_crash(void **state)
{
    struct bench *b = *state;
    join_web01(b);
    registry_expire(b->r, 5000, NULL, NULL);
    registry_expire(b->r, 5059, NULL, NULL);
    store_flush(b->store);
    close_registry(b); /* nobody said registry_gone */
    open_registry(b);
    struct machine *m = registry_find(b->r, "web01");
    assert_int_equal(m->since_s, 5000);
    assert_string_equal(m->reason, "the hub was stopped");
}

/* --- many --- */

/* 50,000 names are loaded, and all come online and go again, in little time. The leases are put into the file
 * by SQL: each through the store would be synced to the disk. */
static void many_machines(void **state)
{
    struct bench *b = *state;
    enum { MACHINES = 50000 };
    sqlite3 *db;
    char name[20], holder[24];
    struct registry_answer a;
    b->limits.machines_max = MACHINES;
    close_registry(b);
    assert_int_equal(sqlite3_open(b->scratch.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < "
                                  "49999) INSERT INTO lease "
                                  "SELECT 'm' || i, 'user:' || i, 1, 1, 'gone', '{}' FROM n",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    uint64_t start = clock_now_ms();
    open_registry(b);
    assert_int_equal(registry_count(b->r, false), MACHINES);
    struct wire *wires = calloc(MACHINES, sizeof *wires);
    for (unsigned i = 0; i < MACHINES; i++) {
        wires[i].link.ops = &wire_ops;
        snprintf(name, sizeof name, "m%u", i);
        snprintf(holder, sizeof holder, "user:%u", i);
        struct registry_hello h = {
            .key = holder, .source = "192.0.2.1", .name = name, .link = &wires[i].link};
        registry_hello(b->r, &h, 1000, &a);
        expect(a, REGISTRY_WELCOME, NULL);
    }
    assert_int_equal(registry_count(b->r, true), MACHINES);
    for (unsigned i = 0; i < MACHINES; i++)
        registry_gone(b->r, &wires[i].link, "gone", 2000);
    assert_int_equal(registry_count(b->r, true), 0);
    store_flush(b->store);
    free(wires);
    assert_true(clock_now_ms() - start < 30000); /* 1 or 2 s; anything quadratic would take minutes */
}

static bool same_pointer(const void *value, const void *arg)
{
    return value == arg;
}

/* The index against a plain array, through growth and removals in every order. */
static void the_index(void **state)
{
    (void)state;
    enum { N = 5000 };
    static char things[N];
    bool in[N] = {false};
    struct hashmap h;
    hashmap_init(&h);
    hashmap_release(&h);
    assert_null(hashmap_find(&h, 1, same_pointer, things));
    uint32_t random = 12345;
    for (unsigned step = 0; step < 40000; step++) {
        random = random * 1664525 + 1013904223;
        unsigned i = (random >> 8) % N;
        uint64_t hash = i % 97 == 0 ? 42 : hashmap_hash_ptr(&things[i]); /* some share one hash */
        if (in[i])
            hashmap_remove(&h, hash, &things[i]);
        else
            assert_int_equal(hashmap_add(&h, hash, &things[i]), 0);
        in[i] = !in[i];
        if (step % 1000 != 0)
            continue;
        size_t n = 0;
        for (unsigned k = 0; k < N; k++) {
            hash = k % 97 == 0 ? 42 : hashmap_hash_ptr(&things[k]);
            assert_int_equal(hashmap_find(&h, hash, same_pointer, &things[k]) != NULL, in[k]);
            n += in[k];
        }
        assert_int_equal(h.used, n);
    }
    assert_true(hashmap_hash_str("Web01", true) == hashmap_hash_str("wEB01", true));
    assert_true(hashmap_hash_str("Web01", false) != hashmap_hash_str("wEB01", false));
    hashmap_release(&h);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(joins_by_invitation),
        CASE(bad_tokens),
        CASE(invitations_for_many),
        CASE(invitation_moves_the_lease),
        CASE(another_key_is_refused),
        CASE(same_instance_reconnects),
        CASE(restarted_agent_takes_over),
        CASE(the_hub_knows_the_name_better),
        CASE(clones),
        CASE(a_dead_replacement_gives_way),
        CASE(many_instances),
        CASE(held_clones_are_bounded_and_forgotten),
        CASE(pending_and_approved),
        CASE(approved_while_away),
        CASE(pending_is_capped_and_expires),
        CASE(machines_max),
        CASE(revoked),
        CASE(rename_online),
        CASE(natural_order),
        CASE(publishers),
        CASE(a_move_that_the_disk_refuses),
        CASE(bounds_of_a_hello),
        CASE(most_of_everything),
        CASE(later_states),
        CASE(last_seen_after_a_crash),
        CASE(many_machines),
        cmocka_unit_test(the_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
