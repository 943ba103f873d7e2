/* Changes settings in the text of an ini file and leaves every other byte of it alone: comments, order,
 * settings that it does not know. Pure but for conf_save. */
#ifndef MULTISSH_AGENT_CONF_H
#define MULTISSH_AGENT_CONF_H

#include "base/buf.h"
#include "base/errmsg.h"
#include <stddef.h>

#define CONF_FILE_MAX (1u << 20)
#define CONF_LINE_MAX 198 /* what options_file reads; without the newline */

struct conf_change {
    const char *name;
    const char *value; /* NULL: the setting is removed */
};

/* Appends to out the text with the changes: the first line that sets a name is rewritten and further ones
 * dropped; a name that was not set is added at the end. Returns 0, -EINVAL (a value that would not be read
 * as it is: too long for a line, with a control byte, a blank at its ends or a semicolon behind a blank),
 * -ENOBUFS or -ENOMEM. */
int conf_rewrite(const char *text, size_t n, const struct conf_change *changes, size_t count,
                 struct buf *out);

/* The same for a file, read (it may be missing), changed and replaced at once, mode 0600. Returns 0 or a
 * negative code with err filled. Nothing is written when nothing changes. */
int conf_save(const char *path, const struct conf_change *changes, size_t count, struct errmsg *err);

#endif
