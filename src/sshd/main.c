/* multissh-sshd: the command line. */
#include "base/errmsg.h"
#include "base/fs.h"
#include "base/log.h"
#include "sshd/identity.h"
#include "sshd/inetd.h"
#include "sshd/monitor.h"
#include "sshd/sftp.h"
#include "sshd/speaker.h"
#include "sshd/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void help(FILE *to)
{
    fputs(
        "usage: multissh-sshd --inetd [--peer IP[:PORT]] [--proxy-protocol] [OPTION]...\n"
        "       multissh-sshd --sftp [--read-only]\n"
        "       multissh-sshd --print-host-key | --check [OPTION]...\n"
        "\n"
        "An SSH server for one connection, for machines that run no SSH server. multissh-agent starts it. "
        "Run "
        "as\n"
        "root it lets every account in that may log in, run by anybody else that user alone.\n"
        "\n"
        "--inetd           serves the connection that is descriptor 0\n"
        "--peer IP[:PORT]  where the user comes from, when the connection does not tell\n"
        "--proxy-protocol  a PROXY line (version 1) comes first, and says where the user comes from\n"
        "--state DIR       the folder of sshd.conf and of the host key that is made when /etc/ssh has none\n"
        "                  (default: /var/lib/multissh-sshd for root, else $XDG_STATE_HOME/multissh-sshd or\n"
        "                  ~/.local/state/multissh-sshd)\n"
        "--config FILE     the settings (default: sshd.conf in the state folder, if it is there)\n"
        "--sftp            serves SFTP on descriptors 0 and 1, as who runs it; with --read-only nothing is\n"
        "                  changed\n"
        "--print-host-key  prints the public host key, which is made if there is none\n"
        "--check           checks the settings, shows them and ends\n"
        "--help, --version, --dump-options\n"
        "\n"
        "Settings, in sshd.conf as NAME = VALUE or as options:\n",
        to);
    options_help(sshd_options_table, sshd_options_count, to);
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

static int state_folder(const struct command_line *c, char *out, size_t size, struct errmsg *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n = -1;
    if (c->state != NULL) {
        n = snprintf(out, size, "%s", c->state);
    } else if (geteuid() == 0) {
        n = snprintf(out, size, "/var/lib/multissh-sshd");
    } else if (state != NULL && state[0] == '/') {
        n = snprintf(out, size, "%s/multissh-sshd", state);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(out, size, "%s/.local/state/multissh-sshd", home);
    }
    return n >= 0 && (size_t)n < size
               ? 0
               : errmsg_set(err, -ENOENT, "there is no place for the state: choose a folder with --state");
}

static int load_settings(struct command_line *c, struct settings *s, struct errmsg *err)
{
    const char *extra;
    int next;
    int rc = state_folder(c, s->state, sizeof s->state, err);
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

/* --- the connection --- */

static void close_if(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

/* What the speaker says first: does it have a host key? */
struct beginning {
    int rc;
    struct errmsg err;
};

/* The key is loaded here, and never in the process that becomes the monitor: of what the library frees of it a
 * part would be in the memory of every helper, and those are the accounts. */
_Noreturn static void speak(const struct settings *s, const struct inetd *inetd, int monitor, int told)
{
    struct hostkey *key = NULL;
    struct beginning begin = {.rc = 0};
    struct speaker_config config = {.options = &s->options,
                                    .connection = inetd->fd,
                                    .monitor = monitor,
                                    .peer = inetd->peer[0] == '\0' ? "an unknown address" : inetd->peer};
    begin.rc = identity_load(s->options.host_key, s->state, &key, &begin.err);
    if (write(told, &begin, sizeof begin) != (ssize_t)sizeof begin || begin.rc < 0) {
        _exit(1);
    }
    config.key = key;
    _exit(speaker_run(&config));
}

/* Returns 0 when it began, or a negative errno value with err. */
static int await_beginning(int fd, struct errmsg *err)
{
    struct beginning begin;
    ssize_t n;
    do {
        n = read(fd, &begin, sizeof begin);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof begin) {
        return errmsg_set(err, -ECHILD, "the process that speaks SSH ended before it began");
    }
    *err = begin.err;
    return begin.rc;
}

/* The speaker is the child: who started this waits for the monitor. Returns 0 or a negative errno value with
 * err. */
static int serve(const struct settings *s, const struct inetd *inetd, pid_t *ret_pid, int *ret_fd,
                 struct errmsg *err)
{
    int pair[2] = {-1, -1};
    int told[2] = {-1, -1};
    int rc = pipe2(told, O_CLOEXEC) < 0 ? -errno : wire_pair(pair);
    pid_t pid = rc == 0 ? fork() : -1;
    if (pid == 0) {
        close(pair[0]);
        close(told[0]);
        speak(s, inetd, pair[1], told[1]);
    }
    if (rc == 0 && pid < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        (void)errmsg_set(err, rc, "cannot start the process that speaks SSH: %s", strerror(-rc));
    }
    close_if(told[1]);
    close_if(pair[1]);
    if (rc == 0) {
        rc = await_beginning(told[0], err);
    }
    close_if(told[0]);
    if (rc < 0) {
        close_if(pair[0]);
        return rc;
    }
    *ret_pid = pid;
    *ret_fd = pair[0];
    return 0;
}

static int inetd(const struct command_line *c, const struct settings *s, struct errmsg *err)
{
    struct inetd connection;
    pid_t speaker = -1;
    int fd = -1;
    int rc = inetd_take(c->peer, c->proxy_protocol, PROXY_LINE_MS, &connection, err);
    if (rc < 0) {
        return rc;
    }
    rc = serve(s, &connection, &speaker, &fd, err);
    close(connection.fd);
    if (rc < 0) {
        return rc;
    }
    const struct monitor_config config = {.options = &s->options,
                                          .speaker_fd = fd,
                                          .speaker = speaker,
                                          .peer = connection.peer[0] == '\0' ? NULL : connection.peer,
                                          .peer_port = connection.peer_port,
                                          .local = connection.local[0] == '\0' ? NULL : connection.local,
                                          .local_port = connection.local_port};
    rc = monitor_run(&config);
    return rc < 0 ? errmsg_set(err, rc, "the monitor ended: %s", strerror(-rc)) : 0;
}

static int execute(struct command_line *c, struct errmsg *err)
{
    static struct settings settings;
    int rc = load_settings(c, &settings, err);
    if (rc == 0) {
        log_set_level((enum log_level)settings.options.log_level);
        rc = c->check            ? show_settings(&settings)
             : c->print_host_key ? print_host_key(&settings, err)
                                 : inetd(c, &settings, err);
    }
    sshd_options_release(&settings.options);
    return rc;
}

/* Descriptors 0, 1 and 2 are there, if only as /dev/null, so that none of ours becomes one of them. */
static void fill_standard(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO) {
        close(fd);
    }
}

int main(int argc, char **argv)
{
    struct command_line c = {0};
    struct errmsg err = {""};
    bool quiet;
    int rc;
    fill_standard();
    log_init("multissh-sshd");
    quiet = inetd_log();
    (void)signal(SIGPIPE, SIG_IGN);
    rc = parse(argc, argv, &c, &err);
    if (rc == 0 && c.help) {
        help(stdout);
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
