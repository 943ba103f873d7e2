/* Does a key or a password prove an account? Used by the monitor alone; may take seconds. */
#ifndef MULTISSH_SSHD_LOGIN_H
#define MULTISSH_SSHD_LOGIN_H

#include "sshd/account.h"
#include "sshd/authkeys.h"
#include "sshd/sshd_options.h"

/* Reads the account's authorized-keys files, as the account (in a helper), with StrictModes' checks of every
 * folder and file from the home to the file. ip: of the user or NULL. Returns 0 with *ret_rights the caller's
 * (err: the file and line), -ENOENT (in no file), -EACCES (it is there, or a file cannot be believed, and
 * does not count), or another negative errno value, always with err filled, for the log. Takes 20 s at most.
 */
int login_key(const struct account *account, const struct sshd_options *options, const char *key,
              const char *ip, struct authkeys_rights *ret_rights, struct errmsg *err);

/* --- PAM (login_pam.c) --- */

struct login_pam;

/* For one connection. peer: the user's address, or NULL. Returns 0 or a negative errno value with err filled.
 */
int login_pam_new(const struct sshd_options *options, const char *login, const char *peer,
                  struct login_pam **ret_pam, struct errmsg *err);
/* Closes the session if one is open, and ends. NULL-safe. */
void login_pam_free(struct login_pam *pam);
/* Is the password right? Prompts other than the password's fail. Returns 0, -EACCES (no) or another negative
 * errno value with err filled, for the log. May be asked of a login that is no account: PAM takes as long for
 * it. The password is not kept. */
int login_pam_password(struct login_pam *pam, const char *password, struct errmsg *err);
/* May the account log in now (pam_acct_mgmt)? A password that must be changed first is a no. Returns 0 or
 * -EACCES with err filled: a sentence for the user. */
int login_pam_account(struct login_pam *pam, struct errmsg *err);
/* Establishes credentials and opens the session (once a connection). Returns 0 or a negative errno value with
 * err filled. */
int login_pam_open(struct login_pam *pam, struct errmsg *err);
/* What modules said to the user (motd, mail) since the start: for the first terminal. "" when nothing. */
const char *login_pam_words(const struct login_pam *pam);
/* NAME=VALUE, NULL-terminated, the caller's: free with login_pam_free_env. NULL when there is none. */
char **login_pam_env(struct login_pam *pam);
void login_pam_free_env(char **env);

#endif
