/* What SFTP servers log: they are the account, so they have no descriptor of the log's but a pipe to here, and
 * what they say is said in their account's name and bounded. */
#include "sshd/monitor_private.h"

#include "base/log.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 2048u
#define BURST 200u
#define INTERVAL_MS 1000u

struct monitor_log {
    struct monitor_log *next;
    struct monitor *m;
    struct ssh_loop_watch *watch;
    struct log_limit limit;
    int fd;
    size_t n;
    char line[LINE_BYTES + 1];
};

/* "TIME PROGRAM LEVEL TEXT" (base/log.h); what is not of this form is text. */
static const char *text_of(const char *line, enum log_level *ret_level)
{
    char level[8];
    const char *at = line;
    *ret_level = LOG_LEVEL_INFO;
    for (int i = 0; i < 2; i++) {
        at = strchr(at, ' ');
        if (at == NULL)
            return line;
        at++;
    }
    size_t n = strcspn(at, " ");
    if (n == 0 || n >= sizeof level || at[n] == '\0')
        return line;
    for (size_t i = 0; i < n; i++)
        level[i] = (char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] - 'A' + 'a' : at[i]);
    level[n] = '\0';
    return log_parse_level(level, ret_level) == 0 ? at + n + 1 : line;
}

static void say(struct monitor_log *log, size_t n)
{
    enum log_level level;
    const char *text;
    log->line[n] = '\0';
    text = text_of(log->line, &level);
    if (text[0] != '\0')
        log_limited(&log->limit, level, "%s: %s", log->m->login.account->name, text);
}

static void say_lines(struct monitor_log *log)
{
    char *end;
    while ((end = memchr(log->line, '\n', log->n)) != NULL) {
        size_t n = (size_t)(end - log->line);
        say(log, n);
        log->n -= n + 1;
        memmove(log->line, end + 1, log->n);
    }
    if (log->n == LINE_BYTES) {
        say(log, log->n);
        log->n = 0;
    }
}

/* Returns whether more may come. */
static bool take_some(struct monitor_log *log)
{
    ssize_t n = read(log->fd, log->line + log->n, LINE_BYTES - log->n);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    log->n += (size_t)n;
    say_lines(log);
    return true;
}

static void forget(struct monitor_log *log)
{
    struct monitor_log **at = &log->m->logs;
    while (*at != log)
        at = &(*at)->next;
    *at = log->next;
    if (log->n > 0)
        say(log, log->n);
    ssh_loop_unwatch(log->watch);
    (void)close(log->fd);
    free(log);
}

static void on_ready(void *arg, short ready)
{
    struct monitor_log *log = arg;
    (void)ready;
    if (!take_some(log))
        forget(log);
}

void monitor_log_take(struct monitor *m, int *fd)
{
    struct monitor_log *log;
    if (*fd < 0)
        return;
    log = calloc(1, sizeof *log);
    if (log == NULL || ssh_loop_watch(m->loop, *fd, POLLIN, on_ready, log, &log->watch) < 0) {
        log_warn("out of memory: what an SFTP server of %s logs is lost", m->login.account->name);
        free(log);
        return; /* it is closed with the other ends */
    }
    log->m = m;
    log->fd = *fd;
    log->limit = (struct log_limit){.burst = BURST, .interval_ms = INTERVAL_MS};
    log->next = m->logs;
    m->logs = log;
    *fd = -1;
}

void monitor_log_release(struct monitor *m)
{
    struct monitor_log *next;
    for (struct monitor_log *log = m->logs; log != NULL; log = next) {
        size_t rounds = BURST;
        struct pollfd p = {.fd = log->fd, .events = POLLIN};
        while (rounds-- > 0 && poll(&p, 1, 0) > 0 && take_some(log))
            ;
        next = log->next;
        forget(log);
    }
}
