/* The log: one line an event, to standard error (or wherever log_set_sink says), safe to show on a terminal.
 *
 * A line is `TIME PROGRAM LEVEL TEXT` (UTC, RFC 3339, ms), or `<N>TEXT` with a syslog priority when systemd's
 * journal reads it (JOURNAL_STREAM names standard error). Control bytes and broken UTF-8 in the text are
 * written as \xNN, so that a peer cannot forge a line; a line is cut at 2,000 bytes. The owner of a failed
 * operation logs it, once. Never log a key, a token or a ticket. */
#ifndef MULTISSH_BASE_LOG_H
#define MULTISSH_BASE_LOG_H

#include "base/printf.h"
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* program must outlive the log (a string literal). Default level: info. */
void log_init(const char *program);
void log_set_level(enum log_level level);
enum log_level log_level(void);
/* From now on lines go to sink instead, each as its escaped text, without time, program or newline; NULL: to
 * standard error again. The sink must not log. */
typedef void log_sink(void *arg, enum log_level level, const char *text);
void log_set_sink(log_sink *sink, void *arg);
/* "error", "warn", "info", "debug" → level; -EINVAL otherwise. */
int log_parse_level(const char *name, enum log_level *ret_level);

void log_error(const char *fmt, ...) LIKE_PRINTF(1, 2);
void log_warn(const char *fmt, ...) LIKE_PRINTF(1, 2);
void log_info(const char *fmt, ...) LIKE_PRINTF(1, 2);
void log_debug(const char *fmt, ...) LIKE_PRINTF(1, 2);
void log_at(enum log_level level, const char *fmt, ...) LIKE_PRINTF(2, 3);

/* A rate limit for lines that a stranger can cause: at most burst lines, then one each interval_ms; the first
 * line let through after a silence ends in ` (N like it were not logged)`. Zero-initialise, then set burst
 * and interval_ms. */
struct log_limit {
    unsigned burst;
    unsigned interval_ms;
    uint64_t window_start; /* private */
    unsigned in_window;
    unsigned suppressed;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...) LIKE_PRINTF(3, 4);

#endif
