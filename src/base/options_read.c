/* Options from an ini file and from the command line. */
#include "base/options.h"

#include "base/buf.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/ini.h"
#include <errno.h>
#include <string.h>

#define FILE_MAX ((size_t)1024 * 1024)

static int bad_line(const char *path, const struct ini *ini, int code, struct errmsg *err)
{
    if (code == -E2BIG)
        return errmsg_set(err, -EINVAL, "%s:%u: longer than %d bytes, give a list's items one a line", path,
                          ini->line, INI_LINE_MAX);
    return errmsg_set(err, -EINVAL, "%s:%u: not of the form NAME = VALUE", path, ini->line);
}

/* Sets the options that text names, up to the first error. */
static int take_text(const struct option *table, size_t n, void *values, const char *text, const char *path,
                     struct errmsg *err)
{
    const char *name, *value;
    struct errmsg inner;
    struct ini ini;
    int got, r = 0;
    ini_init(&ini, text);
    while (r == 0 && (got = ini_next(&ini, &name, &value)) != 0) {
        if (got < 0) {
            r = bad_line(path, &ini, got, err);
            break;
        }
        r = options_set(table, n, values, name, value, &inner);
        if (r != 0)
            r = errmsg_set(err, r == -ENOENT ? -EINVAL : r, "%s:%u: %s", path, ini.line, inner.text);
    }
    crypto_wipe(&ini, sizeof ini); /* a value may be a password */
    return r;
}

int options_file(const struct option *table, size_t n, void *values, const char *path, struct errmsg *err)
{
    struct buf text;
    buf_init(&text, FILE_MAX);
    int r = fs_read(path, &text);
    if (r != 0) {
        errmsg_set(err, r, "%s: %s", path, r == -EFBIG ? "larger than 1 MiB" : strerror(-r));
        goto out;
    }
    const char *all = buf_str(&text);
    if (all == NULL) {
        r = errmsg_set(err, -ENOMEM, "%s: out of memory", path);
        goto out;
    }
    if (strlen(all) != buf_len(&text)) {
        r = errmsg_set(err, -EINVAL, "%s: has a NUL byte in it, is it a text file?", path);
        goto out;
    }
    options_begin(table, n, values);
    r = take_text(table, n, values, all, path, err);
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
