/* The machine's edge of one stream, for tests of the front alone: joins the stream on a descriptor with a TCP
 * connection to a port on 127.0.0.1.
 *
 *   edge_b KEY_HEX PORT FD [WINDOW]
 *
 * Lines on standard input: `connect PORT EPOCH` opens another connection (to a listener of the test, which
 * hands it to the front) and attaches it; `drop` closes the live one; end of file changes nothing. While a
 * connection is there but not live yet, lines wait. Ends when the stream has ended, and says how. */
#include "base/clock.h"
#include "base/crypto.h"
#include "stream/stream.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static struct stream *stream;
static int conns[STREAM_CONNS] = {-1, -1, -1, -1};
static int target = -1;
static bool target_read_over, target_write_over, commands_over;
static unsigned char scratch[256 << 10];

static int dial(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("edge_b: connect");
        exit(2);
    }
    return fd;
}

static void attach(int fd, uint32_t epoch)
{
    int c = stream_attach(stream, epoch, clock_now_ms());
    if (c < 0) {
        fprintf(stderr, "edge_b: attach: %s\n", strerror(-c));
        close(fd);
        return;
    }
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    conns[c] = fd;
}

static void conn_end(int c)
{
    stream_detach(stream, c, clock_now_ms());
    (void)shutdown(conns[c], SHUT_WR);
    close(conns[c]);
    conns[c] = -1;
}

static void command(void)
{
    char text[256];
    char *rest = text;
    char *line;
    ssize_t n = read(STDIN_FILENO, text, sizeof text - 1);
    if (n <= 0) {
        commands_over = true;
        return;
    }
    text[n] = '\0';
    while ((line = strsep(&rest, "\n")) != NULL) {
        unsigned port;
        unsigned epoch;
        if (sscanf(line, "connect %u %u", &port, &epoch) == 2) {
            attach(dial(port), epoch);
        } else if (strcmp(line, "drop") == 0 && stream_live(stream) >= 0) {
            conn_end(stream_live(stream));
        }
    }
}

static void read_conn(int c)
{
    ssize_t n = recv(conns[c], scratch, sizeof scratch, 0);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        conn_end(c);
    } else if (stream_input(stream, c, scratch, (size_t)n, clock_now_ms()) < 0) {
        fprintf(stderr, "edge_b: a connection was not taken\n");
        close(conns[c]);
        conns[c] = -1;
    }
}

/* Returns whether the socket took all. */
static bool write_conn(int c)
{
    struct stream_iov pieces[16];
    struct iovec iov[16];
    size_t count;
    while ((count = stream_output(stream, c, pieces, 16, clock_now_ms())) > 0) {
        struct msghdr header = {.msg_iov = iov, .msg_iovlen = count};
        ssize_t n;
        for (size_t i = 0; i < count; i++) {
            iov[i] = (struct iovec){(void *)(uintptr_t)pieces[i].data, pieces[i].n};
        }
        n = sendmsg(conns[c], &header, MSG_NOSIGNAL);
        stream_sent(stream, c, n > 0 ? (size_t)n : 0, clock_now_ms());
        if (n < 0) {
            return false;
        }
    }
    return true;
}

static void from_target(void)
{
    uint8_t *at;
    size_t n;
    ssize_t got;
    if (stream_source_reserve(stream, sizeof scratch, &at, &n) != 0) {
        return;
    }
    got = recv(target, at, n, MSG_DONTWAIT);
    stream_source_commit(stream, got > 0 ? (size_t)got : 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        target_read_over = true;
        stream_source_eof(stream);
    }
}

/* Returns whether the target took all. */
static bool to_target(void)
{
    const uint8_t *at;
    size_t n;
    while ((n = stream_sink_peek(stream, &at)) > 0) {
        ssize_t sent = target_write_over ? (ssize_t)n : send(target, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            return false;
        }
        if (sent < 0) {
            target_write_over = true;
            continue;
        }
        stream_sink_consumed(stream, (size_t)sent);
    }
    if (stream_sink_eof(stream)) {
        if (!target_write_over) {
            (void)shutdown(target, SHUT_WR);
        }
        target_write_over = true;
        stream_sink_eof_delivered(stream);
    }
    return true;
}

static bool conns_left(void)
{
    bool left = false;
    for (int c = 0; c < STREAM_CONNS; c++) {
        left = left || conns[c] >= 0;
    }
    return left;
}

static void turn(void)
{
    struct pollfd fds[STREAM_CONNS + 2];
    uint64_t now = clock_now_ms();
    uint64_t at;
    int wait_ms;
    bool all_taken = to_target();
    bool listens;
    stream_tick(stream, now);
    for (int c = 0; c < STREAM_CONNS; c++) {
        bool sent = conns[c] < 0 || write_conn(c);
        if (conns[c] >= 0 && stream_wants_close(stream, c)) {
            conn_end(c);
        }
        fds[c] = (struct pollfd){.fd = conns[c], .events = (short)(sent ? POLLIN : POLLIN | POLLOUT)};
    }
    fds[STREAM_CONNS] = (struct pollfd){.fd = target, .events = 0};
    if (!target_read_over && stream_source_room(stream) > 0) {
        fds[STREAM_CONNS].events |= POLLIN;
    }
    if (!all_taken) {
        fds[STREAM_CONNS].events |= POLLOUT;
    }
    if (fds[STREAM_CONNS].events == 0) {
        fds[STREAM_CONNS].fd = -1;
    }
    listens = !commands_over && (stream_live(stream) >= 0 || !conns_left());
    fds[STREAM_CONNS + 1] = (struct pollfd){.fd = listens ? STDIN_FILENO : -1, .events = POLLIN};
    at = stream_next_tick(stream);
    wait_ms = at == UINT64_MAX ? 10000 : at <= now ? 0 : (int)(at - now < 10000 ? at - now : 10000);
    if (stream_state(stream) != STREAM_OPEN) {
        wait_ms = 20;
    }
    (void)poll(fds, STREAM_CONNS + 2, wait_ms);
    for (int c = 0; c < STREAM_CONNS; c++) {
        if (conns[c] >= 0 && (fds[c].revents & ~POLLOUT) != 0) {
            read_conn(c);
        }
    }
    if ((fds[STREAM_CONNS].revents & ~POLLOUT) != 0) {
        from_target();
    }
    if (fds[STREAM_CONNS + 1].revents != 0) {
        command();
    }
}

int main(int argc, char **argv)
{
    struct stream_config config = {.role = 'b', .dials = false};
    struct stream_stats stats;
    if (argc < 4 ||
        crypto_hex_decode(argv[1], strlen(argv[1]), config.key, sizeof config.key) != TICKET_KEY_SIZE) {
        fprintf(stderr, "usage: edge_b KEY_HEX PORT FD [WINDOW]\n");
        return 2;
    }
    config.window = argc > 4 ? (uint32_t)atol(argv[4]) : 0;
    if (stream_new(&config, clock_now_ms(), &stream) != 0) {
        return 2;
    }
    target = dial((unsigned)atoi(argv[2]));
    attach(atoi(argv[3]), 0);
    while (stream_state(stream) == STREAM_OPEN) {
        turn();
    }
    for (uint64_t end = clock_now_ms() + 3000; conns_left() && clock_now_ms() < end;) {
        turn();
    }
    stream_get_stats(stream, &stats);
    printf("%s sent=%llu received=%llu resumes=%u\n",
           stream_state(stream) == STREAM_DONE ? "done" : stream_reason(stream),
           (unsigned long long)stats.sent, (unsigned long long)stats.received, stats.resumes);
    stream_free(stream);
    return 0;
}
