/* Owns the parsed command line. Must not touch a file but to read it. */
#include "hub/config.h"
#include "base/addr.h"
#include "base/names.h"
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USERS_FILE_MAX (16u << 20)

static const char *const extras[] = {"config", "state", "help",         "-h", "version",
                                     "-V",     "check", "dump-options", NULL};

static int default_state_dir(struct config *c, struct errmsg *err)
{
    const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    const struct passwd *pw = NULL;
    int n = 0;

    if (geteuid() == 0) {
        n = snprintf(c->state_dir, sizeof c->state_dir, "/var/lib/multissh-hub");
    } else if (xdg != NULL && xdg[0] == '/') {
        n = snprintf(c->state_dir, sizeof c->state_dir, "%s/multissh-hub", xdg);
    } else {
        if (home == NULL || home[0] != '/') {
            pw = getpwuid(geteuid());
            home = pw != NULL ? pw->pw_dir : NULL;
        }
        if (home == NULL)
            return errmsg_set(err, -EINVAL,
                              "there is no home folder to keep the state in: give one with --state DIR");
        n = snprintf(c->state_dir, sizeof c->state_dir, "%s/.local/state/multissh-hub", home);
    }
    return n < (int)sizeof c->state_dir
               ? 0
               : errmsg_set(err, -ENAMETOOLONG, "the path of the state folder is too long");
}

/* "--state=DIR" and "--config=FILE" as two words, so that one way of reading serves both. */
static int split_equals(int argc, char **argv, char ***ret_words, int *ret_n)
{
    char **words = calloc((size_t)argc * 2 + 1, sizeof *words);
    int n = 0;

    if (words == NULL)
        return -ENOMEM;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--state=", 8) == 0 || strncmp(argv[i], "--config=", 9) == 0) {
            words[n++] = argv[i][2] == 's' ? (char *)"--state" : (char *)"--config";
            words[n++] = strchr(argv[i], '=') + 1;
        } else {
            words[n++] = argv[i];
        }
    }
    *ret_words = words;
    *ret_n = n;
    return 0;
}

static int take_path(const char *name, const char *value, char *out, size_t size, struct errmsg *err)
{
    if (value == NULL || value[0] == '\0')
        return errmsg_set(err, -EINVAL, "--%s: needs a value", name);
    if (snprintf(out, size, "%s", value) >= (int)size)
        return errmsg_set(err, -ENAMETOOLONG, "--%s: the path is too long", name);
    return 0;
}

/* One word of our own; *at is the index of what follows it. */
static int take_extra(struct config *c, const char *name, char **words, int n, int *at, struct errmsg *err)
{
    const char *value = *at < n ? words[*at] : NULL;
    int rc = 0;

    if (strcmp(name, "state") == 0) {
        rc = take_path(name, value, c->state_dir, sizeof c->state_dir, err);
        (*at)++;
    } else if (strcmp(name, "config") == 0) {
        rc = take_path(name, value, c->file, sizeof c->file, err);
        c->file_given = true;
        (*at)++;
    } else if (strcmp(name, "-h") == 0) {
        c->action = "help";
    } else if (strcmp(name, "-V") == 0) {
        c->action = "version";
    } else {
        c->action = name;
    }
    return rc;
}

/* Walks the words with the options' own parser, which alone knows which of them take a value. */
static int walk(struct config *c, char **words, int n, struct errmsg *err)
{
    struct hub_options scratch;
    int at = 1, rc = 0;

    memset(&scratch, 0, sizeof scratch);
    c->flags[c->n_flags++] = words[0];
    for (;;) {
        const char *extra = NULL;
        int next = 0, end = 0;

        rc = options_args(hub_options_table, hub_options_count, &scratch, n - at + 1, words + at - 1, extras,
                          &next, &extra, err);
        if (rc < 0)
            break;
        end = at - 1 + next;
        for (int i = at; i < end - (extra != NULL ? 1 : 0); i++)
            c->flags[c->n_flags++] = words[i];
        at = end;
        if (extra == NULL)
            break;
        rc = take_extra(c, extra, words, n, &at, err);
        if (rc < 0 || at > n)
            break;
    }
    options_release(hub_options_table, hub_options_count, &scratch);
    c->n_command = at < n ? n - at : 0;
    c->command = words + at;
    return rc;
}

int config_init(struct config *c, int argc, char **argv, struct errmsg *err)
{
    char **words = NULL;
    int n = 0;
    int rc = split_equals(argc, argv, &words, &n);

    memset(c, 0, sizeof *c);
    if (rc == 0) {
        c->flags = calloc((size_t)n + 1, sizeof *c->flags);
        rc = c->flags == NULL ? -ENOMEM : 0;
    }
    if (rc < 0) {
        free(words);
        return errmsg_set(err, rc, "out of memory");
    }
    c->words = words;
    rc = walk(c, words, n, err);
    if (rc == 0 && c->state_dir[0] == '\0')
        rc = default_state_dir(c, err);
    if (rc == 0 && !c->file_given && fs_join(c->file, sizeof c->file, c->state_dir, "hub.conf") < 0)
        rc = errmsg_set(err, -ENAMETOOLONG, "the path of the state folder is too long");
    if (rc == 0 && fs_join(c->users, sizeof c->users, c->state_dir, CONFIG_USERS_FILE) < 0)
        rc = errmsg_set(err, -ENAMETOOLONG, "the path of the state folder is too long");
    if (rc < 0)
        config_release(c);
    return rc;
}

void config_release(struct config *c)
{
    free(c->flags);
    free(c->words);
    memset(c, 0, sizeof *c);
}

/* What the table cannot say of an option: these are parts of names that others will type. */
static int check_names(const struct config *c, const struct hub_options *opt, struct errmsg *err)
{
    struct addr_hostport hp;

    if (opt->public_addr != NULL && opt->public_addr[0] != '\0' &&
        (addr_parse(opt->public_addr, CONFIG_NO_PORT, false, &hp) < 0 || !names_host_ok(hp.host)))
        return errmsg_set(err, -EINVAL, "%s: public: '%s' is not HOST[:PORT]", c->file, opt->public_addr);
    if (opt->domain != NULL && opt->domain[0] != '\0' && !names_host_ok(opt->domain))
        return errmsg_set(err, -EINVAL, "%s: domain: '%s' is not a domain name", c->file, opt->domain);
    return 0;
}

int config_options(const struct config *c, struct hub_options *ret, struct errmsg *err)
{
    const char *extra = NULL;
    int next = 0;
    int rc = options_defaults(hub_options_table, hub_options_count, ret);

    if (rc < 0)
        return errmsg_set(err, rc, "out of memory");
    rc = options_file(hub_options_table, hub_options_count, ret, c->file, err);
    if (rc == -ENOENT && !c->file_given)
        rc = 0;
    if (rc == 0)
        rc = options_args(hub_options_table, hub_options_count, ret, c->n_flags, c->flags, NULL, &next,
                          &extra, err);
    if (rc == 0)
        rc = check_names(c, ret, err);
    if (rc < 0)
        options_release(hub_options_table, hub_options_count, ret);
    return rc;
}

struct complaining {
    const char *file;
    struct buf *to;
};

static void complain(unsigned line, const char *text, void *arg)
{
    struct complaining *c = arg;

    /* A full buffer has said enough. */
    (void)buf_appendf(c->to, "%s:%u: %s\n", c->file, line, text);
}

int config_policy(const struct config *c, struct buf *complaints, struct policy **ret_p, struct errmsg *err)
{
    struct complaining to = {.file = c->users, .to = complaints};
    struct buf text;
    int rc = 0;

    buf_init(&text, USERS_FILE_MAX);
    rc = fs_read(c->users, &text);
    if (rc == 0)
        rc = policy_parse((const char *)buf_data(&text), buf_len(&text), complain, &to, ret_p);
    buf_release(&text);
    if (rc < 0)
        return errmsg_set(err, rc, "%s: %s", c->users, rc == -EFBIG ? "larger than 16 MiB" : strerror(-rc));
    return 0;
}
