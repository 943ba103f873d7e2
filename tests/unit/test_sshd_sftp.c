/* The SFTP server's protocol: how bytes become requests, what bounds them, and what a request does, in a real
 * folder. */
#include "test_sshd_sftp_talk.h"

#include "base/log.h"
#include "sshd_sftp_scratch.h"

static struct talk talk, *const t = &talk;
static char logged[8192];

static void keep_log(void *arg, enum log_level level, const char *text)
{
    size_t n = strlen(logged);
    (void)arg;
    (void)level;
    snprintf(logged + n, sizeof logged - n, "%s\n", text);
}

static int begin(void **state)
{
    (void)state;
    logged[0] = '\0';
    log_set_sink(keep_log, NULL);
    talk_begin(t, false, 8);
    return scratch_begin(t->fs_arg);
}

static int end(void **state)
{
    (void)state;
    sftp_free(t->sftp);
    t->sftp = NULL;
    int r = scratch_end(t->fs_arg);
    talk_end(t);
    log_set_sink(NULL, NULL);
    return r;
}

static void make_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static uint32_t write_at(uint32_t handle, uint64_t offset, const char *text)
{
    talk_ask(t, WRITE);
    talk_handle(t, handle);
    talk_u64(t, offset);
    talk_text(t, text);
    return talk_status(t);
}

static void ask_read(uint32_t handle, uint64_t offset, uint32_t n)
{
    talk_ask(t, READ);
    talk_handle(t, handle);
    talk_u64(t, offset);
    talk_u32(t, n);
}

static void written_and_read(void **state)
{
    size_t n = 0;
    (void)state;
    uint32_t handle = talk_open(t, "file", SFTP_FS_READ | SFTP_FS_WRITE | SFTP_FS_CREATE);
    assert_int_equal(write_at(handle, 5, "world"), SFTP_OK);
    assert_int_equal(write_at(handle, 0, "hello"), SFTP_OK);
    ask_read(handle, 3, 100);
    assert_int_equal(talk_answer(t), SFTP_DATA);
    const uint8_t *data = sftp_packet_string(&t->fields, &n);
    assert_int_equal(n, 7);
    assert_memory_equal(data, "loworld", 7);
    assert_int_equal(t->fields.n, 0);
    ask_read(handle, 10, 1);
    assert_int_equal(talk_status(t), SFTP_EOF);
    assert_int_equal(talk_close(t, handle), SFTP_OK);
    assert_int_equal(talk_close(t, handle), SFTP_NO_SUCH_FILE);
}

static struct sftp_fs_attrs attrs_of(const char *path)
{
    talk_path(t, STAT, path);
    assert_int_equal(talk_answer(t), SFTP_ATTRS);
    struct sftp_fs_attrs attrs = sftp_packet_attrs(&t->fields);
    assert_false(t->fields.bad);
    assert_int_equal(t->fields.n, 0);
    return attrs;
}

static bool is_there(const char *path)
{
    talk_path(t, LSTAT, path);
    return talk_answer(t) == SFTP_ATTRS;
}

static void every_change_of_names(void **state)
{
    (void)state;
    make_file("a", "1");
    make_file("b", "2");

    talk_path(t, RENAME, "a");
    talk_text(t, "b");
    assert_int_equal(talk_status(t), SFTP_FAILURE);
    assert_string_equal(talk_words(t), "File exists");
    talk_path(t, RENAME, "a");
    talk_text(t, "c");
    assert_int_equal(talk_status(t), SFTP_OK);
    assert_false(is_there("a"));

    talk_path(t, EXTENDED, "posix-rename@openssh.com");
    talk_text(t, "c");
    talk_text(t, "b");
    assert_int_equal(talk_status(t), SFTP_OK);
    assert_false(is_there("c"));

    talk_path(t, EXTENDED, "hardlink@openssh.com");
    talk_text(t, "b");
    talk_text(t, "d");
    assert_int_equal(talk_status(t), SFTP_OK);
    make_file("b", "both");
    assert_int_equal(attrs_of("d").size, 4);

    talk_path(t, REMOVE, "d");
    assert_int_equal(talk_status(t), SFTP_OK);
    talk_path(t, REMOVE, "d");
    assert_int_equal(talk_status(t), SFTP_NO_SUCH_FILE);
    talk_path(t, MKDIR, "m");
    talk_u32(t, SFTP_FS_MODE);
    talk_u32(t, 0700);
    assert_int_equal(talk_status(t), SFTP_OK);
    assert_int_equal(attrs_of("m").mode & SFTP_FS_TYPE, SFTP_FS_FOLDER);
    talk_path(t, RMDIR, "m");
    assert_int_equal(talk_status(t), SFTP_OK);
    assert_false(is_there("m"));
}

static void every_attribute(void **state)
{
    (void)state;
    make_file("file", "0123456789");
    talk_path(t, SETSTAT, "file");
    talk_u32(t, SFTP_FS_SIZE | SFTP_FS_MODE | SFTP_FS_TIMES);
    talk_u64(t, 4);
    talk_u32(t, 0100444);
    talk_u32(t, 1000);
    talk_u32(t, 2000);
    assert_int_equal(talk_status(t), SFTP_OK);
    struct sftp_fs_attrs attrs = attrs_of("file");
    assert_int_equal(attrs.has, SFTP_FS_SIZE | SFTP_FS_OWNER | SFTP_FS_MODE | SFTP_FS_TIMES);
    assert_int_equal(attrs.size, 4);
    assert_int_equal(attrs.mode, 0100444);
    assert_int_equal(attrs.atime, 1000);
    assert_int_equal(attrs.mtime, 2000);
    talk_path(t, EXTENDED, "lsetstat@openssh.com");
    talk_text(t, "file");
    talk_u32(t, SFTP_FS_SIZE);
    talk_u64(t, 0);
    assert_int_equal(talk_status(t), SFTP_BAD_MESSAGE);
    talk_path(t, EXTENDED, "lsetstat@openssh.com");
    talk_text(t, "file");
    talk_u32(t, SFTP_FS_MODE);
    talk_u32(t, 0644);
    assert_int_equal(talk_status(t), SFTP_OK);

    uint32_t handle = talk_open(t, "file", SFTP_FS_WRITE);
    talk_ask(t, FSETSTAT);
    talk_handle(t, handle);
    talk_u32(t, SFTP_FS_SIZE | SFTP_FS_MODE);
    talk_u64(t, UINT64_C(5) << 30);
    talk_u32(t, 0444);
    assert_int_equal(talk_status(t), SFTP_OK);
    talk_ask(t, FSTAT);
    talk_handle(t, handle);
    assert_int_equal(talk_answer(t), SFTP_ATTRS);
    attrs = sftp_packet_attrs(&t->fields);
    assert_true(attrs.size == UINT64_C(5) << 30);
    assert_int_equal(attrs.mode, 0100444);
}

/* What a file system was asked to do, where not every system can do it. */
static struct {
    char target[32], link[32];
    bool follow;
} asked;

static int asked_symlink(void *arg, const char *target, const char *link)
{
    (void)arg;
    snprintf(asked.target, sizeof asked.target, "%s", target);
    snprintf(asked.link, sizeof asked.link, "%s", link);
    return -EILSEQ;
}

static int asked_setstat(void *arg, const char *path, bool follow, const struct sftp_fs_attrs *attrs)
{
    (void)arg;
    (void)path;
    (void)attrs;
    asked.follow = follow;
    return 0;
}

static const char *asked_words(void *arg)
{
    (void)arg;
    return "why not";
}

/* From now on the session has that file system. */
static void talk_with(const struct sftp_fs *with)
{
    struct sftp_config config = {.fs = with, .fs_arg = t->fs_arg, .handles_max = 4, .who = "a test"};
    sftp_free(t->sftp);
    buf_release(&t->request);
    talk_begin_with(t, &config);
}

static void links_and_what_belongs_to_them(void **state)
{
    struct sftp_fs asking = sftp_fs_native;
    (void)state;
    asking.symlink = asked_symlink;
    asking.setstat = asked_setstat;
    asking.words = asked_words;
    talk_with(&asking);
    /* The target is the first. */
    talk_path(t, SYMLINK, "b");
    talk_text(t, "l");
    assert_int_equal(talk_status(t), SFTP_FAILURE);
    assert_string_equal(asked.target, "b");
    assert_string_equal(asked.link, "l");
    /* Why it failed is said in the file system's words, and only then. */
    assert_string_equal(talk_words(t), "why not");
    assert_null(strstr(logged, "symlink"));
    talk_path(t, SETSTAT, "l");
    talk_u32(t, 0);
    assert_int_equal(talk_status(t), SFTP_OK);
    assert_true(asked.follow);
    talk_path(t, EXTENDED, "lsetstat@openssh.com");
    talk_text(t, "l");
    talk_u32(t, 0);
    assert_int_equal(talk_status(t), SFTP_OK);
    assert_false(asked.follow);
    assert_int_equal(talk_close(t, 5), SFTP_NO_SUCH_FILE);
    assert_string_equal(talk_words(t), "No such file");
    sftp_free(t->sftp); /* before the file system that it knows is gone */
    t->sftp = NULL;
}

static void folders_in_pieces(void **state)
{
    char name[64];
    unsigned found = 0, answers = 0;
    bool seen[1000] = {false};
    (void)state;
    assert_int_equal(sftp_fs_native.mkdir(t->fs_arg, "many", 0700), 0);
    for (unsigned i = 0; i < COUNT(seen); i++) {
        snprintf(name, sizeof name, "many/entry %u with a name of some length", i);
        make_file(name, "");
    }
    talk_path(t, OPENDIR, "many");
    assert_int_equal(talk_answer(t), SFTP_HANDLE);
    (void)sftp_packet_u32(&t->fields);
    uint32_t handle = sftp_packet_u32(&t->fields);
    for (;;) {
        talk_ask(t, READDIR);
        talk_handle(t, handle);
        if (talk_answer(t) != SFTP_NAME)
            break;
        assert_true(t->fields.n <= 34000);
        answers++;
        for (uint32_t count = sftp_packet_u32(&t->fields); count > 0; count--, found++) {
            size_t n = 0;
            unsigned number = 0;
            const uint8_t *text = sftp_packet_string(&t->fields, &n);
            assert_non_null(text);
            snprintf(name, sizeof name, "%.*s", (int)n, (const char *)text);
            if (sscanf(name, "entry %u with", &number) == 1) {
                assert_true(number < COUNT(seen) && !seen[number]);
                seen[number] = true;
            }
            text = sftp_packet_string(&t->fields, &n);
            assert_true(n > strlen(name) && memcmp(text + n - strlen(name), name, strlen(name)) == 0);
            (void)sftp_packet_attrs(&t->fields);
            assert_false(t->fields.bad);
        }
        assert_int_equal(t->fields.n, 0);
    }
    assert_int_equal(t->type, SFTP_STATUS);
    assert_int_equal(sftp_packet_u32(&t->fields), SFTP_EOF);
    assert_int_equal(found, COUNT(seen) + 2);
    assert_true(answers > 1);
    assert_int_equal(talk_close(t, handle), SFTP_OK);
}

static void a_packet_in_pieces(void **state)
{
    const uint8_t *out = NULL;
    size_t n = 0;
    (void)state;
    talk_path(t, REALPATH, ".");
    const uint8_t *wire = talk_wire(t, &n);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(sftp_input(t->sftp, wire, k), 0);
        assert_int_equal(sftp_output(t->sftp, &out), 0);
    }
    assert_int_equal(sftp_input(t->sftp, wire, n), n);
    talk_next(t);
    assert_int_equal(t->type, SFTP_NAME);
}

static void requests_wait_while_answers_do(void **state)
{
    static uint8_t requests[100 * 29];
    const uint8_t *out = NULL;
    size_t taken = 0, n = 0, most = 0, answers = 0;
    (void)state;
    uint32_t handle = talk_open(t, "file", SFTP_FS_READ | SFTP_FS_WRITE | SFTP_FS_CREATE);
    talk_path(t, SETSTAT, "file");
    talk_u32(t, SFTP_FS_SIZE);
    talk_u64(t, 1 << 20);
    assert_int_equal(talk_status(t), SFTP_OK);
    for (size_t i = 0; i < 100; i++) {
        ask_read(handle, i, 200000);
        const uint8_t *wire = talk_wire(t, &n);
        assert_int_equal(n, 29);
        memcpy(requests + 29 * i, wire, n);
    }
    uint32_t id = t->next_id - 100;
    while (taken < sizeof requests || sftp_output(t->sftp, &out) > 0) {
        long done = sftp_input(t->sftp, requests + taken, sizeof requests - taken);
        assert_true(done >= 0 && done % 29 == 0);
        taken += (size_t)done;
        n = sftp_output(t->sftp, &out);
        most = n > most ? n : most;
        /* While too much waits nothing is taken, however often it is offered. */
        if (n >= SFTP_WAITING_MAX)
            assert_int_equal(sftp_input(t->sftp, requests + taken, sizeof requests - taken), 0);
        talk_next(t);
        assert_int_equal(t->type, SFTP_DATA);
        assert_int_equal(t->id, id++);
        assert_int_equal(sftp_packet_u32(&t->fields), 200000);
        answers++;
    }
    assert_int_equal(answers, 100);
    assert_true(most > SFTP_WAITING_MAX && most <= SFTP_WAITING_MAX + SFTP_INPUT_MIN);
}

static void the_largest_and_what_is_larger(void **state)
{
    static uint8_t data[SFTP_PACKET_MAX];
    const uint8_t too_long[4] = {0, 4, 0, 1}, empty[4] = {0};
    size_t n = 0;
    (void)state;
    memset(data, 'x', sizeof data);
    uint32_t handle = talk_open(t, "file", SFTP_FS_READ | SFTP_FS_WRITE | SFTP_FS_CREATE);
    talk_ask(t, WRITE);
    talk_handle(t, handle);
    talk_u64(t, 0);
    talk_bytes(t, data, SFTP_PACKET_MAX - 25);
    (void)talk_wire(t, &n);
    assert_int_equal(n, SFTP_INPUT_MIN);
    assert_int_equal(talk_status(t), SFTP_OK);
    ask_read(handle, 0, UINT32_MAX);
    assert_int_equal(talk_answer(t), SFTP_DATA);
    assert_int_equal(sftp_packet_u32(&t->fields), SFTP_DATA_MAX);

    assert_int_equal(sftp_input(t->sftp, too_long, 4), -EPROTO);
    assert_non_null(strstr(logged, "a packet of 262145 bytes"));
    assert_int_equal(sftp_input(t->sftp, empty, 4), -EPROTO);
}

static void malformed_requests(void **state)
{
    static const char *const extensions[] = {
        "posix-rename@openssh.com", "statvfs@openssh.com", "fstatvfs@openssh.com",
        "hardlink@openssh.com",     "fsync@openssh.com",   "lsetstat@openssh.com",
        "expand-path@openssh.com",  "home-directory",      "users-groups-by-id@openssh.com"};
    static const uint8_t of_handles[] = {CLOSE, READ, WRITE, FSTAT, FSETSTAT, READDIR};
    (void)state;
    for (uint8_t type = OPEN; type <= SYMLINK; type++) {
        talk_ask(t, type);
        assert_int_equal(talk_status(t), SFTP_BAD_MESSAGE);
        talk_ask(t, type);
        talk_u32(t, UINT32_MAX);
        assert_int_equal(talk_status(t), SFTP_BAD_MESSAGE);
        if (memchr(of_handles, type, sizeof of_handles) != NULL)
            continue;
        talk_ask(t, type);
        talk_bytes(t, "a\0b", 3);
        talk_bytes(t, "c\0d", 3);
        assert_int_equal(talk_status(t), SFTP_BAD_MESSAGE);
    }
    for (size_t i = 0; i < COUNT(extensions); i++) {
        talk_path(t, EXTENDED, extensions[i]);
        talk_u32(t, 7);
        assert_int_equal(talk_status(t), SFTP_BAD_MESSAGE);
    }
    talk_path(t, EXTENDED, "nothing@example.org");
    assert_int_equal(talk_status(t), SFTP_OP_UNSUPPORTED);
    talk_ask(t, 21);
    assert_int_equal(talk_status(t), SFTP_OP_UNSUPPORTED);
    /* More attributes announced than there are bytes for. */
    talk_path(t, SETSTAT, "x");
    talk_u32(t, 0x80000000u);
    talk_u32(t, UINT32_MAX);
    talk_text(t, "a");
    talk_text(t, "b");
    assert_int_equal(talk_status(t), SFTP_BAD_MESSAGE);
}

static void paths_of_any_length(void **state)
{
    static char path[SFTP_FS_PATH_MAX + 2];
    (void)state;
    for (size_t i = 0; i < SFTP_FS_PATH_MAX + 1; i++)
        path[i] = i % 2 == 0 ? '.' : '/';
    path[SFTP_FS_PATH_MAX + 1] = '\0';
    talk_path(t, STAT, path);
    assert_int_equal(talk_status(t), SFTP_BAD_MESSAGE);
    assert_string_equal(talk_words(t), "File name too long");
    path[SFTP_FS_PATH_MAX - 1] = '\0';
    talk_path(t, STAT, path);
    assert_int_equal(talk_answer(t), SFTP_ATTRS);
    talk_path(t, REALPATH, path);
    assert_int_equal(talk_answer(t), SFTP_NAME);
    /* A NUL at the end is forgiven. */
    talk_ask(t, STAT);
    talk_bytes(t, ".\0", 2);
    assert_int_equal(talk_answer(t), SFTP_ATTRS);
}

static void handles_are_bounded_and_not_mixed_up(void **state)
{
    uint32_t handles[8];
    (void)state;
    for (size_t i = 0; i < COUNT(handles); i++)
        handles[i] = talk_open(t, "file", SFTP_FS_WRITE | SFTP_FS_CREATE);
    talk_path(t, OPEN, "more");
    talk_u32(t, SFTP_FS_WRITE | SFTP_FS_CREATE);
    talk_u32(t, 0);
    assert_int_equal(talk_status(t), SFTP_FAILURE);
    assert_false(is_there("more"));
    assert_non_null(strstr(logged, "the client has 8 files open already"));
    assert_int_equal(talk_close(t, handles[3]), SFTP_OK);
    uint32_t again = talk_open(t, "file2", SFTP_FS_WRITE | SFTP_FS_CREATE);
    assert_int_not_equal(again, handles[3]);
    assert_int_equal(write_at(handles[3], 0, "x"), SFTP_FAILURE);
    assert_int_equal(write_at(again, 0, "x"), SFTP_OK);
    talk_ask(t, READDIR);
    talk_handle(t, again);
    assert_int_equal(talk_status(t), SFTP_FAILURE);
}

static void what_was_done_is_logged(void **state)
{
    (void)state;
    uint32_t handle = talk_open(t, "file", SFTP_FS_READ | SFTP_FS_WRITE | SFTP_FS_CREATE);
    assert_int_equal(write_at(handle, 0, "hello"), SFTP_OK);
    ask_read(handle, 0, 3);
    assert_int_equal(talk_answer(t), SFTP_DATA);
    sftp_free(t->sftp);
    t->sftp = NULL;
    assert_non_null(
        strstr(logged, "SFTP session of a test ended: 1 file(s) read, 3 bytes; 1 file(s) written, 5 bytes; 1 "
                       "handle(s) never closed"));
}

static void read_only_is_read_only(void **state)
{
    static const struct {
        uint8_t type;
        const char *extension;
    } changes[] = {{WRITE, NULL},
                   {SETSTAT, NULL},
                   {FSETSTAT, NULL},
                   {REMOVE, NULL},
                   {MKDIR, NULL},
                   {RMDIR, NULL},
                   {RENAME, NULL},
                   {SYMLINK, NULL},
                   {EXTENDED, "posix-rename@openssh.com"},
                   {EXTENDED, "hardlink@openssh.com"},
                   {EXTENDED, "fsync@openssh.com"},
                   {EXTENDED, "lsetstat@openssh.com"}};
    (void)state;
    make_file("file", "contents");
    talk_end(t);
    talk_begin(t, true, 8);
    for (size_t i = 0; i < COUNT(changes); i++) {
        talk_ask(t, changes[i].type);
        if (changes[i].extension != NULL)
            talk_text(t, changes[i].extension);
        talk_text(t, "file");
        talk_text(t, "other");
        talk_u64(t, 0);
        assert_int_equal(talk_status(t), SFTP_PERMISSION_DENIED);
    }
    for (uint32_t flags = 0; flags < 64; flags++) {
        bool changing = (flags & (SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_TRUNCATE)) != 0;
        talk_path(t, OPEN, "file");
        talk_u32(t, flags);
        talk_u32(t, 0);
        assert_int_equal(talk_answer(t), changing ? SFTP_STATUS : SFTP_HANDLE);
        uint32_t said = sftp_packet_u32(&t->fields);
        assert_int_equal(said, changing ? SFTP_PERMISSION_DENIED : 4);
        if (!changing)
            assert_int_equal(talk_close(t, sftp_packet_u32(&t->fields)), SFTP_OK);
    }
}

static void before_the_version_there_is_nothing(void **state)
{
    static const uint8_t stat_root[] = {0, 0, 0, 10, STAT, 0, 0, 0, 1, 0, 0, 0, 1, '/'};
    static const uint8_t no_version[] = {0, 0, 0, 3, 1, 0, 0};
    struct sftp_config config = {
        .fs = &sftp_fs_native, .fs_arg = t->fs_arg, .handles_max = 1, .who = "a test"};
    (void)state;
    sftp_free(t->sftp);
    assert_int_equal(sftp_new(&config, &t->sftp), 0);
    assert_int_equal(sftp_input(t->sftp, stat_root, sizeof stat_root), -EPROTO);
    assert_int_equal(sftp_input(t->sftp, no_version, sizeof no_version), -EPROTO);
    assert_null(
        strstr(logged, "session of a test ended: 0 file(s) read, 0 bytes; 0 file(s) written, 0 bytes; 1 "));
}

/* A disk with faults. */
static struct {
    int entries, readdir_error, write_error, close_error;
} disk;

static int faulty_readdir(void *arg, struct sftp_fs_dir *folder, struct sftp_fs_entry *ret_entry)
{
    return disk.entries-- > 0 ? sftp_fs_native.readdir(arg, folder, ret_entry) : disk.readdir_error;
}

static int faulty_write(void *arg, struct sftp_fs_file *file, const void *data, size_t n, uint64_t offset)
{
    return disk.write_error != 0 ? disk.write_error : sftp_fs_native.write(arg, file, data, n, offset);
}

static int faulty_close(void *arg, struct sftp_fs_file *file)
{
    int r = sftp_fs_native.close(arg, file);
    return disk.close_error != 0 ? disk.close_error : r;
}

static void faults_of_the_disk_are_told_and_logged(void **state)
{
    struct sftp_fs faulty = sftp_fs_native;
    (void)state;
    faulty.readdir = faulty_readdir;
    faulty.write = faulty_write;
    faulty.close = faulty_close;
    talk_with(&faulty);
    disk.entries = 2;
    disk.readdir_error = -EIO;
    disk.write_error = -ENOSPC;
    disk.close_error = -EDQUOT;

    uint32_t handle = talk_open(t, "file", SFTP_FS_WRITE | SFTP_FS_CREATE);
    assert_int_equal(write_at(handle, 0, "x"), SFTP_FAILURE);
    assert_string_equal(talk_words(t), "No space left on device");
    assert_non_null(strstr(logged, "write \"file\": No space left on device"));
    assert_int_equal(talk_close(t, handle), SFTP_FAILURE);
    assert_string_equal(talk_words(t), strerror(EDQUOT));
    assert_int_equal(talk_close(t, handle), SFTP_NO_SUCH_FILE);

    /* What was found before the fault is given, and then the fault. */
    talk_path(t, OPENDIR, ".");
    assert_int_equal(talk_answer(t), SFTP_HANDLE);
    (void)sftp_packet_u32(&t->fields);
    handle = sftp_packet_u32(&t->fields);
    talk_ask(t, READDIR);
    talk_handle(t, handle);
    assert_int_equal(talk_answer(t), SFTP_NAME);
    assert_int_equal(sftp_packet_u32(&t->fields), 2);
    talk_ask(t, READDIR);
    talk_handle(t, handle);
    assert_int_equal(talk_status(t), SFTP_FAILURE);
    assert_string_equal(talk_words(t), strerror(EIO));
    assert_int_equal(talk_close(t, handle), SFTP_OK);
    sftp_free(t->sftp); /* before the disk that it knows is gone */
    t->sftp = NULL;
}

/* The name that fs has for the number. */
static void has_name(struct sftp_packet *names, const char *name)
{
    size_t n = 0;
    const uint8_t *text = sftp_packet_string(names, &n);
    assert_int_equal(n, strlen(name));
    assert_memory_equal(text, name, n);
}

static void names_of_numbers(void **state)
{
    size_t n = 0;
    (void)state;
    assert_true(strlen(sftp_fs_native.user_name(t->fs_arg, 0)) > 0);
    talk_path(t, EXTENDED, "users-groups-by-id@openssh.com");
    talk_u32(t, 8);
    talk_u32(t, 0);
    talk_u32(t, 4000000);
    talk_u32(t, 4);
    talk_u32(t, 0);
    assert_int_equal(talk_answer(t), SFTP_EXTENDED_REPLY);
    const uint8_t *names = sftp_packet_string(&t->fields, &n);
    struct sftp_packet users = {.at = names, .n = n};
    has_name(&users, sftp_fs_native.user_name(t->fs_arg, 0));
    has_name(&users, "");
    assert_int_equal(users.n, 0);
    names = sftp_packet_string(&t->fields, &n);
    struct sftp_packet groups = {.at = names, .n = n};
    has_name(&groups, sftp_fs_native.group_name(t->fs_arg, 0));
    assert_int_equal(groups.n, 0);
    assert_false(t->fields.bad);
}

static void limits_are_told(void **state)
{
    (void)state;
    talk_path(t, EXTENDED, "limits@openssh.com");
    assert_int_equal(talk_answer(t), SFTP_EXTENDED_REPLY);
    assert_int_equal(sftp_packet_u64(&t->fields), SFTP_PACKET_MAX);
    assert_int_equal(sftp_packet_u64(&t->fields), SFTP_DATA_MAX);
    assert_int_equal(sftp_packet_u64(&t->fields), SFTP_DATA_MAX);
    assert_int_equal(sftp_packet_u64(&t->fields), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_and_read, begin, end),
        cmocka_unit_test_setup_teardown(every_change_of_names, begin, end),
        cmocka_unit_test_setup_teardown(every_attribute, begin, end),
        cmocka_unit_test_setup_teardown(links_and_what_belongs_to_them, begin, end),
        cmocka_unit_test_setup_teardown(folders_in_pieces, begin, end),
        cmocka_unit_test_setup_teardown(a_packet_in_pieces, begin, end),
        cmocka_unit_test_setup_teardown(requests_wait_while_answers_do, begin, end),
        cmocka_unit_test_setup_teardown(the_largest_and_what_is_larger, begin, end),
        cmocka_unit_test_setup_teardown(malformed_requests, begin, end),
        cmocka_unit_test_setup_teardown(paths_of_any_length, begin, end),
        cmocka_unit_test_setup_teardown(handles_are_bounded_and_not_mixed_up, begin, end),
        cmocka_unit_test_setup_teardown(what_was_done_is_logged, begin, end),
        cmocka_unit_test_setup_teardown(read_only_is_read_only, begin, end),
        cmocka_unit_test_setup_teardown(before_the_version_there_is_nothing, begin, end),
        cmocka_unit_test_setup_teardown(faults_of_the_disk_are_told_and_logged, begin, end),
        cmocka_unit_test_setup_teardown(names_of_numbers, begin, end),
        cmocka_unit_test_setup_teardown(limits_are_told, begin, end),
    };
    return cmocka_run_group_tests_name("sshd_sftp", tests, NULL, NULL);
}
