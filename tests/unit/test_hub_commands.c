/* The commands, on a store, a registry, a policy, keys and jumps as the hub has them; no sockets. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "base/log.h"
#include "hub/commands.h"
#include "hub/hub.h"
#include "hub/hub_keys.h"
#include "hub/jumps.h"
#include "hub/words.h"
#include "hub_keys_samples.h"
#include "hub_scratch.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define KEY_A "SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "SHA256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define MESSAGE "This is a message from the remoteServer. Here are all available localServers:\n"

struct wire {
    struct link link;
    char code[16], name[80];
};

static void wire_drop(struct link *l, const char *code, const char *reason)
{
    (void)reason;
    snprintf(((struct wire *)l)->code, 16, "%s", code);
}

static void wire_renamed(struct link *l, const char *name)
{
    snprintf(((struct wire *)l)->name, 80, "%s", name);
}

static const struct link_ops wire_ops = {.kind = "agent", .drop = wire_drop, .renamed = wire_renamed};

struct bench {
    struct scratch scratch;
    uv_loop_t loop;
    struct hub hub;
    struct who alice, admin, local;
    struct wire w[16];
    unsigned n_wires;
    struct commands_result result;
    char *out, *err;
};

static struct bench *current;

/* The SSH host key is the front's business: a file in its place is enough for the hub's own keys to load. */
static void put_host_key(const struct bench *b)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", b->scratch.folder, HUB_KEYS_HOST_KEY);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static int make(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    struct registry_limits limits = {100, 10, 60000};
    struct errmsg err = {""};
    scratch_make(&b->scratch);
    put_host_key(b);
    assert_int_equal(uv_loop_init(&b->loop), 0);
    b->hub.loop = &b->loop;
    snprintf(b->hub.state_dir, sizeof b->hub.state_dir, "%s", b->scratch.folder);
    snprintf(b->hub.public_host, sizeof b->hub.public_host, "hub.example.com");
    snprintf(b->hub.domain, sizeof b->hub.domain, "machines.test");
    b->hub.public_port = 2244;
    static const char users[] =
        "alice machines=\"local*,gone*\",publish=\"a-*\" " KEY_ED25519 "\nboss admin " KEY_P256 "\n";
    if (options_defaults(hub_options_table, hub_options_count, &b->hub.opt) < 0 ||
        store_open(b->scratch.db, &b->hub.store, &err) < 0 ||
        registry_new(b->hub.store, &limits, &b->hub.registry, &err) < 0 ||
        policy_parse(users, strlen(users), NULL, NULL, &b->hub.policy) < 0 ||
        hub_keys_load(b->scratch.folder, "hub.example.com", &b->hub.keys, &err) < 0 ||
        jumps_new(&b->hub, &b->hub.jumps) < 0)
        fail_msg("%s", err.text);
    who_from_user(&b->alice, policy_find(b->hub.policy, KEY_ED25519, "192.0.2.7", 1, NULL), "192.0.2.7",
                  true);
    who_from_user(&b->admin, policy_find(b->hub.policy, KEY_P256, "192.0.2.8", 1, NULL), "192.0.2.8", true);
    who_local(&b->local);
    *state = current = b;
    return 0;
}

static void forget_result(struct bench *b)
{
    commands_result_release(&b->result);
    memset(&b->result, 0, sizeof b->result);
    free(b->out);
    free(b->err);
    b->out = b->err = NULL;
}

static int clean(void **state)
{
    static const char *const files[] = {HUB_KEYS_CA_KEY,          HUB_KEYS_CA_CERT, HUB_KEYS_TLS_KEY,
                                        HUB_KEYS_TLS_CERT,        HUB_KEYS_SECRET,  HUB_KEYS_HOST_KEY,
                                        HUB_KEYS_HOST_KEY ".pub", "config"};
    struct bench *b = *state;
    forget_result(b);
    who_release(&b->alice);
    who_release(&b->admin);
    who_release(&b->local);
    jumps_free(b->hub.jumps);
    registry_free(b->hub.registry);
    store_close(b->hub.store);
    policy_free(b->hub.policy);
    hub_keys_free(b->hub.keys);
    options_release(hub_options_table, hub_options_count, &b->hub.opt);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    for (size_t i = 0; i < COUNT(files); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", b->scratch.folder, files[i]);
        unlink(path);
    }
    scratch_remove(&b->scratch);
    free(b);
    return 0;
}

static char *text_of(const struct buf *b)
{
    char *text = malloc(buf_len(b) + 1);
    memcpy(text, buf_len(b) > 0 ? (const void *)buf_data(b) : "", buf_len(b));
    text[buf_len(b)] = '\0';
    return text;
}

/* Runs a line; current->out and ->err then hold what it printed. Returns the status. */
static int run_wide(const struct who *w, const char *line, unsigned columns)
{
    struct bench *b = current;
    forget_result(b);
    assert_int_equal(commands_run(&b->hub, w, line, columns, &b->result), 0);
    b->out = text_of(&b->result.out);
    b->err = text_of(&b->result.err);
    return b->result.status;
}

static int run(const struct who *w, const char *line)
{
    return run_wide(w, line, 0);
}

static void says(const char *text, const char *word)
{
    if (strstr(text, word) == NULL)
        fail_msg("\"%s\" is not in:\n%s", word, text);
}

static void silent(const char *text, const char *word)
{
    if (strstr(text, word) != NULL)
        fail_msg("\"%s\" is in:\n%s", word, text);
}

/* A machine that has joined; more is appended to its hello. */
static struct machine *join(const char *name, const char *key, const char *more)
{
    struct bench *b = current;
    struct store_invitation inv = {.expires_s = INT64_MAX / 2, .uses_left = 1};
    uint8_t raw[16];
    char token[32], text[2000];
    cJSON *message = NULL;
    struct registry_answer a;
    crypto_random(raw, sizeof raw);
    crypto_sha256(raw, sizeof raw, inv.token_hash);
    snprintf(inv.name, sizeof inv.name, "%s", name);
    assert_int_equal(store_invitation_add(b->hub.store, &inv), 0);
    crypto_b64url_encode(raw, sizeof raw, token, sizeof token);
    snprintf(text, sizeof text,
             "{\"protocol\":1,\"start_id\":\"s\",\"os\":\"linux\",\"arch\":\"x86_64\",\"version\":\"0.1.0\","
             "\"ssh_target\":\"127.0.0.1:22\"%s}",
             more);
    assert_int_equal(json_parse(text, strlen(text), 16384, &message), 0);
    struct wire *w = &b->w[b->n_wires++];
    w->link.ops = &wire_ops;
    struct registry_hello h = {.key = key,
                               .source = "198.51.100.1",
                               .message = message,
                               .name = name,
                               .token = token,
                               .link = &w->link};
    registry_hello(b->hub.registry, &h, clock_wall_s() - 840, &a);
    cJSON_Delete(message);
    if (a.verdict != REGISTRY_WELCOME)
        fail_msg("%s", a.text);
    return a.machine;
}

#define OPENSSH                                                                                              \
    ",\"ssh\":\"openssh\",\"ssh_state\":\"ok\",\"host_keys\":[\"" KEY_ED25519 "\",\"" KEY_P256               \
    "\"],\"host_keys_from\":\"ssh-keyscan\""

static void fleet(void)
{
    join("localServer10", KEY_A, OPENSSH);
    join("localServer2", "SHA256:ccccccccccccccccccccccccccccccccccccccccccc", OPENSSH);
    struct machine *gone = join("gone01", "SHA256:ddddddddddddddddddddddddddddddddddddddddddd", OPENSSH);
    join("secret1", KEY_B, OPENSSH);
    registry_gone(current->hub.registry, gone->link, "keepalive lost", clock_wall_s() - 840);
}

static void bare(void **state)
{
    struct bench *b = *state;
    assert_int_equal(run(&b->alice, ""), 0);
    assert_string_equal(b->out, MESSAGE);
    fleet();
    assert_int_equal(run(&b->alice, "  "), 0);
    assert_string_equal(b->out, MESSAGE "localServer2\nlocalServer10\n");
    assert_string_equal(b->err, "");
    run(&b->admin, "");
    assert_string_equal(b->out, MESSAGE "localServer2\nlocalServer10\nsecret1\n");
}

static void list(void **state)
{
    struct bench *b = *state;
    fleet();
    assert_int_equal(run(&b->alice, "list"), 0);
    assert_string_equal(b->out, "localServer2\nlocalServer10\n");
    run(&b->alice, "list -a");
    assert_string_equal(b->out, "gone01\nlocalServer2\nlocalServer10\n");
    run(&b->alice, "list '*er2'");
    assert_string_equal(b->out, "localServer2\n");
    run(&b->alice, "list '*,!*2'");
    assert_string_equal(b->out, "localServer10\n");
    run(&b->alice, "list localserver2.MACHINES.test localServer10");
    assert_string_equal(b->out, "localServer2\nlocalServer10\n");
    run(&b->alice, "list 'secret*'");
    assert_string_equal(b->out, "");
    assert_int_equal(run(&b->alice, "list a.b"), 2);
    assert_int_equal(run(&b->alice, "list -l --json"), 2);
    assert_int_equal(run(&b->alice, "list --pending"), 1);
}

static void list_as_a_table(void **state)
{
    struct bench *b = *state;
    fleet();
    assert_int_equal(run(&b->alice, "list -l"), 0);
    says(b->out, "NAME           STATE    SINCE   SSH      OS            VERSION  SOURCE\n");
    says(b->out, "gone01         offline  14 min  openssh  linux x86_64  0.1.0    198.51.100.1\n");
    says(b->out, "localServer10  online   14 min  openssh");
    silent(b->out, "secret1");
    silent(b->out, "KEY");
    run(&b->admin, "list -l");
    says(b->out, KEY_B);
    says(b->out, "SESSIONS");
    for (unsigned columns = 20; columns < 160; columns += 7) { /* fits, as long as name and state do */
        run_wide(&b->admin, "list -l", columns);
        for (const char *line = b->out; *line != '\0'; line += strcspn(line, "\n") + 1)
            assert_true(strcspn(line, "\n") <= (columns < 22 ? 22 : columns));
        says(b->out, "localServer10  online");
    }
}

static void list_as_json(void **state)
{
    struct bench *b = *state;
    join("local1", KEY_A, OPENSSH ",\"labels\":{\"site\":\"K\\u00f6ln\"}");
    join("secret1", KEY_B, OPENSSH);
    assert_int_equal(run(&b->alice, "list --json"), 0);
    cJSON *rows = cJSON_Parse(b->out);
    assert_int_equal(cJSON_GetArraySize(rows), 1);
    const cJSON *row = cJSON_GetArrayItem(rows, 0);
    assert_string_equal(json_str(row, "name", 80), "local1");
    assert_true(json_bool(row, "online", false));
    assert_string_equal(json_str(row, "os", 80), "linux");
    assert_string_equal(json_str(row, "kind", 80), "agent");
    assert_string_equal(json_str(cJSON_GetObjectItem(row, "labels"), "site", 80), "K\xc3\xb6ln");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(row, "host_keys")), 2);
    assert_null(cJSON_GetObjectItem(row, "holder"));
    cJSON_Delete(rows);
    run(&b->alice, "list --json none");
    rows = cJSON_Parse(b->out);
    assert_true(cJSON_IsArray(rows) && cJSON_GetArraySize(rows) == 0);
    cJSON_Delete(rows);
    run(&b->local, "list --json secret1");
    rows = cJSON_Parse(b->out);
    assert_string_equal(json_str(cJSON_GetArrayItem(rows, 0), "holder", 80), KEY_B);
    cJSON_Delete(rows);
}

static struct registry_answer knock(const char *name, const char *key, const char *start, bool clone)
{
    struct bench *b = current;
    struct registry_answer a;
    char text[200];
    cJSON *message = NULL;
    snprintf(text, sizeof text, "{\"protocol\":1,\"start_id\":\"%s\"}", start);
    json_parse(text, strlen(text), 16384, &message);
    struct wire *w = &b->w[b->n_wires++];
    w->link.ops = &wire_ops;
    struct registry_hello h = {
        .key = key, .source = "203.0.113.5", .message = message, .name = name, .link = &w->link};
    if (clone)
        registry_hold_clone(b->hub.registry, &h, registry_own(b->hub.registry, key, name), &a);
    else
        registry_hello(b->hub.registry, &h, clock_wall_s() - 60, &a);
    cJSON_Delete(message);
    return a;
}

static void waiting_machines(void **state)
{
    struct bench *b = *state;
    join("local1", KEY_A, OPENSSH);
    assert_int_equal(knock("new01", KEY_B, "x", false).verdict, REGISTRY_HELD);
    assert_int_equal(knock("local1", KEY_A, "y", true).verdict, REGISTRY_HELD);
    run(&b->admin, "list -l");
    says(b->out, "Waiting for approval");
    says(b->out, "new01  1 min  203.0.113.5  " KEY_B);
    says(b->out, "clones");
    run(&b->alice, "list -l");
    silent(b->out, "new01");
    run(&b->admin, "list --pending --json");
    cJSON *rows = cJSON_Parse(b->out);
    assert_int_equal(cJSON_GetArraySize(rows), 2);
    assert_string_equal(json_str(cJSON_GetArrayItem(rows, 0), "fingerprint", 80), KEY_B);
    assert_string_equal(json_str(cJSON_GetArrayItem(rows, 1), "state", 80), "clone");
    cJSON_Delete(rows);
    assert_int_equal(run(&b->admin, "why new01"), 0);
    says(b->out, "waits for approval");
    says(b->out, "approve new01 " KEY_B);
    assert_int_equal(run(&b->alice, "why new01"), 1);
    run(&b->alice, "why local1");
    says(b->out, "clone");
    assert_int_equal(run(&b->local, "approve new01 SHA256:nonsense"), 1);
    assert_int_equal(run(&b->local, "approve local1 " KEY_B), 1);
    says(b->err, "held by another key");
    assert_int_equal(run(&b->local, "approve new01"), 2);
    assert_int_equal(run(&b->local, "approve new01 " KEY_B), 0);
    assert_non_null(registry_find(b->hub.registry, "new01"));
    run(&b->local, "list --pending");
    silent(b->out, "new01");
}

static void why(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *name, *hello, *text;
    } cases[] = {
        {"local1", OPENSSH, "Its SSH server (127.0.0.1:22) answers."},
        {"local2", ",\"ssh\":\"openssh\",\"ssh_state\":\"refused\"", "127.0.0.1:22 refused"},
        {"local3", ",\"ssh\":\"openssh\",\"ssh_state\":\"timeout\"", "does not answer"},
        {"local4", ",\"ssh\":\"openssh\",\"ssh_state\":\"not-ssh\"", "not an SSH server"},
        {"local5", ",\"ssh\":\"none\"", "apt install openssh-server"},
        {"local6", ",\"ssh\":\"built-in\",\"ssh_state\":\"ok\"", "the agent's own (multissh-sshd)"},
        {"local7",
         ",\"ssh\":\"built-in\",\"ssh_state\":\"ok\",\"host_keys_from\":\"built-in\",\"host_keys\":["
         "\"" KEY_ED25519 "\"]",
         "1 host key is known, asked by its agent of multissh-sshd."},
        {"local8",
         ",\"ssh\":\"none\",\"ssh_state\":\"refused\",\"ssh_reason\":\"its program is not installed\"",
         "The agent's own SSH server (multissh-sshd) cannot be had: its program is not installed.\n"},
        {"local9", "", "has not said yet"},
    };
    fleet();
    for (size_t i = 0; i < COUNT(cases); i++) {
        char line[40], key[60];
        snprintf(key, sizeof key, "SHA256:%042zue", i);
        join(cases[i].name, key, cases[i].hello);
        snprintf(line, sizeof line, "why %s.machines.test", cases[i].name);
        assert_int_equal(run(&b->alice, line), 0);
        says(b->out, "is online, since 14 min.");
        says(b->out, cases[i].text);
        silent(b->out, "SHA256:");
    }
    says(b->out, "could not learn its host keys");
    run(&b->alice, "why local6");
    says(b->out, "could not learn its host key (the service");
    run(&b->alice, "why local8");
    says(b->out, "apt install openssh-server");
    silent(b->out, "host key");
    run(&b->alice, "list -l local6 local8");
    says(b->out, " built-in ");
    says(b->out, " none, refused ");
    run(&b->alice, "why local1");
    silent(b->out, "multissh-sshd");
    says(b->out, "2 host keys are known");
    assert_int_equal(run(&b->alice, "why GONE01"), 0);
    says(b->out, "gone01 is offline, last seen 14 min ago (keepalive lost).");
    says(b->out, "systemctl status multissh-agent");
    run(&b->admin, "why gone01");
    says(b->out, "The name is held by SHA256:ddd");
    /* What may not be seen and what is not there: the same words. */
    assert_int_equal(run(&b->alice, "why secret1"), 1);
    char *hidden = strdup(b->err);
    assert_int_equal(run(&b->alice, "why nobody1"), 1);
    memcpy(strstr(hidden, "secret1"), "nobody1", 7);
    assert_string_equal(hidden, b->err);
    free(hidden);
    assert_int_equal(run(&b->alice, "why"), 2);
    assert_int_equal(run(&b->alice, "why a b"), 2);
    assert_int_equal(run(&b->alice, "why '\x1b[31mx\xc2\x9b'"), 1);
    says(b->err, "\"?[31mx?\"");
}

static void known_hosts(void **state)
{
    struct bench *b = *state;
    join("local1", KEY_A, OPENSSH);
    join("local2", "SHA256:ccccccccccccccccccccccccccccccccccccccccccc", "");
    join("secret1", KEY_B, OPENSSH);
    static const char lines[] =
        "local1.machines.test,local1 " KEY_ED25519 "\nlocal1.machines.test,local1 " KEY_P256 "\n";
    static const char *const forms[] = {"known-hosts", "known-hosts local1",
                                        "known-hosts Local1.machines.test",
                                        "known-hosts [local1.machines.test]:22"};
    for (size_t i = 0; i < COUNT(forms); i++) {
        assert_int_equal(run(&b->alice, forms[i]), 0);
        assert_string_equal(b->out, lines);
    }
    assert_int_equal(run(&b->alice, "known-hosts local2"), 0);
    assert_string_equal(b->out, "");
    says(b->err, "has not reported");
    assert_int_equal(run(&b->alice, "known-hosts secret1"), 1);
    assert_string_equal(b->out, "");
}

/* --- config, judged by ssh itself --- */

/* ssh -G -F FILE HOST; the settings it would use, or NULL when it complains. */
static char *ssh_g(const char *file, const char *host)
{
    static char out[16384];
    size_t n = 0;
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int nowhere = open("/dev/null", O_RDWR);
        dup2(nowhere, 0);
        dup2(fds[1], 1);
        dup2(nowhere, 2);
        execl("/usr/bin/ssh", "ssh", "-G", "-F", file, host, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    for (ssize_t k; n < sizeof out - 1 && (k = read(fds[0], out + n, sizeof out - 1 - n)) > 0;)
        n += (size_t)k;
    close(fds[0]);
    out[n] = '\0';
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? out : NULL;
}

static void write_config(const char *path, const char *before, const char *block)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%s%s", before, block);
    fclose(f);
}

static void check_config(const char *public_host, const char *domain, const char *jump, bool trust_hub)
{
    struct bench *b = current;
    char path[128], host[300], line[300];
    snprintf(b->hub.public_host, sizeof b->hub.public_host, "%s", public_host);
    snprintf(b->hub.domain, sizeof b->hub.domain, "%s", domain);
    assert_int_equal(run(&b->alice, trust_hub ? "config --trust-hub" : "config"), 0);
    assert_int_equal(b->out[0], '\n');
    snprintf(path, sizeof path, "%s/config", b->scratch.folder);
    write_config(path, "Host old\n    Port 99", b->out); /* no newline at its end */
    snprintf(host, sizeof host, "web01.%s", domain);
    for (char *c = host; *c != '\0'; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    char *got = ssh_g(path, host);
    assert_non_null(got);
    snprintf(line, sizeof line, "\nproxyjump %s\n", jump);
    says(got, line);
    says(got, "\nstricthostkeychecking accept-new\n");
    says(got, "/.ssh/known_hosts_multissh\n");
    says(got, "\nport 22\n");
    (trust_hub ? says : silent)(got, "\nknownhostscommand /usr/bin/ssh ");
    /* The hub itself: its port, and no way back into itself. */
    char hub[300];
    snprintf(hub, sizeof hub, "%s", public_host);
    for (char *c = hub; *c != '\0'; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    got = ssh_g(path, hub);
    assert_non_null(got);
    silent(got, "proxyjump");
    silent(got, "knownhostscommand");
    says(got, "\nport 2244\n");
    /* Others are left alone, also by an ssh that does not know KnownHostsCommand. */
    for (char *at = b->out; (at = strstr(at, "KnownHostsCommand")) != NULL;)
        memcpy(at, "OptionOfTomorrowX", 17);
    write_config(path, "Host old\n    Port 99", b->out);
    got = ssh_g(path, "elsewhere.example.net");
    assert_non_null(got);
    silent(got, "proxyjump");
    silent(got, "accept-new");
    got = ssh_g(path, "old");
    says(got, "\nport 99\n");
    assert_non_null(ssh_g(path, host));
}

static void check_config_resume(const char *public_host, const char *at)
{
    struct bench *b = current;
    char path[128], line[300], *got;
    const char *hub = strchr(public_host, ':') == NULL && at[0] == '[' ? public_host : NULL;
    snprintf(b->hub.public_host, sizeof b->hub.public_host, "%s", public_host);
    snprintf(b->hub.domain, sizeof b->hub.domain, "m.test");
    assert_int_equal(run(&b->alice, "config --resume"), 0);
    snprintf(path, sizeof path, "%s/config", b->scratch.folder);
    write_config(path, "", b->out);
    got = ssh_g(path, "web01.m.test");
    assert_non_null(got);
    /* ssh -G writes an address in brackets where it is asked for a jump, and a command as it stands. */
    if (hub != NULL)
        snprintf(line, sizeof line, "\nproxycommand multissh connect --hub %s:2244 %%n\n", hub);
    else
        snprintf(line, sizeof line, "\nproxycommand multissh connect --hub %s %%n\n", at);
    says(got, line);
    silent(got, "proxyjump");
}

static void config(void **state)
{
    struct bench *b = *state;
    if (access("/usr/bin/ssh", X_OK) < 0)
        skip(); /* no OpenSSH client here to judge */
    static const char *const cases[][3] = {
        {"hub.example.com", "hub.example.com", "hub.example.com:2244"},
        {"hub.example.com", "example.com", "hub.example.com:2244"},
        {"hub.example.com", "machines.test", "hub.example.com:2244"},
        {"HUB.Example.com", "Machines.TEST", "hub.example.com:2244"},
        {"hub", "hub", "hub:2244"},
        {"192.0.2.1", "192.0.2.1", "[192.0.2.1]:2244"},
        {"192.0.2.1", "m.test", "[192.0.2.1]:2244"},
        {"2001:db8::1", "m.test", "[2001:db8::1]:2244"},
        {"2001:db8::1", "2001:db8::1", "[2001:db8::1]:2244"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_config(cases[i][0], cases[i][1], cases[i][2], false);
        check_config(cases[i][0], cases[i][1], cases[i][2], true);
    }
    for (size_t i = 0; i < COUNT(cases); i += 2)
        check_config_resume(cases[i][0], cases[i][2]);
    assert_int_equal(run(&b->alice, "config now"), 2);
}

/* --- admins --- */

static void invite(void **state)
{
    struct bench *b = *state;
    uint8_t code[48], hash[32];
    struct store_invitation inv;
    assert_int_equal(run(&b->admin, "invite web01"), 0);
    static const char head[] = "multissh-agent join hub.example.com:2244/";
    assert_int_equal(strncmp(b->out, head, sizeof head - 1), 0);
    const char *text = b->out + sizeof head - 1;
    assert_int_equal(strcspn(text, "\n"), 64);
    assert_string_equal(text + 64, "\n"); /* one line and nothing else */
    assert_int_equal(crypto_b64url_decode(text, 64, code, sizeof code), 48);
    assert_memory_equal(code + 16, hub_pin(&b->hub), 32);
    crypto_sha256(code, 16, hash);
    assert_int_equal(store_invitation_find(b->hub.store, hash, &inv), 0);
    assert_string_equal(inv.name, "web01");
    assert_string_equal(inv.by, "boss");
    assert_int_equal(inv.uses_left, 1);
    int64_t left = inv.expires_s - clock_wall_s();
    assert_true(left > 3590 && left <= 3600);
    silent(b->err, "held by");
    join("local1", KEY_A, "");
    run(&b->admin, "invite local1");
    says(b->err, "held by " KEY_A);
    assert_int_equal(run(&b->local, "invite --uses=20 --expires 2d"), 0);
    says(b->err, "20 times");
    snprintf(b->hub.public_host, sizeof b->hub.public_host, "2001:db8::1");
    run(&b->local, "invite");
    says(b->out, " join [2001:db8::1]:2244/");
    static const char *const bad[] = {"invite a.b",
                                      "invite a b",
                                      "invite --uses 0",
                                      "invite --uses x",
                                      "invite --uses",
                                      "invite web01 --uses 2",
                                      "invite --expires 0s",
                                      "invite --expires never",
                                      "invite --expires 366d",
                                      "invite ''",
                                      "invite -web"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(run(&b->local, bad[i]), 2);
        assert_string_equal(b->out, "");
    }
}

static void revoke_and_rename(void **state)
{
    struct bench *b = *state;
    join("local1", KEY_A, "");
    assert_int_equal(run(&b->admin, "rename local1 db01"), 0);
    assert_string_equal(b->w[0].name, "db01");
    assert_int_equal(run(&b->admin, "rename local1 db02"), 1);
    assert_int_equal(run(&b->admin, "rename db01 'no good'"), 1);
    assert_int_equal(run(&b->admin, "rename db01"), 2);
    assert_int_equal(run(&b->admin, "revoke DB01.machines.test"), 0);
    says(b->out, "db01 is revoked; 0 sessions ended.");
    assert_string_equal(b->w[0].code, "revoked");
    assert_int_equal(run(&b->admin, "revoke db01"), 1);
    run(&b->admin, "log");
    says(b->out, "rename   user=boss machine=db01 source=192.0.2.8 was called local1\n");
    says(b->out, "revoke   user=boss machine=db01 source=192.0.2.8 was held by " KEY_A "\n");
}

static void events(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 60; i++) {
        char text[40];
        snprintf(text, sizeof text, "number %d \x1b[2J", i);
        struct store_event e = {1000 + i, "jump", "alice", i % 2 ? "web01" : "web02", "192.0.2.1", text};
        store_event_add(b->hub.store, &e);
    }
    assert_int_equal(run(&b->admin, "log"), 0);
    says(b->out, "1970-01-01T00:17:39Z jump     user=alice machine=web01 source=192.0.2.1 number 59 ?[2J\n");
    says(b->out, "number 10 ");
    silent(b->out, "number 9 ");
    run(&b->admin, "log -n3");
    assert_int_equal(strncmp(strstr(b->out, "number"), "number 57", 9), 0);
    run(&b->admin, "log -n 2 WEB02.machines.test");
    says(b->out, "number 56");
    says(b->out, "number 58");
    silent(b->out, "number 57");
    assert_int_equal(run(&b->admin, "log -n 0"), 2);
    assert_int_equal(run(&b->admin, "log a.b"), 1);
}

static void sessions(void **state)
{
    struct bench *b = *state;
    assert_int_equal(run(&b->admin, "sessions"), 0);
    says(b->out, "ID  USER  MACHINE");
    assert_int_equal(run(&b->admin, "kill 7"), 1);
    says(b->err, "no session 7");
    assert_int_equal(run(&b->admin, "kill x"), 2);
    assert_int_equal(run(&b->admin, "kill -1"), 2);
    assert_int_equal(run(&b->admin, "kill 99999999999999999999"), 2);
}

static void users(void **state)
{
    struct bench *b = *state;
    assert_int_equal(run(&b->local, "users"), 0);
    says(b->out, "alice  no     local*,gone*  a-*");
    says(b->out, "boss   yes    *             -");
    says(b->out, KEY_P256_FP);
}

/* --- who may --- */

static void who_may_what(void **state)
{
    struct bench *b = *state;
    static const char *const admin[] = {"invite",   "approve x y", "revoke x", "rename x y",
                                        "sessions", "kill 1",      "log",      "users"};
    join("local1", KEY_A, "");
    for (size_t i = 0; i < COUNT(admin); i++) {
        assert_int_equal(run(&b->alice, admin[i]), 1);
        says(b->err, "only for admins");
        assert_string_equal(b->out, "");
    }
    assert_int_equal(run(&b->admin, "stop"), 1);
    says(b->err, "only on the hub's own host");
    assert_int_equal(run(&b->admin, "reload"), 1);
    assert_false(b->hub.stopping);
    assert_non_null(registry_find(b->hub.registry, "local1"));
    run(&b->alice, "help");
    says(b->out, "  known-hosts [NAME]\n");
    silent(b->out, "invite");
    silent(b->out, "stop");
    run(&b->admin, "help");
    says(b->out, "  invite [NAME]");
    silent(b->out, "stop");
    run(&b->local, "help");
    says(b->out, "  stop [--all]");
    run(&b->alice, "help list");
    says(b->out, "usage: list ");
    assert_int_equal(run(&b->alice, "help invite"), 2);
    assert_int_equal(run(&b->alice, "help a b"), 2);
    assert_int_equal(run(&b->alice, "list --help"), 0);
    says(b->out, "usage: list ");
    /* admin-over-ssh = no: not even admins, and they are told where. */
    struct who boss;
    b->hub.opt.admin_over_ssh = false;
    who_from_user(&boss, policy_find(b->hub.policy, KEY_P256, "192.0.2.8", 1, NULL), "192.0.2.8", false);
    assert_int_equal(run(&boss, "sessions"), 1);
    says(b->err, "admin-over-ssh = no");
    says(b->err, "multissh-hub sessions");
    assert_int_equal(run(&boss, "why local1"), 0);
    assert_int_equal(run(&b->local, "sessions"), 0);
    who_release(&boss);
}

static void unknown_commands(void **state)
{
    struct bench *b = *state;
    assert_int_equal(run(&b->alice, "frobnicate -x"), 2);
    says(b->err, "frobnicate is not a command");
    says(b->err, "list, why, known-hosts, config, ticket, whoami, help.");
    says(b->err, "ssh -J hub.example.com:2244 user@NAME COMMAND");
    assert_string_equal(b->out, "");
    assert_int_equal(run(&b->alice, "\x1b]0;x\x07"), 2);
    silent(b->err, "\x1b");
    assert_int_equal(run(&b->local, "frobnicate"), 2);
    says(b->err, "invite");
    says(b->err, "stop");
    assert_int_equal(run(&b->alice, "list --frob"), 2);
    says(b->err, "usage: list ");
    assert_int_equal(run(&b->alice, "list -al"), 2);
    assert_int_equal(run(&b->alice, "whoami now"), 2);
    assert_int_equal(run(&b->alice, "list 'x"), 2);
    char line[WORDS_LINE_MAX + 10];
    memset(line, 'x', sizeof line);
    line[WORDS_LINE_MAX + 9] = '\0';
    assert_int_equal(run(&b->alice, line), 2);
    says(b->err, "longer than");
}

static void whoami(void **state)
{
    struct bench *b = *state;
    assert_int_equal(run(&b->alice, "whoami"), 0);
    assert_string_equal(b->out, "alice, from 192.0.2.7\nkey: " KEY_ED25519_FP
                                "\nmachines: local*,gone*\npublish: a-*\nadmin: no\n");
    run(&b->admin, "whoami");
    says(b->out, "machines: *\npublish: none\nadmin: yes\n");
    run(&b->local, "whoami");
    says(b->out, "local");
}

/* --- words --- */

static void check_words(const char *line, int n, const char *joined)
{
    static struct words w;
    struct errmsg err = {""};
    char text[WORDS_LINE_MAX + 200] = "";
    size_t at = 0;
    int rc = words_split(line, &w, &err);
    if (n < 0) {
        assert_int_equal(rc, n);
        assert_true(err.text[0] != '\0');
        return;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(w.n, n);
    assert_null(w.word[n]);
    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s|", w.word[i]);
        assert_true(at < sizeof text);
    }
    assert_string_equal(text, joined);
}

static void words(void **state)
{
    (void)state;
    check_words("", 0, "");
    check_words(" \t\n", 0, "");
    check_words("a  b\tc", 3, "a|b|c|");
    check_words("'a b' \"c d\" e\\ f", 3, "a b|c d|e f|");
    check_words("a'b'\"c\"\\d", 1, "abcd|");
    check_words("'' \"\"", 2, "||");
    check_words("'\\' \"\\\\ \\\" \\x $HOME `x`\"", 2, "\\|\\ \" \\x $HOME `x`|");
    check_words("'a", -EINVAL, NULL);
    check_words("\"a\\\"", -EINVAL, NULL);
    check_words("a\\", -EINVAL, NULL);
    char line[WORDS_LINE_MAX + 1];
    memset(line, 'x', WORDS_LINE_MAX);
    line[WORDS_LINE_MAX] = '\0';
    check_words(line, -E2BIG, NULL);
    for (int i = 1; i < 2 * WORDS_MAX; i += 2)
        line[i] = ' ';
    line[2 * WORDS_MAX - 1] = '\0';
    static struct words w;
    assert_int_equal(words_split(line, &w, NULL), 0);
    assert_int_equal(w.n, WORDS_MAX);
    line[2 * WORDS_MAX - 1] = ' ';
    check_words(line, -E2BIG, NULL);
}

/* The longest answer there may be is refused in words, not cut. */
static void answers_are_bounded(void **state)
{
    struct bench *b = *state;
    char text[500];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 150000; i++) {
        struct store_event e = {1000, "jump", "alice", "web01", "192.0.2.1", text};
        store_event_add(b->hub.store, &e);
    }
    assert_int_equal(run(&b->admin, "log -n 100000"), 0);
    assert_int_equal(run(&b->admin, "log -n 150000"), 1);
    says(b->err, "longer than 64 MiB");
    assert_string_equal(b->out, "");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bare),
        CASE(list),
        CASE(list_as_a_table),
        CASE(list_as_json),
        CASE(waiting_machines),
        CASE(why),
        CASE(known_hosts),
        CASE(config),
        CASE(invite),
        CASE(revoke_and_rename),
        CASE(events),
        CASE(sessions),
        CASE(users),
        CASE(who_may_what),
        CASE(unknown_commands),
        CASE(whoami),
        cmocka_unit_test(words),
        CASE(answers_are_bounded),
    };
    log_set_level(LOG_LEVEL_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
