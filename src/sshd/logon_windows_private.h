/* The parts of logon_windows.c: files with keys, and tokens. */
#ifndef MULTISSH_SSHD_LOGON_WINDOWS_PRIVATE_H
#define MULTISSH_SSHD_LOGON_WINDOWS_PRIVATE_H

#include "sshd/accounts_windows.h"
#include "sshd/authkeys.h"

/* --- logon_windows_keys.c --- */

struct logon_question {
    const struct sshd_options *options;
    const struct accounts_entry *account;
    const char *key, *ip;
    bool administrator; /* as a service: the administrators' file counts, and no other */
};

/* Looks for the key. Returns 0 with *ret_rights the caller's (err: the file and line), -ENOENT (in no file), -EACCES
 * (it is there, or a file cannot be believed, and does not count) or another negative errno value; err is always
 * filled, for the log. */
int logon_keys_find(const struct logon_question *q, struct authkeys_rights *ret_rights, struct errmsg *err);

/* --- logon_windows_token.c --- */

/* The account's token, by nothing but this service's word for it. Returns 0 or a negative errno value with the reason. */
int logon_token_by_key(const struct accounts_entry *account, HANDLE *ret_token, struct errmsg *err);
/* By the password. place may be NULL (user is then alice@domain). Returns 0 or, as a positive number, what Windows
 * says. */
DWORD logon_token_by_password(const wchar_t *place, const wchar_t *user, const wchar_t *password,
                              HANDLE *ret_token);
/* Makes a token one to start programs with; takes it whatever happens. Returns 0 or a negative errno value; err is
 * filled. */
int logon_token_primary(HANDLE token, HANDLE *ret_primary, struct errmsg *err);
/* HKEY_CURRENT_USER and the profile folder, made when the account has none yet. NULL with err filled: it failed. */
HANDLE logon_token_load_profile(const struct accounts_entry *account, HANDLE token, struct errmsg *err);

#endif
