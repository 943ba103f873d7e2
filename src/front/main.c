/* multissh-front: one SSH connection of one user. The hub starts it once, as the nursery, which forks a front for each
 * connection; a single one can be started too, with the accepted socket and a socket to the hub. */
#include "base/heap.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "front/front.h"
#include "front/nursery.h"
#include "ssh/ssh_warm.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_MS 30000 /* for the hub to say `start` */
#define NURSERY "--nursery"
#define SERVING "--serving" /* as long */

static const char usage[] =
    "usage: multissh-front --nursery N --host-key FILE\n"
    "       multissh-front --host-key FILE --connection-fd N --hub-fd N [--listen-fd N]\n"
    "       multissh-front --make-host-key FILE\n"
    "       multissh-front --help | --version\n"
    "\n"
    "Serves one SSH connection of one user. multissh-hub starts it; by hand only a host key is made with "
    "it.\n"
    "\n"
    "  --nursery N           forks such a process (--serving) for each connection that comes over descriptor "
    "N,\n"
    "                        a Unix SOCK_SEQPACKET socket to the hub\n"
    "  --host-key FILE       the hub's private SSH host key, in OpenSSH's format\n"
    "  --connection-fd N     descriptor of the accepted connection\n"
    "  --hub-fd N            descriptor of a Unix SOCK_SEQPACKET socket to the hub\n"
    "  --listen-fd N         descriptor of a bound Unix SOCK_SEQPACKET socket, to which the next hub "
    "connects\n"
    "  --make-host-key FILE  makes an Ed25519 key in FILE (never over one that is there) and FILE.pub,\n"
    "                        and prints the public key\n";

struct arguments {
    const char *host_key, *make_host_key;
    int nursery, connection, hub, listener;
    char *form; /* the option that says which, as `ps` shows it */
};

static int make_host_key(const char *path)
{
    struct errmsg err;
    struct hostkey *key = NULL;
    char line[HOSTKEY_LINE_MAX];
    int rc = hostkey_make(path, "multissh-hub", &err);
    if (rc == 0) {
        rc = hostkey_load(path, &key, &err);
    }
    if (rc == 0 && hostkey_line(key, line, sizeof line) == 0) {
        (void)printf("%s\n", line);
    }
    hostkey_free(key);
    if (rc < 0) {
        log_error("%s", err.text);
        return 1;
    }
    return 0;
}

static bool parse_fd(const char *text, int *ret_fd)
{
    char *end;
    long value;
    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || value < 0 || value > 1 << 20) {
        return false;
    }
    *ret_fd = (int)value;
    return true;
}

/* Returns -1 to go on, or the exit code. */
static int parse(int argc, char **argv, struct arguments *ret_args)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool ok = value != NULL;
        if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            (void)puts("multissh-front " MULTISSH_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--host-key") == 0) {
            ret_args->host_key = value;
        } else if (strcmp(argv[i], "--make-host-key") == 0) {
            ret_args->make_host_key = value;
        } else if (strcmp(argv[i], NURSERY) == 0) {
            ok = ok && parse_fd(value, &ret_args->nursery);
            ret_args->form = argv[i];
        } else if (strcmp(argv[i], "--connection-fd") == 0) {
            ok = ok && parse_fd(value, &ret_args->connection);
        } else if (strcmp(argv[i], "--hub-fd") == 0) {
            ok = ok && parse_fd(value, &ret_args->hub);
        } else if (strcmp(argv[i], "--listen-fd") == 0) {
            ok = ok && parse_fd(value, &ret_args->listener);
        } else {
            (void)fprintf(stderr, "multissh-front: unknown argument '%s'\n\n%s", argv[i], usage);
            return 2;
        }
        if (!ok) {
            (void)fprintf(stderr, "multissh-front: %s wants a value\n\n%s", argv[i], usage);
            return 2;
        }
    }
    if (ret_args->make_host_key == NULL &&
        (ret_args->host_key == NULL ||
         (ret_args->nursery < 0 && (ret_args->connection < 0 || ret_args->hub < 0)))) {
        (void)fputs(usage, stderr);
        return 2;
    }
    return -1;
}

static int read_start(struct hub_link *link, cJSON **ret_start, struct errmsg *err)
{
    cJSON *start = NULL;
    int rc = hub_link_wait(link, START_MS, &start);
    if (rc == 0 && strcmp(json_str_or(start, "type", 64, ""), "start") != 0) {
        cJSON_Delete(start);
        rc = -EPROTO;
    }
    if (rc < 0) {
        return errmsg_set(err, rc, "the hub did not say how to start");
    }
    *ret_start = start;
    return 0;
}

/* Takes key. */
static int serve(const struct arguments *args, struct hostkey *key, const struct sandbox *sandbox,
                 struct errmsg *err)
{
    struct front_limits limits = {.grace_ms = 60000,
                                  .keepalive_ms = 30000,
                                  .orphan_ms = 3600000,
                                  .wait_ms = 15000,
                                  .tries = 6,
                                  .channels = 256};
    struct hub_link *link = NULL;
    struct front *front = NULL;
    cJSON *start = NULL, *ready;
    int rc = hub_link_new(args->hub, &link);
    if (rc < 0) {
        (void)errmsg_set(err, rc, "cannot use descriptor %d as the hub's: %s", args->hub, strerror(-rc));
        goto out;
    }
    rc = read_start(link, &start, err);
    if (rc < 0) {
        hub_link_free(link);
        goto out;
    }
    front_limits_take(&limits, start);
    rc = front_new(args->connection, link, args->listener, key, &limits, json_str(start, "voucher", 32768),
                   &front, err);
    if (rc < 0) {
        goto out;
    }
    hostkey_free(key);
    key = NULL;
    rc = sandbox_close(sandbox);
    if (rc < 0) {
        (void)errmsg_set(err, rc, "cannot close the sandbox: %s", strerror(-rc));
        goto out;
    }
    ready = json_new("ready");
    (void)json_add_str(ready, "version", MULTISSH_VERSION);
    (void)json_add_int(ready, "pid", getpid());
    (void)json_add_int(ready, "protocol", FRONT_PROTOCOL);
    front_send(front, ready);
    rc = front_run(front);
    if (rc < 0) {
        (void)errmsg_set(err, rc, "poll failed: %s", strerror(-rc));
    }
out:
    front_free(front);
    cJSON_Delete(start);
    hostkey_free(key);
    return rc;
}

/* Everything that is the same for each connection is done; from here on each is a process of its own. */
static int nurse(struct arguments *args, const struct hostkey *key, struct errmsg *err)
{
    struct nursery_front front;
    int rc;
    ssh_warm(key);
    rc = nursery_serve(args->nursery, &front);
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot go on making processes for connections: %s", strerror(-rc));
    }
    if (rc > 0) {
        memcpy(args->form, SERVING, sizeof SERVING - 1);
        args->connection = front.connection;
        args->hub = front.hub;
        args->listener = front.listener;
    }
    return rc;
}

static int run(struct arguments *args)
{
    struct errmsg err = {""};
    struct hostkey *key = NULL;
    struct sandbox *sandbox = NULL;
    int rc = hostkey_load(args->host_key, &key, &err);
    if (rc == 0) {
        rc = sandbox_make(0, &sandbox);
        if (rc < 0) {
            (void)errmsg_set(&err, rc, "cannot make the sandbox: %s", strerror(-rc));
        }
    }
    if (rc == 0) {
        rc = args->nursery < 0 ? 1 : nurse(args, key, &err);
    }
    if (rc > 0) {
        rc = serve(args, key, sandbox, &err);
        key = NULL;
    }
    if (rc < 0) {
        log_error("%s", err.text);
    }
    sandbox_free(sandbox);
    hostkey_free(key);
    return rc < 0 ? 1 : 0;
}

/* Without the libraries' handlers, which take everything apart first: that would have each front copy for it the memory that
 * it shares. In sanitizer builds they look for leaks. */
static int end(int code)
{
#ifndef MULTISSH_SANITIZED
    _exit(code);
#endif
    return code;
}

int main(int argc, char **argv)
{
    struct arguments args = {.nursery = -1, .connection = -1, .hub = -1, .listener = -1};
    int code;
    log_init("multissh-front");
    heap_give_back();
    code = parse(argc, argv, &args);
    if (code >= 0) {
        return code;
    }
    if (args.make_host_key != NULL) {
        return make_host_key(args.make_host_key);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return end(run(&args));
}
