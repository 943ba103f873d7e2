/* Owns the list and its bound. Tells nobody. */
#include "agent/keeper_untold.h"

#include <stdlib.h>
#include <string.h>

void keeper_untold_init(struct keeper_untold *u, size_t max)
{
    *u = (struct keeper_untold){.max = max};
}

void keeper_untold_release(struct keeper_untold *u)
{
    free(u->item);
    u->item = NULL;
    u->n = 0;
}

void keeper_untold_add(struct keeper_untold *u, const struct keeper_session *s)
{
    if (u->item == NULL)
        u->item = calloc(u->max, sizeof *u->item);
    if (u->item == NULL)
        return;
    if (u->n == u->max)
        memmove(u->item, u->item + 1, --u->n * sizeof *u->item);
    u->item[u->n++] = *s;
}
