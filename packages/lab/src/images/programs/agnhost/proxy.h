/* The PROXY protocol, versions 1 and 2: how a load balancer tells a target who its client is. */
#ifndef PROXY_H
#define PROXY_H

#include <netinet/in.h>
#include <stdbool.h>

/*
 * Reads the header at the start of a connection, and not a byte more. *client stays as it is when the header names
 * none (LOCAL, UNKNOWN: the load balancer's own health checks). Returns false when there is no header.
 */
bool read_proxy_header(int socket, struct sockaddr_in *client);

#endif
