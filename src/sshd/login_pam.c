/* PAM: passwords, whether an account may log in now, and its session. Asks nobody anything: of all that PAM
 * can prompt for, it has a password at best. Must not decide about keys. */
#include "sshd/login.h"

#include "base/log.h"
#include <errno.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 16384u   /* what does not fit is left out whole */
#define PASSWORD_MAX 1024u /* OpenSSH's bound */

struct login_pam {
    pam_handle_t *handle;
    int last; /* the last result, for pam_end */
    char *login;
    char words[WORDS_MAX]; /* always with a NUL */
    size_t words_n;
    const char *password; /* during login_pam_password: not said yet */
    bool more_asked, by_password, credentials, session;
};

/* --- the conversation --- */

static void hear(struct login_pam *pam, const char *text)
{
    size_t n = text == NULL ? 0 : strlen(text);
    if (n == 0 || n + 2 > WORDS_MAX - pam->words_n)
        return;
    memcpy(pam->words + pam->words_n, text, n);
    pam->words_n += n;
    pam->words[pam->words_n++] = '\n';
    pam->words[pam->words_n] = '\0';
}

static int reply(struct login_pam *pam, const struct pam_message *message, struct pam_response *response)
{
    switch (message->msg_style) {
    case PAM_TEXT_INFO:
    case PAM_ERROR_MSG:
        hear(pam, message->msg);
        return PAM_SUCCESS;
    case PAM_PROMPT_ECHO_OFF:
        if (pam->password == NULL)
            break;
        response->resp = strdup(pam->password);
        pam->password = NULL;
        return response->resp == NULL ? PAM_BUF_ERR : PAM_SUCCESS;
    default:
        break;
    }
    pam->more_asked = true;
    return PAM_CONV_ERR;
}

static void free_responses(struct pam_response *responses, int n)
{
    for (int i = 0; i < n; i++) {
        if (responses[i].resp != NULL)
            explicit_bzero(responses[i].resp, strlen(responses[i].resp));
        free(responses[i].resp);
    }
    free(responses);
}

static int converse(int n, const struct pam_message **messages, struct pam_response **ret_responses,
                    void *arg)
{
    int rc = PAM_SUCCESS;
    if (n <= 0 || n > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    struct pam_response *responses = calloc((size_t)n, sizeof *responses);
    if (responses == NULL)
        return PAM_BUF_ERR;
    for (int i = 0; rc == PAM_SUCCESS && i < n; i++)
        rc = reply(arg, messages[i], &responses[i]);
    if (rc != PAM_SUCCESS) {
        free_responses(responses, n);
        return rc;
    }
    *ret_responses = responses;
    return PAM_SUCCESS;
}

const char *login_pam_words(const struct login_pam *pam)
{
    return pam->words;
}

/* --- beginning and end --- */

static bool service_is_there(const char *service)
{
    static const char *const folders[] = {"/etc/pam.d", "/usr/lib/pam.d"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", folders[i], service);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}

/* libpam takes "other" for a service that is not there, which is nobody's intention when one was named. */
static int choose_service(const struct sshd_options *options, const char **ret_service, struct errmsg *err)
{
    static const char *const services[] = {"multissh-sshd", "sshd"};
    if (options->pam_service != NULL) {
        *ret_service = options->pam_service;
        return service_is_there(options->pam_service)
                   ? 0
                   : errmsg_set(err, -ENOENT, "pam-service: there is no /etc/pam.d/%s", options->pam_service);
    }
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        *ret_service = services[i];
        if (service_is_there(services[i]))
            return 0;
    }
    /* libpam takes it by itself; asked for by its name it would run every module twice. */
    *ret_service = services[0];
    if (service_is_there("other"))
        return 0;
    return errmsg_set(err, -ENOENT,
                      "PAM is not set up: there is neither multissh-sshd nor sshd nor other in /etc/pam.d");
}

static int set_items(struct login_pam *pam, const char *peer)
{
    if (peer != NULL && (pam->last = pam_set_item(pam->handle, PAM_RHOST, peer)) != PAM_SUCCESS)
        return pam->last;
    /* Modules that want a terminal are asked before there is one, and there may never be one: as OpenSSH says
     * it. */
    return pam->last = pam_set_item(pam->handle, PAM_TTY, "ssh");
}

int login_pam_new(const struct sshd_options *options, const char *login, const char *peer,
                  struct login_pam **ret_pam, struct errmsg *err)
{
    struct pam_conv conv = {converse, NULL};
    const char *service;
    struct login_pam *pam = calloc(1, sizeof *pam);
    int rc = 0;
    if (pam == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    pam->login = strdup(login);
    if (pam->login == NULL) {
        rc = errmsg_set(err, -ENOMEM, "out of memory");
        goto out;
    }
    rc = choose_service(options, &service, err);
    if (rc < 0)
        goto out;
    conv.appdata_ptr = pam;
    pam->last = pam_start(service, login, &conv, &pam->handle);
    if (pam->last != PAM_SUCCESS) {
        pam->handle = NULL;
        rc = errmsg_set(err, -EIO, "PAM (service %s) could not be started: error %d", service, pam->last);
        goto out;
    }
    if (set_items(pam, peer) != PAM_SUCCESS) {
        rc = errmsg_set(err, -EIO, "PAM (service %s) could not be started: %s", service,
                        pam_strerror(pam->handle, pam->last));
        goto out;
    }
    *ret_pam = pam;
    pam = NULL;
out:
    login_pam_free(pam);
    return rc;
}

void login_pam_free(struct login_pam *pam)
{
    if (pam == NULL)
        return;
    if (pam->handle == NULL)
        goto out;
    if (pam->session) {
        pam->last = pam_close_session(pam->handle, PAM_SILENT);
        if (pam->last != PAM_SUCCESS)
            log_warn("PAM did not close the session of %s: %s", pam->login,
                     pam_strerror(pam->handle, pam->last));
    }
    if (pam->credentials)
        pam->last = pam_setcred(pam->handle, PAM_DELETE_CRED | PAM_SILENT);
    (void)pam_end(pam->handle, pam->last);
out:
    free(pam->login);
    free(pam);
}

/* --- questions --- */

/* A module may make another login of it. That one was never checked, and is not what the user asked for. */
static bool login_is_the_same(const struct login_pam *pam)
{
    const void *user = NULL;
    return pam_get_item(pam->handle, PAM_USER, &user) == PAM_SUCCESS && user != NULL &&
           strcmp(user, pam->login) == 0;
}

/* What the modules said since, in one line. */
static void words_since(const struct login_pam *pam, size_t before, char *out, size_t size)
{
    snprintf(out, size, "%s", pam->words + before);
    size_t n = strlen(out);
    while (n > 0 && out[n - 1] == '\n')
        out[--n] = '\0';
    for (char *at = out; *at != '\0'; at++) {
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    }
}

static int code_of(int result)
{
    switch (result) {
    case PAM_BUF_ERR:
        return -ENOMEM;
    case PAM_OPEN_ERR:
    case PAM_SYMBOL_ERR:
    case PAM_SYSTEM_ERR:
    case PAM_AUTHINFO_UNAVAIL:
    case PAM_ABORT:
        return -EIO;
    default:
        return -EACCES;
    }
}

static int authenticate(struct login_pam *pam, const char *password)
{
    pam->password = password;
    pam->more_asked = false;
    pam->words_n = 0;
    pam->words[0] = '\0';
    pam->last = pam_authenticate(pam->handle, PAM_DISALLOW_NULL_AUTHTOK);
    pam->password = NULL;
    return pam->last;
}

int login_pam_password(struct login_pam *pam, const char *password, struct errmsg *err)
{
    char words[200];
    if (strnlen(password, PASSWORD_MAX + 1) > PASSWORD_MAX)
        return errmsg_set(err, -EACCES, "the password is longer than %u bytes", PASSWORD_MAX);
    if (authenticate(pam, password) == PAM_SUCCESS) {
        if (!login_is_the_same(pam))
            return errmsg_set(err, -EACCES, "PAM made another login of %s", pam->login);
        pam->by_password = true;
        return 0;
    }
    if (pam->more_asked)
        return errmsg_set(err, -EACCES,
                          "PAM asked %s for more than a password, which cannot be asked for here",
                          pam->login);
    words_since(pam, 0, words, sizeof words);
    return errmsg_set(err, code_of(pam->last), "PAM: %s%s%s", pam_strerror(pam->handle, pam->last),
                      words[0] != '\0' ? ": " : "", words);
}

int login_pam_account(struct login_pam *pam, struct errmsg *err)
{
    char words[300];
    size_t before = pam->words_n;
    pam->last = pam_acct_mgmt(pam->handle, 0);
    if (pam->last == PAM_SUCCESS && login_is_the_same(pam))
        return 0;
    words_since(pam, before, words, sizeof words);
    const char *colon = words[0] != '\0' ? ": " : "";
    switch (pam->last) {
    case PAM_NEW_AUTHTOK_REQD:
        return errmsg_set(err, -EACCES,
                          "the password of %s has expired and has to be changed before its next login%s%s",
                          pam->login, colon, words);
    case PAM_ACCT_EXPIRED:
        return errmsg_set(err, -EACCES, "the account %s has expired%s%s", pam->login, colon, words);
    case PAM_SUCCESS:
        return errmsg_set(err, -EACCES, "PAM made another login of %s", pam->login);
    default:
        return errmsg_set(err, -EACCES, "%s may not log in now (PAM: %s)%s%s", pam->login,
                          pam_strerror(pam->handle, pam->last), colon, words);
    }
}

int login_pam_open(struct login_pam *pam, struct errmsg *err)
{
    char words[300];
    pam->last = pam_setcred(pam->handle, PAM_ESTABLISH_CRED);
    pam->credentials = pam->last == PAM_SUCCESS;
    /* After a login by key, modules that were never asked to authenticate may have no credentials to give. */
    if (!pam->credentials && pam->by_password)
        return errmsg_set(err, code_of(pam->last), "PAM gave no credentials: %s",
                          pam_strerror(pam->handle, pam->last));
    if (!pam->credentials)
        log_debug("PAM gave %s no credentials: %s", pam->login, pam_strerror(pam->handle, pam->last));
    size_t before = pam->words_n;
    pam->last = pam_open_session(pam->handle, 0);
    pam->session = pam->last == PAM_SUCCESS;
    if (pam->session)
        return 0;
    words_since(pam, before, words, sizeof words);
    return errmsg_set(err, code_of(pam->last), "PAM opened no session for %s: %s%s%s", pam->login,
                      pam_strerror(pam->handle, pam->last), words[0] != '\0' ? ": " : "", words);
}

char **login_pam_env(struct login_pam *pam)
{
    char **env = pam_getenvlist(pam->handle);
    if (env != NULL && env[0] == NULL) {
        free(env);
        env = NULL;
    }
    return env;
}

void login_pam_free_env(char **env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        free(env[i]);
    free(env);
}
