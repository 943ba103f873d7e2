/* What a person sees of a list that is being filtered and walked through: which lines match, which one is chosen, which
 * ones are in the window. Pure: no terminal. */
#ifndef MULTISSH_CLIENT_PICK_H
#define MULTISSH_CLIENT_PICK_H

#include "client/machines.h"

#define PICK_FILTER_MAX 120 /* bytes */

struct pick {
    const struct machines *all;
    size_t *shown;                    /* indexes of those that match */
    size_t n;                         /* of them */
    size_t at;                        /* the chosen one, in shown */
    size_t top;                       /* the first one in the window, in shown */
    char filter[PICK_FILTER_MAX + 1]; /* whole characters of UTF-8 */
};

/* all stays the caller's and outlives p. Returns 0 or -ENOMEM. */
int pick_init(struct pick *p, const struct machines *all);
void pick_release(struct pick *p);

/* Adds a character (n bytes of valid UTF-8, no control character) to the filter; nothing happens when it is full. */
void pick_type(struct pick *p, const char *character, size_t n);
/* Takes away the last character, the last word, or all of it. */
void pick_erase(struct pick *p);
void pick_erase_word(struct pick *p);
void pick_erase_all(struct pick *p);
/* Chooses another one, by so many lines; it stops at both ends. */
void pick_move(struct pick *p, long by);
/* Moves the window of that many rows so that the chosen one is in it. */
void pick_fit(struct pick *p, size_t rows);
/* The chosen one; NULL when none matches. */
const struct machine *pick_chosen(const struct pick *p);

/* Does a machine match: is each of the filter's words (case ignored) in its name or its system? */
bool pick_matches(const struct machine *m, const char *filter);

#endif
