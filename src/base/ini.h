/* Lines of an ini file, one after the other. Knows its syntax and no option; opens nothing.
 *
 * NAME = VALUE or NAME: VALUE, blanks around either do not count. '#' or ';' begins a comment line, ';' behind a blank
 * a comment behind a value. [SECTION] headers are read over. No line goes on in the next one. Lines end in LF or CR LF;
 * a byte order mark may stand in front of the first. */
#ifndef MULTISSH_BASE_INI_H
#define MULTISSH_BASE_INI_H

#define INI_LINE_MAX 198 /* bytes of a line, without the blanks in front of it */

struct ini {
    const char *next; /* private */
    unsigned line;    /* that ini_next was at last, from 1 */
    char text[INI_LINE_MAX + 1];
};

/* text is NUL-terminated and must stay as long as the reader. */
void ini_init(struct ini *ini, const char *text);

/* The next setting, valid until the next call. Returns 1, 0 at the end, -EINVAL (not of the form) or -E2BIG (longer
 * than INI_LINE_MAX). */
int ini_next(struct ini *ini, const char **ret_name, const char **ret_value);

#endif
