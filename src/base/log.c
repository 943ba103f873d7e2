/* The log: one line an event, safe to show on a terminal. Owns the level and the sink; opens no files. */
#include "base/log.h"

#include "base/clock.h"
#include "base/log_journal.h"
#include "base/printf.h"
#include "base/utf8.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 2000

static struct {
    const char *program;
    enum log_level level;
    bool journal;
    log_sink *sink;
    void *sink_arg;
} state = {.program = "multissh", .level = LOG_LEVEL_INFO};

static const struct {
    const char *name;
    const char *label;
    int priority; /* syslog(3) */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", "ERROR", 3},
    [LOG_LEVEL_WARN] = {"warn", "WARN", 4},
    [LOG_LEVEL_INFO] = {"info", "INFO", 6},
    [LOG_LEVEL_DEBUG] = {"debug", "DEBUG", 7},
};

void log_init(const char *program)
{
    state.program = program;
    state.journal = log_journal_reads();
    (void)setvbuf(stderr, NULL, _IONBF, 0); /* on Windows a file or pipe is buffered */
}

void log_set_level(enum log_level level)
{
    state.level = level;
}

enum log_level log_level(void)
{
    return state.level;
}

void log_set_sink(log_sink *sink, void *arg)
{
    state.sink = sink;
    state.sink_arg = arg;
}

int log_parse_level(const char *name, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(name, levels[i].name) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Copies text behind what is in out, escaped, as far as whole characters fit below size; returns the new
 * length. */
static size_t append_escaped(char *out, size_t size, size_t at, const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n;) {
        uint32_t code = 0;
        size_t len = utf8_next(text + i, n - i, &code);
        bool escape = len == 0 || utf8_unsafe(code);
        if (len == 0)
            len = 1;
        if (at + (escape ? 4 * len : len) >= size)
            break;
        for (size_t k = 0; k < len; k++, i++) {
            if (escape)
                at += (size_t)snprintf(out + at, size - at, "\\x%02X", (unsigned char)text[i]);
            else
                out[at++] = text[i];
        }
    }
    out[at] = '\0';
    return at;
}

static size_t line_prefix(enum log_level level, char *out, size_t size)
{
    char utc[32];
    int n;
    if (state.journal) {
        n = snprintf(out, size, "<%d>", levels[level].priority);
    } else {
        int64_t now = clock_wall_ms();
        clock_format_utc(now / 1000, utc, sizeof utc);
        utc[strlen(utc) - 1] = '\0'; /* the Z comes behind the ms */
        n = snprintf(out, size, "%s.%03dZ %s %s ", utc, (int)(now % 1000), state.program,
                     levels[level].label);
    }
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static void emit(enum log_level level, const char *text)
{
    char line[LINE_MAX_BYTES + 1];
    int saved = errno;
    if (state.sink != NULL) {
        append_escaped(line, sizeof line, 0, text);
        state.sink(state.sink_arg, level, line);
    } else {
        size_t n = line_prefix(level, line, 256);
        n = append_escaped(line, sizeof line - 1, n, text);
        line[n++] = '\n';
        /* Unbuffered, so this is one write: lines of processes that share the file do not mix. */
        fwrite(line, 1, n, stderr);
    }
    errno = saved;
}

LIKE_PRINTF(3, 0) static void vlog(enum log_level level, unsigned suppressed, const char *fmt, va_list args)
{
    char text[LINE_MAX_BYTES + 1];
    if (level > state.level)
        return;
    int n = vsnprintf(text, sizeof text, fmt, args);
    if (n < 0)
        return;
    if (suppressed > 0) {
        size_t used = utf8_cut(text, strlen(text), LINE_MAX_BYTES - 400);
        snprintf(text + used, sizeof text - used, " (%u like it were not logged)", suppressed);
    }
    emit(level, text);
}

void log_at(enum log_level level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vlog(level, 0, fmt, args);
    va_end(args);
}

void log_error(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vlog(LOG_LEVEL_ERROR, 0, fmt, args);
    va_end(args);
}

void log_warn(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vlog(LOG_LEVEL_WARN, 0, fmt, args);
    va_end(args);
}

void log_info(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vlog(LOG_LEVEL_INFO, 0, fmt, args);
    va_end(args);
}

void log_debug(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vlog(LOG_LEVEL_DEBUG, 0, fmt, args);
    va_end(args);
}

/* A bucket of burst lines, in_window of them used, of which one comes back every interval_ms since
 * window_start. */
static bool limit_allows(struct log_limit *limit, uint64_t now)
{
    unsigned burst = limit->burst > 0 ? limit->burst : 1;
    if (limit->interval_ms == 0)
        return true;
    if (limit->in_window > 0 && now > limit->window_start) {
        uint64_t back = (now - limit->window_start) / limit->interval_ms;
        limit->in_window = back >= limit->in_window ? 0 : limit->in_window - (unsigned)back;
        limit->window_start += back * limit->interval_ms;
    }
    if (limit->in_window == 0)
        limit->window_start = now;
    if (limit->in_window >= burst) {
        limit->suppressed++;
        return false;
    }
    limit->in_window++;
    return true;
}

void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
    if (level > state.level || !limit_allows(limit, clock_now_ms()))
        return;
    va_list args;
    va_start(args, fmt);
    vlog(level, limit->suppressed, fmt, args);
    va_end(args);
    limit->suppressed = 0;
}
