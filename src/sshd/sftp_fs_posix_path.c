/* The real path of a path, as OpenSSH's server finds it: like realpath(3), but the last component may be
 * missing, and ".." takes away the component before it whatever that is. Owns nothing; only looks. */
#include "sshd/sftp_fs_posix.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LINKS_MAX 32u

struct walk {
    char *done; /* absolute, no trailing slash but in "/" */
    size_t done_len;
    char left[SFTP_FS_PATH_MAX]; /* what is still to be walked, from left_at to its NUL */
    size_t left_at;
    unsigned links;
};

static void step_up(struct walk *w)
{
    while (w->done_len > 1 && w->done[w->done_len - 1] != '/')
        w->done_len--;
    if (w->done_len > 1)
        w->done_len--;
    w->done[w->done_len] = '\0';
}

static int step_into(struct walk *w, const char *name, size_t n)
{
    size_t slash = w->done_len > 1 ? 1 : 0;
    if (w->done_len + slash + n >= SFTP_FS_PATH_MAX)
        return -ENAMETOOLONG;
    if (slash == 1)
        w->done[w->done_len++] = '/';
    memcpy(w->done + w->done_len, name, n);
    w->done_len += n;
    w->done[w->done_len] = '\0';
    return 0;
}

/* done is a link: takes it away and puts what it says before what is left. */
static int follow(struct walk *w)
{
    char said[SFTP_FS_PATH_MAX];
    size_t left = strlen(w->left + w->left_at);
    ssize_t n = readlink(w->done, said, sizeof said - 1);

    if (n < 0)
        return -errno;
    if (++w->links > LINKS_MAX)
        return -ELOOP;
    if ((size_t)n + left >= sizeof w->left)
        return -ENAMETOOLONG;
    memmove(w->left + n, w->left + w->left_at, left + 1);
    memcpy(w->left, said, (size_t)n);
    w->left_at = 0;
    if (n > 0 && said[0] == '/') {
        w->done_len = 1;
        w->done[1] = '\0';
    } else {
        step_up(w);
    }
    return 0;
}

/* Returns 1: go on, 0: nothing is left, or a negative errno value. */
static int step(struct walk *w)
{
    struct stat st;
    w->left_at += strspn(w->left + w->left_at, "/");
    const char *name = w->left + w->left_at;
    size_t n = strcspn(name, "/");

    if (n == 0)
        return 0;
    /* The slash stays: behind a link's text it separates, and behind a missing name it says that more was
     * meant. */
    w->left_at += n;
    if (n == 1 && name[0] == '.')
        return 1;
    if (n == 2 && name[0] == '.' && name[1] == '.') {
        step_up(w);
        return 1;
    }
    int r = step_into(w, name, n);
    if (r != 0)
        return r;
    if (lstat(w->done, &st) != 0)
        return errno == ENOENT && w->left[w->left_at] == '\0' ? 0 : -errno;
    if (S_ISLNK(st.st_mode))
        r = follow(w);
    return r == 0 ? 1 : r;
}

int sftp_fs_posix_realpath(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX])
{
    struct walk w = {.done = out};
    size_t n = strlen(path);
    (void)arg;

    if (n == 0)
        return -ENOENT;
    if (n >= sizeof w.left)
        return -ENAMETOOLONG;
    memcpy(w.left, path, n + 1);
    if (path[0] == '/')
        memcpy(out, "/", 2);
    else if (getcwd(out, SFTP_FS_PATH_MAX) == NULL)
        return errno == ERANGE ? -ENAMETOOLONG : -errno;
    /* An unreachable working folder is told as "(unreachable)/…". */
    if (out[0] != '/')
        return -ENOENT;
    w.done_len = strlen(out);
    int r;
    do
        r = step(&w);
    while (r == 1);
    return r;
}
