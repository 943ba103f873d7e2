/* Does an SSH server answer? Reads the lines before and the line of its identification (RFC 4253 §4.2), as
 * they come. Pure. */
#ifndef MULTISSH_AGENT_BANNER_H
#define MULTISSH_AGENT_BANNER_H

#include <stddef.h>
#include <stdint.h>

#define BANNER_LINE_MAX 255 /* bytes, CR LF included */
#define BANNER_LINES_MAX 64 /* lines before the identification */

enum banner_verdict { BANNER_MORE, BANNER_SSH, BANNER_NOT_SSH };

/* Zero-initialise. */
struct banner {
    enum banner_verdict verdict;
    unsigned lines;
    size_t n;
    char line[BANNER_LINE_MAX + 1]; /* the line being read; when SSH, the identification without CR LF */
    char first[81]; /* the beginning of the first line that was no identification; printable */
};

/* Takes the next bytes. After a verdict other than MORE the rest is not looked at. */
enum banner_verdict banner_feed(struct banner *b, const void *data, size_t n);
/* The connection ended: what was seen is all there is. NOT_SSH unless it was SSH before. */
enum banner_verdict banner_end(struct banner *b);

#endif
