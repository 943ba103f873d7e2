/* Owns nothing that outlives a call. Must not hand on any descriptor but the two it is given. */
#include "hub/program.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int program_start(uv_loop_t *loop, uv_process_t *process, char *const args[], int fd3, int fd4,
                  uv_exit_cb exited)
{
    char path[FS_PATH_MAX];
    uv_stdio_container_t io[5] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
        {.flags = UV_INHERIT_FD, .data.fd = fd3},
        {.flags = UV_INHERIT_FD, .data.fd = fd4},
    };
    uv_process_options_t options = {
        .exit_cb = exited,
        .file = path,
        .args = (char **)args,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 5,
        .stdio = io,
    };

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
