/* The folder in which the next hub finds the processes of the last one. */
#include "cmocka_all.h"

#include "hub/berths.h"
#include "hub_scratch.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct bench {
    struct scratch scratch;
    struct berths *b;
    char folder[200];
    unsigned found;
    int fd;
    pid_t pid;
    char name[BERTHS_NAME_MAX + 1];
};

static int make(void **state)
{
    struct bench *t = calloc(1, sizeof *t);

    assert_non_null(t);
    scratch_make(&t->scratch);
    t->fd = -1;
    (void)snprintf(t->folder, sizeof t->folder, "%s/fronts", t->scratch.folder);
    assert_int_equal(berths_new(t->scratch.folder, "fronts", &t->b), 0);
    *state = t;
    return 0;
}

static unsigned entries(const struct bench *t, bool remove)
{
    DIR *d = opendir(t->folder);
    unsigned n = 0;

    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        if (remove && unlinkat(dirfd(d), e->d_name, 0) < 0)
            (void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    }
    closedir(d);
    return n;
}

static int clean(void **state)
{
    struct bench *t = *state;

    berths_free(t->b);
    if (t->fd >= 0)
        close(t->fd);
    (void)entries(t, true);
    assert_int_equal(rmdir(t->folder), 0);
    assert_int_equal(rmdir(t->scratch.folder), 0);
    free(t);
    return 0;
}

static void found_cb(void *arg, const char *name, int fd, pid_t pid)
{
    struct bench *t = arg;

    t->found++;
    if (t->fd >= 0)
        close(t->fd);
    t->fd = fd;
    t->pid = pid;
    (void)snprintf(t->name, sizeof t->name, "%s", name);
}

/* The hub after this one. */
static void next_hub(struct bench *t)
{
    berths_free(t->b);
    assert_int_equal(berths_new(t->scratch.folder, "fronts", &t->b), 0);
}

static void test_found(void **state)
{
    struct bench *t = *state;
    char name[BERTHS_NAME_MAX + 1], byte = 0;
    struct stat st;
    int fd = -1, taken = -1;

    assert_int_equal(stat(t->folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(berths_make(t->b, name, &fd), 0);
    assert_int_equal(strlen(name), 16);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true(berths_search(t->b, 100, found_cb, t) >= 0);
    assert_int_equal(t->found, 0); /* its own are none to look for */
    next_hub(t);
    assert_true(berths_search(t->b, 100, found_cb, t) >= 0);
    assert_int_equal(t->found, 1);
    assert_string_equal(t->name, name);
    assert_int_equal(t->pid, getpid());
    taken = accept(fd, NULL, NULL);
    assert_true(taken >= 0);
    assert_int_equal(send(t->fd, "!", 1, 0), 1);
    assert_int_equal(recv(taken, &byte, 1, 0), 1);
    close(taken);
    close(fd);
    assert_int_equal(entries(t, false), 1);
    assert_true(berths_search(t->b, 100, found_cb, t) >= 0);
    assert_int_equal(t->found, 1); /* nobody is there any more */
    assert_int_equal(entries(t, false), 0);
}

static void put(struct bench *t, const char *name)
{
    char path[300];
    int fd = -1;

    (void)snprintf(path, sizeof path, "%s/%s", t->folder, name);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* What is left over goes, also in great number and step by step; what is not ours stays. */
static void test_left_over(void **state)
{
    struct bench *t = *state;
    char name[BERTHS_NAME_MAX + 1], path[300];
    int fd = -1, rc = 0;
    unsigned calls = 0;

    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "%016x", i);
        put(t, name);
    }
    put(t, "README");
    (void)snprintf(path, sizeof path, "%s/00000000000000ff.d", t->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(berths_make(t->b, name, &fd), 0);
    next_hub(t);
    do {
        rc = berths_search(t->b, 100, found_cb, t);
        assert_true(rc >= 0);
        calls++;
    } while (rc == 100);
    assert_true(calls >= 50);
    assert_int_equal(t->found, 1);
    assert_int_equal(entries(t, false), 3);
    close(fd);
}

static void test_a_full_queue(void **state)
{
    struct bench *t = *state;
    char name[BERTHS_NAME_MAX + 1];
    int fd = -1, others[16], n = 0;

    assert_int_equal(berths_make(t->b, name, &fd), 0);
    next_hub(t);
    for (; n < 16; n++) {
        if (berths_search(t->b, 100, found_cb, t) == -EAGAIN)
            break;
        others[n] = t->fd;
        t->fd = -1;
    }
    assert_true(n > 0 && n < 16);
    assert_int_equal(entries(t, false), 1); /* it is there, and stays */
    close(accept(fd, NULL, NULL));
    assert_true(berths_search(t->b, 100, found_cb, t) > 0);
    for (int i = 0; i < n; i++)
        close(others[i]);
    close(fd);
}

static void test_out_of_descriptors(void **state)
{
    struct bench *t = *state;
    char name[BERTHS_NAME_MAX + 1];
    struct rlimit was, less;
    int fd = -1, rc = 0;

    assert_int_equal(berths_make(t->b, name, &fd), 0);
    next_hub(t);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    less = was;
    less.rlim_cur = (rlim_t)fd + 3; /* the search itself still opens */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    rc = berths_search(t->b, 100, found_cb, t);
    while (rc >= 0 && t->found < 16) { /* whatever was free below */
        t->fd = -1;
        rc = berths_search(t->b, 100, found_cb, t);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_true(rc == -EMFILE || rc == -EAGAIN);
    assert_int_equal(entries(t, false), 1);
    close(fd);
}

static void test_the_folder_is_taken_away(void **state)
{
    struct bench *t = *state;
    char name[BERTHS_NAME_MAX + 1];
    int fd = -1, other = -1;

    assert_int_equal(berths_make(t->b, name, &fd), 0);
    (void)entries(t, true);
    assert_int_equal(rmdir(t->folder), 0);
    assert_int_equal(berths_make(t->b, name, &other), 0);
    assert_int_equal(entries(t, false), 1);
    berths_remove(t->b, name);
    assert_int_equal(entries(t, false), 0);
    close(fd);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found, make, clean),
        cmocka_unit_test_setup_teardown(test_the_folder_is_taken_away, make, clean),
        cmocka_unit_test_setup_teardown(test_left_over, make, clean),
        cmocka_unit_test_setup_teardown(test_a_full_queue, make, clean),
        cmocka_unit_test_setup_teardown(test_out_of_descriptors, make, clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
