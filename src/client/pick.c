/* The model of the picker. */
#include "client/pick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Is the word in text? */
static bool contains(const char *text, const char *word, size_t n)
{
    for (; *text != 0; text++)
        if (strncasecmp(text, word, n) == 0)
            return true;
    return false;
}

bool pick_matches(const struct machine *m, const char *filter)
{
    for (;;) {
        filter += strspn(filter, " ");
        size_t n = strcspn(filter, " ");
        if (n == 0)
            return true;
        if (!contains(m->name, filter, n) && !contains(m->os, filter, n))
            return false;
        filter += n;
    }
}

/* The chosen one stays chosen when it still matches. */
static void filter(struct pick *p)
{
    const struct machine *chosen = pick_chosen(p);
    p->n = p->at = 0;
    for (size_t i = 0; i < p->all->n; i++) {
        const struct machine *m = &p->all->item[i];
        if (!pick_matches(m, p->filter))
            continue;
        if (m == chosen)
            p->at = p->n;
        p->shown[p->n++] = i;
    }
}

int pick_init(struct pick *p, const struct machines *all)
{
    memset(p, 0, sizeof *p);
    p->all = all;
    p->shown = malloc((all->n + 1) * sizeof *p->shown);
    if (p->shown == NULL)
        return -ENOMEM;
    filter(p);
    return 0;
}

void pick_release(struct pick *p)
{
    free(p->shown);
    memset(p, 0, sizeof *p);
}

void pick_type(struct pick *p, const char *character, size_t n)
{
    size_t had = strlen(p->filter);
    if (had + n > PICK_FILTER_MAX)
        return;
    memcpy(p->filter + had, character, n);
    p->filter[had + n] = 0;
    filter(p);
    p->at = 0;
}

void pick_erase(struct pick *p)
{
    size_t n = strlen(p->filter);
    if (n == 0)
        return;
    do
        n--;
    while (n > 0 && ((unsigned char)p->filter[n] & 0xc0) == 0x80);
    p->filter[n] = 0;
    filter(p);
}

void pick_erase_word(struct pick *p)
{
    size_t n = strlen(p->filter);
    while (n > 0 && p->filter[n - 1] == ' ')
        n--;
    while (n > 0 && p->filter[n - 1] != ' ')
        n--;
    p->filter[n] = 0;
    filter(p);
}

void pick_erase_all(struct pick *p)
{
    p->filter[0] = 0;
    filter(p);
}

void pick_move(struct pick *p, long by)
{
    if (p->n == 0)
        return;
    if (by < 0)
        p->at -= (size_t)-by < p->at ? (size_t)-by : p->at;
    else
        p->at += (size_t)by < p->n - 1 - p->at ? (size_t)by : p->n - 1 - p->at;
}

void pick_fit(struct pick *p, size_t rows)
{
    if (rows == 0)
        return;
    if (p->at < p->top)
        p->top = p->at;
    if (p->at >= p->top + rows)
        p->top = p->at - rows + 1;
    if (p->top + rows > p->n) /* no empty rows below while there is something above */
        p->top = p->n > rows ? p->n - rows : 0;
}

const struct machine *pick_chosen(const struct pick *p)
{
    return p->n > 0 ? &p->all->item[p->shown[p->at]] : NULL;
}
