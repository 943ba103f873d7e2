/* The bare `ssh hub`, and list: which machines there are. */
#include "hub/cmd.h"

#include "base/clock.h"
#include "base/json.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct list {
    struct cmd *c;
    bool all, with_json, first;
    struct cmd_table table;
};

static bool wanted(const struct list *l, const char *name)
{
    if (l->c->n == 0)
        return true;
    for (int i = 0; i < l->c->n; i++) {
        if (names_match_list(name, l->c->word[i]))
            return true;
    }
    return false;
}

static int print_online(struct machine *m, void *arg)
{
    struct list *l = arg;
    if ((m->link != NULL || l->all) && who_may_reach(l->c->who, m->name) && wanted(l, m->name))
        cmd_out(l->c, "%s\n", m->name);
    return l->c->failed;
}

int cmd_list_bare(struct cmd *c)
{
    struct list l = {.c = c};
    char message[1024];
    describe_clean(c->hub->opt.message, message, sizeof message);
    cmd_out(c, "%s\n", message);
    registry_each(c->hub->registry, print_online, &l);
    return 0;
}

/* --- -l --- */

static const char *ssh_text(const struct machine *m, char *out, size_t size)
{
    if (strncmp(m->holder, "user:", 5) == 0)
        snprintf(out, size, "published");
    else if (m->ssh[0] == '\0' || strcmp(m->ssh_state, "ok") == 0)
        snprintf(out, size, "%s", m->ssh[0] == '\0' ? "-" : m->ssh);
    else
        snprintf(out, size, "%s%s%s", m->ssh, m->ssh_state[0] == '\0' ? "" : ", ", m->ssh_state);
    return out;
}

static int add_row(struct machine *m, void *arg)
{
    struct list *l = arg;
    char ago[32] = "never seen", ssh[40], os[72] = "-";
    if (!who_may_reach(l->c->who, m->name) || !wanted(l, m->name))
        return 0;
    if (m->since_s != 0)
        cmd_ago(l->c, m->since_s, ago);
    if (m->os[0] != '\0')
        snprintf(os, sizeof os, "%s%s%s", m->os, m->arch[0] == '\0' ? "" : " ", m->arch);
    cmd_table_cell(&l->table, "%s", m->name);
    cmd_table_cell(&l->table, "%s", m->link != NULL ? "online" : "offline");
    cmd_table_cell(&l->table, "%s", ago);
    cmd_table_cell(&l->table, "%s", ssh_text(m, ssh, sizeof ssh));
    cmd_table_cell(&l->table, "%s", os);
    cmd_table_cell(&l->table, "%s", m->version[0] == '\0' ? "-" : m->version);
    cmd_table_cell(&l->table, "%s", m->source[0] == '\0' ? "-" : m->source);
    if (l->c->who->admin) {
        cmd_table_cell(&l->table, "%u", m->sessions);
        cmd_table_cell(&l->table, "%s", m->holder);
    }
    return 0;
}

struct waiting {
    struct list *l;
    bool clone, any;
    struct cmd_table table;
};

static int add_waiting(const struct registry_pending *p, void *arg)
{
    struct waiting *w = arg;
    char ago[32];
    if (p->clone != w->clone || !wanted(w->l, p->name))
        return 0;
    w->any = true;
    cmd_ago(w->l->c, p->since_s, ago);
    cmd_table_cell(&w->table, "%s", p->name);
    cmd_table_cell(&w->table, "%s", ago);
    cmd_table_cell(&w->table, "%s%s", p->source, p->link == NULL ? " (gone again)" : "");
    cmd_table_cell(&w->table, "%s", p->key);
    return 0;
}

static bool print_waiting(struct list *l, bool clone, const char *gap)
{
    static const char *const heads[] = {"NAME", "SINCE", "SOURCE", "FINGERPRINT"};
    static const uint8_t rank[] = {0, 1, 2, 0};
    struct waiting w = {.l = l, .clone = clone};
    cmd_table_init(&w.table, heads, rank, 4);
    registry_pendings(l->c->hub->registry, add_waiting, &w);
    if (!w.any) {
        buf_release(&w.table.cells);
        return false;
    }
    cmd_out(l->c, "%s%s\n", gap,
            clone ? "Held back as clones (another instance with the same key is online):"
                  : "Waiting for approval (approve NAME FINGERPRINT):");
    cmd_table_print(&w.table, l->c);
    return true;
}

static void print_table(struct list *l)
{
    static const char *const heads[] = {"NAME",    "STATE",  "SINCE",    "SSH", "OS",
                                        "VERSION", "SOURCE", "SESSIONS", "KEY"};
    static const uint8_t rank[] = {0, 0, 1, 2, 4, 6, 5, 3, 7};
    cmd_table_init(&l->table, heads, rank, l->c->who->admin ? 9 : 7);
    registry_each(l->c->hub->registry, add_row, l);
    cmd_table_print(&l->table, l->c);
    if (l->c->who->admin) {
        print_waiting(l, false, "\n");
        print_waiting(l, true, "\n");
    }
}

/* --- --json --- */

static void add_text(cJSON *o, const char *name, const char *text)
{
    if (*text != '\0')
        json_add_str(o, name, text);
}

static void add_time(cJSON *o, const char *name, int64_t at_s)
{
    char utc[32];
    clock_format_utc(at_s, utc, sizeof utc);
    if (at_s != 0)
        json_add_str(o, name, utc);
}

static void print_object(struct list *l, cJSON *o)
{
    char *text = o == NULL ? NULL : cJSON_PrintUnformatted(o);
    if (text == NULL && l->c->failed == 0)
        l->c->failed = -ENOMEM;
    if (text != NULL)
        cmd_out(l->c, "%s%s", l->first ? "\n" : ",\n", text);
    l->first = false;
    cJSON_free(text);
    cJSON_Delete(o);
}

static int print_json(struct machine *m, void *arg)
{
    struct list *l = arg;
    if (!who_may_reach(l->c->who, m->name) || !wanted(l, m->name))
        return 0;
    cJSON *o = cJSON_CreateObject(), *keys;
    json_add_str(o, "name", m->name);
    json_add_bool(o, "online", m->link != NULL);
    json_add_str(o, "state", m->link != NULL ? "online" : "offline");
    add_time(o, "since", m->since_s);
    add_text(o, "reason", m->reason);
    json_add_str(o, "kind", strncmp(m->holder, "user:", 5) == 0 ? "publisher" : "agent");
    add_text(o, "ssh", m->ssh);
    add_text(o, "ssh_state", m->ssh_state);
    add_text(o, "ssh_target", m->ssh_target);
    add_text(o, "ssh_reason", m->ssh_reason);
    add_text(o, "os", m->os);
    add_text(o, "arch", m->arch);
    add_text(o, "version", m->version);
    add_text(o, "source", m->source);
    add_text(o, "host_keys_from", m->host_keys_from);
    keys = cJSON_AddArrayToObject(o, "host_keys");
    for (unsigned i = 0; i < m->n_host_keys; i++)
        cJSON_AddItemToArray(keys, cJSON_CreateString(m->host_keys[i]));
    if (m->labels != NULL)
        cJSON_AddRawToObject(o, "labels", m->labels);
    if (m->clone_seen)
        json_add_str(o, "clone_from", m->clone_source);
    if (l->c->who->admin) {
        json_add_str(o, "holder", m->holder);
        json_add_int(o, "sessions", m->sessions);
    }
    print_object(l, o);
    return l->c->failed;
}

static int print_waiting_json(const struct registry_pending *p, void *arg)
{
    struct list *l = arg;
    if (!wanted(l, p->name))
        return 0;
    cJSON *o = cJSON_CreateObject();
    json_add_str(o, "name", p->name);
    json_add_str(o, "state", p->clone ? "clone" : "pending");
    json_add_str(o, "fingerprint", p->key);
    json_add_str(o, "source", p->source);
    add_time(o, "since", p->since_s);
    json_add_bool(o, "connected", p->link != NULL);
    print_object(l, o);
    return l->c->failed;
}

static void print_pending(struct list *l)
{
    if (l->with_json) {
        cmd_out(l->c, "[");
        registry_pendings(l->c->hub->registry, print_waiting_json, l);
        cmd_out(l->c, "\n]\n");
        return;
    }
    bool any = print_waiting(l, false, "");
    if (!print_waiting(l, true, any ? "\n" : "") && !any)
        cmd_out(l->c, "No machine is waiting.\n");
}

/* Patterns that can match no name are a mistake, and said to be one. web01.DOMAIN is taken for web01. */
static int check_patterns(struct cmd *c)
{
    size_t d = strlen(c->hub->domain);
    for (int i = 0; i < c->n; i++) {
        char clean[80], *word = c->word[i];
        size_t n = strlen(word);
        if (d > 0 && n > d + 1 && word[n - d - 1] == '.' && names_same(word + n - d, c->hub->domain))
            word[n - d - 1] = '\0';
        if (names_list_ok(word))
            continue;
        describe_clean(word, clean, sizeof clean);
        return cmd_usage(
            c, "%s is not a pattern (names with * and ?, separated by commas, a leading ! excludes)", clean);
    }
    return CMD_GO;
}

int cmd_list_run(struct cmd *c)
{
    bool table = false, pending = false;
    struct list l = {.c = c, .first = true};
    const struct cmd_option options[] = {{'a', "all", &l.all, NULL},
                                         {'l', "long", &table, NULL},
                                         {'\0', "json", &l.with_json, NULL},
                                         {'\0', "pending", &pending, NULL}};
    int status = cmd_parse(c, options, sizeof options / sizeof options[0], 0, 60);
    if (status == CMD_GO)
        status = check_patterns(c);
    if (status != CMD_GO)
        return status;
    if (table && l.with_json)
        return cmd_usage(c, "-l and --json exclude each other");
    if (pending && !c->who->admin)
        return cmd_fail(c, "--pending is only for admins of the hub");
    if (pending) {
        print_pending(&l);
    } else if (table) {
        print_table(&l);
    } else if (l.with_json) {
        cmd_out(c, "[");
        registry_each(c->hub->registry, print_json, &l);
        cmd_out(c, "\n]\n");
    } else {
        registry_each(c->hub->registry, print_online, &l);
    }
    return 0;
}
