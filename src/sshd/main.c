/* multissh-sshd: the command line. */
#include "base/errmsg.h"
#include "base/fs.h"
#include "base/log.h"
#include "sshd/identity.h"
#include "sshd/inetd.h"
#include "sshd/serve.h"
#include "sshd/sftp.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_USAGE 2
#define ARGS_MAX 128
#define PROXY_LINE_MS 10000

struct command_line {
    bool help, version, check, dump, inetd, proxy_protocol, print_host_key, sftp, read_only;
    const char *state, *config, *peer;
    char *flags[ARGS_MAX]; /* options of the table and their values; flags[0] is the program */
    int n_flags;
};

struct settings {
    char state[FS_PATH_MAX], config[FS_PATH_MAX];
    struct sshd_options options;
};

static void help(void)
{
    (void)fputs(serve_help, stdout);
    options_help(sshd_options_table, sshd_options_count, stdout);
}

/* --- arguments --- */

static const char **value_of(struct command_line *c, const char *extra)
{
    return strcmp(extra, "--state") == 0    ? &c->state
           : strcmp(extra, "--config") == 0 ? &c->config
           : strcmp(extra, "--peer") == 0   ? &c->peer
                                            : NULL;
}

static bool *flag_of(struct command_line *c, const char *extra)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--help", &c->help},
                 {"-h", &c->help},
                 {"--version", &c->version},
                 {"--check", &c->check},
                 {"--dump-options", &c->dump},
                 {"--inetd", &c->inetd},
                 {"--proxy-protocol", &c->proxy_protocol},
                 {"--print-host-key", &c->print_host_key},
                 {"--sftp", &c->sftp},
                 {"--read-only", &c->read_only}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(flags[i].name, extra) == 0) {
            return flags[i].flag;
        }
    }
    return NULL;
}

/* "--state=DIR" becomes two words, so that the loop below meets only one form. Returns the new count. */
static int split_values(struct command_line *c, int argc, char **argv, char **out)
{
    static char names[3][12] = {"--state", "--config", "--peer"};
    int n = 0;
    (void)c;
    for (int i = 0; i < argc && n + 2 < 2 * ARGS_MAX; i++) {
        char *word = argv[i];
        for (int k = 0; i > 0 && k < 3; k++) {
            size_t length = strlen(names[k]);
            if (strncmp(word, names[k], length) == 0 && word[length] == '=') {
                out[n++] = names[k];
                word += length + 1;
                break;
            }
        }
        out[n++] = word;
    }
    out[n] = NULL;
    return n;
}

static int take_extra(struct command_line *c, const char *extra, char **words, int *at, struct errmsg *err)
{
    bool *flag = flag_of(c, extra);
    if (flag != NULL) {
        *flag = true;
        return 0;
    }
    if (words[*at] == NULL || words[*at][0] == '\0') {
        return errmsg_set(err, -EINVAL, "%s: needs a value", extra);
    }
    *value_of(c, extra) = words[(*at)++];
    return 0;
}

static int parse(int argc, char **argv, struct command_line *c, struct errmsg *err)
{
    static const char *const extras[] = {
        "--help",         "-h",          "--version",        "--check",
        "--dump-options", "--inetd",     "--proxy-protocol", "--print-host-key",
        "--sftp",         "--read-only", "--state",          "--config",
        "--peer",         NULL};
    static char *words[2 * ARGS_MAX];
    struct sshd_options ignored = {0};
    const char *extra = NULL;
    int at = 1;
    int next = 0;
    int n;
    int rc = 0;
    if (argc > ARGS_MAX - 2) {
        return errmsg_set(err, -E2BIG, "too many arguments");
    }
    n = split_values(c, argc, argv, words);
    c->flags[c->n_flags++] = argv[0];
    while (rc == 0 && at < n) {
        int end;
        rc = options_args(sshd_options_table, sshd_options_count, &ignored, n - at + 1, words + at - 1,
                          extras, &next, &extra, err);
        if (rc < 0) {
            break;
        }
        end = at + next - 1;
        for (; at < end - (extra != NULL); at++) {
            c->flags[c->n_flags++] = words[at];
        }
        at = end;
        if (extra != NULL) {
            rc = take_extra(c, extra, words, &at, err);
        } else if (at < n) {
            rc =
                errmsg_set(err, -EINVAL, "%.100s: one word too many, --help shows how it is used", words[at]);
        }
    }
    sshd_options_release(&ignored);
    return rc;
}

static int check_arguments(const struct command_line *c, struct errmsg *err)
{
    int modes = c->inetd + c->sftp + c->print_host_key + c->check;
    if (modes != 1) {
        return errmsg_set(err, -EINVAL,
                          modes == 0 ? "say --inetd, --sftp, --print-host-key or --check; --help tells more"
                                     : "only one of --inetd, --sftp, --print-host-key and --check");
    }
    if (!c->inetd && (c->peer != NULL || c->proxy_protocol)) {
        return errmsg_set(err, -EINVAL, "--peer and --proxy-protocol go with --inetd");
    }
    if (c->peer != NULL && c->proxy_protocol) {
        return errmsg_set(err, -EINVAL, "--peer or --proxy-protocol, not both");
    }
    if (c->read_only && !c->sftp) {
        return errmsg_set(err, -EINVAL, "--read-only goes with --sftp");
    }
    return 0;
}

/* --- settings --- */

static int load_settings(struct command_line *c, struct settings *s, struct errmsg *err)
{
    const char *extra;
    int next;
    int rc = 0;
    if (c->state == NULL) {
        rc = serve_state_folder(s->state, sizeof s->state, err);
    } else if (snprintf(s->state, sizeof s->state, "%s", c->state) >= (int)sizeof s->state) {
        rc = errmsg_set(err, -ENAMETOOLONG, "--state: the path is too long");
    }
    if (rc < 0) {
        return rc;
    }
    if (c->config != NULL) {
        rc = snprintf(s->config, sizeof s->config, "%s", c->config) < (int)sizeof s->config ? 0
                                                                                            : -ENAMETOOLONG;
    } else {
        rc = fs_join(s->config, sizeof s->config, s->state, "sshd.conf");
    }
    if (rc < 0) {
        return errmsg_set(err, rc, "the path of the settings is too long");
    }
    rc = sshd_options_load(&s->options, s->config, c->config != NULL, err);
    if (rc == 0) {
        rc = options_args(sshd_options_table, sshd_options_count, &s->options, c->n_flags, c->flags, NULL,
                          &next, &extra, err);
    }
    return rc == 0 ? sshd_options_check(&s->options, err) : rc;
}

static int show_settings(const struct settings *s)
{
    for (size_t i = 0; i < sshd_options_count; i++) {
        char *text = options_show(&sshd_options_table[i], &s->options);
        if (text != NULL) {
            (void)printf("%s = %s\n", sshd_options_table[i].name, text);
        }
        free(text);
    }
    return 0;
}

static int print_host_key(const struct settings *s, struct errmsg *err)
{
    struct hostkey *key;
    char line[HOSTKEY_LINE_MAX];
    int rc = identity_load(s->options.host_key, s->state, &key, err);
    if (rc < 0) {
        return rc;
    }
    rc = hostkey_line(key, line, sizeof line);
    hostkey_free(key);
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot write the public host key as text");
    }
    return printf("%s\n", line) < 0 || fflush(stdout) != 0
               ? errmsg_set(err, -EIO, "cannot write to standard output")
               : 0;
}

static int serve(const struct command_line *c, const struct settings *s, struct errmsg *err)
{
    struct inetd connection;
    int rc = inetd_take(c->peer, c->proxy_protocol, PROXY_LINE_MS, &connection, err);
    if (rc == 0) {
        rc = serve_connection(&s->options, s->state, &connection, err);
        inetd_finish();
    }
    return rc;
}

static int execute(struct command_line *c, struct errmsg *err)
{
    static struct settings settings;
    int rc = load_settings(c, &settings, err);
    if (rc == 0) {
        log_set_level((enum log_level)settings.options.log_level);
        rc = c->check            ? show_settings(&settings)
             : c->print_host_key ? print_host_key(&settings, err)
                                 : serve(c, &settings, err);
    }
    if (!c->inetd) {
        sshd_options_release(&settings.options);
    } /* else threads of a login that takes long may still read them (Windows) */
    return rc;
}

int main(int argc, char **argv)
{
    struct command_line c = {0};
    struct errmsg err = {""};
    bool quiet;
    int code;
    int rc;
    rc = serve_prepare(&argc, &argv, &err);
    if (rc == 0 && serve_apart(argc, argv, &code)) {
        return code;
    }
    log_init("multissh-sshd");
    quiet = inetd_log();
    if (rc == 0) {
        rc = parse(argc, argv, &c, &err);
    }
    if (rc == 0 && c.help) {
        help();
        return EXIT_SUCCESS;
    }
    if (rc == 0 && c.version) {
        (void)puts("multissh-sshd " MULTISSH_VERSION);
        return EXIT_SUCCESS;
    }
    if (rc == 0 && c.dump) {
        options_dump(sshd_options_table, sshd_options_count, stdout);
        return EXIT_SUCCESS;
    }
    if (rc == 0) {
        rc = check_arguments(&c, &err);
    }
    if (rc == 0 && c.sftp) {
        return sftp_main(c.read_only);
    }
    if (rc == 0) {
        (void)umask(077);
        rc = execute(&c, &err);
        if (rc < 0 && rc != -EINVAL && rc != -ERANGE) {
            log_error("%s", err.text);
            return EXIT_FAILURE;
        }
    }
    if (rc < 0) {
        quiet ? log_error("%s", err.text) : (void)fprintf(stderr, "multissh-sshd: %s\n", err.text);
    }
    return rc < 0 ? EXIT_USAGE : EXIT_SUCCESS;
}
