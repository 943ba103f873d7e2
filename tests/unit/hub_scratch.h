/* A folder of its own for a test's database; removed with what a store leaves in it. */
#ifndef MULTISSH_TESTS_HUB_SCRATCH_H
#define MULTISSH_TESTS_HUB_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct scratch {
    char folder[64], db[96];
};

static inline void scratch_make(struct scratch *s)
{
    snprintf(s->folder, sizeof s->folder, "/tmp/multissh-test-XXXXXX");
    if (mkdtemp(s->folder) == NULL)
        abort();
    snprintf(s->db, sizeof s->db, "%s/hub.db", s->folder);
}

static inline void scratch_remove(struct scratch *s)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", s->db, ends[i]);
        unlink(path);
    }
    rmdir(s->folder);
}

#endif
