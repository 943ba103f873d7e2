/* The system's types of socket addresses, of poll, and inet_pton, by whatever headers it has them in. */
#ifndef MULTISSH_BASE_SOCKADDR_H
#define MULTISSH_BASE_SOCKADDR_H

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#endif

#endif
