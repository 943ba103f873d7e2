/* Options from an ini file and from the command line. */
#include "base/options.h"

#include "base/buf.h"
#include "base/fs.h"
#include <errno.h>
#include <ini.h>
#include <string.h>

#define FILE_MAX ((size_t)1024 * 1024)

/* One reading of a file. */
struct reading {
    const struct option *table;
    size_t n;
    void *values;
    const char *next; /* of the text, NUL-terminated */
    int line;         /* that inih has now, from 1 */
    int code;         /* of the first error */
    int error_line;
    struct errmsg err;
};

/* Hands inih one line at a time. It would read a longer one as two, and a line that begins with white space
 * as more of the value before. */
static char *next_line(char *out, int size, void *arg)
{
    struct reading *reading = arg;
    if (*reading->next == '\0' || reading->code != 0)
        return NULL;
    reading->line++;
    size_t all = strcspn(reading->next, "\n");
    size_t indent = strspn(reading->next, " \t");
    size_t from = indent < all ? indent : all;
    size_t n = all - from;
    if (size < 3 || n > (size_t)size - 2) {
        reading->error_line = reading->line;
        reading->code = errmsg_set(&reading->err, -EINVAL,
                                   "longer than %d bytes, give a list's items one a line", size - 2);
        return NULL;
    }
    memcpy(out, reading->next + from, n);
    out[n] = '\n';
    out[n + 1] = '\0';
    reading->next += all + (reading->next[all] == '\n' ? 1 : 0);
    return out;
}

static int on_value(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *reading = arg;
    (void)section;
    if (reading->code != 0)
        return 0;
    reading->code = options_set(reading->table, reading->n, reading->values, name, value, &reading->err);
    reading->error_line = reading->line;
    return reading->code == 0;
}

static int parse_text(struct reading *reading, const char *path, struct errmsg *err)
{
    int bad_line = ini_parse_stream(next_line, reading, on_value, reading);
    if (bad_line < 0)
        return errmsg_set(err, -ENOMEM, "%s: out of memory", path);
    /* inih notes its own errors by the line, and goes on. */
    if (bad_line > 0 && (reading->code == 0 || bad_line < reading->error_line))
        return errmsg_set(err, -EINVAL, "%s:%d: not of the form NAME = VALUE", path, bad_line);
    if (reading->code != 0)
        return errmsg_set(err, reading->code == -ENOENT ? -EINVAL : reading->code, "%s:%d: %s", path,
                          reading->error_line, reading->err.text);
    return 0;
}

int options_file(const struct option *table, size_t n, void *values, const char *path, struct errmsg *err)
{
    struct reading reading = {.table = table, .n = n, .values = values};
    struct buf text;
    buf_init(&text, FILE_MAX);
    int r = fs_read(path, &text);
    if (r != 0) {
        errmsg_set(err, r, "%s: %s", path, r == -EFBIG ? "larger than 1 MiB" : strerror(-r));
        goto out;
    }
    reading.next = buf_str(&text);
    if (reading.next == NULL) {
        r = errmsg_set(err, -ENOMEM, "%s: out of memory", path);
        goto out;
    }
    if (strlen(reading.next) != buf_len(&text)) {
        r = errmsg_set(err, -EINVAL, "%s: has a NUL byte in it, is it a text file?", path);
        goto out;
    }
    options_begin(table, n, values);
    r = parse_text(&reading, path, err);
out:
    buf_wipe(&text); /* a value may be a password */
    return r;
}

static const char *find_extra(const char *const *extra, const char *arg)
{
    for (; extra != NULL && *extra != NULL; extra++) {
        if (strcmp(arg, *extra) == 0 ||
            ((*extra)[0] != '-' && strncmp(arg, "--", 2) == 0 && strcmp(arg + 2, *extra) == 0))
            return *extra;
    }
    return NULL;
}

static bool is_bool_word(const char *text)
{
    static const char *const words[] = {"yes", "no", "true", "false", "on", "off", "1", "0"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (text != NULL && strcmp(text, words[i]) == 0)
            return true;
    }
    return false;
}

/* Takes the option arg, whose value may be following; *ret_took_following says so. */
static int take_option(const struct option *table, size_t n, void *values, const char *arg,
                       const char *following, bool *ret_took_following, struct errmsg *err)
{
    char name[64];
    struct errmsg inner;
    const char *equals = strchr(arg, '=');
    size_t name_n = equals == NULL ? strlen(arg) : (size_t)(equals - arg);
    const struct option *opt = NULL;

    *ret_took_following = false;
    if (strncmp(arg, "--", 2) == 0 && name_n - 2 < sizeof name) {
        memcpy(name, arg + 2, name_n - 2);
        name[name_n - 2] = '\0';
        opt = options_find(table, n, name);
    }
    if (opt == NULL)
        return errmsg_set(err, -EINVAL, "%.*s: there is no such option, --help shows them all",
                          (int)(name_n < 100 ? name_n : 100), arg);
    const char *value = equals == NULL ? following : equals + 1;
    if (equals == NULL && opt->kind == OPTION_BOOL && !is_bool_word(following))
        value = "yes";
    else if (equals == NULL)
        *ret_took_following = true;
    if (value == NULL)
        return errmsg_set(err, -EINVAL, "--%s: needs a value", name);
    int r = options_set(table, n, values, name, value, &inner);
    return r == 0 ? 0 : errmsg_set(err, r, "--%s", inner.text);
}

int options_args(const struct option *table, size_t n, void *values, int argc, char **argv,
                 const char *const *extra, int *ret_next, const char **ret_extra, struct errmsg *err)
{
    int i = 1;
    *ret_extra = NULL;
    options_begin(table, n, values);
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        bool took_following = false;
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        const char *met = find_extra(extra, argv[i]);
        if (met != NULL) {
            *ret_extra = met;
            i++;
            break;
        }
        int r =
            take_option(table, n, values, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &took_following, err);
        if (r != 0)
            return r;
        if (took_following)
            i++;
    }
    *ret_next = i;
    return 0;
}
