/* Rewrites single settings of an ini file. */
#include "agent/conf.h"

#include "base/crypto.h"
#include "base/fs.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define CHANGES_MAX 20

/* Would the line be read as it was meant? */
static bool change_ok(const struct conf_change *c)
{
    const char *value = c->value;
    if (value == NULL)
        return true;
    size_t n = strlen(value);
    if (strlen(c->name) + strlen(" = ") + n > CONF_LINE_MAX || (n > 0 && value[n - 1] == ' '))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f ||
            ((i == 0 || value[i - 1] == ' ') && (value[i] == ';' || (i == 0 && value[i] == ' '))))
            return false;
    return true;
}

/* The change that a line is about: the index, or count when it is about none. */
static size_t line_change(const char *line, size_t n, const struct conf_change *changes, size_t count)
{
    const char *equals = memchr(line, '=', n);
    const char *colon = memchr(line, ':', n);
    if (equals == NULL || (colon != NULL && colon < equals))
        equals = colon;
    if (equals == NULL || n == 0)
        return count;
    size_t len = (size_t)(equals - line);
    while (len > 0 && (line[0] == ' ' || line[0] == '\t')) {
        line++;
        len--;
    }
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    for (size_t i = 0; i < count; i++)
        if (strlen(changes[i].name) == len && memcmp(changes[i].name, line, len) == 0)
            return i;
    return count;
}

static int write_setting(const struct conf_change *c, struct buf *out)
{
    return c->value == NULL ? 0 : buf_appendf(out, "%s = %s\n", c->name, c->value);
}

int conf_rewrite(const char *text, size_t n, const struct conf_change *changes, size_t count, struct buf *out)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of the byte order, as editors of Windows put it in front */
    bool done[CHANGES_MAX] = {false};
    size_t begin = n >= sizeof mark - 1 && memcmp(text, mark, sizeof mark - 1) == 0 ? sizeof mark - 1 : 0;
    if (count > CHANGES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (!change_ok(&changes[i]))
            return -EINVAL;
    int r = buf_append(out, mark, begin);
    if (r != 0)
        return r;
    for (size_t at = begin; at < n;) {
        const char *line = text + at, *end = memchr(line, '\n', n - at);
        size_t len = end != NULL ? (size_t)(end - line) : n - at;
        at += len + (end != NULL);
        size_t i = line_change(line, len, changes, count);
        r = 0;
        if (i == count) {
            r = buf_append(out, line, len);
            if (r == 0)
                r = buf_append(out, "\n", 1);
        } else if (!done[i]) {
            done[i] = true;
            r = write_setting(&changes[i], out);
        }
        if (r != 0)
            return r;
    }
    for (size_t i = 0; i < count; i++) {
        r = done[i] ? 0 : write_setting(&changes[i], out);
        if (r != 0)
            return r;
    }
    return 0;
}

int conf_save(const char *path, const struct conf_change *changes, size_t count, struct errmsg *err)
{
    struct buf old, fresh;
    buf_init(&old, CONF_FILE_MAX);
    buf_init(&fresh, CONF_FILE_MAX + 8192);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        if (!change_ok(&changes[i]))
            r = errmsg_set(
                err, -EINVAL,
                "%s: cannot be kept in %s: its line may have %d bytes, and the value no blank at its "
                "ends and no semicolon behind one",
                changes[i].name, path, CONF_LINE_MAX);
    if (r != 0)
        goto out;
    r = fs_read(path, &old);
    if (r == -ENOENT)
        r = 0;
    if (r != 0) {
        errmsg_set(err, r, "cannot read %s: %s", path, strerror(-r));
        goto out;
    }
    r = conf_rewrite((const char *)buf_data(&old), buf_len(&old), changes, count, &fresh);
    if (r != 0) {
        errmsg_set(err, r, "cannot change %s: %s", path, strerror(-r));
        goto out;
    }
    if (buf_len(&old) == buf_len(&fresh) && buf_len(&old) > 0 &&
        memcmp(buf_data(&old), buf_data(&fresh), buf_len(&old)) == 0)
        goto out;
    r = fs_write_atomic(path, buf_len(&fresh) > 0 ? (const void *)buf_data(&fresh) : "", buf_len(&fresh),
                        0600);
    if (r != 0)
        errmsg_set(err, r, "cannot write %s: %s", path, strerror(-r));
out:
    buf_wipe(&old);
    buf_wipe(&fresh);
    return r;
}
