/* Owns nothing that outlives a call. Must not hand on any descriptor but those it is given. */
#include "hub/program.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#define FIRST 3 /* behind standard input, output and error */

extern char **environ;

int program_start(uv_loop_t *loop, uv_process_t *process, char *const args[], const int *fds, size_t n,
                  uv_exit_cb exited)
{
    char path[FS_PATH_MAX];
    uv_stdio_container_t io[FIRST + PROGRAM_FDS_MAX] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {
        .exit_cb = exited,
        .file = path,
        .args = (char **)args,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = FIRST + (int)n,
        .stdio = io,
    };

    for (size_t i = 0; i < n; i++)
        io[FIRST + i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = fds[i]};
    if (fs_sibling_program(args[0], path, sizeof path) < 0)
        options.file = args[0]; /* uv_spawn says what is wrong, and has made the handle */
    return uv_spawn(loop, process, &options);
}

int program_run(char *const args[])
{
    posix_spawn_file_actions_t actions;
    char path[FS_PATH_MAX];
    pid_t pid = 0;
    int status = 0;
    int rc = fs_sibling_program(args[0], path, sizeof path);

    if (rc < 0)
        return rc;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    rc = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawn(&pid, path, &actions, NULL, args, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (rc != 0)
        return -rc;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}
