/* The open files and folders of a client. Owns the table.
 *
 * A number is the slot and how often it was used, so that a handle used after its close is not taken for
 * another. */
#include "sshd/sftp_handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_open(const struct sftp_handle *handle)
{
    return handle->path != NULL;
}

void sftp_handles_init(struct sftp_handles *h, unsigned max)
{
    *h = (struct sftp_handles){.max = max};
}

void sftp_handles_release(struct sftp_handles *h)
{
    free(h->slots);
    free(h->turns);
    *h = (struct sftp_handles){.max = h->max};
}

static int grow(struct sftp_handles *h)
{
    unsigned size = h->size == 0 ? 16 : h->size * 2;
    if (size > h->max)
        size = h->max;
    struct sftp_handle *slots = realloc(h->slots, size * sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    h->slots = slots;
    uint16_t *turns = realloc(h->turns, size * sizeof *turns);
    if (turns == NULL)
        return -ENOMEM;
    h->turns = turns;
    memset(slots + h->size, 0, (size - h->size) * sizeof *slots);
    memset(turns + h->size, 0, (size - h->size) * sizeof *turns);
    h->size = size;
    return 0;
}

int sftp_handles_add(struct sftp_handles *h, const char *path, struct sftp_handle **ret_handle)
{
    if (h->open >= h->max)
        return -EMFILE;
    if (h->open == h->size && grow(h) != 0)
        return -ENOMEM;
    char *copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    unsigned i = h->lowest_free;
    while (is_open(&h->slots[i]))
        i++;
    h->slots[i] = (struct sftp_handle){.path = copy, .number = (uint32_t)h->turns[i] << 16 | i};
    h->turns[i]++;
    h->open++;
    h->lowest_free = i + 1;
    *ret_handle = &h->slots[i];
    return 0;
}

struct sftp_handle *sftp_handles_find(struct sftp_handles *h, uint32_t number)
{
    unsigned i = number & 0xffff;
    if (i >= h->size || !is_open(&h->slots[i]) || h->slots[i].number != number)
        return NULL;
    return &h->slots[i];
}

void sftp_handles_remove(struct sftp_handles *h, struct sftp_handle *handle)
{
    unsigned i = (unsigned)(handle - h->slots);
    free(handle->path);
    *handle = (struct sftp_handle){0};
    h->open--;
    if (i < h->lowest_free)
        h->lowest_free = i;
}

struct sftp_handle *sftp_handles_any(struct sftp_handles *h)
{
    for (unsigned i = 0; i < h->size; i++)
        if (is_open(&h->slots[i]))
            return &h->slots[i];
    return NULL;
}
