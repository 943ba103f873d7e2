/* The system's heap gives large blocks back by itself. */
#include "base/heap.h"

void heap_give_back(void)
{
}
