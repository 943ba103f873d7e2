/* Keys: an account's authorized_keys files, read and parsed by a helper that is the account, so that neither
 * a hanging file system nor what is in the files can harm the monitor. Decides by the files alone; verifies
 * no signature. */
#include "sshd/login.h"

#include "base/buf.h"
#include "base/fs.h"
#include "sshd/helper.h"
#include "sshd/keyfiles.h"
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

/* One of authorized-keys: what does not begin with / is in the home. */
static int expand(const char *word, size_t n, const struct account *account, char path[FS_PATH_MAX])
{
    struct buf out;
    buf_init(&out, FS_PATH_MAX - 1);
    int rc = keyfiles_expand(word, n, account->home, account->name, &out);
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
        if (rc < 0)
            rc = keyfiles_unread(rc, path, err);
    }
    (void)close(fd);
    return rc;
}

/* keyfiles_try_fn's; arg: struct question. */
static int try_word(void *arg, const char *word, size_t n, struct authkeys_rights *ret_rights,
                    struct errmsg *err)
{
    const struct question *q = arg;
    char path[FS_PATH_MAX];
    struct buf text;
    int rc = expand(word, n, q->account, path);
    if (rc < 0)
        return errmsg_set(err, -EACCES, "authorized-keys: %.*s is too long, or has a %% that means nothing",
                          n < 200 ? (int)n : 200, word);
    buf_init(&text, AUTHKEYS_TEXT_MAX + 1);
    rc = read_file(q, path, &text, err);
    if (rc == 0)
        rc = keyfiles_judge(&text, path, q->key, q->ip, ret_rights, err);
    buf_release(&text);
    return rc;
}

/* The answer: the code, the words with their NUL, and, when it lets the key in, the rights. */
static int answer(void *arg, int fd)
{
    struct question *q = arg;
    struct authkeys_rights rights = {0};
    struct errmsg err = {""};
    struct buf out;
    int32_t code = keyfiles_each(q->options->authorized_keys, try_word, q, &rights, &err);
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
