/* Inside the registry. Included by registry*.c only. */
#ifndef MULTISSH_HUB_REGISTRY_INTERNAL_H
#define MULTISSH_HUB_REGISTRY_INTERNAL_H

#include "base/names.h"
#include "base/printf.h"
#include "hub/hashmap.h"
#include "hub/registry.h"

struct registry_held {                /* one held connection, or the memory of one */
    char name[NAMES_MACHINE_MAX + 1]; /* pending: the wanted one; clone: the machine's */
    char key[80], source[64], start_id[40];
    struct link *link; /* NULL: it went away (pending ones only) */
    int64_t since_s;
    bool clone;
};

struct registry {
    struct store *store;
    struct registry_limits limits;
    struct hashmap by_name, by_link, by_holder;
    struct machine **sorted; /* by name, natural order */
    size_t n, cap, online;
    struct registry_held *held;
    size_t n_held, cap_held;
    void (*approved)(struct link *link, void *arg);
    void *approved_arg;
    int64_t now_s, alive_s, made_s;
};

/* registry.c */
int registry_machine_new(const char *name, const char *holder, struct machine **ret_m);
void registry_machine_free(struct machine *m);
int registry_insert(struct registry *r, struct machine *m); /* -ENOMEM: not inserted */
void registry_remove(struct registry *r, struct machine *m);
void registry_rename_machine(struct registry *r, struct machine *m, const char *to);
int registry_set_holder(struct registry *r, struct machine *m, const char *holder);
/* Puts the machine online through h->link, or offline. */
int registry_attach(struct registry *r, struct machine *m, const struct registry_hello *h, int64_t now_s);
void registry_detach(struct registry *r, struct machine *m);
/* Held since m->leased_s. */
void registry_lease_of(const struct machine *m, int64_t now_s, struct store_lease *ret_l);

/* registry_facts.c */
int registry_facts_check(const cJSON *message, struct errmsg *err);
/* Takes the fields that fit; with whole, those that are absent become empty. Returns whether anything
 * changed. */
bool registry_facts_apply(struct machine *m, const cJSON *message, bool whole);
void registry_facts_clear(struct machine *m);
/* As JSON, for the store. */
void registry_facts_save(const struct machine *m, char *out, size_t size);
void registry_facts_load(struct machine *m, const char *json);

/* registry_held.c */
void registry_hold_pending(struct registry *r, const struct registry_hello *h, int64_t now_s,
                           struct registry_answer *ret_a);
bool registry_has_clones(const struct registry *r, const char *name);
void registry_drop_clones(struct registry *r, const char *name, const char *reason);
void registry_rename_clones(struct registry *r, const char *from, const char *to);
void registry_forget_link(struct registry *r, const struct link *link, bool keep_pending);
bool registry_is_pending(struct registry *r, const char *key);
struct registry_held registry_take_pending(struct registry *r,
                                           const char *key); /* link NULL when there is none */

/* registry_hello.c */
void registry_refuse(struct registry_answer *ret_a, const char *code, const char *fmt, ...) LIKE_PRINTF(3, 4);

#endif
