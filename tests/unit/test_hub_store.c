/* The store: what is durable, what is gathered, what is refused. */
#include "cmocka_all.h"

#include "hub/store.h"
#include "hub_scratch.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int make(void **state)
{
    struct scratch *s = malloc(sizeof *s);
    scratch_make(s);
    *state = s;
    return 0;
}

static int clean(void **state)
{
    scratch_remove(*state);
    free(*state);
    return 0;
}

static struct store *open_store(const struct scratch *s)
{
    struct store *store = NULL;
    struct errmsg err = {""};
    if (store_open(s->db, &store, &err) < 0)
        fail_msg("%s", err.text);
    return store;
}

static struct store_lease lease(const char *name, const char *holder)
{
    struct store_lease l = {.since_s = 100, .seen_s = 200};
    snprintf(l.name, sizeof l.name, "%s", name);
    snprintf(l.holder, sizeof l.holder, "%s", holder);
    snprintf(l.offline_reason, sizeof l.offline_reason, "keepalive lost");
    snprintf(l.facts, sizeof l.facts, "{\"os\":\"linux\"}");
    return l;
}

struct found {
    struct store_lease last;
    unsigned n;
    const char *want;
};

static int note(const struct store_lease *l, void *arg)
{
    struct found *f = arg;
    if (f->want == NULL || strcmp(l->name, f->want) == 0) {
        f->last = *l;
        f->n++;
    }
    return 0;
}

static unsigned find_lease(struct store *s, const char *name, struct store_lease *ret_l)
{
    struct found f = {.want = name};
    assert_int_equal(store_leases(s, note, &f), 0);
    if (ret_l != NULL)
        *ret_l = f.last;
    return f.n;
}

static int stop_at_once(const struct store_lease *l, void *arg)
{
    (void)l;
    (void)arg;
    return 42;
}

static void leases(void **state)
{
    struct store *s = open_store(*state);
    struct store_lease l = lease("web01", "SHA256:a"), got;
    assert_int_equal(store_lease_set(s, &l), 0);
    l = lease("db01", "SHA256:b");
    assert_int_equal(store_lease_set(s, &l), 0);
    store_close(s);
    s = open_store(*state);
    assert_int_equal(find_lease(s, NULL, NULL), 2);
    assert_int_equal(find_lease(s, "web01", &got), 1);
    assert_string_equal(got.holder, "SHA256:a");
    assert_string_equal(got.offline_reason, "keepalive lost");
    assert_string_equal(got.facts, "{\"os\":\"linux\"}");
    assert_int_equal(got.since_s, 100);
    assert_int_equal(got.seen_s, 200);
    l = lease("WEB01", "SHA256:c"); /* the same name: replaced */
    assert_int_equal(store_lease_set(s, &l), 0);
    assert_int_equal(find_lease(s, NULL, NULL), 2);
    assert_int_equal(find_lease(s, "WEB01", &got), 1);
    assert_string_equal(got.holder, "SHA256:c");
    assert_int_equal(store_leases(s, stop_at_once, NULL), 42);
    assert_int_equal(store_lease_rename(s, "nobody", "x", 1), -ENOENT);
    assert_int_equal(store_lease_rename(s, "web01", "DB01", 1), -EEXIST);
    assert_int_equal(store_lease_rename(s, "web01", "web02", 1), 0);
    assert_int_equal(store_lease_rename(s, "web02", "Web02", 1), 0);
    assert_int_equal(find_lease(s, "Web02", NULL), 1);
    assert_int_equal(store_lease_delete(s, "WEB02"), 0);
    assert_int_equal(store_lease_delete(s, "web02"), -ENOENT);
    assert_int_equal(find_lease(s, NULL, NULL), 1);
    store_close(s);
}

/* A name leads to what its machine is called now, from the time on at which it was that machine's. */
static void earlier_names(void **state)
{
    struct store *s = open_store(*state);
    struct store_lease l = lease("web01", "SHA256:a");
    char name[NAMES_MACHINE_MAX + 1];

    assert_int_equal(store_lease_set(s, &l), 0);
    assert_int_equal(store_lease_rename(s, "web01", "web02", 100), 0);
    assert_int_equal(store_lease_rename(s, "web02", "WEB02", 150), 0);
    assert_int_equal(store_lease_rename(s, "web02", "web03", 200), 0);
    store_renamed(s, "WEB01", 50, name);
    assert_string_equal(name, "web03");
    store_renamed(s, "web01", 101, name); /* it was another's by then */
    assert_string_equal(name, "web01");
    store_renamed(s, "web02", 120, name);
    assert_string_equal(name, "web03");
    store_renamed(s, "web03", 0, name);
    assert_string_equal(name, "web03");
    /* Back again, and in a circle. */
    assert_int_equal(store_lease_rename(s, "web03", "web01", 300), 0);
    store_renamed(s, "web01", 50, name);
    assert_string_equal(name, "web01");
    store_close(s);
}

static void facts_and_seen(void **state)
{
    struct store *s = open_store(*state);
    struct store_lease l = lease("web01", "SHA256:a"), got;
    char big[sizeof l.facts];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(store_lease_set(s, &l), 0);
    assert_int_equal(store_lease_seen(s, "WEB01", 300, "gone"), 0);
    assert_int_equal(store_lease_facts(s, "web01", big), 0);
    find_lease(s, "web01", &got); /* gathered, and visible at once */
    assert_int_equal(got.seen_s, 300);
    assert_string_equal(got.offline_reason, "gone");
    assert_string_equal(got.facts, big);
    assert_int_equal(store_alive(s), 0);
    assert_int_equal(store_alive_set(s, 5), 0);
    assert_int_equal(store_alive_set(s, 6), 0);
    store_close(s); /* flushes */
    s = open_store(*state);
    find_lease(s, "web01", &got);
    assert_int_equal(got.seen_s, 300);
    assert_int_equal(store_alive(s), 6);
    store_close(s);
}

static void invitations(void **state)
{
    struct store *s = open_store(*state);
    struct store_invitation i = {.name = "web01", .expires_s = 1000, .uses_left = 2, .by = "root"}, got;
    struct store_lease a = lease("web01", "SHA256:a"), b = lease("web01", "SHA256:b"), seen;
    uint8_t other[32] = {9};
    memset(i.token_hash, 7, sizeof i.token_hash);
    assert_int_equal(store_invitation_find(s, i.token_hash, &got), -ENOENT);
    assert_int_equal(store_invitation_add(s, &i), 0);
    assert_int_equal(store_invitation_add(s, &i), -EEXIST);
    assert_int_equal(store_invitation_find(s, other, &got), -ENOENT);
    assert_int_equal(store_invitation_find(s, i.token_hash, &got), 0);
    assert_string_equal(got.name, "web01");
    assert_string_equal(got.by, "root");
    assert_int_equal(got.expires_s, 1000);
    assert_int_equal(got.uses_left, 2);
    assert_int_equal(store_join(s, other, 10, &a), -ENOENT);
    assert_int_equal(store_join(s, i.token_hash, 1000, &a), -ENOENT); /* expired: no lease either */
    assert_int_equal(find_lease(s, NULL, NULL), 0);
    assert_int_equal(store_join(s, i.token_hash, 999, &a), 0);
    assert_int_equal(store_join(s, i.token_hash, 999, &b), 0);
    assert_int_equal(store_join(s, i.token_hash, 999, &a), -ENOENT); /* used up */
    find_lease(s, "web01", &seen);
    assert_string_equal(seen.holder, "SHA256:b");
    assert_int_equal(store_invitation_purge(s, 1000 + 86400), 0);
    assert_int_equal(store_invitation_find(s, i.token_hash, &got), 0);
    assert_int_equal(got.uses_left, 0);
    assert_int_equal(store_invitation_purge(s, 1001 + 86400), 0);
    assert_int_equal(store_invitation_find(s, i.token_hash, &got), -ENOENT);
    store_close(s);
}

static void kills(void **state)
{
    struct store *s = open_store(*state);
    const uint8_t one[TICKET_ID_SIZE] = {1}, two[TICKET_ID_SIZE] = {2};
    assert_false(store_kill_has(s, one));
    assert_int_equal(store_kill_add(s, one, 100), 0);
    assert_int_equal(store_kill_add(s, one, 50), 0); /* the longer one holds */
    assert_true(store_kill_has(s, one));
    assert_false(store_kill_has(s, two));
    store_close(s);
    s = open_store(*state);
    assert_true(store_kill_has(s, one));
    assert_int_equal(store_kill_purge(s, 100), 0);
    assert_true(store_kill_has(s, one));
    assert_int_equal(store_kill_purge(s, 101), 0);
    assert_false(store_kill_has(s, one));
    store_close(s);
}

struct seen_events {
    unsigned n;
    int64_t first, last;
    char text[600];
};

static int note_event(const struct store_event *e, void *arg)
{
    struct seen_events *v = arg;
    if (v->n++ == 0)
        v->first = e->at_s;
    v->last = e->at_s;
    snprintf(v->text, sizeof v->text, "%s", e->text == NULL ? "(null)" : e->text);
    return 0;
}

static void events(void **state)
{
    struct store *s = open_store(*state);
    struct seen_events v = {0};
    for (int i = 1; i <= 30; i++) {
        struct store_event e = {i,           "jump", i % 2 ? "alice" : "bob", i % 3 ? "web01" : NULL,
                                "192.0.2.1", NULL};
        assert_int_equal(store_event_add(s, &e), 0);
    }
    assert_int_equal(store_events(s, NULL, NULL, 10, note_event, &v), 0);
    assert_int_equal(v.n, 10);
    assert_int_equal(v.first, 21); /* the newest, oldest first */
    assert_int_equal(v.last, 30);
    assert_string_equal(v.text, "(null)");
    memset(&v, 0, sizeof v);
    store_events(s, "WEB01", "alice", 100, note_event, &v);
    assert_int_equal(v.n, 10);
    assert_int_equal(store_events_trim(s, 5), 0);
    memset(&v, 0, sizeof v);
    store_events(s, NULL, NULL, 100, note_event, &v);
    assert_int_equal(v.n, 5);
    assert_int_equal(v.first, 26);
    char text[700];
    memset(text, 'a', sizeof text);
    memcpy(text + 499, "\xc3\xa4", 2); /* a character across the cut */
    text[699] = '\0';
    struct store_event e = {31, "end", NULL, NULL, NULL, text};
    assert_int_equal(store_event_add(s, &e), 0);
    memset(&v, 0, sizeof v);
    store_events(s, NULL, NULL, 1, note_event, &v);
    assert_int_equal(strlen(v.text), 499);
    store_close(s);
}

/* What a call has called durable is there after a kill -9; what was flushed too. */
static void survives_a_crash(void **state)
{
    const struct scratch *scratch = *state;
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s = NULL;
        struct store_lease l = lease("web01", "SHA256:a");
        struct store_event e = {1, "join", NULL, "web01", NULL, NULL};
        if (store_open(scratch->db, &s, NULL) < 0 || store_lease_set(s, &l) < 0 ||
            store_event_add(s, &e) < 0 || store_flush(s) < 0)
            _exit(1);
        store_lease_seen(s, "web01", 999, "never flushed");
        (void)!write(pipe_fd[1], "x", 1);
        pause();
        _exit(0);
    }
    char byte;
    close(pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
    close(pipe_fd[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    struct store *s = open_store(scratch);
    struct store_lease got;
    struct seen_events v = {0};
    assert_int_equal(find_lease(s, "web01", &got), 1);
    assert_int_equal(got.seen_s, 200);
    store_events(s, NULL, NULL, 10, note_event, &v);
    assert_int_equal(v.n, 1);
    store_close(s);
}

static void is_private(void **state)
{
    const struct scratch *scratch = *state;
    mode_t old = umask(0);
    struct store *s = open_store(scratch);
    umask(old);
    struct store_lease l = lease("web01", "SHA256:a");
    store_lease_set(s, &l);
    static const char *const ends[] = {"", "-wal"};
    for (size_t i = 0; i < COUNT(ends); i++) {
        char path[128];
        struct stat st;
        snprintf(path, sizeof path, "%s%s", scratch->db, ends[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 077, 0);
    }
    store_close(s);
}

static size_t slurp(const char *path, unsigned char *out, size_t size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(out, 1, size, f);
    fclose(f);
    return n;
}

static void spoil(const char *path, long at, const char *data, size_t n)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static void refuse(const struct scratch *scratch, int code, const char *word)
{
    static unsigned char before[1 << 20], after[1 << 20];
    struct store *s = NULL;
    struct errmsg err = {""};
    size_t n = slurp(scratch->db, before, sizeof before);
    assert_int_equal(store_open(scratch->db, &s, &err), code);
    assert_null(s);
    if (strstr(err.text, word) == NULL || strstr(err.text, scratch->db) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, word);
    assert_int_equal(slurp(scratch->db, after, sizeof after), n);
    assert_memory_equal(before, after, n);
}

static void damaged_files(void **state)
{
    const struct scratch *scratch = *state;
    struct store *s = open_store(scratch);
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        struct store_lease l = lease(name, "SHA256:a");
        store_lease_set(s, &l);
    }
    store_close(s);
    char garbage[4096];
    memset(garbage, 0xa5, sizeof garbage);
    spoil(scratch->db, 3 * 4096, garbage, sizeof garbage); /* a page in the middle */
    refuse(scratch, -EBADMSG, "damaged");
    spoil(scratch->db, 0, garbage, 100); /* the header */
    refuse(scratch, -EBADMSG, "damaged");
}

/* A crash has left a log beside a file that is damaged since: the log must not be moved into it. */
static void damaged_with_a_log(void **state)
{
    const struct scratch *scratch = *state;
    struct store *s = open_store(scratch);
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        struct store_lease l = lease(name, "SHA256:a");
        store_lease_set(s, &l);
    }
    store_close(s);
    pid_t pid = fork();
    if (pid == 0) {
        struct store_lease l = lease("m1", "SHA256:b");
        _exit(store_open(scratch->db, &s, NULL) < 0 || store_lease_set(s, &l) < 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    struct stat st;
    assert_int_equal(stat(scratch->db, &st), 0);
    for (long at = 4096; at < st.st_size; at += 4096)
        spoil(scratch->db, at, "\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5", 8);
    refuse(scratch, -EBADMSG, "damaged");
}

static void truncated_file(void **state)
{
    const struct scratch *scratch = *state;
    struct store *s = open_store(scratch);
    store_close(s);
    assert_int_equal(truncate(scratch->db, 5000), 0);
    refuse(scratch, -EBADMSG, "damaged");
}

static void other_files(void **state)
{
    const struct scratch *scratch = *state;
    FILE *f = fopen(scratch->db, "w");
    fputs("this is not a database, but it is long enough to be looked at as one; it has more than a hundred "
          "bytes, "
          "as you can count",
          f);
    fclose(f);
    refuse(scratch, -EBADMSG, "damaged");
    unlink(scratch->db);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(scratch->db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE lease(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    refuse(scratch, -ENOTSUP, "not a database of multissh-hub");
    unlink(scratch->db);
    store_close(open_store(scratch));
    assert_int_equal(sqlite3_open(scratch->db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    refuse(scratch, -ENOTSUP, "newer");
}

static void cannot_be_opened(void **state)
{
    const struct scratch *scratch = *state;
    struct store *s = NULL;
    struct errmsg err = {""};
    assert_true(store_open(scratch->folder, &s, &err) < 0); /* a folder */
    assert_non_null(strstr(err.text, scratch->folder));
    assert_int_equal(store_open("/nonexistent/hub.db", &s, &err), -ENOENT);
    assert_null(s);
    store_close(NULL);
}

/* The disk is full for a while: refused, nothing half done, and well again afterwards. */
static void disk_full(void **state)
{
    struct store *s = open_store(*state);
    struct store_lease l = lease("web01", "SHA256:a"), got;
    struct store_invitation inv = {.expires_s = 1000, .uses_left = 1};
    assert_int_equal(store_lease_set(s, &l), 0);
    assert_int_equal(store_invitation_add(s, &inv), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, none = {1, 1};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    none.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    int log = dup(2), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, 2); /* the complaint, which is right */
    l = lease("web02", "SHA256:b");
    int set = store_lease_set(s, &l), join = store_join(s, inv.token_hash, 1, &l),
        deleted = store_lease_delete(s, "web01");
    struct store_event e = {1, "join", NULL, NULL, NULL, NULL};
    store_event_add(s, &e);
    int flushed = store_flush(s);
    dup2(log, 2);
    close(log);
    close(nowhere);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(set < 0 && join < 0 && deleted < 0 && flushed < 0);
    assert_int_equal(find_lease(s, NULL, NULL), 1);
    assert_int_equal(find_lease(s, "web01", NULL), 1);
    assert_int_equal(store_join(s, inv.token_hash, 1, &l), 0); /* the use was not lost */
    store_close(s);
    s = open_store(*state);
    assert_int_equal(find_lease(s, NULL, NULL), 2);
    assert_int_equal(find_lease(s, "web02", &got), 1);
    store_close(s);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(leases),         CASE(earlier_names),  CASE(facts_and_seen), CASE(invitations),
        CASE(kills),          CASE(events),         CASE(survives_a_crash),
        CASE(is_private),     CASE(damaged_files),  CASE(damaged_with_a_log),
        CASE(truncated_file), CASE(other_files),    CASE(cannot_be_opened),
        CASE(disk_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
