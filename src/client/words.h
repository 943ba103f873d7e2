/* The words of a command line that is run without a shell: a growing, NULL-terminated argv. */
#ifndef MULTISSH_CLIENT_WORDS_H
#define MULTISSH_CLIENT_WORDS_H

#include "base/printf.h"
#include <stddef.h>

#define WORDS_MAX 4096

/* Zero-initialise. */
struct words {
    char **item; /* item[n] is NULL; NULL while n is 0 */
    size_t n, room;
    int failed; /* sticky: 0, -ENOMEM or -E2BIG; what follows is not added */
};

void words_add(struct words *w, const char *word);
void words_addf(struct words *w, const char *fmt, ...) LIKE_PRINTF(2, 3);
void words_release(struct words *w);

#endif
