/* POSIX systems. */
#include "client/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define PIPE_BYTES (256 * 1024)

void os_prepare(void)
{
    signal(SIGPIPE, SIG_IGN);
}

int os_args(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

const char os_config_help[] = "$XDG_CONFIG_HOME/multissh/multissh.conf or ~/.config/multissh/multissh.conf";

int os_config_path(char *out, size_t size)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n;
    if (config != NULL && config[0] == '/')
        n = snprintf(out, size, "%s/multissh/multissh.conf", config);
    else if (home != NULL && home[0] == '/')
        n = snprintf(out, size, "%s/.config/multissh/multissh.conf", home);
    else
        return -ENOENT;
    return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

int os_quote(const char *word, struct buf *out)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@:./+,=-";
    int r = 0;
    if (word[0] != 0 && word[strspn(word, plain)] == 0)
        return buf_append_str(out, word);
    r = buf_append_str(out, "'");
    for (; r == 0 && *word != 0; word++) {
        if ((unsigned char)*word < 0x20)
            r = -EINVAL; /* a line of ssh's settings ends there */
        else if (*word == '\'')
            r = buf_append_str(out, "'\\''");
        else if (*word == '%')
            r = buf_append_str(out, "%%");
        else
            r = buf_append(out, word, 1);
    }
    return r == 0 ? buf_append_str(out, "'") : r;
}

int os_exec(char **argv)
{
    /* A terminal, or what a shell shares with us, is given on as it came, whatever libuv has done with it. */
    for (int fd = 0; fd <= 2; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && (flags & FD_CLOEXEC) != 0)
            (void)fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
        flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && (flags & O_NONBLOCK) != 0)
            (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[0], argv);
    return -errno;
}

const int os_continue_signal = SIGCONT;

bool os_signal_ignored(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

int os_take_output(void)
{
    int fd = fcntl(1, F_DUPFD_CLOEXEC, 3), nowhere = fd >= 0 ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
    int r = fd < 0 || nowhere < 0 || dup2(nowhere, 1) < 0 ? -errno : fd;
    if (nowhere >= 0)
        close(nowhere);
    if (r < 0 && fd >= 0)
        close(fd);
    return r;
}

void os_widen_pipe(int fd)
{
    (void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* refused: slower, and no more */
}

bool os_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != 0) /* the first that is set counts */
            return strstr(value, "UTF-8") != NULL || strstr(value, "utf-8") != NULL ||
                   strstr(value, "UTF8") != NULL || strstr(value, "utf8") != NULL;
    }
    return false;
}
