/* Keys: an account's authorized_keys files, read and parsed by a helper that is the account, so that neither
 * a hanging file system nor what is in the files can harm the monitor. Decides by the files alone; verifies
 * no signature. */
#include "sshd/login.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "sshd/helper.h"
#include "sshd/strict.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIMEOUT_MS 20000
#define READ_STEP 65536u
#define CODE_BYTES 4u
#define ANSWER_MAX (CODE_BYTES + sizeof(struct errmsg) + AUTHKEYS_LINE_MAX + 4096u)

/* What the helper is to find out; it has a copy of it, being forked. */
struct question {
    const struct account *account;
    const struct sshd_options *options;
    const char *key, *ip;
};

/* --- in the helper --- */

/* %h, %u and %% in n bytes at word. */
static int replace(const char *word, size_t n, const struct account *account, struct buf *out)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char next = word[i] == '%' && i + 1 < n ? word[i + 1] : '\0';
        if (word[i] != '%')
            rc = buf_append(out, &word[i], 1);
        else if (next == 'h')
            rc = buf_append_str(out, account->home);
        else if (next == 'u')
            rc = buf_append_str(out, account->name);
        else
            rc = next == '%' ? buf_append(out, "%", 1) : -EINVAL;
        if (word[i] == '%')
            i++;
    }
    return rc;
}

/* One of authorized-keys: what does not begin with / is in the home. */
static int expand(const char *word, size_t n, const struct account *account, char path[FS_PATH_MAX])
{
    struct buf out;
    buf_init(&out, FS_PATH_MAX - 1);
    int rc = replace(word, n, account, &out);
    const char *text = rc == 0 ? buf_str(&out) : NULL;
    if (rc == 0 && text == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        rc =
            fs_join(path, FS_PATH_MAX, text[0] == '/' ? "" : account->home, text[0] == '/' ? text + 1 : text);
    buf_release(&out);
    return rc;
}

static int read_all(int fd, struct buf *out)
{
    for (;;) {
        uint8_t *at = NULL;
        size_t want = buf_room(out) < READ_STEP ? buf_room(out) : READ_STEP;
        if (want == 0)
            return -EFBIG;
        int rc = buf_reserve(out, want, &at);
        if (rc < 0)
            return rc;
        ssize_t n = read(fd, at, want);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return 0;
        if (n > 0)
            buf_commit(out, (size_t)n);
    }
}

/* Whoever wrote the file decides who gets in: it is looked at before it is believed. */
static int read_file(const struct question *q, const char *path, struct buf *out, struct errmsg *err)
{
    struct stat st;
    int rc = 0;
    /* O_NONBLOCK: a FIFO in its place must not hang the login. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errmsg_set(err, errno == ENOENT ? -ENOENT : -EACCES, "%.300s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0) {
        rc = errmsg_set(err, -EACCES, "%.300s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        rc = errmsg_set(err, -EACCES, "%.300s is not a regular file", path);
    } else if (q->options->strict_modes) {
        struct errmsg why = {""};
        rc = strict_check(path, &st, q->account->home, q->account->uid, &why);
        if (rc < 0)
            errmsg_set(err, rc, "%.150s is not believed: %.320s", path, why.text);
    }
    if (rc == 0) {
        rc = read_all(fd, out);
        if (rc == -EFBIG)
            rc = errmsg_set(err, -EACCES, "%.300s is larger than %u MiB", path, AUTHKEYS_TEXT_MAX >> 20);
        else if (rc < 0)
            rc = errmsg_set(err, -EACCES, "%.300s: %s", path, strerror(-rc));
    }
    (void)close(fd);
    return rc;
}

static int try_file(const struct question *q, const char *path, struct authkeys_rights *ret_rights,
                    struct errmsg *err)
{
    struct buf text;
    struct errmsg why = {""};
    unsigned line = 0;
    buf_init(&text, AUTHKEYS_TEXT_MAX + 1);
    int rc = read_file(q, path, &text, err);
    if (rc == 0) {
        rc = authkeys_find((const char *)buf_data(&text), buf_len(&text), q->key, q->ip, clock_wall_s(),
                           ret_rights, &line, &why);
        if (rc == -ENOENT)
            errmsg_set(err, rc, "no line of %.300s has the key", path);
        else if (rc < 0)
            errmsg_set(err, rc, "%.150s, %.320s", path, rc == -ENOMEM ? "out of memory" : why.text);
        else
            errmsg_set(err, 0, "%.300s, line %u", path, line);
    }
    buf_release(&text);
    return rc;
}

/* The files in their order, until one lets the key in. Of what is wrong with several the first that says more
 * than "not here" is told. */
static int try_files(const struct question *q, struct authkeys_rights *ret_rights, struct errmsg *err)
{
    int code = -ENOENT;
    const char *at = q->options->authorized_keys;
    errmsg_set(err, code, "authorized-keys names no file");
    for (bool first = true;; first = false) {
        char path[FS_PATH_MAX];
        struct errmsg why = {""};
        at += strspn(at, " \t");
        size_t n = strcspn(at, " \t");
        if (n == 0)
            return code;
        int rc = expand(at, n, q->account, path);
        if (rc < 0)
            rc =
                errmsg_set(&why, -EACCES, "authorized-keys: %.*s is too long, or has a %% that means nothing",
                           n < 200 ? (int)n : 200, at);
        else
            rc = try_file(q, path, ret_rights, &why);
        if (rc == 0 || first || (code == -ENOENT && rc != -ENOENT)) {
            *err = why;
            code = rc;
        }
        if (rc == 0)
            return 0;
        at += n;
    }
}

/* The answer: the code, the words with their NUL, and, when it lets the key in, the rights. */
static int answer(void *arg, int fd)
{
    const struct question *q = arg;
    struct authkeys_rights rights = {0};
    struct errmsg err = {""};
    struct buf out;
    int32_t code = try_files(q, &rights, &err);
    buf_init(&out, ANSWER_MAX);
    int rc = buf_append(&out, &code, CODE_BYTES);
    if (rc == 0)
        rc = buf_append(&out, err.text, strlen(err.text) + 1);
    if (rc == 0 && code == 0)
        rc = authkeys_pack(&rights, &out);
    if (rc == 0)
        rc = helper_say(fd, buf_data(&out), buf_len(&out), -1);
    buf_release(&out);
    authkeys_rights_release(&rights);
    return rc < 0 ? 1 : 0;
}

/* --- in the monitor --- */

static int read_answer(const uint8_t *data, size_t n, struct authkeys_rights *ret_rights, struct errmsg *err)
{
    int32_t code;
    const uint8_t *end = n > CODE_BYTES ? memchr(data + CODE_BYTES, '\0', n - CODE_BYTES) : NULL;
    if (end == NULL)
        return errmsg_set(err, -EBADMSG,
                          "the helper that reads authorized_keys said something that cannot be read");
    memcpy(&code, data, sizeof code);
    errmsg_set(err, code, "%.500s", (const char *)data + CODE_BYTES);
    if (code == -ENOENT || code == -EACCES || code == -ENOMEM)
        return code;
    if (code != 0 || authkeys_unpack(end + 1, n - (size_t)(end + 1 - data), ret_rights) < 0)
        return errmsg_set(err, -EBADMSG,
                          "the helper that reads authorized_keys said something that cannot be read");
    return 0;
}

int login_key(const struct account *account, const struct sshd_options *options, const char *key,
              const char *ip, struct authkeys_rights *ret_rights, struct errmsg *err)
{
    struct question q = {account, options, key, ip};
    pid_t pid;
    int fd;
    uint8_t *data = malloc(ANSWER_MAX);
    if (data == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    int rc = helper_start(account, answer, &q, &pid, &fd);
    if (rc < 0) {
        errmsg_set(err, rc, "a helper to read authorized_keys could not be started: %s", strerror(-rc));
        goto out;
    }
    long n = helper_await(pid, fd, TIMEOUT_MS, data, ANSWER_MAX);
    if (n == -ETIMEDOUT)
        rc = errmsg_set(
            err, (int)n,
            "reading the authorized_keys of %s took longer than %d s: does the file system of %.200s "
            "answer?",
            account->name, TIMEOUT_MS / 1000, account->home);
    else if (n < 0)
        rc = errmsg_set(err, (int)n, "the helper that reads authorized_keys of %s failed: %s", account->name,
                        strerror((int)-n));
    else
        rc = read_answer(data, (size_t)n, ret_rights, err);
out:
    free(data);
    return rc;
}
