/* glibc takes the size of each large block that is freed for what is usual, and keeps blocks of that size from then on, unless it
 * is told what is large. */
#include "base/heap.h"

#include <malloc.h>

#define LARGE (128 * 1024)

void heap_give_back(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, LARGE);
    (void)mallopt(M_TRIM_THRESHOLD, LARGE);
}
