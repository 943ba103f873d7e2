/* The speaker: gives up what it has, then serves. */
#include "sshd/speaker.h"

#include "base/log.h"
#include "base/sandbox.h"
#include "sshd/confine.h"
#include "sshd/sshd.h"
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

/* As many as the hard limit lets: every channel may have three. */
static void raise_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

int speaker_run(const struct speaker_config *config)
{
    const int keep[] = {config->connection, config->monitor};
    const struct host_config host = {.monitor = config->monitor};
    struct errmsg err = {""};
    struct sshd *sshd = NULL;
    int rc;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN); /* the monitor says when it is over */
    raise_limit();
    rc = confine_descriptors(keep, sizeof keep / sizeof keep[0]);
    if (rc < 0) {
        (void)errmsg_set(&err, rc, "cannot close what is not needed: %s", strerror(-rc));
        goto out;
    }
    rc = sshd_new(config->connection, &host, config->key, config->options, config->peer, &sshd, &err);
    if (rc < 0) {
        goto out;
    }
    rc = confine_process(SANDBOX_TERMINAL_SIZE, &err);
    if (rc < 0) {
        goto out;
    }
    rc = sshd_run(sshd);
    if (rc < 0) {
        (void)errmsg_set(&err, rc, "poll failed: %s", strerror(-rc));
    }
out:
    if (rc < 0) {
        log_error("%s", err.text);
    }
    sshd_free(sshd);
    return rc < 0 ? 1 : 0;
}
