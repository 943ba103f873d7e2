/* A growing argv. */
#include "client/words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void take(struct words *w, char *word)
{
    if (w->failed == 0 && word == NULL)
        w->failed = -ENOMEM;
    if (w->failed == 0 && w->n + 1 >= WORDS_MAX)
        w->failed = -E2BIG;
    if (w->failed == 0 && w->n + 2 > w->room) {
        size_t room = w->room == 0 ? 32 : w->room * 2;
        char **grown = realloc(w->item, room * sizeof *grown);
        if (grown == NULL) {
            w->failed = -ENOMEM;
        } else {
            w->item = grown;
            w->room = room;
        }
    }
    if (w->failed != 0) {
        free(word);
        return;
    }
    w->item[w->n++] = word;
    w->item[w->n] = NULL;
}

void words_add(struct words *w, const char *word)
{
    take(w, strdup(word));
}

void words_addf(struct words *w, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *word = n >= 0 ? malloc((size_t)n + 1) : NULL;
    if (word != NULL)
        vsnprintf(word, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(args);
    take(w, word);
}

void words_release(struct words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->item[i]);
    free(w->item);
    *w = (struct words){0};
}
