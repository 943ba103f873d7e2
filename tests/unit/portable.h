/* What tests need of both systems: a folder of their own, the environment, numbers that look random. */
#ifndef MULTISSH_TESTS_PORTABLE_H
#define MULTISSH_TESTS_PORTABLE_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef _WIN32
/* With separators that both kinds of functions take, and without a drive that a test would have to know. */
static inline char *mkdtemp(char *path)
{
    return _mktemp(path) != NULL && mkdir(path) == 0 ? path : NULL;
}

static inline int setenv(const char *name, const char *value, int replace)
{
    return replace || getenv(name) == NULL ? _putenv_s(name, value) : 0;
}

static inline int unsetenv(const char *name)
{
    return _putenv_s(name, "");
}

static inline const char *portable_base(void)
{
    static char base[260];
    const char *temp = getenv("TEMP");
    if (temp == NULL || strlen(temp) >= sizeof base)
        abort();
    for (size_t i = 0; i <= strlen(temp); i++)
        base[i] = temp[i] == '\\' ? '/' : temp[i];
    return base;
}
/* Has this process no child, be it a dead one? There it has none that would be its. */
static inline int portable_childless(void)
{
    return 1;
}
#else
#include <errno.h>
#include <sys/wait.h>

static inline const char *portable_base(void)
{
    return "/tmp";
}

static inline int portable_childless(void)
{
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD;
}
#endif

/* A new folder. Returns 0 or -1. */
static inline int portable_folder(char *dir, size_t size)
{
    int n = snprintf(dir, size, "%s/multissh-test-XXXXXX", portable_base());
    return n > 0 && (size_t)n < size && mkdtemp(dir) != NULL ? 0 : -1;
}

/* The folder and all that is in it; no links are followed, for a folder's link is no folder to unlink. Returns 0 or
 * -1. */
static inline int portable_remove(const char *dir)
{
    char path[4096];
    DIR *d = opendir(dir);
    if (d == NULL)
        return -1;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int n = snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (n > 0 && (size_t)n < sizeof path && unlink(path) != 0)
            (void)portable_remove(path);
    }
    closedir(d);
    return rmdir(dir);
}

/* How many files and folders are in it. */
static inline size_t portable_entries(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d))
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 ? 1 : 0;
    if (d != NULL)
        closedir(d);
    return n;
}

/* Numbers that look random, the same in every run: 31 bits. */
static inline unsigned long portable_random(void)
{
    static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned long)(state >> 33);
}

#endif
