/* Puts a finished file under its name without ever replacing one that is there. For src/tls and src/ssh. */
#ifndef MULTISSH_TLS_KEYS_PLACE_H
#define MULTISSH_TLS_KEYS_PLACE_H

/* Moves the file from to the name to, in the same folder, and makes that survive a power cut. from is gone
 * afterwards in every case. Returns 0, -EEXIST (to was there and is untouched) or another negative errno
 * value. */
int keys_place(const char *from, const char *to);

#endif
