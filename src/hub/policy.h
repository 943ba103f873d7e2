/* Who may do what: the file authorized_users, parsed. Pure: text in, answers out; the file is watched
 * elsewhere.
 *
 * A line: `NAME[,NAME] [OPTIONS] TYPE BASE64 [COMMENT]`, options separated by commas, values in double quotes
 * (\" inside for a quote): machines="PATTERNS" publish="PATTERNS" admin from="LIST" expiry-time="TIME". The
 * first NAME is what the user is called. Blank lines and #comments are skipped. No machines= means none;
 * admin implies all machines. Rights belong to the line (the key), not the name. A broken line (an unknown
 * option, a certificate, a damaged key …) is reported by number and left out. */
#ifndef MULTISSH_HUB_POLICY_H
#define MULTISSH_HUB_POLICY_H

#include "base/errmsg.h"
#include "base/names.h"
#include "stream/ticket.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_TEXT_MAX (16u << 20)
#define POLICY_LINE_MAX 16384

struct policy_user { /* one line */
    char name[NAMES_USER_MAX + 1];
    char *machines, *publish, *from; /* NULL = none given */
    bool admin;
    int64_t expiry_s; /* 0 = never */
    char *key;        /* "type base64" */
    char fingerprint[52];
    unsigned line;
};

struct policy;
typedef void policy_complaint_fn(unsigned line, const char *text, void *arg);
/* Parses at most POLICY_TEXT_MAX bytes of text. complain is called for each broken line (may be NULL).
 * Returns 0 or -ENOMEM/-EFBIG. */
int policy_parse(const char *text, size_t n, policy_complaint_fn *complain, void *arg, struct policy **ret_p);
void policy_free(struct policy *p);
size_t policy_count(const struct policy *p);

/* The user of this key ("type base64"), from this ip, now. NULL with *ret_why (a static sentence for the log)
 * when there is none or a condition does not hold. Constant for the life of p. Several lines may hold the
 * same key: the first whose conditions hold counts. */
const struct policy_user *policy_find(const struct policy *p, const char *key, const char *ip, int64_t now_s,
                                      const char **ret_why);

/* The first line of this user and key (as a joined ticket names it) by which the machine may be reached, from this ip (NULL:
 * from wherever a line allows), now; NULL when there is none. For who has no key to show any more: a stream that comes
 * back. Constant for the life of p. */
const struct policy_user *policy_may(const struct policy *p, const char *user, const char *ip,
                                     const char *machine, int64_t now_s,
                                     const uint8_t user_key[TICKET_USER_KEY_SIZE]);

/* Every line in force, in the file's order; non-zero from fn stops and is returned. */
typedef int policy_fn(const struct policy_user *u, void *arg);
int policy_each(const struct policy *p, policy_fn *fn, void *arg);

#endif
