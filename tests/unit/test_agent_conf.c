/* Settings are changed in a file, and nothing else of it. */
#include "cmocka_all.h"

#include "agent/agent_options.h"
#include "agent/conf.h"
#include "base/fs.h"
#include "portable.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void check(const char *before, const struct conf_change *changes, size_t n, const char *after)
{
    struct buf out;
    buf_init(&out, 10000);
    assert_int_equal(conf_rewrite(before, strlen(before), changes, n, &out), 0);
    assert_string_equal(buf_str(&out), after);
    buf_release(&out);
}

static void rewrites(void **state)
{
    const struct conf_change set[] = {{"hub", "b:2"}, {"token", NULL}, {"pin", "P"}};
    (void)state;
    check("", set, 3, "hub = b:2\npin = P\n");
    check("# mine\n\n[agent]\nhub=a:1\nlabels = x=y\n", set, 3,
          "# mine\n\n[agent]\nhub = b:2\nlabels = x=y\npin = P\n");
    check("hub = a\nhub = c\nname = n", set, 1, "hub = b:2\nname = n\n");
    check("  token : secret\n\tpin = Q\n", set, 3, "pin = P\nhub = b:2\n");
    check("#hub = a\n;token = t\nhubs = z\nhu = y\n", set, 3,
          "#hub = a\n;token = t\nhubs = z\nhu = y\nhub = b:2\npin = P\n");
    check("name = hub = pin\nx\n", set, 2, "name = hub = pin\nx\nhub = b:2\n");
}

/* As an editor of Windows leaves it: the mark in front stays, and the setting behind it is found. */
static void byte_order_mark(void **state)
{
    const struct conf_change set[] = {{"hub", "b:2"}, {"token", NULL}};
    (void)state;
    check("\xef\xbb\xbfhub = a:1\r\nname = n\r\n", set, 2, "\xef\xbb\xbfhub = b:2\nname = n\r\n");
    check("\xef\xbb\xbftoken = t\r\n", set, 2, "\xef\xbb\xbfhub = b:2\n");
    check("\xef\xbb\xbf", set, 2, "\xef\xbb\xbfhub = b:2\n");
    check("\xef\xbbhub = a:1\n", set, 1, "\xef\xbbhub = a:1\nhub = b:2\n");
}

static void values_with_line_breaks(void **state)
{
    const struct conf_change set[] = {{"name", "a\nhub = evil:1"}};
    struct buf out;
    (void)state;
    buf_init(&out, 1000);
    assert_int_equal(conf_rewrite("", 0, set, 1, &out), -EINVAL);
    assert_int_equal(buf_len(&out), 0);
    buf_release(&out);
}

/* What is written is read again as it was, or is not written. */
static void values_as_they_are_read(void **state)
{
    static const char *const fit[] = {"", "x", "a;b", "a b", "\"x\"", "#x", "a = b", "a:b"};
    static const char *const unfit[] = {" x", "x ", ";x", "a ;b", "a  ;", "a\tb", "\x7f"};
    char dir[256], path[300], longest[300] = "";
    struct agent_options o;
    struct errmsg err;
    (void)state;
    memset(longest, 'x', CONF_LINE_MAX - strlen("proxy = "));
    assert_int_equal(portable_folder(dir, sizeof dir), 0);
    snprintf(path, sizeof path, "%s/agent.conf", dir);
    for (size_t i = 0; i <= COUNT(fit); i++) {
        const struct conf_change set[] = {{"proxy", i < COUNT(fit) ? fit[i] : longest}};
        assert_int_equal(conf_save(path, set, 1, &err), 0);
        assert_int_equal(agent_options_load(&o, path, &err), 0);
        assert_string_equal(o.proxy, set[0].value);
        agent_options_release(&o);
    }
    for (size_t i = 0; i <= COUNT(unfit); i++) {
        longest[strlen(longest)] = 'x'; /* one more: what follows it is a NUL */
        const struct conf_change set[] = {{"proxy", i < COUNT(unfit) ? unfit[i] : longest}};
        err.text[0] = 0;
        assert_int_equal(conf_save(path, set, 1, &err), -EINVAL);
        assert_non_null(strstr(err.text, "proxy"));
    }
    assert_int_equal(agent_options_load(&o, path, &err), 0);
    agent_options_release(&o);
    assert_int_equal(portable_entries(dir), 1);
    assert_int_equal(portable_remove(dir), 0);
}

static void bounds(void **state)
{
    const struct conf_change set[] = {{"name", "0123456789"}};
    struct buf out;
    (void)state;
    buf_init(&out, 10);
    assert_int_equal(conf_rewrite("", 0, set, 1, &out), -ENOBUFS);
    buf_release(&out);
}

static void files(void **state)
{
    char dir[256], path[300];
    const struct conf_change set[] = {{"name", "web01"}}, unset[] = {{"name", NULL}};
    struct errmsg err = {""};
    struct stat st, again;
    struct buf text;
    (void)state;
    assert_int_equal(portable_folder(dir, sizeof dir), 0);
    snprintf(path, sizeof path, "%s/agent.conf", dir);
    assert_int_equal(conf_save(path, set, 1, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(fs_check_private(path), 0);
    buf_init(&text, 100);
    assert_int_equal(fs_read(path, &text), 0);
    assert_string_equal(buf_str(&text), "name = web01\n");
    assert_int_equal(conf_save(path, set, 1, &err), 0);
    assert_int_equal(stat(path, &again), 0);
    assert_int_equal(st.st_ino, again.st_ino); /* nothing changed: nothing was written */
    assert_int_equal(conf_save(path, unset, 1, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_true(conf_save(dir, set, 1, &err) < 0);
    assert_non_null(strstr(err.text, dir));
    buf_release(&text);
    assert_int_equal(portable_remove(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rewrites),
        cmocka_unit_test(byte_order_mark),
        cmocka_unit_test(values_with_line_breaks),
        cmocka_unit_test(values_as_they_are_read),
        cmocka_unit_test(bounds),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
