/* Lines of other processes' logs. */
#include "sshd/childlogs.h"

#include "base/io.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 2048u
#define BURST 200u
#define INTERVAL_MS 1000u

struct childlog {
    struct childlog *next;
    struct childlogs *all;
    struct ssh_loop_watch *watch;
    struct log_limit limit;
    int fd;
    size_t n;
    char line[LINE_BYTES + 1];
    char account[];
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

static void say(struct childlog *log, size_t n)
{
    enum log_level level;
    const char *text;
    n -= n > 0 && log->line[n - 1] == '\r'; /* lines of text on Windows */
    log->line[n] = '\0';
    text = text_of(log->line, &level);
    if (text[0] != '\0')
        log_limited(&log->limit, level, "%s: %s", log->account, text);
}

static void say_lines(struct childlog *log)
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
static bool take_some(struct childlog *log)
{
    long n = io_read(log->fd, log->line + log->n, LINE_BYTES - log->n);
    if (n <= 0)
        return n == -EAGAIN;
    log->n += (size_t)n;
    say_lines(log);
    return true;
}

static void forget(struct childlog *log)
{
    struct childlog **at = &log->all->first;
    while (*at != log)
        at = &(*at)->next;
    *at = log->next;
    if (log->n > 0)
        say(log, log->n);
    ssh_loop_unwatch(log->watch);
    io_close(log->fd);
    free(log);
}

static void on_ready(void *arg, short ready)
{
    struct childlog *log = arg;
    (void)ready;
    if (!take_some(log))
        forget(log);
}

void childlogs_take(struct childlogs *logs, struct ssh_loop *loop, const char *account, int *fd)
{
    struct childlog *log;
    if (*fd < 0)
        return;
    log = calloc(1, sizeof *log + strlen(account) + 1);
    if (log == NULL || ssh_loop_watch(loop, *fd, POLLIN, on_ready, log, &log->watch) < 0) {
        log_warn("out of memory: what an SFTP server of %s logs is lost", account);
        free(log);
        return; /* it is closed with the other ends */
    }
    log->all = logs;
    log->fd = *fd;
    log->limit = (struct log_limit){.burst = BURST, .interval_ms = INTERVAL_MS};
    memcpy(log->account, account, strlen(account) + 1);
    log->next = logs->first;
    logs->first = log;
    *fd = -1;
}

void childlogs_release(struct childlogs *logs)
{
    struct childlog *next;
    for (struct childlog *log = logs->first; log != NULL; log = next) {
        size_t rounds = BURST;
        struct pollfd p = {.fd = log->fd, .events = POLLIN};
        while (rounds-- > 0 && io_poll(&p, 1, 0) > 0 && take_some(log))
            ;
        next = log->next;
        forget(log);
    }
}
