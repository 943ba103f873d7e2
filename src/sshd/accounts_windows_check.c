/* May an account log in now: allow-users, allow-groups, its state; and is it an administrator? Changes nothing. */
#include "sshd/accounts_windows.h"

#include "base/clock.h"
#include "base/names.h"
#include "sshd/logon_windows_calls.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- names and patterns --- */

/* In small letters, of every script: the case of an account's name does not count. NULL: out of memory, or not UTF-8.
 */
static char *small_letters(const char *text)
{
    wchar_t *wide = NULL;
    char *out = NULL;
    if (win_utf16(text, &wide) < 0)
        return NULL;
    /* Never longer nor shorter: only the case of single units changes. */
    int n = (int)wcslen(wide) + 1;
    if (LCMapStringEx(LOCALE_NAME_INVARIANT, LCMAP_LOWERCASE, wide, n, wide, n, NULL, NULL, 0) != n ||
        win_utf8(wide, &out) < 0)
        out = NULL;
    free(wide);
    return out;
}

/* As names_judge_exact of name and of domain\name. What cannot be judged is excluded. */
static int judge(const char *name, const char *domain, const char *list)
{
    char full[SID_TEXT_SPACE * 2];
    (void)snprintf(full, sizeof full, "%.590s\\%.590s", domain, name);
    char *patterns = small_letters(list), *small = small_letters(name), *small_full = small_letters(full);
    int verdict = -1;
    if (patterns != NULL && small != NULL && small_full != NULL) {
        int a = names_judge_exact(small, patterns), b = names_judge_exact(small_full, patterns);
        verdict = a < 0 || b < 0 ? -1 : a | b;
    }
    free(patterns);
    free(small);
    free(small_full);
    return verdict;
}

/* --- groups --- */

static int judge_sid(PSID sid, const char *list, int *ret_verdict)
{
    wchar_t *user = NULL, *place = NULL;
    char *name = NULL, *domain = NULL;
    SID_NAME_USE use;
    int rc = accounts_sid_names(sid, &user, &place, &use);
    if (rc == 0)
        rc = win_utf8(user, &name);
    if (rc == 0)
        rc = win_utf8(place, &domain);
    if (rc == 0)
        *ret_verdict = judge(name, domain, list);
    free(user);
    free(place);
    free(name);
    free(domain);
    return rc;
}

static int check_groups(const struct accounts_entry *entry, HANDLE token, const char *list,
                        struct errmsg *err)
{
    void *info = NULL;
    int rc = accounts_token_info(token, TokenGroups, &info), matched = 0;
    if (rc < 0)
        return errmsg_set(err, -EACCES, "the groups of %s could not be looked up: %s", entry->name,
                          strerror(-rc));
    const TOKEN_GROUPS *groups = info;
    for (DWORD i = 0; i < groups->GroupCount && matched >= 0; i++) {
        int verdict = 0;
        if ((groups->Groups[i].Attributes & (SE_GROUP_LOGON_ID | SE_GROUP_INTEGRITY)) != 0)
            continue;
        rc = judge_sid(groups->Groups[i].Sid, list, &verdict);
        if (rc == -ENOENT)
            continue;
        if (rc < 0) { /* it may be one that is excluded */
            char sid[SID_TEXT_SPACE];
            sid_text(groups->Groups[i].Sid, sid);
            free(info);
            return errmsg_set(err, -EACCES, "group %.100s of %s could not be looked up: %s", sid, entry->name,
                              strerror(-rc));
        }
        matched = verdict < 0 ? -1 : matched | verdict;
    }
    free(info);
    if (matched < 0)
        return errmsg_set(err, -EACCES, "%s is in a group that allow-groups excludes", entry->name);
    if (matched == 0)
        return errmsg_set(err, -EACCES, "%s is in no group of allow-groups", entry->name);
    return 0;
}

/* --- state --- */

static int check_state(const struct accounts_entry *entry, struct errmsg *err)
{
    LPBYTE data = NULL;
    char words[256];
    NET_API_STATUS status = logon_calls->user_info(NULL, entry->user, 3, &data);
    if (status != NERR_Success) {
        win_words(status, words, sizeof words);
        return errmsg_set(err, -EACCES, "whether the account %s may be used could not be looked up: %s",
                          entry->name, words);
    }
    const USER_INFO_3 *info = (const USER_INFO_3 *)(const void *)data;
    DWORD flags = info->usri3_flags, expires = info->usri3_acct_expires;
    NetApiBufferFree(data);
    if ((flags & UF_ACCOUNTDISABLE) != 0)
        return errmsg_set(err, -EACCES, "the account %s is disabled", entry->name);
    if ((flags & UF_LOCKOUT) != 0)
        return errmsg_set(err, -EACCES, "the account %s is locked, after too many wrong passwords",
                          entry->name);
    if (expires != TIMEQ_FOREVER && clock_wall_s() >= (int64_t)expires)
        return errmsg_set(err, -EACCES, "the account %s has expired", entry->name);
    return 0;
}

int accounts_check(const struct accounts_entry *entry, const struct sshd_options *o, HANDLE token,
                   struct errmsg *err)
{
    int rc = 0;
    if (o->allow_users != NULL && judge(entry->name, entry->domain, o->allow_users) <= 0)
        return errmsg_set(err, -EACCES, "%s is not among the accounts that may log in here (allow-users)",
                          entry->name);
    if (o->allow_groups != NULL)
        rc = check_groups(entry, token, o->allow_groups, err);
    /* By hand it runs programs already. The accounts of a domain are the domain's business, which says no itself. */
    if (rc == 0 && accounts_service() && entry->local)
        rc = check_state(entry, err);
    return rc;
}

/* --- administrators --- */

/* What the group is called differs with Windows' language. */
static int find_group(const LOCALGROUP_USERS_INFO_0 *groups, DWORD n, bool *ret_is)
{
    BYTE sid[SECURITY_MAX_SID_SIZE];
    DWORD sid_n = sizeof sid;
    wchar_t *name = NULL;
    SID_NAME_USE use;
    if (!CreateWellKnownSid(WinBuiltinAdministratorsSid, NULL, sid, &sid_n))
        return win_errno(GetLastError());
    int rc = accounts_sid_names(sid, &name, NULL, &use);
    if (rc < 0)
        return rc;
    *ret_is = false;
    for (DWORD i = 0; i < n; i++)
        *ret_is |= CompareStringOrdinal(groups[i].lgrui0_name, -1, name, -1, TRUE) == CSTR_EQUAL;
    free(name);
    return 0;
}

int accounts_administrator(const struct accounts_entry *entry, bool *ret_is, struct errmsg *err)
{
    wchar_t full[600];
    LPBYTE data = NULL;
    DWORD n = 0, all = 0;
    char words[256];
    if (swprintf(full, 600, L"%ls\\%ls", entry->place, entry->user) < 0)
        return errmsg_set(err, -ENAMETOOLONG, "the name of %s is too long", entry->name);
    NET_API_STATUS status =
        logon_calls->local_groups(NULL, entry->local ? entry->user : full, 0, LG_INCLUDE_INDIRECT, &data,
                                  MAX_PREFERRED_LENGTH, &n, &all);
    if (status != NERR_Success) {
        win_words(status, words, sizeof words);
        return errmsg_set(err, win_errno(status), "the groups of %s could not be looked up: %s", entry->name,
                          words);
    }
    int rc = find_group((const LOCALGROUP_USERS_INFO_0 *)(const void *)data, n, ret_is);
    NetApiBufferFree(data);
    if (rc < 0)
        errmsg_set(err, rc, "the group of administrators could not be looked up: %s", strerror(-rc));
    return rc;
}
