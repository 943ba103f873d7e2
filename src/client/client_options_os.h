/* What the options are on this system that they are not on another. */
#ifndef MULTISSH_CLIENT_CLIENT_OPTIONS_OS_H
#define MULTISSH_CLIENT_CLIENT_OPTIONS_OS_H

#ifdef _WIN32
#define CLIENT_OPTIONS_PROXY "system"
#define CLIENT_OPTIONS_PROXY_HELP                                                                            \
    "The HTTP proxy on the way of the streams: http://[USER:PASSWORD@]HOST:PORT, system: as Windows is "     \
    "set, "                                                                                                  \
    "env: as the environment says, or none"
#else
#define CLIENT_OPTIONS_PROXY "none"
#define CLIENT_OPTIONS_PROXY_HELP                                                                            \
    "The HTTP proxy on the way of the streams: http://[USER:PASSWORD@]HOST:PORT, env (as the environment "   \
    "says) or none"
#endif

#endif
