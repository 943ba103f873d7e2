/* Names of files with keys, and what is in them. */
#include "sshd/keyfiles.h"

#include "base/clock.h"
#include <errno.h>
#include <string.h>

int keyfiles_expand(const char *word, size_t n, const char *home, const char *name, struct buf *out)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char next = word[i] == '%' && i + 1 < n ? word[i + 1] : '\0';
        if (word[i] != '%')
            rc = buf_append(out, &word[i], 1);
        else if (next == 'h')
            rc = home != NULL ? buf_append_str(out, home) : -ENOENT;
        else if (next == 'u')
            rc = buf_append_str(out, name);
        else
            rc = next == '%' ? buf_append(out, "%", 1) : -EINVAL;
        if (word[i] == '%')
            i++;
    }
    return rc;
}

int keyfiles_each(const char *list, keyfiles_try_fn *fn, void *arg, struct authkeys_rights *ret_rights,
                  struct errmsg *err)
{
    int code = -ENOENT;
    errmsg_set(err, code, "authorized-keys names no file");
    for (bool first = true;; first = false) {
        struct errmsg why = {""};
        list += strspn(list, " \t");
        size_t n = strcspn(list, " \t");
        if (n == 0)
            return code;
        int rc = fn(arg, list, n, ret_rights, &why);
        if (rc == 0 || first || (code == -ENOENT && rc != -ENOENT)) {
            *err = why;
            code = rc;
        }
        if (rc == 0)
            return 0;
        list += n;
    }
}

int keyfiles_judge(const struct buf *text, const char *path, const char *key, const char *ip,
                   struct authkeys_rights *ret_rights, struct errmsg *err)
{
    struct errmsg why = {""};
    unsigned line = 0;
    int rc = authkeys_find((const char *)buf_data(text), buf_len(text), key, ip, clock_wall_s(), ret_rights,
                           &line, &why);
    if (rc == -ENOENT)
        return errmsg_set(err, rc, "no line of %.300s has the key", path);
    if (rc < 0)
        return errmsg_set(err, rc, "%.150s, %.320s", path, rc == -ENOMEM ? "out of memory" : why.text);
    return errmsg_set(err, 0, "%.300s, line %u", path, line);
}

int keyfiles_unread(int rc, const char *path, struct errmsg *err)
{
    return rc == -EFBIG
               ? errmsg_set(err, -EACCES, "%.300s is larger than %u MiB", path, AUTHKEYS_TEXT_MAX >> 20)
               : errmsg_set(err, -EACCES, "%.300s: %s", path, strerror(-rc));
}
