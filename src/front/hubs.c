/* One hub after the other.
 *
 * A hub that connects is a candidate until it has said `adopt`: whoever only looks whether somebody listens changes
 * nothing. Frees links only in its turn, for a message may be on its way up from one. */
#include "front/hubs.h"

#include "front/command.h"
#include "front/jump.h"
#include "front/publish.h"
#include "front/refusal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4
#define ADOPT_MS 10000       /* for a candidate to say `adopt` */
#define ACCEPT_AGAIN_MS 1000 /* after a failure for want of descriptors or memory */

struct hubs {
    struct front *front;
    struct ssh_loop_watch *watch;
    int listener;               /* -1: no other hub can come */
    struct hub_link *candidate; /* or NULL */
    uint64_t candidate_until;
    uint64_t accept_at;   /* no more is accepted before */
    uint64_t alone_since; /* 0: there is a hub */
    char *voucher;        /* opaque; NULL: none */
    char unfit[256];      /* why the last hub could not take over; "" */
    struct log_limit limit;
};

bool hubs_may_come(const struct hubs *hubs)
{
    return hubs->listener >= 0 && hubs->unfit[0] == '\0';
}

const char *hubs_why_none(const struct hubs *hubs)
{
    return hubs->unfit[0] != '\0' ? hubs->unfit : FRONT_RESTARTING;
}

void hubs_set_voucher(struct hubs *hubs, const char *voucher)
{
    char *copy = strdup(voucher);
    if (copy != NULL) {
        free(hubs->voucher);
        hubs->voucher = copy;
    }
}

void hubs_unfit(struct hubs *hubs, const cJSON *message)
{
    char text[160];
    refusal_clean(json_str_or(message, "text", 1024, "it speaks another protocol"), text, sizeof text);
    (void)snprintf(hubs->unfit, sizeof hubs->unfit,
                   "the restarted hub and this connection are of versions that do not fit, connect again: %s",
                   text);
    hub_link_drop(hubs->front->link, hubs->unfit);
}

/* --- between two hubs --- */

static void lost(struct hubs *hubs)
{
    struct front *front = hubs->front;
    log_info("%s; running sessions go on", hub_link_why(front->link));
    hubs->alone_since = ssh_loop_now(front->loop);
    front_login_hub_lost(front);
    jump_hub_lost(front);
    command_hub_lost(front);
    publish_hub_lost(front);
}

static void orphaned(struct hubs *hubs)
{
    static const char text[] = "the hub has been away for too long (orphan-patience)";
    struct front *front = hubs->front;
    uint64_t until = hubs->alone_since + front->limits.orphan_ms;
    if (hubs->alone_since == 0 || front->leaving || ssh_server_ended(front->server)) {
        return;
    }
    if (ssh_loop_now(front->loop) < until) {
        front_wake(front, until);
        return;
    }
    log_warn("%s: ended", text);
    jump_end_all(front, text);
    front_leave(front, text);
}

/* --- the next one --- */

static void say_who_we_are(struct hubs *hubs)
{
    cJSON *message = json_new("adopted");
    (void)json_add_int(message, "protocol", FRONT_PROTOCOL);
    (void)json_add_str(message, "version", MULTISSH_VERSION);
    (void)json_add_int(message, "pid", getpid());
    if (hubs->voucher != NULL) {
        (void)json_add_str(message, "voucher", hubs->voucher);
    }
    front_send(hubs->front, message);
}

/* What the last hub left unanswered, in the order in which the user asked. */
static void ask_again(struct front *front)
{
    static const struct {
        uint64_t (*after)(const struct front *front, uint64_t id);
        void (*again)(struct front *front, uint64_t id);
    } kinds[] = {
        {front_login_unanswered_after, front_login_ask_again},
        {jump_unanswered_after, jump_ask_again},
        {command_unanswered_after, command_ask_again},
        {publish_unanswered_after, publish_ask_again},
    };
    uint64_t id = 0;
    for (;;) {
        uint64_t first = UINT64_MAX;
        size_t kind = 0;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            uint64_t at = kinds[i].after(front, id);
            if (at < first) {
                first = at;
                kind = i;
            }
        }
        if (first == UINT64_MAX || !hub_link_up(front->link)) {
            return;
        }
        kinds[kind].again(front, first);
        id = first;
    }
}

static void adopt(struct hubs *hubs, const cJSON *message)
{
    struct front *front = hubs->front;
    if (!hub_link_over(front->link)) {
        hub_link_drop(front->link, "another hub has taken over");
    }
    if (hubs->alone_since == 0) {
        lost(hubs);
    }
    hub_link_free(front->link);
    front->link = hubs->candidate;
    hubs->candidate = NULL;
    hubs->alone_since = 0;
    hubs->unfit[0] = '\0';
    front_limits_take(&front->limits, message);
    ssh_server_limit(front->server, front->limits.channels, front->limits.keepalive_ms);
    say_who_we_are(hubs);
    jump_resume_all(front);
    publish_resume_all(front);
    front_send(front, json_new("resumed"));
    jump_close_ended(front);
    ask_again(front);
}

void hubs_message(struct hubs *hubs, struct hub_link *link, const cJSON *message, int fd)
{
    if (link == hubs->front->link) {
        front_message(hubs->front, message, fd);
        return;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (link != hubs->candidate) {
        return;
    }
    if (strcmp(json_str_or(message, "type", 64, ""), "adopt") == 0 &&
        json_int_or(message, "protocol", 1, INT32_MAX, 0) > 0) {
        adopt(hubs, message);
    } else {
        hub_link_drop(link, "it did not say how to take over");
    }
}

/* --- those who come --- */

/* The folder lets nobody else in either; but a link is worth asking twice. */
static bool may_be_a_hub(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof peer &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void on_message(void *arg, struct hub_link *link, const cJSON *message, int fd)
{
    struct hubs *hubs = arg;
    hubs_message(hubs, link, message, fd);
    ssh_loop_again(hubs->front->loop);
}

static void take(struct hubs *hubs, int fd)
{
    struct hub_link *link;
    int rc;
    if (!may_be_a_hub(fd)) {
        log_limited(&hubs->limit, LOG_LEVEL_WARN,
                    "somebody who is neither root nor this user wanted to be the hub");
        close(fd);
        return;
    }
    rc = hub_link_new(fd, &link);
    if (rc < 0) {
        close(fd);
    } else {
        rc = hub_link_watch(link, hubs->front->loop, on_message, hubs);
        if (rc < 0) {
            hub_link_free(link);
        }
    }
    if (rc < 0) {
        log_limited(&hubs->limit, LOG_LEVEL_ERROR, "a hub cannot be spoken to: %s", strerror(-rc));
        return;
    }
    hub_link_free(hubs->candidate);
    hubs->candidate = link;
    hubs->candidate_until = ssh_loop_now(hubs->front->loop) + ADOPT_MS;
}

static void on_ready(void *arg, short ready)
{
    struct hubs *hubs = arg;
    int fd = accept4(hubs->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    (void)ready;
    if (fd >= 0) {
        take(hubs, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        log_limited(&hubs->limit, LOG_LEVEL_ERROR, "a hub cannot be accepted: %s", strerror(errno));
        ssh_loop_interest(hubs->watch, SSH_LOOP_DEAF);
        hubs->accept_at = ssh_loop_now(hubs->front->loop) + ACCEPT_AGAIN_MS;
    }
}

/* --- the turn --- */

static void candidate_turn(struct hubs *hubs)
{
    if (hubs->candidate == NULL) {
        return;
    }
    if (hub_link_over(hubs->candidate) || ssh_loop_now(hubs->front->loop) >= hubs->candidate_until) {
        hub_link_free(hubs->candidate);
        hubs->candidate = NULL;
        return;
    }
    front_wake(hubs->front, hubs->candidate_until);
}

void hubs_turn(struct hubs *hubs)
{
    if (hubs->alone_since == 0 && hub_link_over(hubs->front->link)) {
        lost(hubs);
    }
    candidate_turn(hubs);
    orphaned(hubs);
    if (hubs->accept_at == 0) {
        return;
    }
    if (ssh_loop_now(hubs->front->loop) < hubs->accept_at) {
        front_wake(hubs->front, hubs->accept_at);
        return;
    }
    hubs->accept_at = 0;
    ssh_loop_interest(hubs->watch, POLLIN);
}

/* --- beginning and end --- */

static int start_listening(struct hubs *hubs, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
        listen(fd, BACKLOG) < 0) {
        return -errno;
    }
    return ssh_loop_watch(hubs->front->loop, fd, POLLIN, on_ready, hubs, &hubs->watch);
}

int hubs_new(struct front *front, int listener, const char *voucher, struct hubs **ret_hubs)
{
    struct hubs *hubs = calloc(1, sizeof *hubs);
    int rc = 0;
    if (hubs == NULL) {
        return -ENOMEM;
    }
    hubs->front = front;
    hubs->limit = (struct log_limit){.burst = 5, .interval_ms = 10000};
    if (listener >= 0) {
        rc = start_listening(hubs, listener);
    }
    if (rc == 0) {
        rc = hub_link_watch(front->link, front->loop, on_message, hubs);
    }
    hubs->listener = rc == 0 ? listener : -1;
    if (rc < 0) {
        hubs_free(hubs);
        return rc;
    }
    if (voucher != NULL) {
        hubs_set_voucher(hubs, voucher);
    }
    *ret_hubs = hubs;
    return 0;
}

void hubs_free(struct hubs *hubs)
{
    if (hubs == NULL) {
        return;
    }
    ssh_loop_unwatch(hubs->watch);
    if (hubs->listener >= 0) {
        close(hubs->listener);
    }
    hub_link_free(hubs->candidate);
    free(hubs->voucher);
    free(hubs);
}
