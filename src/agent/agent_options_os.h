/* What the options are on this system that they are not on another. */
#ifndef MULTISSH_AGENT_AGENT_OPTIONS_OS_H
#define MULTISSH_AGENT_AGENT_OPTIONS_OS_H

#ifdef _WIN32
#define AGENT_OPTIONS_PROXY "system"
#define AGENT_OPTIONS_PROXY_HELP                                                                             \
    "The HTTP proxy on the way to the hub: http://[USER:PASSWORD@]HOST:PORT, system: as Windows is set, by " \
    "hand or by a script, env: as the environment says, or none"
#define AGENT_OPTIONS_SOCKET_ROW /* no service but the agent's */
#else
#define AGENT_OPTIONS_PROXY "none"
#define AGENT_OPTIONS_PROXY_HELP                                                                             \
    "The HTTP proxy on the way to the hub: http://[USER:PASSWORD@]HOST:PORT, env (as the environment says) " \
    "or none"
#define AGENT_OPTIONS_SOCKET_ROW                                                                             \
    {"sshd-socket",                                                                                          \
     OPTION_STRING,                                                                                          \
     offsetof(struct agent_options, sshd_socket),                                                            \
     0,                                                                                                      \
     98, /* so that its neighbour's path, too, is one of a Unix socket */                                    \
     "/run/multissh-sshd/socket",                                                                            \
     NULL,                                                                                                   \
     NULL,                                                                                                   \
     "The socket of the built-in server's service; where it is not, or with none, the built-in server is "   \
     "started by the agent, as its own user",                                                                \
     true},
#endif

#endif
