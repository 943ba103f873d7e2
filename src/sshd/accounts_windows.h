/* Accounts of Windows: what a client's login means, whether the account may log in now, what groups it is in.
 *
 * Proves nobody's identity and makes no token (logon_windows.c). Words go into err, for the log, and where a
 * function says so for the user too. Windows alone. */
#ifndef MULTISSH_SSHD_ACCOUNTS_WINDOWS_H
#define MULTISSH_SSHD_ACCOUNTS_WINDOWS_H

#include "base/errmsg.h"
#include "base/sid_windows.h"
#include "base/win.h"
#include "sshd/sshd_options.h"
#include <stdbool.h>

#define ACCOUNTS_LOGIN_MAX 255 /* bytes of what a client calls an account */

struct accounts_entry {
    PSID sid;
    wchar_t *user, *place; /* as Windows writes them; place: the machine's name, or the domain's */
    char *name, *domain;   /* the same in UTF-8 */
    bool local;            /* an account of this machine, not of a domain */
};

/* Does this process run as LocalSystem, and so may let in others than itself? */
bool accounts_service(void);

/* Takes a login apart: "alice", "DOMAIN\alice", "alice@domain". *ret_place is NULL without a domain; both are the
 * caller's. Returns 0, -EINVAL (no account can be called so) or -ENOMEM. */
int accounts_parse(const char *login, wchar_t **ret_place, wchar_t **ret_user);

/* Looks a login up: it must be a user's account, of the machine or of a domain; service accounts, groups and
 * computers are none. By hand only the account that runs this is found. Returns 0, -ENOENT (no such account), -EPERM
 * (it is not the one that runs this) or another negative errno value. */
int accounts_find(const char *login, struct accounts_entry **ret_entry, struct errmsg *err);
void accounts_free(struct accounts_entry *entry); /* NULL-safe */

/* May it log in now? Looks at allow-users, at allow-groups by the groups of token (NULL: this process'), and, as a
 * service and for an account of this machine, whether it is disabled, locked or expired. Returns 0 or -EACCES with
 * a sentence for the user and the log. */
int accounts_check(const struct accounts_entry *entry, const struct sshd_options *o, HANDLE token,
                   struct errmsg *err);

/* Is it an administrator, itself or through its groups? Returns 0 or a negative errno value. */
int accounts_administrator(const struct accounts_entry *entry, bool *ret_is, struct errmsg *err);

/* The profile folder, without a backslash at the end: token's, or, where that is NULL, what the registry says of the
 * account. The caller's. Returns 0, -ENOENT (it has none yet) or another negative errno value. */
int accounts_home(const struct accounts_entry *entry, HANDLE token, wchar_t **ret_home, struct errmsg *err);

/* --- SIDs and tokens (accounts_windows_sid.c) --- */

/* Is it a person's account (of a machine, a domain, or Entra ID), and not one that Windows made for itself? */
bool accounts_sid_person(PSID sid);
/* Name and domain of a SID, the caller's; ret_place may be NULL. Returns 0, -ENOENT (nobody is called so) or another
 * negative errno value. */
int accounts_sid_names(PSID sid, wchar_t **ret_user, wchar_t **ret_place, SID_NAME_USE *ret_use);
int accounts_sid_copy(PSID sid, PSID *ret_copy); /* the caller's to free(); 0 or -ENOMEM */

/* GetTokenInformation into memory of its own, the caller's to free(). NULL token: this process' own. */
int accounts_token_info(HANDLE token, TOKEN_INFORMATION_CLASS class, void **ret_info);
/* Whose token is it: the account's? */
bool accounts_token_is(HANDLE token, PSID sid);
/* *ret_member: is BUILTIN\Administrators among its groups, *ret_enabled: and counts (an administrator's token without
 * elevation has it for denials alone). Returns 0 or a negative errno value. */
int accounts_token_administrator(HANDLE token, bool *ret_member, bool *ret_enabled);

#endif
