/* multissh-relay: ends the TLS of one stream connection for the hub. Descriptor 3 is the accepted TCP
 * connection, of which nothing has been read, descriptor 4 a local socket that carries the plain stream. One
 * process a connection: what goes wrong in TLS hurts that connection alone. It reads its files, gives up
 * everything else, and only then looks at the first byte.
 *
 * With --pair: joins the two connections of a stream, descriptors 5 and 6, and speaks with the hub over 3 and 4 (pair.h). */
#include "base/addr.h"
#include "base/log.h"
#include "base/options.h"
#include "base/sandbox.h"
#include "pair.h"
#include "pump.h"
#include "tls/keys.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TCP_FD 3
#define LOCAL_FD 4
/* with --pair */
#define CONTROL_FD 3
#define LISTEN_FD 4
#define USER_FD 5
#define MACHINE_FD 6

enum { EXIT_ENDED = 0, EXIT_CONNECTION = 1, EXIT_USAGE = 2, EXIT_START = 3 };

struct settings {
    char *key, *cert, *ca;
    uint64_t grace;
    bool pair;
};

static const struct option table[] = {
    {"key", OPTION_STRING, offsetof(struct settings, key), .unit = "FILE",
     .help = "the private key of the hub's certificate in use (PEM, Ed25519)"},
    {"cert", OPTION_STRING, offsetof(struct settings, cert), .unit = "FILE",
     .help = "the hub's certificate in use (PEM)"},
    {"ca", OPTION_STRING, offsetof(struct settings, ca), .unit = "FILE",
     .help = "the certificate of the hub's CA, which signed it (PEM)"},
    {"grace", OPTION_UINT, offsetof(struct settings, grace), .min = 1, .max = 600000, .fallback = "10000",
     .unit = "ms", .help = "how long the TLS handshake may take"},
    {"pair", OPTION_BOOL, offsetof(struct settings, pair), .fallback = "no",
     .help = "join two plain connections instead"},
};
#define OPTIONS (sizeof(table) / sizeof(table[0]))

static void print_help(void)
{
    printf(
        "multissh-relay: ends the TLS of one stream connection, or joins the two connections of a stream\n\n"
        "usage: multissh-relay --key FILE --cert FILE --ca FILE [--grace MS]\n"
        "       multissh-relay --pair\n\n"
        "Started by multissh-hub, not by hand: descriptor 3 is the accepted TCP connection, descriptor 4 a\n"
        "local socket for the plain stream. With --pair 3 is the hub's channel, 4 the socket at which the "
        "next\n"
        "hub finds the process, 5 the user's connection and 6 the machine's.\n\n");
    options_help(table, OPTIONS, stdout);
    printf(
        "\nExit status: %d both directions ended, %d the connection failed, %d wrong usage, %d it could not\n"
        "start (files, descriptors, sandbox).\n",
        EXIT_ENDED, EXIT_CONNECTION, EXIT_USAGE, EXIT_START);
}

/* Returns 0 to go on, or the exit status + 1. */
static int read_arguments(struct settings *set, int argc, char **argv)
{
    static const char *const extra[] = {"help", "-h", "version", "-V", "dump-options", NULL};
    struct errmsg err = {""};
    const char *met = NULL;
    int next = 0;

    if (options_defaults(table, OPTIONS, set) < 0 ||
        options_args(table, OPTIONS, set, argc, argv, extra, &next, &met, &err) < 0) {
        fprintf(stderr, "multissh-relay: %s; see multissh-relay --help\n", err.text);
        return EXIT_USAGE + 1;
    }
    if (met && (strcmp(met, "help") == 0 || strcmp(met, "-h") == 0))
        print_help();
    else if (met && strcmp(met, "dump-options") == 0)
        options_dump(table, OPTIONS, stdout);
    else if (met)
        printf("multissh-relay %s\n", MULTISSH_VERSION);
    if (met)
        return EXIT_ENDED + 1;
    if (next < argc) {
        fprintf(stderr, "multissh-relay: unexpected argument '%s'; see multissh-relay --help\n", argv[next]);
        return EXIT_USAGE + 1;
    }
    if (!set->pair && (!set->key || !set->cert || !set->ca)) {
        fprintf(stderr, "multissh-relay: --key, --cert and --ca are needed; see multissh-relay --help\n");
        return EXIT_USAGE + 1;
    }
    return 0;
}

static int load_ctx(const struct settings *set, SSL_CTX **ret_ctx, struct errmsg *err)
{
    EVP_PKEY *key = NULL;
    X509 *cert = NULL, *ca = NULL;
    int rc = keys_load(set->key, &key, err);

    if (rc == 0)
        rc = keys_cert_load(set->cert, &cert, err);
    if (rc == 0)
        rc = keys_cert_load(set->ca, &ca, err);
    if (rc == 0) {
        rc = session_server_ctx(cert, key, ca, false, ret_ctx);
        if (rc < 0)
            errmsg_set(err, rc, "the key in %s does not belong to the certificate in %s", set->key,
                       set->cert);
    }
    EVP_PKEY_free(key);
    X509_free(cert);
    X509_free(ca);
    return rc;
}

static int prepare_socket(int fd, int wanted, struct errmsg *err)
{
    int type = 0, flags;
    socklen_t n = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != wanted)
        return errmsg_set(err, -EINVAL,
                          "descriptor %d is not a %s socket: multissh-relay is started by multissh-hub, not "
                          "by hand",
                          fd, wanted == SOCK_STREAM ? "stream" : "packet");
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return errmsg_set(err, -errno, "descriptor %d: %s", fd, strerror(errno));
    return 0;
}

/* Small frames must not wait for big ones, and a client that vanished must be noticed some day. What a socket
 * of another kind refuses does no harm. */
static void tune_tcp(int fd)
{
    static const int on = 1, idle_s = 60, interval_s = 15, probes = 8;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static void name_source(int fd, char *out, size_t size)
{
    struct sockaddr_storage peer = {0};
    socklen_t n = sizeof(peer);

    if (getpeername(fd, (struct sockaddr *)&peer, &n) == 0)
        addr_ip((const struct sockaddr *)&peer, out, size);
    else
        snprintf(out, size, "?");
}

static int run(const struct settings *set)
{
    struct errmsg err = {""};
    SSL_CTX *ctx = NULL;
    char source[64];
    int rc, status = EXIT_START;

    if (prepare_socket(TCP_FD, SOCK_STREAM, &err) < 0 || prepare_socket(LOCAL_FD, SOCK_STREAM, &err) < 0 ||
        load_ctx(set, &ctx, &err) < 0) {
        log_error("%s", err.text);
        goto out;
    }
    tune_tcp(TCP_FD);
    name_source(TCP_FD, source, sizeof(source));
    rc = sandbox_enter();
    if (rc < 0) {
        log_error("the sandbox cannot be entered: %s; a kernel with seccomp is needed", strerror(-rc));
        goto out;
    }
    rc = pump_run(ctx, TCP_FD, LOCAL_FD, set->grace, &err);
    status = rc == 0 ? EXIT_ENDED : EXIT_CONNECTION;
    if (rc < 0)
        log_at(rc == -ECONNRESET ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "TLS stream from %s: %s", source,
               err.text);
out:
    SSL_CTX_free(ctx);
    return status;
}

static int run_pair(void)
{
    struct errmsg err = {""};
    int rc = prepare_socket(CONTROL_FD, SOCK_SEQPACKET, &err);

    if (rc == 0)
        rc = prepare_socket(LISTEN_FD, SOCK_SEQPACKET, &err);
    if (rc == 0)
        rc = prepare_socket(USER_FD, SOCK_STREAM, &err);
    if (rc == 0)
        rc = prepare_socket(MACHINE_FD, SOCK_STREAM, &err);
    if (rc == 0) {
        tune_tcp(USER_FD);
        tune_tcp(MACHINE_FD);
        rc = pair_run(CONTROL_FD, LISTEN_FD, USER_FD, MACHINE_FD, &err);
    }
    if (rc < 0)
        log_error("%s", err.text);
    return rc < 0 ? EXIT_START : EXIT_ENDED;
}

int main(int argc, char **argv)
{
    struct settings set = {0};
    int status;

    log_init("multissh-relay");
    signal(SIGPIPE, SIG_IGN);
    status = read_arguments(&set, argc, argv);
    status = status != 0 ? status - 1 : set.pair ? run_pair() : run(&set);
    options_release(table, OPTIONS, &set);
    return status;
}
