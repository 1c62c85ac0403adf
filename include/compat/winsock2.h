/*
 * winsock2.h: of all that it has on Windows, what the addresses in mgm.h's calls need: byte order,
 * inet_addr() and its like, AF_INET, sockaddr_in.
 */
#ifndef MGM_COMPAT_WINSOCK2_H
#define MGM_COMPAT_WINSOCK2_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <windows.h>

#endif /* MGM_COMPAT_WINSOCK2_H */
