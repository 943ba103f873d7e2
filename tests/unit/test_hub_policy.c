/* authorized_users and who. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "hub/policy.h"
#include "hub/who.h"
#include "hub_keys_samples.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct complaints {
    unsigned n, line[8];
    char text[8][300];
};

static void complain(unsigned line, const char *text, void *arg)
{
    struct complaints *c = arg;
    if (c->n < 8) {
        c->line[c->n] = line;
        snprintf(c->text[c->n], sizeof c->text[0], "%s", text);
    }
    c->n++;
}

static struct policy *parse(const char *text, struct complaints *c)
{
    struct policy *p = NULL;
    memset(c, 0, sizeof *c);
    assert_int_equal(policy_parse(text, strlen(text), complain, c, &p), 0);
    assert_non_null(p);
    return p;
}

static const struct policy_user *find(const struct policy *p, const char *key)
{
    return policy_find(p, key, "192.0.2.1", 1000, NULL);
}

static void every_key_type(void **state)
{
    (void)state;
    static const char *const keys[][2] = {
        {KEY_ED25519, KEY_ED25519_FP}, {KEY_P256, KEY_P256_FP},       {KEY_P384, KEY_P384_FP},
        {KEY_P521, KEY_P521_FP},       {KEY_RSA2048, KEY_RSA2048_FP}, {KEY_SK_ED25519, KEY_SK_ED25519_FP},
        {KEY_SK_P256, KEY_SK_P256_FP},
    };
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct complaints c;
        char text[2000];
        snprintf(text, sizeof text, "alice machines=\"*\" %s alice at home\n", keys[i][0]);
        struct policy *p = parse(text, &c);
        assert_int_equal(c.n, 0);
        const struct policy_user *u = find(p, keys[i][0]);
        assert_non_null(u);
        assert_string_equal(u->name, "alice");
        assert_string_equal(u->key, keys[i][0]);
        assert_string_equal(u->fingerprint, keys[i][1]);
        policy_free(p);
    }
}

/* One line that is broken, between two that are not. */
static void check_broken(const char *line, const char *word)
{
    struct complaints c;
    size_t size = strlen(line) + 2000;
    char *text = malloc(size);
    assert_non_null(text);
    snprintf(text, size, "alice machines=\"*\" " KEY_ED25519 "\n%s\nbob " KEY_P256 "\n", line);
    struct policy *p = parse(text, &c);
    if (c.n != 1 || strstr(c.text[0], word) == NULL)
        fail_msg("%.100s: %u complaints, \"%s\" (wanted: %s)", line, c.n, c.text[0], word);
    assert_int_equal(c.line[0], 2);
    assert_int_equal(policy_count(p), 2);
    assert_non_null(find(p, KEY_ED25519));
    assert_non_null(find(p, KEY_P256));
    policy_free(p);
    free(text);
}

static void broken_lines(void **state)
{
    (void)state;
    check_broken("eve " KEY_RSA1024, "1024 bits");
    check_broken("eve " KEY_DSA, "too weak");
    check_broken("eve " KEY_CERT, "certificates");
    check_broken("eve " KEY_LONG, "damaged");
    check_broken("eve " KEY_SHORT, "damaged");
    check_broken("eve " KEY_LIES, "not the ssh-ed25519 key");
    check_broken("eve ssh-ed25519 AAAA", "not the ssh-ed25519 key");
    check_broken("eve ssh-ed25519 !!!!", "base64");
    check_broken("eve ssh-ed25519", "missing");
    check_broken("eve", "missing");
    check_broken("eve nonsense", "nonsense");
    check_broken("eve machines=\"*\"", "missing");
    check_broken("eve machines=\"*\",cert-authority " KEY_P384, "cert-authority");
    check_broken("eve command=\"x\" " KEY_P384, "command");
    check_broken("eve admin,,machines=\"*\" " KEY_P384, "missing between commas");
    check_broken("eve admin=\"yes\" " KEY_P384, "no value");
    check_broken("eve machines=* " KEY_P384, "double quotes");
    check_broken("eve machines " KEY_P384, "needs a value");
    check_broken("eve machines=\"* " KEY_P384, "double quotes");
    check_broken("eve machines=\"\" " KEY_P384, "not a list");
    check_broken("eve machines=\"a b\" " KEY_P384, "not a list");
    check_broken("eve machines=\"a\",machines=\"b\" " KEY_P384, "twice");
    check_broken("eve machines=\"a\"x " KEY_P384, "comma or a blank");
    check_broken("eve from=\"not/a/cidr\" " KEY_P384, "not a list of IP");
    check_broken("eve expiry-time=\"tomorrow\" " KEY_P384, "not a time");
    check_broken("-eve " KEY_P384, "not a user name");
    check_broken("eve,,x " KEY_P384, "not a user name");
    check_broken("e\tve " KEY_P384, "neither a key type nor an option");
}

static void long_lines_and_nul(void **state)
{
    (void)state;
    char *line = malloc(POLICY_LINE_MAX + 200);
    memset(line, 'x', POLICY_LINE_MAX + 100);
    memcpy(line, "eve " KEY_P384 " ", strlen("eve " KEY_P384 " "));
    line[POLICY_LINE_MAX + 1] = '\0';
    check_broken(line, "longer than");
    line[POLICY_LINE_MAX] = '\0'; /* exactly as long as it may be: a long comment */
    struct complaints c;
    struct policy *p = parse(line, &c);
    assert_int_equal(c.n, 0);
    assert_non_null(find(p, KEY_P384));
    policy_free(p);
    free(line);
    static const char nul[] = "eve " KEY_P384 " \0\nbob " KEY_P256 "\n";
    memset(&c, 0, sizeof c);
    assert_int_equal(policy_parse(nul, sizeof nul - 1, complain, &c, &p), 0);
    assert_int_equal(c.n, 1);
    assert_non_null(find(p, KEY_P256));
    policy_free(p);
    p = NULL;
    assert_int_equal(policy_parse("", POLICY_TEXT_MAX + 1, NULL, NULL, &p), -EFBIG);
    assert_null(p);
}

static void shapes_of_files(void **state)
{
    (void)state;
    struct complaints c;
    /* A mark at the beginning, CR LF, blanks in front, comments, no end of line at the end, options in any
     * case, several blanks. */
    struct policy *p =
        parse("\xef\xbb\xbf# users\r\n\r\n  \t\r\n  alice,al\tMACHINES=\"web-*\",Admin \t" KEY_ED25519
              "\r\n#bob " KEY_P256 "\r\ncarol " KEY_P384,
              &c);
    assert_int_equal(c.n, 0);
    assert_int_equal(policy_count(p), 2);
    const struct policy_user *u = find(p, KEY_ED25519);
    assert_string_equal(u->name, "alice");
    assert_int_equal(u->line, 4);
    assert_true(u->admin);
    assert_null(find(p, KEY_P256));
    assert_string_equal(find(p, KEY_P384)->name, "carol");
    policy_free(p);
    p = parse("", &c);
    assert_int_equal(policy_count(p), 0);
    assert_null(find(p, KEY_ED25519));
    policy_free(p);
    policy_free(NULL);
}

static bool may(const struct policy_user *u, const char *machine,
                bool (*question)(const struct who *w, const char *machine))
{
    struct who w;
    assert_int_equal(who_from_user(&w, u, "192.0.2.1", true), 0);
    bool yes = question(&w, machine);
    who_release(&w);
    return yes;
}

static void rights(void **state)
{
    (void)state;
    struct complaints c;
    struct policy *p = parse("alice machines=\"web-*,!web-9\",publish=\"alice-*\" " KEY_ED25519 "\n"
                             "root admin " KEY_P256 "\n"
                             "bob " KEY_P384 "\n",
                             &c);
    const struct policy_user *alice = find(p, KEY_ED25519), *root = find(p, KEY_P256),
                             *bob = find(p, KEY_P384);
    assert_true(may(alice, "web-1", who_may_reach));
    assert_true(may(alice, "WEB-1", who_may_reach));
    assert_false(may(alice, "web-9", who_may_reach));
    assert_false(may(alice, "db-1", who_may_reach));
    assert_true(may(alice, "alice-nas", who_may_publish));
    assert_false(may(alice, "web-1", who_may_publish));
    assert_true(may(root, "db-1", who_may_reach));
    assert_false(may(root, "db-1", who_may_publish));
    assert_false(may(bob, "web-1", who_may_reach));
    assert_false(may(bob, "web-1", who_may_publish));
    policy_free(p);
}

static void conditions(void **state)
{
    (void)state;
    struct complaints c;
    const char *why = NULL;
    /* The same key three times: the first line whose conditions hold counts. */
    struct policy *p =
        parse("bob " KEY_P256 "\n"
              "a1 expiry-time=\"19700101000500Z\" " KEY_ED25519 "\n"
              "a2 from=\"198.51.100.0/24,!198.51.100.7\",expiry-time=\"19700101001000Z\" " KEY_ED25519 "\n"
              "a3 from=\"2001:db8::/32\" " KEY_ED25519 " last\n",
              &c);
    assert_int_equal(c.n, 0);
    assert_string_equal(policy_find(p, KEY_ED25519, "198.51.100.1", 299, &why)->name, "a1");
    assert_string_equal(policy_find(p, KEY_ED25519, "198.51.100.1", 300, &why)->name, "a2");
    assert_null(policy_find(p, KEY_ED25519, "198.51.100.7", 300, &why));
    assert_non_null(strstr(why, "address"));
    assert_null(policy_find(p, KEY_ED25519, "198.51.100.1", 600, &why));
    assert_string_equal(policy_find(p, KEY_ED25519, "2001:db8::5", 600, &why)->name, "a3");
    assert_null(policy_find(p, KEY_P521, "198.51.100.1", 1, &why));
    assert_non_null(strstr(why, "authorized_users"));
    policy_free(p);
    p = parse("a expiry-time=\"19700101000500Z\" " KEY_ED25519 "\n", &c);
    assert_null(policy_find(p, KEY_ED25519, "192.0.2.1", 300, &why));
    assert_non_null(strstr(why, "expiry"));
    policy_free(p);
}

static int count_user(const struct policy_user *u, void *arg)
{
    unsigned *n = arg;
    ++*n;
    return u->line == 3 ? 77 : 0;
}

static void each_in_order(void **state)
{
    (void)state;
    struct complaints c;
    unsigned n = 0;
    struct policy *p = parse("a " KEY_P256 "\nb " KEY_P384 "\nc " KEY_P521 "\nd " KEY_ED25519 "\n", &c);
    assert_int_equal(policy_each(p, count_user, &n), 77);
    assert_int_equal(n, 3);
    policy_free(p);
}

/* 10,000 users, made by changing the key's last bytes: looked up each one, in little time. */
static void many_users(void **state)
{
    (void)state;
    enum { USERS = 10000 };
    const size_t size = strlen(KEY_ED25519);
    const size_t text_size = USERS * (size + 40);
    char *text = malloc(text_size), key[200], name[16];
    size_t at = 0;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(key, sizeof key, "%s", KEY_ED25519);
        for (unsigned k = 0; k < 4; k++)
            key[size - 6 + k] = digits[(i >> 5 * k) & 31];
        at += (size_t)snprintf(text + at, text_size - at, "u%u machines=\"*\" %s\n", i, key);
    }
    struct policy *p = NULL;
    uint64_t start = clock_now_ms();
    assert_int_equal(policy_parse(text, at, NULL, NULL, &p), 0);
    assert_int_equal(policy_count(p), USERS);
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(key, sizeof key, "%s", KEY_ED25519);
        for (unsigned k = 0; k < 4; k++)
            key[size - 6 + k] = digits[(i >> 5 * k) & 31];
        snprintf(name, sizeof name, "u%u", i);
        assert_string_equal(find(p, key)->name, name);
    }
    assert_true(clock_now_ms() - start < 10000); /* some 100 ms; a search line by line would take minutes */
    policy_free(p);
    free(text);
}

/* Whatever the file holds, the parser comes back, and a good last line is in force. */
static void damaged_files(void **state)
{
    (void)state;
    static const char good[] = "alice machines=\"web\\\"-*\",from=\"10.0.0.0/8\",admin " KEY_ED25519 " c\n";
    for (size_t cut = 0; cut < sizeof good; cut++) {
        for (unsigned flip = 0; flip < 256; flip += 5) {
            char text[sizeof good + 400];
            memcpy(text, good, sizeof good);
            text[cut] = (char)(text[cut] ^ flip);
            memcpy(text + sizeof good - 1, "\nbob " KEY_P256, sizeof "\nbob " KEY_P256);
            struct policy *p = NULL;
            assert_int_equal(policy_parse(text, sizeof good - 1 + strlen("\nbob " KEY_P256), NULL, NULL, &p),
                             0);
            assert_string_equal(find(p, KEY_P256)->name, "bob");
            policy_free(p);
        }
    }
}

/* The rights of a name and what a ticket says of its key. */
static void by_name(void **state)
{
    (void)state;
    struct complaints c;
    uint8_t ed[TICKET_USER_KEY_SIZE], p256[TICKET_USER_KEY_SIZE], p384[TICKET_USER_KEY_SIZE],
        p521[TICKET_USER_KEY_SIZE];
    assert_int_equal(ticket_user_key(KEY_ED25519, ed), 0);
    assert_int_equal(ticket_user_key(KEY_P256, p256), 0);
    assert_int_equal(ticket_user_key(KEY_P384, p384), 0);
    assert_int_equal(ticket_user_key(KEY_P521, p521), 0);
    struct policy *p = parse("alice machines=\"db-*\",expiry-time=\"19700101000500Z\" " KEY_ED25519 "\n"
                             "alice machines=\"web-*,!web-9\",from=\"198.51.100.0/24\" " KEY_P256 "\n"
                             "bob publish=\"web-*\" " KEY_P384 "\nroot admin " KEY_P521 "\n",
                             &c);
    assert_int_equal(policy_may(p, "alice", "198.51.100.1", "web-1", 0, p256)->line, 2);
    assert_int_equal(policy_may(p, "alice", NULL, "web-1", 0, p256)->line, 2);
    assert_null(policy_may(p, "alice", "192.0.2.1", "web-1", 0, p256));
    assert_null(policy_may(p, "alice", "198.51.100.1", "web-9", 0, p256));
    assert_int_equal(policy_may(p, "alice", "192.0.2.1", "db-1", 299, ed)->line, 1);
    assert_null(policy_may(p, "alice", "192.0.2.1", "db-1", 300, ed));
    assert_null(policy_may(p, "alice", NULL, "mail-1", 0, ed));
    assert_null(policy_may(p, "bob", NULL, "web-1", 0, p384)); /* to publish is not to use */
    assert_int_equal(policy_may(p, "root", "192.0.2.1", "web-9", 0, p521)->line, 4);
    assert_null(policy_may(p, "Alice", NULL, "web-1", 0, p256));
    assert_null(policy_may(p, "", NULL, "web-1", 0, p256));
    /* One key of a name is not the other. */
    assert_null(policy_may(p, "alice", "198.51.100.1", "web-1", 0, ed));
    assert_null(policy_may(p, "alice", "192.0.2.1", "db-1", 299, p256));
    assert_null(policy_may(p, "root", "192.0.2.1", "web-9", 0, ed));
    policy_free(p);
}

static void who_copies(void **state)
{
    (void)state;
    struct complaints c;
    struct who w;
    struct policy *p =
        parse("alice machines=\"web-*\",publish=\"a-*\" " KEY_ED25519 "\nroot admin " KEY_P256 "\n", &c);
    assert_int_equal(who_from_user(&w, find(p, KEY_ED25519), "192.0.2.1", true), 0);
    struct who root, capped, local;
    assert_int_equal(who_from_user(&root, find(p, KEY_P256), "192.0.2.2", true), 0);
    assert_int_equal(who_from_user(&capped, find(p, KEY_P256), "192.0.2.2", false), 0);
    policy_free(p); /* they stay valid */
    assert_string_equal(w.name, "alice");
    assert_string_equal(w.key, KEY_ED25519);
    assert_string_equal(w.fingerprint, KEY_ED25519_FP);
    assert_string_equal(w.source, "192.0.2.1");
    assert_true(who_may_reach(&w, "web-1"));
    assert_false(who_may_reach(&w, "db-1"));
    assert_true(who_may_publish(&w, "a-1"));
    assert_false(w.admin || w.local);
    assert_true(root.admin);
    assert_true(who_may_reach(&root, "db-1"));
    assert_false(who_may_publish(&root, "db-1"));
    assert_false(capped.admin); /* the commands are taken away, the machines are not */
    assert_true(who_may_reach(&capped, "db-1"));
    who_local(&local);
    assert_true(local.admin && local.local);
    assert_true(who_may_reach(&local, "db-1"));
    assert_false(who_may_publish(&local, "db-1"));
    who_release(&w);
    who_release(&root);
    who_release(&capped);
    who_release(&local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_type),
        cmocka_unit_test(broken_lines),
        cmocka_unit_test(long_lines_and_nul),
        cmocka_unit_test(shapes_of_files),
        cmocka_unit_test(rights),
        cmocka_unit_test(conditions),
        cmocka_unit_test(each_in_order),
        cmocka_unit_test(many_users),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(by_name),
        cmocka_unit_test(who_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
