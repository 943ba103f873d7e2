/* Options from a file and from a command line: every value that is accepted can be shown and set again. */
#include "base/options.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct values {
    bool flag;
    uint64_t count, size, time;
    char *text, *peer;
    unsigned level;
    struct option_list listen;
};

#define AT(field) .offset = offsetof(struct values, field)
static const struct option table[] = {
    {.name = "flag", .kind = OPTION_BOOL, AT(flag), .help = "Flag"},
    {.name = "count",
     .kind = OPTION_UINT,
     AT(count),
     .min = 1,
     .max = 100,
     .fallback = "10",
     .help = "Count"},
    {.name = "size", .kind = OPTION_SIZE, AT(size), .fallback = "4M", .help = "Size"},
    {.name = "time", .kind = OPTION_DURATION, AT(time), .fallback = "90s", .help = "Time"},
    {.name = "text", .kind = OPTION_STRING, AT(text), .max = 20, .help = "Text"},
    {.name = "peer", .kind = OPTION_ADDR, AT(peer), .min = 22, .help = "Peer"},
    {.name = "level", .kind = OPTION_ENUM, AT(level), .fallback = "b", .choices = "a|b|c", .help = "Level"},
    {.name = "listen", .kind = OPTION_LIST, AT(listen), .min = 2244, .fallback = "*", .help = "Listen"},
};
#define TABLE table, sizeof table / sizeof table[0]
#define ARGS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check(struct values *v)
{
    struct errmsg err;
    require(v->count >= 1 && v->count <= 100 && v->level < 3 && v->listen.n <= OPTION_LIST_MAX);
    require(v->text == NULL || strlen(v->text) <= 20);
    options_begin(TABLE, v);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *shown = options_show(&table[i], v);
        require(shown != NULL && options_set(TABLE, v, table[i].name, shown, &err) == 0);
        char *again = options_show(&table[i], v);
        require(again != NULL && strcmp(shown, again) == 0);
        free(again);
        free(shown);
    }
}

static void from_file(const uint8_t *data, size_t n)
{
    struct values v = {0};
    struct errmsg err = {0};
    char path[64];
    int fd = memfd_create("options", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    require(options_defaults(TABLE, &v) == 0);
    if (options_file(TABLE, &v, path, &err) == 0)
        check(&v);
    else
        require(err.text[0] != '\0');
    options_release(TABLE, &v);
    close(fd);
}

/* The lines of the data are the arguments. */
static void from_args(const uint8_t *data, size_t n)
{
    static const char *const extra[] = {"help", "-h", NULL};
    struct values v = {0};
    struct errmsg err = {0};
    const char *met;
    char *argv[ARGS_MAX + 1] = {"prog"};
    int argc = 1, next = 0;
    char *text = malloc(n + 1);
    require(text != NULL);
    memcpy(text, data, n);
    text[n] = '\0';
    for (char *rest = text, *line; argc < ARGS_MAX && (line = strsep(&rest, "\n")) != NULL;)
        argv[argc++] = line;
    require(options_defaults(TABLE, &v) == 0);
    if (options_args(TABLE, &v, argc, argv, extra, &next, &met, &err) == 0) {
        require(next >= 1 && next <= argc);
        check(&v);
    } else {
        require(err.text[0] != '\0');
    }
    options_release(TABLE, &v);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    from_file(data, n);
    from_args(data, n);
    return 0;
}
