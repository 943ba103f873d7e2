/* The table of options: every kind, from defaults, a file and the command line, and what help and show make
 * of it. */
#include "cmocka_all.h"

#include "base/fs.h"
#include "base/options.h"
#include "portable.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct values {
    bool flag, on;
    uint64_t count, size, time, free;
    char *text, *message, *peer;
    unsigned level;
    struct option_list listen;
};

#define AT(field) .offset = offsetof(struct values, field)
static const struct option table[] = {
    {.name = "flag", .kind = OPTION_BOOL, AT(flag), .help = "A flag"},
    {.name = "on", .kind = OPTION_BOOL, AT(on), .fallback = "yes", .help = "On by itself"},
    {.name = "count",
     .kind = OPTION_UINT,
     AT(count),
     .min = 1,
     .max = 100,
     .fallback = "10",
     .unit = "connections",
     .help = "How many"},
    {.name = "size",
     .kind = OPTION_SIZE,
     AT(size),
     .min = 4096,
     .max = INT64_C(64) << 20,
     .fallback = "4M",
     .help = "How large"},
    {.name = "time",
     .kind = OPTION_DURATION,
     AT(time),
     .min = 500,
     .max = 3600000,
     .fallback = "90s",
     .help = "How long"},
    {.name = "free",
     .kind = OPTION_UINT,
     AT(free),
     .min = 2,
     .fallback = "2",
     .help = "Without an upper bound"},
    {.name = "text", .kind = OPTION_STRING, AT(text), .max = 10, .unit = "FILE", .help = "Some text"},
    {.name = "message",
     .kind = OPTION_STRING,
     AT(message),
     .max = 300,
     .fallback = "hello",
     .help = "The first line of what a user sees who asks for the list of the machines and has not been told "
             "before what they are"},
    {.name = "peer", .kind = OPTION_ADDR, AT(peer), .min = 22, .help = "Whom to call"},
    {.name = "level",
     .kind = OPTION_ENUM,
     AT(level),
     .fallback = "info",
     .choices = "error|warn|info|debug",
     .help = "How much"},
    {.name = "listen", .kind = OPTION_LIST, AT(listen), .min = 2244, .fallback = "*:2244", .help = "Where"},
};
#define TABLE table, COUNT(table)

static struct values v;
static struct errmsg err;

static int setup(void **state)
{
    (void)state;
    memset(&v, 0, sizeof v);
    memset(&err, 0, sizeof err);
    return options_defaults(TABLE, &v);
}

static int teardown(void **state)
{
    (void)state;
    options_release(TABLE, &v);
    return v.text == NULL && v.listen.n == 0 ? 0 : -1;
}

static void defaults(void **state)
{
    (void)state;
    assert_false(v.flag);
    assert_true(v.on);
    assert_int_equal(v.count, 10);
    assert_int_equal(v.size, 4 << 20);
    assert_int_equal(v.time, 90000);
    assert_null(v.text);
    assert_string_equal(v.message, "hello");
    assert_null(v.peer);
    assert_int_equal(v.level, 2);
    assert_int_equal(v.listen.n, 1);
    assert_string_equal(v.listen.item[0], "*:2244");
    /* Setting them again undoes what was set, and leaks nothing. */
    assert_int_equal(options_set(TABLE, &v, "text", "x", &err), 0);
    assert_int_equal(options_set(TABLE, &v, "count", "3", &err), 0);
    assert_int_equal(options_defaults(TABLE, &v), 0);
    assert_null(v.text);
    assert_int_equal(v.count, 10);

    static const struct option broken[] = {{.name = "x", .kind = OPTION_UINT, .min = 5, .fallback = "4"}};
    uint64_t x = 0;
    assert_int_equal(options_defaults(broken, 1, &x), -EINVAL);
}

static void good_values(void **state)
{
    static const char *const cases[][3] = {
        {"flag", "on", "yes"},
        {"flag", "0", "no"},
        {"flag", "true", "yes"},
        {"count", "1", "1"},
        {"count", "100", "100"},
        {"size", "4096", "4K"},
        {"size", "5000", "5000"},
        {"size", "64m", "64M"},
        {"size", "5K", "5K"},
        {"time", "500ms", "500ms"},
        {"time", "60", "1m"},
        {"time", "1h", "1h"},
        {"time", "1500ms", "1500ms"},
        {"free", "1000000000000", "1000000000000"},
        {"text", "0123456789", "0123456789"},
        {"text", "", ""},
        {"message", "", ""},
        {"peer", "host", "host"},
        {"peer", "[::1]:1", "[::1]:1"},
        {"peer", "", ""},
        {"level", "debug", "debug"},
        {"level", "error", "error"},
        {"listen", "1.2.3.4,[::1]:22,*", "1.2.3.4,[::1]:22,*"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (options_set(TABLE, &v, cases[i][0], cases[i][1], &err) != 0)
            fail_msg("%s", err.text);
        char *shown = options_show(options_find(TABLE, cases[i][0]), &v);
        assert_string_equal(shown, cases[i][2]);
        free(shown);
    }
    assert_null(v.text); /* unset, for it has no default */
    assert_string_equal(v.message, "");
    assert_null(v.peer);
}

static void bad_values(void **state)
{
    static const struct {
        const char *name, *text;
        int code;
        const char *says;
    } cases[] = {
        {"none", "1", -ENOENT, "none: there is no such option"},
        {"", "1", -ENOENT, "no such option"},
        {"flag", "maybe", -EINVAL, "flag: 'maybe' is neither yes nor no"},
        {"flag", "", -EINVAL, "neither"},
        {"count", "0", -ERANGE, "count: 0 is out of range, choose 1 to 100"},
        {"count", "101", -ERANGE, "choose 1 to 100"},
        {"count", "99999999999999999999999", -ERANGE, "choose 1 to 100"},
        {"count", "ten", -EINVAL, "'ten' is not a whole number"},
        {"count", "-1", -EINVAL, "not a whole number"},
        {"count", "1K", -EINVAL, "not a whole number"},
        {"count", "", -EINVAL, "not a whole number"},
        {"size", "4095", -ERANGE, "choose 4K to 64M"},
        {"size", "65M", -ERANGE, "choose 4K to 64M"},
        {"size", "9007199254740992K", -ERANGE, "out of range"},
        {"size", "18014398509481988K", -ERANGE, "out of range"}, /* 4096 modulo 2^64 */
        {"size", "4T", -EINVAL, "is not a size"},
        {"size", "4MM", -EINVAL, "is not a size"},
        {"time", "499ms", -ERANGE, "choose 500ms to 1h"},
        {"time", "2h", -ERANGE, "choose 500ms to 1h"},
        {"time", "99999d", -ERANGE, "out of range"},
        {"time", "soon", -EINVAL, "is not a length of time"},
        {"free", "1", -ERANGE, "choose at least 2"},
        {"text", "0123456789a", -ERANGE, "longer than 10 bytes"},
        {"text", "a\nb", -EINVAL, "control byte"},
        {"peer", "host:99999", -EINVAL, "'host:99999' is not HOST or HOST:PORT"},
        {"level", "inf", -EINVAL, "not one of error|warn|info|debug"},
        {"level", "error|warn", -EINVAL, "not one of"},
        {"level", "", -EINVAL, "not one of"},
        {"listen", "1.2.3.4,,*", -EINVAL, "listen: '' is not"},
        {"listen", "", -EINVAL, "listen: '' is not"},
        {"listen", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", -ERANGE, "more than 16"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        err.text[0] = '\0';
        if (options_set(TABLE, &v, cases[i].name, cases[i].text, &err) != cases[i].code)
            fail_msg("%s = %s", cases[i].name, cases[i].text);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("says: %s", err.text);
    }
    defaults(state); /* nothing has changed */
}

/* The path of a new file with the n bytes of text. */
/* One for all the tests. */
static char dir[256];

static int make_dir(void **state)
{
    (void)state;
    return portable_folder(dir, sizeof dir);
}

static int remove_dir(void **state)
{
    (void)state;
    return portable_remove(dir);
}

static int read_file(const char *text, size_t n)
{
    char path[300];
    snprintf(path, sizeof path, "%s/conf", dir);
    assert_int_equal(fs_write_atomic(path, text, n, 0600), 0);
    return options_file(TABLE, &v, path, &err);
}

static int read_text(const char *text)
{
    return read_file(text, strlen(text));
}

static void a_file(void **state)
{
    (void)state;
    assert_int_equal(
        read_text("\xef\xbb\xbf# comment\n; comment\n\n[hub]\ncount = 7 ; seven\r\n  size=8M\n\ttime: 5m\n"
                  "message = a = b; c # d\nlisten = 1.2.3.4\nlisten = [::1]:5,*:7\nflag=yes"),
        0);
    assert_int_equal(v.count, 7);
    assert_int_equal(v.size, 8 << 20);
    assert_int_equal(v.time, 300000);
    assert_string_equal(v.message, "a = b; c # d");
    assert_true(v.flag);
    assert_int_equal(v.listen.n, 3);
    assert_string_equal(v.listen.item[0], "1.2.3.4");
    assert_string_equal(v.listen.item[2], "*:7");
    assert_int_equal(read_text(""), 0);
    assert_int_equal(v.listen.n, 3);
}

static void broken_files(void **state)
{
    static const struct {
        const char *text, *says;
        int code;
    } cases[] = {
        {"count = 5\n\ncoumt = 5\n", ":3: coumt: there is no such option, --help", -EINVAL},
        {"count = 5\ncount = 500\nlevel = loud\n", ":2: count: 500 is out of range", -ERANGE},
        {"count = 5\njust words\ncount = 500\n", ":2: not of the form NAME = VALUE", -EINVAL},
        {"count = 500\njust words\n", ":1: count: 500 is out of range", -ERANGE},
        {"[open\ncount = 5\n", ":1: not of the form", -EINVAL},
        {"count = 5\n  500\n", ":2: not of the form", -EINVAL}, /* no continuation of the line before */
        {"count =\n", ":1: count: '' is not a whole number", -EINVAL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (read_text(cases[i].text) != cases[i].code || strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s says: %s", cases[i].text, err.text);
    }
    assert_int_equal(read_file("count = 5\0\n", 11), -EINVAL);
    assert_non_null(strstr(err.text, "NUL"));
    assert_int_equal(options_file(TABLE, &v, "/nonexistent/hub.conf", &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/hub.conf: No such file"));
    assert_int_equal(options_file(TABLE, &v, dir, &err), -EISDIR);
}

static void long_lines_and_files(void **state)
{
    char *text = malloc(2 << 20);
    (void)state;
    /* 198 bytes pass whole; one more is an error, never a line cut in two. */
    memset(text, 'm', 400);
    for (const char *head = "message = ", *p = head; *p != '\0'; p++)
        text[p - head] = *p;
    assert_int_equal(read_file(text, 198), 0);
    assert_int_equal(strlen(v.message), 188);
    assert_int_equal(read_file(text, 199), -EINVAL);
    assert_non_null(strstr(err.text, ":1: longer than 198 bytes"));
    memset(text, '\n', 2 << 20);
    assert_int_equal(read_file(text, (size_t)1 << 20), 0);
    assert_int_equal(read_file(text, ((size_t)1 << 20) + 1), -EFBIG);
    assert_non_null(strstr(err.text, "larger than 1 MiB"));
    free(text);
}

#define ARGS(...)                                                                                            \
    COUNT(((char *[]){"prog", __VA_ARGS__})), (char *[])                                                     \
    {                                                                                                        \
        "prog", __VA_ARGS__, NULL                                                                            \
    }
static const char *const extra[] = {"help", "-h", "version", NULL};

static void arguments(void **state)
{
    int next = 0;
    const char *met = "";
    (void)state;
    assert_int_equal(options_args(TABLE, &v,
                                  ARGS("--count", "5", "--size=1M", "--flag", "--on", "no", "--listen", "a",
                                       "--listen=b,c", "list", "--count", "99"),
                                  extra, &next, &met, &err),
                     0);
    assert_int_equal(next, 10);
    assert_null(met);
    assert_int_equal(v.count, 5);
    assert_int_equal(v.size, 1 << 20);
    assert_true(v.flag);
    assert_false(v.on);
    assert_int_equal(v.listen.n, 3);
    assert_string_equal(v.listen.item[2], "c");
    /* The command line replaces a list of the file; a flag does not swallow a command. */
    assert_int_equal(
        options_args(TABLE, &v, ARGS("--listen", "d", "--flag=no", "--on", "list"), NULL, &next, &met, &err),
        0);
    assert_int_equal(next, 5);
    assert_int_equal(v.listen.n, 1);
    assert_false(v.flag);
    assert_true(v.on);
    assert_int_equal(options_args(TABLE, &v, ARGS("--flag", "--", "--count"), extra, &next, &met, &err), 0);
    assert_int_equal(next, 3);
    assert_int_equal(options_args(TABLE, &v, ARGS("-", "x"), extra, &next, &met, &err), 0);
    assert_int_equal(next, 1);
    assert_int_equal(options_args(TABLE, &v, ARGS("--text=a=b"), extra, &next, &met, &err), 0);
    assert_string_equal(v.text, "a=b");
    assert_int_equal(options_args(TABLE, &v, ARGS("--text", "-x"), extra, &next, &met, &err), 0);
    assert_string_equal(v.text, "-x");
    assert_int_equal(options_args(TABLE, &v, 1, (char *[]){"prog", NULL}, extra, &next, &met, &err), 0);
    assert_int_equal(next, 1);
}

static void extra_arguments(void **state)
{
    int next = 0;
    const char *met = NULL;
    (void)state;
    assert_int_equal(options_args(TABLE, &v, ARGS("--flag", "--help", "--count"), extra, &next, &met, &err),
                     0);
    assert_ptr_equal(met, extra[0]);
    assert_int_equal(next, 3);
    assert_int_equal(options_args(TABLE, &v, ARGS("-h"), extra, &next, &met, &err), 0);
    assert_ptr_equal(met, extra[1]);
    assert_int_equal(options_args(TABLE, &v, ARGS("list", "--help"), extra, &next, &met, &err), 0);
    assert_null(met);
    assert_int_equal(options_args(TABLE, &v, ARGS("--help"), NULL, &next, &met, &err), -EINVAL);
}

static void broken_arguments(void **state)
{
    static const struct {
        char *args[4];
        const char *says;
        int code;
    } cases[] = {
        {{"prog", "--coumt", "5"}, "--coumt: there is no such option", -EINVAL},
        {{"prog", "-x"}, "-x: there is no such option", -EINVAL},
        {{"prog", "-count", "5"}, "-count: there is no such option", -EINVAL},
        {{"prog", "--=5"}, "--: there is no such option", -EINVAL},
        {{"prog", "--count"}, "--count: needs a value", -EINVAL},
        {{"prog", "--count="}, "--count: '' is not a whole number", -EINVAL},
        {{"prog", "--count", "500"}, "--count: 500 is out of range", -ERANGE},
        {{"prog", "--flag=maybe"}, "--flag: 'maybe' is neither", -EINVAL},
        {{"prog", "--coun", "5"}, "no such option", -EINVAL},
    };
    int next;
    const char *met;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int argc = 0;
        while (cases[i].args[argc] != NULL)
            argc++;
        int r = options_args(TABLE, &v, argc, (char **)cases[i].args, extra, &next, &met, &err);
        if (r != cases[i].code || strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s says: %s", cases[i].args[1], err.text);
    }
    char name[5000];
    memset(name, '-', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(options_args(TABLE, &v, ARGS(name), extra, &next, &met, &err), -EINVAL);
}

static const char *printed(struct buf *buf, void (*print)(const struct option *, size_t, FILE *))
{
    char path[300];
    snprintf(path, sizeof path, "%s/printed", dir);
    FILE *to = fopen(path, "wb");
    assert_non_null(to);
    print(TABLE, to);
    fclose(to);
    buf_init(buf, 65536);
    assert_int_equal(fs_read(path, buf), 0);
    return buf_str(buf);
}

static void help_and_dump(void **state)
{
    struct buf buf;
    (void)state;
    const char *text = printed(&buf, options_help);
    for (size_t i = 0; i < COUNT(table); i++) {
        char head[64];
        snprintf(head, sizeof head, "  --%s ", table[i].name);
        assert_non_null(strstr(text, head));
    }
    assert_non_null(strstr(text, "How many (1 to 100 connections; default: 10)\n"));
    assert_non_null(strstr(text, "How long (500ms to 1h; default: 90s)\n"));
    assert_non_null(strstr(text, "--text FILE "));
    assert_non_null(strstr(text, "--listen HOST[:PORT]... "));
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_in_range(strcspn(line, "\n"), 5, 100);
    buf_release(&buf);

    text = printed(&buf, options_dump);
    assert_non_null(strstr(text, "\ncount\tuint\t1\t100\t10\tconnections\tHow many\n"));
    assert_non_null(strstr(text, "\nlevel\tenum\t0\t0\tinfo\terror|warn|info|debug\tHow much\n"));
    size_t lines = 0, tabs = 0;
    for (const char *p = text; *p != '\0'; p++) {
        lines += *p == '\n' ? 1 : 0;
        tabs += *p == '\t' ? 1 : 0;
    }
    assert_int_equal(lines, COUNT(table));
    assert_int_equal(tabs, 6 * COUNT(table));
    buf_release(&buf);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(defaults),         CASE(good_values),          CASE(bad_values), CASE(a_file),
        CASE(broken_files),     CASE(long_lines_and_files), CASE(arguments),  CASE(extra_arguments),
        CASE(broken_arguments), CASE(help_and_dump),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
