/* Who may log in: keys, passwords, PAM. What is refused is refused without telling why, and in a time that does
 * not tell either, unless the user has proved who they are. */
#include "sshd/monitor_private.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "sshd/verdict.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD_MAX 1024u
#define GRACE_EXTRA_MS 10000u /* the speaker ends a slow login; if it does not, we do */
/* As OpenSSH's: no password can be this, so PAM works on it as on any wrong one. */
#define NO_PASSWORD "\b\n\r\177INCORRECT"

static const char *peer_of(const struct monitor *m)
{
    return m->config->peer != NULL ? m->config->peer : "an unknown address";
}

unsigned monitor_login_rights(const struct monitor *m)
{
    return m->login.account == NULL ? 0 : verdict_rights(m->options, &m->login.rights);
}

static void answer(struct monitor *m, uint32_t id, enum host_verdict verdict, const char *text)
{
    struct buf out;
    wire_begin(&out, WIRE_VERDICT, id);
    wire_put_number(&out, verdict);
    wire_put_number(&out, monitor_login_rights(m));
    wire_put_text(&out, text);
    monitor_send(m, &out, NULL, 0);
}

static void on_answer(void *arg)
{
    struct monitor *m = arg;
    m->login.answering = false;
    answer(m, m->login.answer_id, HOST_NO, "");
}

static void refuse(struct monitor *m, uint32_t id, uint64_t since)
{
    m->login.answering = true;
    m->login.answer_id = id;
    ssh_loop_set(m->login.answer, since + verdict_due_ms(clock_now_ms() - since));
}

/* --- PAM --- */

static bool with_pam(const struct monitor *m)
{
    return m->options->pam == SSHD_PAM_YES || (m->options->pam == SSHD_PAM_AUTO && account_privileged());
}

static void end_pam(struct monitor_login *login)
{
    login_pam_free(login->pam);
    free(login->pam_name);
    login->pam = NULL;
    login->pam_name = NULL;
}

/* PAM's handle is of one name; another name is another handle. */
static int begin_pam(struct monitor *m, const char *name, struct errmsg *err)
{
    struct monitor_login *login = &m->login;
    int r;
    if (login->pam != NULL && strcmp(login->pam_name, name) == 0)
        return 0;
    end_pam(login);
    login->pam_name = strdup(name);
    if (login->pam_name == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    r = login_pam_new(m->options, name, m->config->peer, &login->pam, err);
    if (r < 0) {
        login->pam = NULL;
        end_pam(login);
    }
    return r;
}

/* Returns 0, or a negative errno value with err: a sentence for the user, who has proved who they are. */
static int open_session(struct monitor *m, const char *name, struct errmsg *err)
{
    int r;
    if (!with_pam(m)) {
        end_pam(&m->login);
        return 0;
    }
    r = begin_pam(m, name, err);
    if (r == 0)
        r = login_pam_account(m->login.pam, err);
    if (r == 0)
        r = login_pam_open(m->login.pam, err);
    return r;
}

/* --- the verdict --- */

/* The user has proved to be the account, which is taken, as rights are. by: for the log. */
static void admit(struct monitor *m, uint32_t id, struct account *account, struct authkeys_rights *rights,
                  const char *by)
{
    struct errmsg err = {""};
    int r = account_check(account, m->options, &err);
    if (r == 0)
        r = open_session(m, account->name, &err);
    if (r < 0) {
        log_info("%s from %s may not log in, though by %s it is who it says: %s", account->name, peer_of(m),
                 by, err.text);
        answer(m, id, HOST_FATAL, err.text);
        account_free(account);
        authkeys_rights_release(rights);
        return;
    }
    m->login.account = account;
    m->login.rights = *rights;
    ssh_loop_set(m->login.grace, SSH_LOOP_NEVER);
    log_info("%s logged in from %s by %s", account->name, peer_of(m), by);
    answer(m, id, HOST_YES, "");
}

/* Is it in order that something is asked now? */
static bool may_ask(struct monitor *m, struct wire_in *in)
{
    struct monitor_login *login = &m->login;
    if (login->account != NULL)
        monitor_misbehaved(m, in, "asked for a second login");
    else if (login->answering)
        monitor_misbehaved(m, in, "asked before it had its answer");
    else if (++login->asked > verdict_asks_max(m->options))
        monitor_misbehaved(m, in, "tried too many keys and passwords");
    else
        return true;
    return false;
}

static int find(const char *name, struct account **ret_account, struct errmsg *err)
{
    if (strlen(name) > ACCOUNT_NAME_MAX)
        return errmsg_set(err, -ENOENT, "no account has so long a name");
    return account_find(name, ret_account, err);
}

/* --- keys --- */

/* Asking whether a key would do is what every client does with all it has: of those only the last is told, and
 * only when nobody logs in. */
static void note_refusal(struct monitor *m, const char *name, const char *by, const struct errmsg *err,
                         bool telling)
{
    log_at(telling ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "%.100s from %s: %s does not count: %s", name,
           peer_of(m), by, err->text);
    m->login.last[0] = '\0';
    if (!telling && log_level() < LOG_LEVEL_DEBUG)
        (void)snprintf(m->login.last, sizeof m->login.last, "%.100s by %s: %s", name, by, err->text);
}

static void decide_key(struct monitor *m, uint32_t id, const char *name, const char *key, bool verified)
{
    struct authkeys_rights rights = {0};
    struct account *account = NULL;
    struct errmsg err = {""};
    char by[VERDICT_BY_MAX] = "a key";
    uint64_t since = clock_now_ms();
    int r = verdict_by_key(key, by, &err);
    if (r == 0)
        r = find(name, &account, &err);
    if (r == 0)
        r = login_key(account, m->options, key, m->config->peer, &rights, &err);
    if (r == 0 && verified && account != NULL) {
        admit(m, id, account, &rights, by);
        return;
    }
    if (r == 0) {
        answer(m, id, HOST_YES, "");
    } else {
        note_refusal(m, name, by, &err, verified || r != -ENOENT);
        refuse(m, id, since);
    }
    authkeys_rights_release(&rights);
    account_free(account);
}

void monitor_login_key(struct monitor *m, struct wire_in *in)
{
    char *name = wire_text(in, WIRE_MAX);
    char *key = wire_text(in, WIRE_MAX);
    uint32_t verified = wire_number(in);
    if (wire_done(in) && may_ask(m, in))
        decide_key(m, in->id, name, key, verified != 0);
    free(name);
    free(key);
}

/* --- passwords --- */

/* Returns 0 when the password is the account's. Without an account, or for root, PAM works as long for nothing. */
static int check_password(struct monitor *m, const char *name, const char *password,
                          const struct account *account, struct errmsg *err)
{
    bool counts = account != NULL && account->uid != 0 && strlen(password) <= PASSWORD_MAX;
    int r = begin_pam(m, account != NULL ? account->name : name, err);
    if (r == 0)
        r = login_pam_password(m->login.pam, counts ? password : NO_PASSWORD, err);
    if (r == 0 && !counts)
        r = errmsg_set(err, -EACCES, "it does not count");
    if (r < 0 && account != NULL && account->uid == 0)
        (void)errmsg_set(err, r, "root logs in by key only");
    return r;
}

static void decide_password(struct monitor *m, uint32_t id, const char *name, const char *password)
{
    struct authkeys_rights none = {0};
    struct account *account = NULL;
    struct errmsg err = {""}, unknown = {""};
    uint64_t since = clock_now_ms();
    int r;
    if (!m->options->passwords || !with_pam(m) || !account_privileged() || strlen(name) > ACCOUNT_NAME_MAX) {
        r = errmsg_set(&err, -EACCES, "passwords do not count here");
    } else {
        if (find(name, &account, &unknown) < 0)
            account = NULL;
        r = check_password(m, name, password, account, &err);
    }
    if (r == 0 && account != NULL) {
        admit(m, id, account, &none, "password");
        return;
    }
    log_info("%s from %s: the password does not count: %s", name, peer_of(m),
             account == NULL && unknown.text[0] != '\0' ? unknown.text : err.text);
    refuse(m, id, since);
    account_free(account);
}

void monitor_login_password(struct monitor *m, struct wire_in *in)
{
    char *name = wire_text(in, WIRE_MAX);
    char *password = wire_text(in, WIRE_MAX);
    if (wire_done(in) && may_ask(m, in))
        decide_password(m, in->id, name, password);
    if (password != NULL)
        crypto_wipe(password, strlen(password));
    free(password);
    free(name);
}

/* --- begin and end --- */

static void on_grace(void *arg)
{
    struct monitor *m = arg;
    log_warn("nobody logged in from %s in time, and the process that speaks SSH did not close the connection",
             peer_of(m));
    monitor_give_up(m, "it did not end a login that took too long");
}

int monitor_login_init(struct monitor *m)
{
    int r = ssh_loop_timer(m->loop, on_answer, m, &m->login.answer);
    if (r == 0)
        r = ssh_loop_timer(m->loop, on_grace, m, &m->login.grace);
    if (r == 0)
        ssh_loop_set(m->login.grace, ssh_loop_now(m->loop) + m->options->login_grace_ms + GRACE_EXTRA_MS);
    return r;
}

void monitor_login_release(struct monitor *m)
{
    if (m->login.account == NULL && m->login.last[0] != '\0')
        log_info("nobody logged in from %s; the last who tried: %s", peer_of(m), m->login.last);
    end_pam(&m->login);
    authkeys_rights_release(&m->login.rights);
    account_free(m->login.account);
    m->login.account = NULL;
}
