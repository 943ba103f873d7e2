/* A command line's words, split as sh does: blanks separate, '…' is literal, in "…" a backslash escapes only
 * " and \, outside of quotes it escapes any byte. Nothing is expanded. Pure function. */
#ifndef MULTISSH_HUB_WORDS_H
#define MULTISSH_HUB_WORDS_H

#include "base/errmsg.h"

#define WORDS_LINE_MAX 4096
#define WORDS_MAX 64

struct words {
    char text[WORDS_LINE_MAX + 1];
    char *word[WORDS_MAX + 1]; /* ended by NULL */
    int n;
};

/* Returns 0, -E2BIG (line or number of words) or -EINVAL (a quote is not closed, a backslash ends the line)
 * with err filled. */
int words_split(const char *line, struct words *ret_w, struct errmsg *err);

#endif
