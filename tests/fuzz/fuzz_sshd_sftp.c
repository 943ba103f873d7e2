/* The SFTP server on files in memory. The input is a list of requests, each given a number and its length, in
 * pieces and to a client that takes its answers slowly; or (odd first byte) the bytes that came over the wire
 * as they are.
 *
 * Every request is answered once, in order, by a well-formed packet within its bounds; no path has a NUL or
 * is too long; what is closed is not used, and in the end everything is closed. */
#include "base/log.h"
#include "sshd/sftp.h"
#include "sshd/sftp_fs.h"
#include "sshd/sftp_packet.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES 2000u
#define FILES 4u
#define REQUESTS_MOST 600u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct sftp_fs_file {
    unsigned which;
    bool open;
};

struct sftp_fs_dir {
    unsigned next;
    bool open;
};

static struct {
    uint8_t bytes[FILES][FILE_BYTES];
    size_t size[FILES];
    unsigned open, calls;
    bool read_only;
} disk;

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Every so often the disk has a fault. */
static int fault(void)
{
    static const int errors[] = {-EIO, -ENOSPC, -ENOENT, -EACCES, -EINVAL, -ELOOP, -ENOSYS, -EEXIST};
    disk.calls++;
    return disk.calls % 11 == 0 ? errors[disk.calls / 11 % (sizeof errors / sizeof errors[0])] : 0;
}

static int path_ok(const char *path)
{
    require(strnlen(path, SFTP_FS_PATH_MAX) < SFTP_FS_PATH_MAX);
    return fault();
}

static int changed(const char *path)
{
    require(!disk.read_only);
    return path_ok(path);
}

static int fs_open(void *arg, const char *path, unsigned flags, uint32_t mode, struct sftp_fs_file **ret_file)
{
    (void)arg, (void)mode;
    require(!disk.read_only || (flags & (SFTP_FS_WRITE | SFTP_FS_CREATE | SFTP_FS_TRUNCATE)) == 0);
    int r = path_ok(path);
    if (r != 0)
        return r;
    struct sftp_fs_file *file = malloc(sizeof *file);
    require(file != NULL);
    *file = (struct sftp_fs_file){.which = (uint8_t)path[0] % FILES, .open = true};
    disk.open++;
    *ret_file = file;
    return 0;
}

static int fs_close(void *arg, struct sftp_fs_file *file)
{
    (void)arg;
    require(file->open);
    file->open = false;
    free(file);
    disk.open--;
    return fault();
}

static long fs_read(void *arg, struct sftp_fs_file *file, void *data, size_t n, uint64_t offset)
{
    (void)arg;
    require(file->open && n <= SFTP_DATA_MAX);
    int r = fault();
    memset(data, 0xaa, n); /* all of it may be written to */
    if (r != 0)
        return r;
    if (offset >= disk.size[file->which])
        return 0;
    size_t left = disk.size[file->which] - (size_t)offset;
    if (n > left)
        n = left;
    memcpy(data, disk.bytes[file->which] + offset, n);
    return (long)n;
}

static int fs_write(void *arg, struct sftp_fs_file *file, const void *data, size_t n, uint64_t offset)
{
    (void)arg;
    require(file->open && !disk.read_only && n <= SFTP_PACKET_MAX);
    int r = fault();
    if (r != 0)
        return r;
    if (offset > FILE_BYTES || n > FILE_BYTES - offset)
        return -ENOSPC;
    if (n > 0)
        memcpy(disk.bytes[file->which] + offset, data, n);
    if (offset + n > disk.size[file->which])
        disk.size[file->which] = (size_t)offset + n;
    return 0;
}

static int fs_fsync(void *arg, struct sftp_fs_file *file)
{
    (void)arg;
    require(file->open && !disk.read_only);
    return fault();
}

static int fs_fstat(void *arg, struct sftp_fs_file *file, struct sftp_fs_attrs *ret_attrs)
{
    (void)arg;
    require(file->open);
    *ret_attrs = (struct sftp_fs_attrs){.has = 15, .size = disk.size[file->which]};
    return fault();
}

static int fs_fsetstat(void *arg, struct sftp_fs_file *file, const struct sftp_fs_attrs *attrs)
{
    (void)arg;
    require(file->open && !disk.read_only && attrs->has <= 15);
    return fault();
}

static int fs_fstatvfs(void *arg, struct sftp_fs_file *file, struct sftp_fs_space *ret_space)
{
    (void)arg;
    require(file->open);
    *ret_space = (struct sftp_fs_space){.blocks = 1};
    return fault();
}

static int fs_stat(void *arg, const char *path, bool follow, struct sftp_fs_attrs *ret_attrs)
{
    (void)arg;
    *ret_attrs = (struct sftp_fs_attrs){.has = follow ? 15 : 5};
    return path_ok(path);
}

static int fs_setstat(void *arg, const char *path, bool follow, const struct sftp_fs_attrs *attrs)
{
    (void)arg;
    require(attrs->has <= 15 && (follow || (attrs->has & SFTP_FS_SIZE) == 0));
    return changed(path);
}

static int fs_statvfs(void *arg, const char *path, struct sftp_fs_space *ret_space)
{
    (void)arg;
    *ret_space = (struct sftp_fs_space){.blocks = 1};
    return path_ok(path);
}

static int fs_opendir(void *arg, const char *path, struct sftp_fs_dir **ret_dir)
{
    (void)arg;
    int r = path_ok(path);
    if (r != 0)
        return r;
    struct sftp_fs_dir *folder = malloc(sizeof *folder);
    require(folder != NULL);
    *folder = (struct sftp_fs_dir){.open = true};
    disk.open++;
    *ret_dir = folder;
    return 0;
}

static void fs_closedir(void *arg, struct sftp_fs_dir *folder)
{
    (void)arg;
    require(folder->open);
    folder->open = false;
    free(folder);
    disk.open--;
}

/* Entries as long as they can be, more than fit into one answer. */
static int fs_readdir(void *arg, struct sftp_fs_dir *folder, struct sftp_fs_entry *ret_entry)
{
    (void)arg;
    require(folder->open);
    int r = fault();
    if (r != 0 || folder->next == 50)
        return r;
    folder->next++;
    memset(ret_entry->name, 'n', sizeof ret_entry->name - 1);
    ret_entry->name[sizeof ret_entry->name - 1] = '\0';
    memset(ret_entry->long_name, 'l', sizeof ret_entry->long_name - 1);
    ret_entry->long_name[sizeof ret_entry->long_name - 1] = '\0';
    ret_entry->attrs = (struct sftp_fs_attrs){.has = 15};
    return 1;
}

static int fs_mkdir(void *arg, const char *path, uint32_t mode)
{
    (void)arg, (void)mode;
    return changed(path);
}

static int fs_one(void *arg, const char *path)
{
    (void)arg;
    return changed(path);
}

static int fs_rename(void *arg, const char *from, const char *to, bool replace)
{
    (void)arg, (void)replace;
    int r = changed(from);
    return r != 0 ? r : changed(to);
}

static int fs_two(void *arg, const char *from, const char *to)
{
    (void)arg;
    int r = changed(from);
    return r != 0 ? r : changed(to);
}

static int fs_path(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX])
{
    (void)arg;
    memset(out, 'p', SFTP_FS_PATH_MAX - 1);
    out[path[0] == 'x' ? 0 : SFTP_FS_PATH_MAX - 1] = '\0';
    return path_ok(path);
}

static const char *fs_name(void *arg, uint32_t number)
{
    (void)arg;
    return number % 2 == 0 ? "" : "a name";
}

static const struct sftp_fs in_memory = {
    .open = fs_open,
    .close = fs_close,
    .read = fs_read,
    .write = fs_write,
    .fsync = fs_fsync,
    .fstat = fs_fstat,
    .fsetstat = fs_fsetstat,
    .fstatvfs = fs_fstatvfs,
    .stat = fs_stat,
    .setstat = fs_setstat,
    .statvfs = fs_statvfs,
    .opendir = fs_opendir,
    .closedir = fs_closedir,
    .readdir = fs_readdir,
    .mkdir = fs_mkdir,
    .rmdir = fs_one,
    .remove = fs_one,
    .rename = fs_rename,
    .hardlink = fs_two,
    .symlink = fs_two,
    .readlink = fs_path,
    .realpath = fs_path,
    .home = fs_path,
    .user_name = fs_name,
    .group_name = fs_name,
};

/* Takes the whole answers that wait, most at most; each must be the next one's when the requests have
 * numbers. */
static void take_answers(struct sftp *s, bool numbered, uint32_t *next, unsigned most)
{
    const uint8_t *out = NULL;
    for (size_t n = sftp_output(s, &out); n > 0 && most > 0; n = sftp_output(s, &out), most--) {
        require(n <= (size_t)SFTP_WAITING_MAX + SFTP_INPUT_MIN && n >= 4);
        struct sftp_packet p = {.at = out, .n = n};
        size_t length = sftp_packet_u32(&p);
        require(length >= 5 && length <= SFTP_PACKET_MAX && length <= p.n);
        uint8_t type = sftp_packet_u8(&p);
        uint32_t id = sftp_packet_u32(&p);
        require(type == 2 || (type >= 101 && type <= 105) || type == 201);
        if (type == 2)
            require(id == 3);
        else if (numbered)
            require(id == (*next)++);
        sftp_sent(s, 4 + length);
    }
}

/* The requests of the input on the wire: each is a type, a length of two bytes, and so many bytes. Returns
 * how many bytes; each has its number. */
static size_t to_wire(const uint8_t *data, size_t n, uint8_t *wire, uint32_t *ret_requests)
{
    size_t at = 0, out = 0;
    uint32_t id = 0;
    while (n - at >= 3 && id < REQUESTS_MOST) {
        size_t length = ((size_t)data[at + 1] << 8 | data[at + 2]) % 600;
        uint8_t type = data[at] == 1 ? 3 : data[at];
        at += 3;
        if (length > n - at)
            length = n - at;
        const uint8_t head[9] = {0,
                                 0,
                                 (uint8_t)((length + 5) >> 8),
                                 (uint8_t)(length + 5),
                                 type,
                                 0,
                                 0,
                                 (uint8_t)(id >> 8),
                                 (uint8_t)id};
        memcpy(wire + out, head, sizeof head);
        if (length > 0)
            memcpy(wire + out + sizeof head, data + at, length);
        out += sizeof head + length;
        at += length;
        id++;
    }
    *ret_requests = id;
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t hello[9] = {0, 0, 0, 5, 1, 0, 0, 0, 3};
    static uint8_t wire[1 << 20];
    struct sftp_config config = {.fs = &in_memory, .handles_max = 3, .who = "the fuzzer"};
    struct sftp *s = NULL;
    uint32_t requests = 0, answered = 0;
    long taken = 0;

    if (n < 2 || n > sizeof wire / 4)
        return 0;
    log_set_level(LOG_LEVEL_ERROR);
    memset(&disk, 0, sizeof disk);
    disk.size[0] = FILE_BYTES;
    disk.read_only = config.read_only = (data[0] & 2) != 0;
    bool numbered = (data[0] & 1) == 0;
    size_t step = data[1] + 1u;
    size_t length = numbered ? to_wire(data + 2, n - 2, wire, &requests) : n - 2;
    if (!numbered)
        memcpy(wire, data + 2, n - 2);
    require(sftp_new(&config, &s) == 0);
    if (numbered)
        require(sftp_input(s, hello, sizeof hello) == (long)sizeof hello);
    for (size_t at = 0, offered = 0; taken >= 0 && (at < length || offered < length); at += (size_t)taken) {
        size_t before = offered;
        offered = offered + step < length ? offered + step : length;
        taken = sftp_input(s, wire + at, offered - at);
        if (taken < 0)
            break;
        require((size_t)taken <= offered - at);
        take_answers(s, numbered, &answered, taken == 0 && offered == before ? 1000 : 2);
        const uint8_t *out = NULL;
        if (taken == 0 && offered == before && sftp_output(s, &out) == 0 &&
            sftp_input(s, wire + at, offered - at) == 0)
            break; /* part of a packet is left */
    }
    take_answers(s, numbered, &answered, REQUESTS_MOST + 2);
    if (numbered) {
        require(taken >= 0);
        require(answered == requests);
    }
    sftp_free(s);
    require(disk.open == 0);
    return 0;
}
