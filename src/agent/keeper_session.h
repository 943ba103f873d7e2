/* What a keeper says of one session: the messages `session` and `closed` (PROTOCOL.md), and the words for them. */
#ifndef MULTISSH_AGENT_KEEPER_SESSION_H
#define MULTISSH_AGENT_KEEPER_SESSION_H

#include "agent/dial.h"
#include "stream/stream.h"

enum keeper_session_state {
    KEEPER_SESSION_OPENING,
    KEEPER_SESSION_OPEN,
    KEEPER_SESSION_WAITING, /* for a lost connection */
    KEEPER_SESSION_LOST,    /* its keeper has died; never in a message */
};

struct keeper_session {
    char stream[DIAL_STREAM_TEXT];
    char user[NAMES_USER_MAX + 1], source[DIAL_SOURCE_MAX + 1];
    uint16_t source_port; /* 0: not known */
    enum keeper_session_state state;
    uint64_t age_ms, sent, received, resumes;
    char reason[STREAM_TEXT_MAX + 201]; /* of closed */
};

/* NULL when out of memory. */
cJSON *keeper_session_write(const struct keeper_session *s, const char *type);
/* Returns NULL or what is wrong with it. */
const char *keeper_session_read(const cJSON *m, struct keeper_session *ret_s);
/* "opening", "open", "waiting", "lost". Static. */
const char *keeper_session_state(const struct keeper_session *s);
/* The line in the log for one that has ended. */
void keeper_session_log_end(const struct keeper_session *s);

#endif
