/* Owns one blocking conversation with the hub. */
#include "hub/admin_client.h"
#include "base/buf.h"
#include "base/json.h"
#include "hub/admin.h"
#include "hub/execs.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define STOP_WAIT_MS 15000 /* `stop` returns when the hub has ended */

/* A word as the hub's reader of command lines takes it apart again. */
static int add_word(struct buf *line, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:@%+=,";
    int rc = buf_len(line) > 0 ? buf_append(line, " ", 1) : 0;

    if (rc == 0 && *word != '\0' && word[strspn(word, plain)] == '\0')
        return buf_append_str(line, word);
    if (rc == 0)
        rc = buf_append(line, "'", 1);
    for (; *word != '\0' && rc == 0; word++)
        rc = *word == '\'' ? buf_append_str(line, "'\\''") : buf_append(line, word, 1);
    return rc == 0 ? buf_append(line, "'", 1) : rc;
}

static unsigned columns(void)
{
    struct winsize w;

    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

static int send_message(int fd, cJSON *m)
{
    struct buf text;
    int rc = 0;

    buf_init(&text, SEQPACKET_MESSAGE_MAX);
    rc = json_take(m, &text);
    if (rc == 0 && send(fd, buf_data(&text), buf_len(&text), MSG_NOSIGNAL) < 0)
        rc = -errno;
    buf_release(&text);
    return rc;
}

static int send_exec(int fd, char *const *words, int n)
{
    struct buf line;
    cJSON *m = NULL;
    int rc = 0;

    buf_init(&line, EXECS_COMMAND_MAX);
    for (int i = 0; i < n && rc == 0; i++)
        rc = add_word(&line, words[i]);
    if (rc == 0) {
        m = json_new("exec");
        (void)json_add_int(m, "id", 1);
        (void)json_add_str(m, "command", buf_str(&line));
        (void)json_add_bool(m, "tty", columns() > 0);
        (void)json_add_int(m, "columns", columns());
        rc = send_message(fd, m);
    }
    buf_release(&line);
    return rc;
}

static int send_more(int fd)
{
    cJSON *m = json_new("more");

    (void)json_add_int(m, "id", 1);
    return send_message(fd, m);
}

/* Returns the exit status, or -1 when the hub went away before it said one. */
static int converse(int fd)
{
    static char data[SEQPACKET_MESSAGE_MAX];

    for (;;) {
        cJSON *m = NULL;
        const char *type = NULL;
        ssize_t k = recv(fd, data, sizeof data, 0);
        int status = -1;

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0 || json_parse(data, (size_t)k, sizeof data, &m) < 0)
            return -1;
        type = json_str_or(m, "type", 32, "");
        if (strcmp(type, "output") == 0) {
            (void)fputs(json_str_or(m, "data", EXECS_PIECE, ""),
                        json_bool(m, "error", false) ? stderr : stdout);
            if (!json_bool(m, "last", false) && send_more(fd) < 0) {
                cJSON_Delete(m);
                return -1;
            }
        } else if (strcmp(type, "exit") == 0) {
            status = (int)json_int_or(m, "status", 0, 255, 1);
        }
        cJSON_Delete(m);
        if (status >= 0)
            return status;
    }
}

static void wait_for_end(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    (void)poll(&p, 1, STOP_WAIT_MS);
}

int admin_client_run(const char *state_dir, char *const *words, int n)
{
    struct sockaddr_un sa;
    int fd = -1, dir = -1, status = 1;
    int rc = admin_address(state_dir, &sa, &dir);

    if (rc == 0) {
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
            rc = -errno;
    }
    if (rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENOTDIR) {
        (void)fprintf(
            stderr, "multissh-hub: no hub is running for STATE %s; start it with: multissh-hub --state %s\n",
            state_dir, state_dir);
        goto out;
    }
    if (rc < 0) {
        (void)fprintf(stderr, "multissh-hub: %s/%s: %s%s\n", state_dir, ADMIN_SOCKET, strerror(-rc),
                      rc == -EACCES ? "; only root and the user that runs the hub may use it" : "");
        goto out;
    }
    rc = send_exec(fd, words, n);
    if (rc < 0) {
        (void)fprintf(stderr, "multissh-hub: the command cannot be sent: %s\n",
                      rc == -ENOBUFS ? "it is too long, 4096 bytes at most" : strerror(-rc));
        goto out;
    }
    status = converse(fd);
    if (status < 0) {
        (void)fprintf(stderr, "multissh-hub: the hub closed the connection before the command ended\n");
        status = 1;
    } else if (status == 0 && n > 0 && strcmp(words[0], "stop") == 0) {
        wait_for_end(fd);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "multissh-hub: the output could not be written: %s\n", strerror(errno));
        status = status == 0 ? 1 : status;
    }
out:
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return status;
}
