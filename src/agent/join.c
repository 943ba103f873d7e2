/* Writes what `join` was told into agent.conf. */
#include "agent/join.h"

#include "agent/conf.h"
#include "agent/join_code.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS_MAX 17 /* no more than conf_rewrite takes, with hub, pin and token */

/* Adds a change for each flag of the command line, whose value is shown as it was understood. The values are
 * the caller's. */
static int add_flags(const struct agent *a, const struct agent_options *given, struct conf_change *changes,
                     size_t *n, struct errmsg *err)
{
    for (int i = 1; i < a->flags.argc; i++) {
        const char *arg = a->flags.argv[i];
        size_t len = strncmp(arg, "--", 2) == 0 ? strcspn(arg + 2, "=") : 0;
        for (size_t o = 0; o < agent_options_count && len > 0; o++) {
            const struct option *opt = &agent_options_table[o];
            bool doubled = false;
            if (strlen(opt->name) != len || memcmp(opt->name, arg + 2, len) != 0)
                continue;
            for (size_t c = 0; c < *n; c++)
                doubled = doubled || strcmp(changes[c].name, opt->name) == 0;
            if (doubled || *n == FLAGS_MAX)
                continue;
            char *value = options_show(opt, given);
            if (value == NULL)
                return errmsg_set(err, -ENOMEM, "out of memory");
            changes[(*n)++] = (struct conf_change){opt->name, value};
        }
    }
    return 0;
}

/* May this machine go to that hub? *ret_known: it is one of its hubs already. */
static int check_hub(const struct agent *a, const struct join_code *code, bool force, bool *ret_known,
                     struct errmsg *err)
{
    struct agent_options old;
    int r = agent_options_load(&old, a->conf_path, err);
    if (r == 0) {
        *ret_known = agent_options_is_hub(&old, &code->hub);
        if (old.hub.n > 0 && !*ret_known && !force)
            r = errmsg_set(err, -EEXIST,
                           "this machine belongs to the hub %s already (%s): --force moves it, --state DIR "
                           "joins a second "
                           "hub beside it",
                           old.hub.item[0], a->conf_path);
    }
    agent_options_release(&old);
    return r;
}

static int write_changes(const struct agent *a, const struct join_code *code, bool known, bool force,
                         const struct agent_options *given, struct errmsg *err)
{
    struct conf_change changes[FLAGS_MAX + 3];
    char hub[300], pin[KEYS_FINGERPRINT_TEXT], token[JOIN_CODE_TOKEN_TEXT];
    size_t flags = 0;
    int r = add_flags(a, given, changes, &flags, err);
    size_t n = flags;
    addr_format(&code->hub, 0, hub, sizeof hub);
    if (!known)
        changes[n++] = (struct conf_change){"hub", hub};
    if (code->invited) {
        keys_pin_text(code->pin, pin);
        (void)crypto_b64url_encode(code->token, sizeof code->token, token, sizeof token);
        changes[n++] = (struct conf_change){"pin", pin};
        changes[n++] = (struct conf_change){"token", token};
    } else if (!known || force) {
        changes[n++] = (struct conf_change){"pin", NULL};
        changes[n++] = (struct conf_change){"token", NULL};
    }
    if (r == 0)
        r = conf_save(a->conf_path, changes, n, err);
    for (size_t i = 0; i < flags; i++)
        free((char *)(uintptr_t)changes[i].value);
    crypto_wipe(token, sizeof token);
    return r;
}

int join_remember(struct agent *a, const char *target, bool force, struct errmsg *err)
{
    struct join_code code;
    struct agent_options given;
    bool known = false;
    char hub[300];
    int r = join_code_parse(target, &code, err);
    if (r != 0)
        return r;
    r = agent_read_options(a, &given, err);
    if (r != 0)
        goto out;
    r = check_hub(a, &code, force, &known, err);
    if (r == 0)
        r = write_changes(a, &code, known, force, &given, err);
    agent_options_release(&given);
    addr_format(&code.hub, 0, hub, sizeof hub);
    if (r == 0)
        log_info("remembered in %s: hub %s%s", a->conf_path, hub,
                 code.invited      ? ", with an invitation"
                 : known && !force ? ""
                                   : "; without an invitation its key is taken from the first contact");
out:
    crypto_wipe(&code, sizeof code);
    return r;
}
