/* What the allocator does with memory that is not needed any more. */
#ifndef MULTISSH_BASE_HEAP_H
#define MULTISSH_BASE_HEAP_H

/* From now on a large block (128 KiB or more) goes back to the system as soon as it is freed, however large the ones before
 * were. To be called once, at the start of a process that holds much only for a while. */
void heap_give_back(void);

#endif
