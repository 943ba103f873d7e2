/* Folders and their entries; "/" is one whose entries are the drives. Owns open folders. */
#include "sshd/sftp_fs_windows.h"

#include "sshd/sftp_line.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sftp_fs_dir {
    HANDLE search;  /* INVALID_HANDLE_VALUE: of the drives, or nothing is left */
    bool has_found; /* what search begins with is not told yet */
    WIN32_FIND_DATAW found;
    DWORD drives;                     /* those still to be told, a bit each */
    unsigned dots;                    /* how many of "." and ".." are told */
    struct sftp_fs_attrs here, above; /* theirs */
};

/* A folder of which nothing more is known: a drive is not looked at, for it may take its time, or be empty. */
static struct sftp_fs_attrs plain_folder(void)
{
    return sftp_fs_windows_attrs(&(struct sftp_fs_windows_facts){.attributes = FILE_ATTRIBUTE_DIRECTORY},
                                 L"");
}

/* Begins with what is in the folder. */
static int search(struct sftp_fs_windows *fs, const struct sftp_fs_windows_path *p, struct sftp_fs_dir *dir)
{
    wchar_t pattern[SFTP_FS_PATH_MAX + 16];
    size_t n = wcslen(p->wide);
    DWORD attributes = GetFileAttributesW(p->wide);

    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
        return -ENOTDIR;
    wmemcpy(pattern, p->wide, n);
    wmemcpy(pattern + n, L"\\*", 3);
    if (p->names == 0) /* it has the backslash */
        wmemcpy(pattern + n, L"*", 2);
    dir->search = FindFirstFileExW(pattern, FindExInfoBasic, &dir->found, FindExSearchNameMatch, NULL,
                                   FIND_FIRST_EX_LARGE_FETCH);
    dir->has_found = dir->search != INVALID_HANDLE_VALUE;
    DWORD error = GetLastError();
    /* An empty drive has no entries at all. */
    if (dir->has_found || error == ERROR_FILE_NOT_FOUND || error == ERROR_NO_MORE_FILES)
        return 0;
    return sftp_fs_windows_fail(fs, error);
}

int sftp_fs_windows_opendir(void *arg, const char *path, struct sftp_fs_dir **ret_dir)
{
    struct sftp_fs_windows_path p;
    int r = sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_LOOK, &p);

    if (r != 0)
        return r;
    struct sftp_fs_dir *dir = calloc(1, sizeof *dir);
    if (dir == NULL)
        return -ENOMEM;
    dir->search = INVALID_HANDLE_VALUE;
    dir->here = dir->above = plain_folder();
    if (p.wide[0] == L'\0')
        dir->drives = GetLogicalDrives();
    else
        r = search(arg, &p, dir);
    if (r != 0) {
        free(dir);
        return r;
    }
    if (p.names > 0) {
        (void)sftp_fs_windows_stat(arg, p.text, true, &dir->here);
        sftp_fs_windows_parent(&p, &p);
        (void)sftp_fs_windows_stat(arg, p.text, true, &dir->above);
    }
    *ret_dir = dir;
    return 0;
}

void sftp_fs_windows_closedir(void *arg, struct sftp_fs_dir *dir)
{
    (void)arg;
    if (dir->search != INVALID_HANDLE_VALUE)
        FindClose(dir->search);
    free(dir);
}

static int tell(struct sftp_fs_entry *entry)
{
    const struct sftp_fs_attrs *attrs = &entry->attrs;
    const time_t mtime = (time_t)attrs->mtime;
    struct tm local;
    sftp_line_write(&(struct sftp_line){.name = entry->name,
                                        .user = sftp_fs_windows_user_name(NULL, 0),
                                        .group = sftp_fs_windows_group_name(NULL, 0),
                                        .mode = attrs->mode,
                                        .links = 1,
                                        .size = attrs->size,
                                        .mtime = mtime,
                                        .local = localtime_s(&local, &mtime) == 0 ? &local : NULL},
                    entry->long_name, sizeof entry->long_name);
    return 1;
}

static int tell_dots(struct sftp_fs_dir *dir, struct sftp_fs_entry *entry)
{
    entry->attrs = dir->dots == 0 ? dir->here : dir->above;
    dir->dots++;
    memcpy(entry->name, "..", 3);
    entry->name[dir->dots] = '\0';
    return tell(entry);
}

static int tell_drive(struct sftp_fs_dir *dir, struct sftp_fs_entry *entry)
{
    char letter = 'A';
    DWORD bit = 1;
    for (; (dir->drives & bit) == 0; bit <<= 1)
        letter++;
    dir->drives &= ~bit;
    memcpy(entry->name, (const char[]){letter, ':', '\0'}, 3);
    entry->attrs = plain_folder();
    return tell(entry);
}

/* The next that the search has. Returns 1, 0 at the end, or a negative errno value. */
static int advance(struct sftp_fs_windows *fs, struct sftp_fs_dir *dir)
{
    if (dir->search == INVALID_HANDLE_VALUE)
        return 0;
    if (dir->has_found || FindNextFileW(dir->search, &dir->found)) {
        dir->has_found = false;
        return 1;
    }
    DWORD error = GetLastError();
    /* A folder that was removed has no more entries. */
    return error == ERROR_NO_MORE_FILES || error == ERROR_FILE_NOT_FOUND ? 0
                                                                         : sftp_fs_windows_fail(fs, error);
}

int sftp_fs_windows_readdir(void *arg, struct sftp_fs_dir *dir, struct sftp_fs_entry *ret_entry)
{
    const WIN32_FIND_DATAW *found = &dir->found;
    int r;

    if (dir->dots < 2)
        return tell_dots(dir, ret_entry);
    if (dir->drives != 0)
        return tell_drive(dir, ret_entry);
    while ((r = advance(arg, dir)) == 1) {
        if (wcscmp(found->cFileName, L".") == 0 || wcscmp(found->cFileName, L"..") == 0 ||
            sftp_fs_windows_to_text(found->cFileName, wcslen(found->cFileName), ret_entry->name,
                                    sizeof ret_entry->name) < 0)
            continue;
        const struct sftp_fs_windows_facts facts = {
            .attributes = found->dwFileAttributes,
            .tag = (found->dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0 ? found->dwReserved0 : 0,
            .size = (uint64_t)found->nFileSizeHigh << 32 | found->nFileSizeLow,
            .atime = found->ftLastAccessTime,
            .mtime = found->ftLastWriteTime};
        ret_entry->attrs = sftp_fs_windows_attrs(&facts, found->cFileName);
        return tell(ret_entry);
    }
    return r;
}
