/* Who may log in on Windows: brings accounts, keys, passwords and tokens together. What is refused is refused without
 * telling the user why, unless they have proved who they are. */
#include "sshd/logon_windows.h"

#include "sshd/logon_windows_calls.h"
#include "sshd/logon_windows_private.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD_MAX 1024u
/* As OpenSSH's: no password can be this, so Windows works on it as on any wrong one. */
#define NO_PASSWORD L"\b\n\r\177INCORRECT"

void logon_free(struct logon *logon)
{
    if (logon == NULL)
        return;
    if (logon->profile != NULL)
        (void)logon_calls->unload_profile(logon->token, logon->profile);
    if (logon->token != NULL)
        CloseHandle(logon->token);
    free(logon->home);
    free(logon->name);
    free(logon->domain);
    free(logon);
}

/* --- the login --- */

/* Somebody who has proved to be the account. Takes token (NULL: this process' own user). Returns the login, or NULL
 * with a sentence for the user. note: what went wrong and does not matter. */
static struct logon *new_logon(const struct accounts_entry *account, HANDLE token, struct errmsg *note,
                               struct errmsg *err)
{
    bool member = false;
    struct logon *logon = calloc(1, sizeof *logon);
    if (logon == NULL) {
        if (token != NULL)
            CloseHandle(token);
        (void)errmsg_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    logon->token = token;
    logon->name = _strdup(account->name);
    logon->domain = _strdup(account->domain);
    int rc = logon->name != NULL && logon->domain != NULL ? 0 : errmsg_set(err, -ENOMEM, "out of memory");
    if (rc == 0) {
        rc = accounts_token_administrator(token, &member, &logon->administrator);
        if (rc < 0)
            (void)errmsg_set(err, rc, "the groups of %s could not be looked up: %s", account->name,
                             strerror(-rc));
    }
    if (rc == 0 && token != NULL)
        logon->profile = logon_token_load_profile(account, token, note);
    if (rc == 0)
        rc = accounts_home(account, token, &logon->home, err);
    if (rc < 0 && note->text[0] != '\0')
        *err = *note; /* it is why there is no folder */
    if (rc < 0) {
        logon_free(logon);
        return NULL;
    }
    return logon;
}

static void add_note(struct errmsg *words, const struct errmsg *note)
{
    struct errmsg before = *words;
    if (note->text[0] != '\0')
        (void)errmsg_set(words, 0, "%.250s; %.250s", before.text, note->text);
}

/* --- keys --- */

/* The account's token and whether it may be used; only for who holds the key. *ret_token is NULL by hand. */
static int key_token(const struct accounts_entry *account, const struct sshd_options *o, HANDLE *ret_token,
                     struct errmsg *err)
{
    struct errmsg why = {""};
    HANDLE token = NULL;
    int rc = 0;
    if (accounts_service()) {
        rc = logon_token_by_key(account, &token, &why);
        if (rc == 0 && !accounts_token_is(token, account->sid)) {
            CloseHandle(token);
            rc = errmsg_set(&why, -EACCES, "Windows gave somebody else's token");
        }
        if (rc < 0)
            return errmsg_set(err, rc, "%.100s cannot be logged in by key here: %.200s; %s", account->name,
                              why.text,
                              o->passwords ? "log in by password" : "a password works where passwords = yes");
    }
    rc = accounts_check(account, o, token, err);
    if (rc == 0)
        *ret_token = token;
    else if (token != NULL)
        CloseHandle(token);
    return rc;
}

/* Its token knows better than a list of groups whether the account is an administrator, whose key must be in another
 * file: that is then looked at after all. words then are about that file. */
static int check_file(struct logon_question *q, HANDLE token, struct authkeys_rights *rights,
                      struct errmsg *words)
{
    bool member = false, enabled;
    if (token == NULL || q->administrator)
        return 0;
    int rc = accounts_token_administrator(token, &member, &enabled);
    if (rc < 0)
        return errmsg_set(words, rc, "the groups of %s could not be looked up: %s", q->account->name,
                          strerror(-rc));
    if (!member)
        return 0;
    authkeys_rights_release(rights);
    q->administrator = true;
    return logon_keys_find(q, rights, words);
}

/* The key is in a file, and the peer holds it. */
static enum host_verdict admit_by_key(struct logon_question *q, struct logon **ret_logon,
                                      struct authkeys_rights *rights, struct errmsg *words)
{
    struct errmsg note = {""}, err = {""};
    HANDLE token = NULL;
    if (key_token(q->account, q->options, &token, &err) < 0) {
        *words = err;
        return HOST_FATAL;
    }
    if (check_file(q, token, rights, words) < 0) {
        CloseHandle(token);
        return HOST_NO;
    }
    *ret_logon = new_logon(q->account, token, &note, &err);
    if (*ret_logon == NULL) {
        *words = err;
        return HOST_FATAL;
    }
    add_note(words, &note);
    return HOST_YES;
}

enum host_verdict logon_key(const struct sshd_options *o, const char *login, const char *key, bool verified,
                            const char *ip, struct logon **ret_logon, struct authkeys_rights *ret_rights,
                            bool *ret_telling, struct errmsg *ret_words)
{
    struct accounts_entry *account = NULL;
    struct authkeys_rights rights = {0};
    struct logon_question q = {.options = o, .key = key, .ip = ip};
    enum host_verdict verdict = HOST_NO;
    int rc = accounts_find(login, &account, ret_words);
    q.account = account;
    if (rc == 0 && accounts_service())
        rc = accounts_administrator(account, &q.administrator, ret_words);
    if (rc == 0)
        rc = logon_keys_find(&q, &rights, ret_words);
    *ret_telling = rc < 0 && rc != -ENOENT;
    if (rc == 0)
        verdict = verified ? admit_by_key(&q, ret_logon, &rights, ret_words) : HOST_YES;
    if (verdict == HOST_YES && verified)
        *ret_rights = rights;
    else
        authkeys_rights_release(&rights);
    accounts_free(account);
    return verdict;
}

/* --- passwords --- */

/* What Windows says of a right password alone; anything else could be had by guessing names. */
static const char *said_of_right_password(DWORD error)
{
    switch (error) {
    case ERROR_PASSWORD_EXPIRED:
        return "the password has expired: change it on the machine itself first";
    case ERROR_PASSWORD_MUST_CHANGE:
        return "the password has to be changed before the next login: change it on the machine itself first";
    case ERROR_LOGON_TYPE_NOT_GRANTED:
        return "the account may not log in from the network (the policies \"Access this computer from the "
               "network\" and "
               "\"Deny access to this computer from the network\")";
    default:
        return NULL;
    }
}

/* Asks Windows, and for an account that there is not, too: it then takes as long. Returns 0 with a token that is the
 * account's, or Windows' error. */
static DWORD ask_password(const struct accounts_entry *account, const char *login, const wchar_t *password,
                          HANDLE *ret_token)
{
    wchar_t *place = NULL, *user = NULL, here[] = L".";
    HANDLE token = NULL;
    DWORD error;
    if (account != NULL) {
        error = logon_token_by_password(account->local ? here : account->place, account->user,
                                        password != NULL ? password : NO_PASSWORD, &token);
    } else if (accounts_parse(login, &place, &user) == 0) {
        error = logon_token_by_password(place != NULL ? place : here, user, NO_PASSWORD, &token);
    } else {
        return ERROR_NONE_MAPPED;
    }
    free(place);
    free(user);
    if (error != ERROR_SUCCESS)
        return error;
    /* A machine may let unknown names in as its guest. */
    if (account != NULL && password != NULL && accounts_token_is(token, account->sid)) {
        *ret_token = token;
        return ERROR_SUCCESS;
    }
    CloseHandle(token);
    return ERROR_LOGON_FAILURE;
}

static enum host_verdict admit_by_password(const struct accounts_entry *account, const struct sshd_options *o,
                                           HANDLE token, struct logon **ret_logon, struct errmsg *words)
{
    struct errmsg note = {""};
    HANDLE primary = NULL;
    int rc = logon_token_primary(token, &primary, words);
    if (rc < 0)
        return HOST_FATAL;
    if (accounts_check(account, o, primary, words) < 0) {
        CloseHandle(primary);
        return HOST_FATAL;
    }
    *ret_logon = new_logon(account, primary, &note, words);
    if (*ret_logon == NULL)
        return HOST_FATAL;
    (void)errmsg_set(words, 0, "Windows knows the password");
    add_note(words, &note);
    return HOST_YES;
}

enum host_verdict logon_password(const struct sshd_options *o, const char *login, const char *password,
                                 const char *ip, struct logon **ret_logon, struct errmsg *ret_words)
{
    struct accounts_entry *account = NULL;
    struct errmsg unknown = {""};
    wchar_t *wide = NULL;
    HANDLE token = NULL;
    enum host_verdict verdict = HOST_NO;
    char words[256];
    (void)ip; /* Windows has no place for it */
    if (!o->passwords || !accounts_service()) {
        (void)errmsg_set(ret_words, -EACCES, "passwords do not count here%s",
                         o->passwords ? ": this server is no service, and lets in its own user by key alone"
                                      : "");
        return HOST_NO;
    }
    if (accounts_find(login, &account, &unknown) < 0)
        account = NULL;
    size_t n = strlen(password);
    if (n == 0 || n > PASSWORD_MAX || win_utf16(password, &wide) < 0)
        wide = NULL;
    DWORD error = ask_password(account, login, wide, &token);
    if (wide != NULL)
        SecureZeroMemory(wide, wcslen(wide) * sizeof *wide);
    if (error == ERROR_SUCCESS) {
        verdict = admit_by_password(account, o, token, ret_logon, ret_words);
    } else if (account == NULL) {
        *ret_words = unknown;
    } else if (wide != NULL && said_of_right_password(error) != NULL) {
        verdict = HOST_FATAL;
        (void)errmsg_set(ret_words, -EACCES, "%.100s cannot log in by password: %s", account->name,
                         said_of_right_password(error));
    } else {
        win_words(error, words, sizeof words);
        (void)errmsg_set(ret_words, -EACCES, "%s",
                         wide == NULL ? "an empty, too long or malformed password" : words);
    }
    free(wide);
    accounts_free(account);
    return verdict;
}
