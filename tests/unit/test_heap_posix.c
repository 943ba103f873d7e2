/* Large blocks go back to the system, also when larger ones came before. */
#include "cmocka_all.h"

#include "base/heap.h"
#include <malloc.h>
#include <stdlib.h>

static void large_blocks_go_back(void **state)
{
    (void)state;
#ifdef MULTISSH_SANITIZED
    skip(); /* another allocator */
#else
    heap_give_back();
    for (size_t n = (size_t)4 << 20; n >= (size_t)256 << 10; n /= 2) {
        size_t before = mallinfo2().hblkhd; /* bytes in blocks that the system gave for this alone */
        void *volatile block = malloc(n);
        assert_non_null(block);
        assert_true(mallinfo2().hblkhd >= before + n);
        free(block);
        assert_int_equal(mallinfo2().hblkhd, before);
    }
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(large_blocks_go_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
