/* Accounts: passwd, group and shadow through NSS. Decides whether one may log in now; proves nobody's
 * identity. */
#include "sshd/account.h"

#include "base/clock.h"
#include "base/names.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRY_FIRST 1024u
#define ENTRY_MAX (1u << 20) /* a group's line with thousands of members */
#define GROUPS_MAX 65536     /* NGROUPS_MAX of Linux */
#define DAY_S 86400
#define NOLOGIN "/etc/nologin"

bool account_privileged(void)
{
    return geteuid() == 0;
}

void account_free(struct account *account)
{
    if (account == NULL)
        return;
    free(account->name);
    free(account->home);
    free(account->shell);
    free(account);
}

/* --- entries of unknown size --- */

/* Asks again with more room until the entry fits. */
typedef int entry_fn(const void *key, void *entry, char *space, size_t size);

static int read_entry(entry_fn *fn, const void *key, void *entry, char **ret_space)
{
    for (size_t size = ENTRY_FIRST; size <= ENTRY_MAX; size *= 2) {
        char *space = malloc(size);
        if (space == NULL)
            return -ENOMEM;
        int r = fn(key, entry, space, size);
        if (r == 0) {
            *ret_space = space;
            return 0;
        }
        free(space);
        if (r != -ERANGE)
            return r;
    }
    return -ERANGE;
}

/* What "there is none" is called differs between the sources behind NSS. */
static int entry_code(int r, const void *found)
{
    if (found != NULL)
        return 0;
    return r == 0 || r == ENOENT || r == ESRCH || r == EBADF || r == EPERM ? -ENOENT : -r;
}

static int passwd_by_name(const void *key, void *entry, char *space, size_t size)
{
    struct passwd *found = NULL;
    int r = getpwnam_r(key, entry, space, size, &found);
    return entry_code(r, found);
}

static int shadow_by_name(const void *key, void *entry, char *space, size_t size)
{
    struct spwd *found = NULL;
    int r = getspnam_r(key, entry, space, size, &found);
    return entry_code(r, found);
}

static int group_by_id(const void *key, void *entry, char *space, size_t size)
{
    struct group *found = NULL;
    int r = getgrgid_r(*(const gid_t *)key, entry, space, size, &found);
    return entry_code(r, found);
}

/* --- finding --- */

/* A name is put into paths and log lines. */
static bool name_ok(const char *name)
{
    size_t n = strnlen(name, ACCOUNT_NAME_MAX + 1);
    if (n == 0 || n > ACCOUNT_NAME_MAX || name[0] == '-' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || name[i] == '/' || name[i] == ':')
            return false;
    }
    return true;
}

static struct account *new_account(const struct passwd *pw)
{
    struct account *account = calloc(1, sizeof *account);
    if (account == NULL)
        return NULL;
    account->name = strdup(pw->pw_name);
    account->home = strdup(pw->pw_dir != NULL && pw->pw_dir[0] == '/' ? pw->pw_dir : "/");
    account->shell = strdup(pw->pw_shell != NULL && pw->pw_shell[0] != '\0' ? pw->pw_shell : "/bin/sh");
    account->uid = pw->pw_uid;
    account->gid = pw->pw_gid;
    if (account->name == NULL || account->home == NULL || account->shell == NULL) {
        account_free(account);
        return NULL;
    }
    return account;
}

int account_find(const char *login, struct account **ret_account, struct errmsg *err)
{
    struct passwd pw;
    char *space = NULL;
    struct account *account = NULL;
    int r = 0;
    if (!name_ok(login))
        return errmsg_set(err, -ENOENT, "\"%.80s\" cannot be the name of an account", login);
    r = read_entry(passwd_by_name, login, &pw, &space);
    if (r == -ENOENT) {
        errmsg_set(err, r, "there is no account %.80s", login);
        goto out;
    }
    if (r < 0) {
        errmsg_set(err, r, "the account %.80s could not be looked up: %s", login, strerror(-r));
        goto out;
    }
    if (!name_ok(pw.pw_name)) {
        r = errmsg_set(err, -ENOENT, "\"%.80s\" cannot be the name of an account", pw.pw_name);
        goto out;
    }
    if (!account_privileged() && pw.pw_uid != geteuid()) {
        r = errmsg_set(
            err, -EPERM,
            "this server runs without root's rights, as uid %u, and lets in nobody else: not %.80s",
            (unsigned)geteuid(), login);
        goto out;
    }
    account = new_account(&pw);
    if (account == NULL) {
        r = errmsg_set(err, -ENOMEM, "out of memory");
        goto out;
    }
    *ret_account = account;
out:
    free(space);
    return r;
}

/* --- checks --- */

static int list_groups(const struct account *account, gid_t **ret_gids, int *ret_n)
{
    for (int room = 64; room <= GROUPS_MAX; room *= 4) {
        int n = room;
        gid_t *gids = calloc((size_t)room, sizeof *gids);
        if (gids == NULL)
            return -ENOMEM;
        if (getgrouplist(account->name, account->gid, gids, &n) >= 0) {
            *ret_gids = gids;
            *ret_n = n;
            return 0;
        }
        free(gids);
    }
    return -E2BIG;
}

static int check_groups(const struct account *account, const char *list, struct errmsg *err)
{
    gid_t *gids = NULL;
    int n = 0, matched = 0;
    int r = list_groups(account, &gids, &n);
    if (r < 0)
        return errmsg_set(err, -EACCES, "the groups of %s could not be looked up: %s", account->name,
                          strerror(-r));
    for (int i = 0; i < n && matched >= 0; i++) {
        struct group group;
        char *space = NULL;
        r = read_entry(group_by_id, &gids[i], &group, &space);
        if (r == -ENOENT)
            continue;
        if (r < 0) { /* it may be one that is excluded */
            r = errmsg_set(err, -EACCES, "group %u of %s could not be looked up: %s", (unsigned)gids[i],
                           account->name, strerror(-r));
            free(gids);
            return r;
        }
        int m = names_judge_exact(group.gr_name, list);
        matched = m < 0 ? -1 : matched | m;
        free(space);
    }
    free(gids);
    if (matched < 0)
        return errmsg_set(err, -EACCES, "%s is in a group that allow-groups excludes", account->name);
    if (matched == 0)
        return errmsg_set(err, -EACCES, "%s is in no group of allow-groups", account->name);
    return 0;
}

static int check_lists(const struct account *account, const struct sshd_options *options, struct errmsg *err)
{
    if (account->uid == 0 && options->root_login == SSHD_ROOT_NO)
        return errmsg_set(err, -EACCES, "root may not log in here (root-login = no)");
    if (options->allow_users != NULL && names_judge_exact(account->name, options->allow_users) <= 0)
        return errmsg_set(err, -EACCES, "%s is not among the accounts that may log in here (allow-users)",
                          account->name);
    return options->allow_groups == NULL ? 0 : check_groups(account, options->allow_groups, err);
}

/* Root is let in while the machine is closed for others: somebody has to open it. */
static int check_nologin(const struct account *account, struct errmsg *err)
{
    char words[300] = "";
    if (account->uid == 0)
        return 0;
    int fd = open(NOLOGIN, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd >= 0) {
        ssize_t n = read(fd, words, sizeof words - 1);
        words[n > 0 ? n : 0] = '\0';
        (void)close(fd);
    }
    size_t n = strlen(words);
    while (n > 0 && (words[n - 1] == '\n' || words[n - 1] == ' '))
        words[--n] = '\0';
    return errmsg_set(err, -EACCES, "nobody but root may log in now (" NOLOGIN ")%s%s", n > 0 ? ": " : "",
                      words);
}

static int check_shell(const struct account *account, struct errmsg *err)
{
    struct stat st;
    const char *slash = strrchr(account->shell, '/');
    const char *base = slash == NULL ? account->shell : slash + 1;
    if (strcmp(base, "nologin") == 0 || strcmp(base, "false") == 0)
        return errmsg_set(err, -EACCES, "%s is not an account to log in with (its shell is %.200s)",
                          account->name, account->shell);
    if (account->shell[0] != '/')
        return errmsg_set(err, -EACCES, "the shell of %s, %.200s, is not an absolute path", account->name,
                          account->shell);
    if (stat(account->shell, &st) != 0)
        return errmsg_set(err, -EACCES, "the shell of %s, %.200s: %s", account->name, account->shell,
                          strerror(errno));
    if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0)
        return errmsg_set(err, -EACCES, "the shell of %s, %.200s, cannot be executed", account->name,
                          account->shell);
    return 0;
}

/* As OpenSSH: what expires on a day is over on the next one. */
static int check_ageing(const struct account *account, const struct spwd *sp, struct errmsg *err)
{
    long today = (long)(clock_wall_s() / DAY_S);
    if (sp->sp_expire >= 0 && today > sp->sp_expire)
        return errmsg_set(err, -EACCES, "the account %s has expired", account->name);
    if (sp->sp_lstchg == 0)
        return errmsg_set(err, -EACCES, "the password of %s has to be changed before its next login",
                          account->name);
    if (sp->sp_lstchg < 0 || sp->sp_max < 0 || today - sp->sp_lstchg <= sp->sp_max)
        return 0;
    if (sp->sp_inact >= 0 && today - sp->sp_lstchg - sp->sp_max > sp->sp_inact)
        return errmsg_set(err, -EACCES, "the account %s has been closed since its password expired",
                          account->name);
    return errmsg_set(err, -EACCES,
                      "the password of %s has expired and has to be changed before its next login",
                      account->name);
}

static int check_shadow(const struct account *account, struct errmsg *err)
{
    struct spwd sp;
    char *space = NULL;
    int r = read_entry(shadow_by_name, account->name, &sp, &space);
    if (r == -ENOENT)
        return 0; /* directories have accounts without one; PAM asks them */
    if (r < 0)
        return errmsg_set(err, -EACCES, "the shadow entry of %s could not be read: %s", account->name,
                          strerror(-r));
    const char *hash = sp.sp_pwdp != NULL ? sp.sp_pwdp : "";
    if (hash[0] == '!' || strncmp(hash, "*LK*", 4) == 0)
        r = errmsg_set(err, -EACCES, "the account %s is locked", account->name);
    else
        r = check_ageing(account, &sp, err);
    if (sp.sp_pwdp != NULL)
        explicit_bzero(sp.sp_pwdp, strlen(sp.sp_pwdp));
    free(space);
    return r;
}

int account_check(const struct account *account, const struct sshd_options *options, struct errmsg *err)
{
    int r = check_lists(account, options, err);
    if (r == 0)
        r = check_shell(account, err);
    if (r == 0 && account_privileged())
        r = check_shadow(account, err);
    if (r == 0)
        r = check_nologin(account, err);
    return r;
}

/* --- becoming --- */

static bool is_it(const struct account *account)
{
    uid_t uid, euid, suid;
    gid_t gid, egid, sgid;
    return getresuid(&uid, &euid, &suid) == 0 && getresgid(&gid, &egid, &sgid) == 0 && uid == account->uid &&
           euid == account->uid && suid == account->uid && gid == account->gid && egid == account->gid &&
           sgid == account->gid;
}

int account_become(const struct account *account)
{
    uid_t old_uid = getuid();
    gid_t old_gid = getgid();
    if (!account_privileged())
        return geteuid() == account->uid && old_uid == account->uid ? 0 : -EPERM;
    if (initgroups(account->name, account->gid) != 0 ||
        setresgid(account->gid, account->gid, account->gid) != 0 ||
        setresuid(account->uid, account->uid, account->uid) != 0)
        return -errno;
    if (!is_it(account))
        return -EPERM;
    /* Only a try shows that the kernel has forgotten who this was. */
    if (account->uid != 0 && old_gid != account->gid && (setgid(old_gid) == 0 || setegid(old_gid) == 0))
        return -EPERM;
    if (account->uid != old_uid && (setuid(old_uid) == 0 || seteuid(old_uid) == 0))
        return -EPERM;
    return is_it(account) ? 0 : -EPERM;
}
