/* utmp, wtmp and lastlog as glibc and Debian have them. */
#include "sshd/records.h"

#include "base/log.h"
#include "base/sockaddr.h"
#include <errno.h>
#include <fcntl.h>
#include <lastlog.h>
#include <paths.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>
#include <utmpx.h>

static const char *line_of(const char *tty)
{
    static const char folder[] = "/dev/";
    return strncmp(tty, folder, sizeof folder - 1) == 0 ? tty + sizeof folder - 1 : tty;
}

/* Fields of these records need no NUL at their end. */
static void fill(char *field, size_t size, const char *text)
{
    memcpy(field, text, strnlen(text, size));
}

static off_t place_of(const struct account *account)
{
    return (off_t)account->uid * (off_t)sizeof(struct lastlog);
}

void records_last_login(const struct account *account, char *out, size_t size)
{
    struct lastlog last;
    char when[32];
    time_t at;
    ssize_t n;
    int fd = open(_PATH_LASTLOG, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    out[0] = '\0';
    if (fd < 0)
        return;
    n = pread(fd, &last, sizeof last, place_of(account));
    (void)close(fd);
    at = n == (ssize_t)sizeof last ? (time_t)last.ll_time : 0;
    if (at == 0 || ctime_r(&at, when) == NULL)
        return;
    when[strcspn(when, "\n")] = '\0';
    if (last.ll_host[0] == '\0')
        (void)snprintf(out, size, "Last login: %s\r\n", when);
    else
        (void)snprintf(out, size, "Last login: %s from %.*s\r\n", when, (int)sizeof last.ll_host,
                       last.ll_host);
}

static void write_lastlog(const struct account *account, const char *line, const char *host, time_t now)
{
    struct lastlog last = {.ll_time = (int32_t)now};
    int fd = open(_PATH_LASTLOG, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        if (errno != ENOENT)
            log_warn(_PATH_LASTLOG ": %s", strerror(errno));
        return;
    }
    fill(last.ll_line, sizeof last.ll_line - 1, line);
    fill(last.ll_host, sizeof last.ll_host - 1, host);
    if (pwrite(fd, &last, sizeof last, place_of(account)) != (ssize_t)sizeof last)
        log_warn(_PATH_LASTLOG ": cannot write the login of %s: %s", account->name, strerror(errno));
    (void)close(fd);
}

static void set_address(struct utmpx *record, const char *host)
{
    struct in6_addr ip6;
    struct in_addr ip4;
    if (inet_pton(AF_INET, host, &ip4) == 1)
        memcpy(record->ut_addr_v6, &ip4, sizeof ip4);
    else if (inet_pton(AF_INET6, host, &ip6) == 1)
        memcpy(record->ut_addr_v6, &ip6, sizeof ip6);
}

static void write_record(struct utmpx *record, pid_t pid, const char *line)
{
    struct timeval now;
    size_t n = strlen(line);
    (void)gettimeofday(&now, NULL);
    record->ut_pid = pid;
    record->ut_tv.tv_sec = (int32_t)now.tv_sec;
    record->ut_tv.tv_usec = (int32_t)now.tv_usec;
    fill(record->ut_line, sizeof record->ut_line, line);
    fill(record->ut_id, sizeof record->ut_id,
         n > sizeof record->ut_id ? line + n - sizeof record->ut_id : line);
    setutxent();
    if (pututxline(record) == NULL && errno != ENOENT)
        log_warn(_PATH_UTMP ": cannot write %s: %s", line, strerror(errno));
    endutxent();
    updwtmpx(_PATH_WTMP, record);
}

void records_login(const struct account *account, pid_t pid, const char *tty, const char *host)
{
    struct utmpx record = {.ut_type = USER_PROCESS};
    if (!account_privileged())
        return;
    if (host == NULL)
        host = "";
    fill(record.ut_user, sizeof record.ut_user, account->name);
    fill(record.ut_host, sizeof record.ut_host, host);
    set_address(&record, host);
    write_record(&record, pid, line_of(tty));
    write_lastlog(account, line_of(tty), host, time(NULL));
}

void records_logout(pid_t pid, const char *tty)
{
    struct utmpx record = {.ut_type = DEAD_PROCESS};
    if (account_privileged())
        write_record(&record, pid, line_of(tty));
}
