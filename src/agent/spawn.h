/* Starts a program that gets a connection with this process as its standard input, to read and to write; its standard
 * output leads nowhere, its standard error is this process'. Siblings: spawn_posix.c, spawn_windows.c. */
#ifndef MULTISSH_AGENT_SPAWN_H
#define MULTISSH_AGENT_SPAWN_H

#include <stddef.h>
#include <uv.h>

/* program is what is run, args[0] what it is called, args ends with NULL. process: the caller's, zeroed; exit_cb is called as after uv_spawn.
 * Returns 0, and *ret_stream is this end (heap: uv_close it, and free it in the close callback), or libuv's negative
 * code: then process is a handle to be closed when it has a type, and else nothing. */
int spawn_connected(uv_loop_t *loop, uv_process_t *process, uv_exit_cb exit_cb, const char *program,
                    char **args, uv_stream_t **ret_stream);
/* This end of it, in the program that was started so: standard input is empty from now on. Returns 0 or a negative
 * code. */
int spawn_take(uv_loop_t *loop, uv_stream_t **ret_stream);
/* The program that this process runs, also when its file has been replaced meanwhile where the system can do that.
 * Returns 0 or libuv's negative code. */
int spawn_self(char *out, size_t size);

/* Words for a failure of uv_spawn or spawn_connected, to be asked for right behind it: libuv knows not all the faults
 * that a program may have on Windows. */
void spawn_words(int status, char *out, size_t size);

#endif
