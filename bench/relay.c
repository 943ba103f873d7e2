/* A raw TCP relay, the least that a hub can do: usage: relay PORT TO-PORT, both on 127.0.0.1.
 *
 * One process for each connection. Bytes are moved by splice(2), or with the third argument "copy" by read(2) and write(2).
 * It is the floor that the hub's CPU time is compared with, and owns nothing else. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK (256 * 1024)

struct way {
    int from, to;
    int pipe[2];
    size_t held, at;
    char *data; /* instead of the pipe */
    int over;
};

static struct sockaddr_in loopback(const char *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    addr.sin_port = htons((unsigned short)strtoul(port, NULL, 10));
    return addr;
}

static ssize_t take(struct way *way)
{
    if (way->data)
        return read(way->from, way->data, CHUNK);
    return splice(way->from, NULL, way->pipe[1], NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

static ssize_t give(struct way *way)
{
    if (way->data)
        return write(way->to, way->data + way->at, way->held);
    return splice(way->pipe[0], NULL, way->to, NULL, way->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

/* Moves what there is; -1 when the connection is lost. */
static int step(struct way *way)
{
    ssize_t n;

    if (!way->held && !way->over) {
        n = take(way);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (n == 0) {
            way->over = 1;
            shutdown(way->to, SHUT_WR);
            return 0;
        }
        way->held = (size_t)n;
        way->at = 0;
    }
    if (way->held) {
        n = give(way);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        way->held -= (size_t)n;
        way->at += (size_t)n;
    }
    return 0;
}

static int relay(int a, int b, int copy)
{
    struct way ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};

    for (int i = 0; i < 2; i++) {
        if (copy) {
            ways[i].data = malloc(CHUNK);
            if (!ways[i].data)
                return 1;
        } else if (pipe2(ways[i].pipe, O_NONBLOCK | O_CLOEXEC) ||
                   fcntl(ways[i].pipe[1], F_SETPIPE_SZ, CHUNK) < 0) {
            return 1;
        }
    }
    while (!ways[0].over || !ways[1].over) {
        struct pollfd fds[2] = {{.fd = a}, {.fd = b}};

        for (int i = 0; i < 2; i++) {
            if (ways[i].held)
                fds[1 - i].events |= POLLOUT;
            else if (!ways[i].over)
                fds[i].events |= POLLIN;
        }
        /* One whose other end is gone would wake us all the time. */
        for (int i = 0; i < 2; i++) {
            if (!fds[i].events)
                fds[i].fd = -1;
        }
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 1;
        for (int i = 0; i < 2; i++) {
            if (step(&ways[i]))
                return 1;
        }
    }
    return 0;
}

static int serve(int client, const struct sockaddr_in *to, int copy)
{
    int one = 1, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (server < 0 || connect(server, (const struct sockaddr *)to, sizeof(*to)))
        return 1;
    for (int i = 0; i < 2; i++) {
        int fd = i ? server : client;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (fcntl(fd, F_SETFL, O_NONBLOCK))
            return 1;
    }
    return relay(client, server, copy);
}

/* What has ended is waited for, so that its time is counted. */
static void reap(int number)
{
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = reap};
    int one = 1, listener, copy = argc == 4 && !strcmp(argv[3], "copy");

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: relay PORT TO-PORT [copy]\n");
        return 2;
    }
    struct sockaddr_in at = loopback(argv[1]), to = loopback(argv[2]);

    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGCHLD, &action, NULL);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 128)) {
        perror("relay");
        return 1;
    }
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (client < 0)
            continue;
        pid_t child = fork();
        if (child == 0)
            _exit(serve(client, &to, copy));
        close(client);
    }
}
