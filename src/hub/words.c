/* A command line's words. Keeps nothing. */
#include "hub/words.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word from *at, unquoted to *to. */
static int take_word(const char **at, char **to, struct errmsg *err)
{
    const char *in = *at;
    char *out = *to, quote = '\0';
    for (; *in != '\0' && (quote != '\0' || !is_blank(*in)); in++) {
        if (quote == '\0' && (*in == '\'' || *in == '"')) {
            quote = *in;
        } else if (quote != '\0' && *in == quote) {
            quote = '\0';
        } else if (*in == '\\' && (quote == '\0' || (quote == '"' && (in[1] == '"' || in[1] == '\\')))) {
            if (*++in == '\0')
                return errmsg_set(err, -EINVAL, "the line ends in a backslash");
            *out++ = *in;
        } else {
            *out++ = *in;
        }
    }
    if (quote != '\0')
        return errmsg_set(err, -EINVAL, "a %s quote is not closed", quote == '"' ? "double" : "single");
    *out++ = '\0';
    *at = in;
    *to = out;
    return 0;
}

int words_split(const char *line, struct words *ret_w, struct errmsg *err)
{
    char *to = ret_w->text;
    ret_w->n = 0;
    ret_w->word[0] = NULL;
    if (strlen(line) > WORDS_LINE_MAX - 1)
        return errmsg_set(err, -E2BIG, "the command is longer than %d bytes", WORDS_LINE_MAX - 1);
    for (;;) {
        while (is_blank(*line))
            line++;
        if (*line == '\0')
            return 0;
        if (ret_w->n == WORDS_MAX)
            return errmsg_set(err, -E2BIG, "the command has more than %d words", WORDS_MAX);
        ret_w->word[ret_w->n] = to;
        int rc = take_word(&line, &to, err);
        if (rc < 0)
            return rc;
        ret_w->word[++ret_w->n] = NULL;
    }
}
