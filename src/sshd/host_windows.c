/* The machine, asked in this process: what takes time is done by threads, whose answers come in the loop. Logins are
 * here; what a login's time and words are, is as the monitor has it (monitor_login.c). */
#include "sshd/host_windows_private.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "sshd/verdict.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the user --- */

void host_user_release(struct host_user *user)
{
    if (user != NULL && atomic_fetch_sub(&user->refs, 1) == 1) {
        logon_free(user->logon);
        free(user);
    }
}

unsigned host_rights(const struct host *host)
{
    return host->rights;
}

static const char *peer_of(const struct host *host)
{
    return host->config.peer != NULL ? host->config.peer : "an unknown address";
}

/* --- a question --- */

struct question {
    struct work work;
    struct host *host; /* the loop's thread alone */
    const struct sshd_options *options;
    char *login, *key, *password, *ip; /* key or password */
    bool verified;
    uint64_t since;
    char by[VERDICT_BY_MAX]; /* for the log */
    /* the answer */
    enum host_verdict verdict;
    struct logon *logon;
    struct authkeys_rights rights;
    bool telling;
    struct errmsg words;
};

static void release_question(struct work *work)
{
    struct question *q = (struct question *)work;
    if (q->password != NULL) {
        crypto_wipe(q->password, strlen(q->password));
    }
    free(q->password);
    free(q->login);
    free(q->key);
    free(q->ip);
    logon_free(q->logon);
    authkeys_rights_release(&q->rights);
    free(q);
}

static void run_question(struct work *work)
{
    struct question *q = (struct question *)work;
    if (q->password != NULL) {
        q->telling = true;
        q->verdict = logon_password(q->options, q->login, q->password, q->ip, &q->logon, &q->words);
    } else if (verdict_by_key(q->key, q->by, &q->words) < 0) {
        q->telling = true;
        q->verdict = HOST_NO;
    } else {
        q->verdict = logon_key(q->options, q->login, q->key, q->verified, q->ip, &q->logon, &q->rights,
                               &q->telling, &q->words);
    }
}

static void answer(struct host *host, enum host_verdict verdict, const char *text)
{
    host_login_fn *fn = host->login.fn;
    host->login.fn = NULL;
    fn(host->login.arg, verdict, text);
}

static void on_refusal(void *arg)
{
    answer(arg, HOST_NO, "");
}

/* Asking whether a key would do is what every client does with all it has: of those only the last is told, and
 * only when nobody logs in. */
static void note_refusal(struct host *host, const struct question *q)
{
    bool telling = q->telling || q->verified;
    log_at(telling ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "%.100s from %s: %s does not count: %s", q->login,
           peer_of(host), q->by, q->words.text);
    host->login.last[0] = '\0';
    if (!telling && log_level() < LOG_LEVEL_DEBUG) {
        (void)snprintf(host->login.last, sizeof host->login.last, "%.100s by %s: %s", q->login, q->by,
                       q->words.text);
    }
}

/* Returns whether it worked. */
static bool admit(struct host *host, struct question *q)
{
    struct host_user *user = calloc(1, sizeof *user);
    if (user == NULL) {
        return false;
    }
    atomic_init(&user->refs, 1);
    user->logon = q->logon;
    q->logon = NULL;
    host->user = user;
    host->key = q->rights;
    q->rights = (struct authkeys_rights){0};
    host->rights = verdict_rights(host->config.options, &host->key);
    log_info("%s logged in from %s by %s%s%s%s", user->logon->name, peer_of(host), q->by,
             q->words.text[0] == '\0' ? "" : " (", q->words.text, q->words.text[0] == '\0' ? "" : ")");
    return true;
}

static void on_question_done(struct work *work)
{
    struct question *q = (struct question *)work;
    struct host *host = q->host;
    bool proven = q->password != NULL || q->verified;
    switch (q->verdict) {
    case HOST_YES:
        if (proven && !admit(host, q)) {
            answer(host, HOST_FATAL, "out of memory");
        } else {
            answer(host, HOST_YES, "");
        }
        break;
    case HOST_FATAL:
        log_info("%.100s from %s may not log in, though by %s it is who it says: %s", q->login, peer_of(host),
                 q->by, q->words.text);
        answer(host, HOST_FATAL, q->words.text);
        break;
    case HOST_NO:
        note_refusal(host, q);
        ssh_loop_set(host->login.refusal, q->since + verdict_due_ms(clock_now_ms() - q->since));
        break;
    }
    release_question(work);
}

/* NULL: out of memory. */
static struct question *new_question(struct host *host, const char *login, const char *key,
                                     const char *password)
{
    struct question *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return NULL;
    }
    q->work = (struct work){.run = run_question, .done = on_question_done, .release = release_question};
    q->host = host;
    q->options = host->config.options;
    q->since = clock_now_ms();
    (void)snprintf(q->by, sizeof q->by, "%s", password != NULL ? "password" : "a key");
    q->login = strdup(login);
    q->key = key != NULL ? strdup(key) : NULL;
    q->password = password != NULL ? strdup(password) : NULL;
    q->ip = host->config.peer != NULL ? strdup(host->config.peer) : NULL;
    if (q->login == NULL || (key != NULL && q->key == NULL) || (password != NULL && q->password == NULL) ||
        (host->config.peer != NULL && q->ip == NULL)) {
        release_question(&q->work);
        return NULL;
    }
    return q;
}

static int ask(struct host *host, const char *login, const char *key, const char *password, bool verified,
               host_login_fn *fn, void *arg)
{
    struct question *q;
    int rc;
    if (host->login.fn != NULL || host->user != NULL) {
        return -EBUSY;
    }
    if (++host->login.asked > verdict_asks_max(host->config.options)) {
        return -EACCES;
    }
    q = new_question(host, login, key, password);
    if (q == NULL) {
        return -ENOMEM;
    }
    q->verified = verified;
    rc = workers_run(host->workers, &q->work);
    if (rc == 0) {
        host->login.fn = fn;
        host->login.arg = arg;
    }
    return rc;
}

int host_ask_key(struct host *host, const char *login, const char *key, bool verified, host_login_fn *fn,
                 void *arg)
{
    return ask(host, login, key, NULL, verified, fn, arg);
}

int host_ask_password(struct host *host, const char *login, const char *password, host_login_fn *fn,
                      void *arg)
{
    return ask(host, login, NULL, password, true, fn, arg);
}

/* --- the whole --- */

int host_new(struct ssh_loop *loop, const struct host_config *config, const struct host_events *events,
             void *arg, struct host **ret_host)
{
    struct host *host = calloc(1, sizeof *host);
    int rc;
    (void)events; /* nobody who could get lost */
    (void)arg;
    if (host == NULL) {
        return -ENOMEM;
    }
    host->loop = loop;
    host->config = *config;
    host->refusals = (struct log_limit){.burst = 20, .interval_ms = 10000};
    rc = workers_new(loop, &host->workers);
    if (rc == 0) {
        rc = ssh_loop_timer(loop, on_refusal, host, &host->login.refusal);
    }
    if (rc < 0) {
        host_free(host);
        return rc;
    }
    *ret_host = host;
    return 0;
}

void host_free(struct host *host)
{
    if (host == NULL) {
        return;
    }
    if (host->user == NULL && host->login.last[0] != '\0') {
        log_info("nobody logged in from %s; the last who tried: %s", peer_of(host), host->login.last);
    }
    host_children_free(host);
    host_waits_free(host);
    childlogs_release(&host->logs);
    workers_free(host->workers);
    ssh_loop_untimer(host->login.refusal);
    authkeys_rights_release(&host->key);
    host_user_release(host->user);
    free(host);
}
