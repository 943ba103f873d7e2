/* Who may log in on Windows, and as whom programs then run: accounts, authorized keys, passwords, tokens.
 *
 * As a service (LocalSystem): every account of the machine and its domain. By hand: the account that runs this,
 * alone, by key alone. Nobody is ever given the rights of the service itself: where an account's own token cannot
 * be had, the login fails. Called on worker threads, several at once; may take seconds. Windows alone. */
#ifndef MULTISSH_SSHD_LOGON_WINDOWS_H
#define MULTISSH_SSHD_LOGON_WINDOWS_H

#include "base/errmsg.h"
#include "base/win.h"
#include "sshd/authkeys.h"
#include "sshd/host.h"
#include "sshd/sshd_options.h"
#include <stdbool.h>

/* Somebody who is logged in. Read it, never change it; it may be used from any thread. */
struct logon {
    HANDLE token;  /* primary, to start programs with and to look at files as; NULL: this process' own user */
    wchar_t *home; /* the profile folder, without a backslash at the end (but for a drive's own) */
    char *name;    /* as Windows writes it, without its domain */
    char *domain;  /* the machine's name, or the domain's */
    bool administrator; /* the token has an administrator's rights */
    HANDLE profile;     /* private: the loaded HKEY_CURRENT_USER, or NULL */
};

/* May key ("type base64") log in to the account that the client calls login ("alice", "DOMAIN\alice", ".\alice",
 * "alice@domain"; the case does not count)? verified: the peer has shown that it holds the key; only then is
 * anything done that Windows notes as a logon. ip: of the user, numeric, or NULL.
 *
 * Returns
 *   HOST_YES    verified: *ret_logon and *ret_rights are the caller's (logon_free, authkeys_rights_release);
 *               not verified: neither is touched, the key would do;
 *   HOST_NO     another key may be tried;
 *   HOST_FATAL  verified, and this account cannot log in now: the words are for the user too.
 * *ret_words always has words, for the log (HOST_YES: the file and its line). *ret_telling: the words are worth a
 * line even when nobody but the client's list of keys asked (the key is in a file and may not be used, or a file
 * is not believed), and not just "in no file".
 *
 * Time: an account that there is costs a look at its files, and one that there is not may cost a question to a
 * domain. So that neither is seen from outside, the caller lets each HOST_NO take one of a few times (20 ms, or
 * that doubled until it is longer than the call took). */
enum host_verdict logon_key(const struct sshd_options *o, const char *login, const char *key, bool verified,
                            const char *ip, struct logon **ret_logon, struct authkeys_rights *ret_rights,
                            bool *ret_telling, struct errmsg *ret_words);

/* The same for a password (UTF-8; the caller wipes it). HOST_NO whatever it is where passwords do not count:
 * without passwords = yes, and when this is no service. What HOST_FATAL says, Windows says of a right password
 * alone. */
enum host_verdict logon_password(const struct sshd_options *o, const char *login, const char *password,
                                 const char *ip, struct logon **ret_logon, struct errmsg *ret_words);

/* Closes the token and lets go of the registry; programs that still run keep theirs. NULL-safe. */
void logon_free(struct logon *logon);

#endif
