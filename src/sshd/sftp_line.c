/* The line of `ls -l` that a listing has for each entry: the same letters on every system. Owns nothing. */
#include "sshd/sftp_line.h"

#include <stdio.h>

#define HALF_A_YEAR (365L * 24 * 60 * 60 / 2)

static char type_letter(uint32_t mode)
{
    static const struct {
        uint32_t type;
        char letter;
    } types[] = {{SFTP_FS_FOLDER, 'd'}, {0020000, 'c'}, {0060000, 'b'}, {SFTP_FS_REGULAR, '-'},
                 {SFTP_FS_LINK, 'l'},   {0140000, 's'}, {0010000, 'p'}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if ((mode & SFTP_FS_TYPE) == types[i].type)
            return types[i].letter;
    return '?';
}

/* BSD's strmode: ten letters, and a blank for what may stand there in other systems. */
static void mode_letters(uint32_t mode, char out[static 12])
{
    static const struct {
        uint32_t bit;
        char both, alone;
    } special[3] = {{04000, 's', 'S'}, {02000, 's', 'S'}, {01000, 't', 'T'}};

    out[0] = type_letter(mode);
    for (int who = 0; who < 3; who++) {
        uint32_t bits = mode >> (6 - 3 * who);
        char *at = out + 1 + 3 * who;
        at[0] = (bits & 4) != 0 ? 'r' : '-';
        at[1] = (bits & 2) != 0 ? 'w' : '-';
        at[2] = (bits & 1) != 0 ? 'x' : '-';
        if ((mode & special[who].bit) != 0)
            at[2] = (bits & 1) != 0 ? special[who].both : special[who].alone;
    }
    out[10] = ' ';
    out[11] = '\0';
}

static void time_words(const struct sftp_line *line, char *out, size_t size)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const struct tm *tm = line->local;
    time_t now = time(NULL);
    out[0] = '\0';
    if (tm == NULL || tm->tm_mon < 0 || tm->tm_mon > 11)
        return;
    if (now - HALF_A_YEAR < line->mtime && now >= line->mtime)
        (void)snprintf(out, size, "%s %2d %02d:%02d", months[tm->tm_mon], tm->tm_mday, tm->tm_hour,
                       tm->tm_min);
    else
        (void)snprintf(out, size, "%s %2d  %d", months[tm->tm_mon], tm->tm_mday, tm->tm_year + 1900);
}

void sftp_line_write(const struct sftp_line *line, char *out, size_t size)
{
    char mode[12], when[64], uid[16], gid[16];
    const char *user = line->user, *group = line->group;

    if (user[0] == '\0') {
        (void)snprintf(uid, sizeof uid, "%u", (unsigned)line->uid);
        user = uid;
    }
    if (group[0] == '\0') {
        (void)snprintf(gid, sizeof gid, "%u", (unsigned)line->gid);
        group = gid;
    }
    mode_letters(line->mode, mode);
    time_words(line, when, sizeof when);
    (void)snprintf(out, size, "%s %3u %-8s %-8s %8llu %s %s", mode, line->links, user, group,
                   (unsigned long long)line->size, when, line->name);
}
