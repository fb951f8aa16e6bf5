/* Sockets: listening, connecting with a time limit, and addresses as text. */
#ifndef NET_H
#define NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#define ENDPOINT_TEXT 64 /* enough for "address:port" */

typedef void connection_handler(int socket, const struct sockaddr_in *peer);

void endpoint_text(const struct sockaddr_in *endpoint, char text[ENDPOINT_TEXT]);

/* A socket on every IPv4 address. Ends the program, saying why, when the port cannot be had. */
int listen_on(int type, int port);

/* Serves each connection of a listening socket in a thread of its own, from a thread of its own. */
void serve_connections(int listener, connection_handler *handler);

/* Calls a function with an integer in a thread of its own. */
void in_thread(void (*function)(int), int argument);

/* Splits "host:port" in place. */
bool split_endpoint(char *endpoint, char **host, char **port);

enum connect_result { CONNECTED, NAME_UNKNOWN, TIMED_OUT, CONNECTION_REFUSED, OTHER_FAILURE };

/*
 * Connects to the first address of a host. Receiving and sending on the socket are limited as well; 0 means without limit.
 * On failure errno or, for NAME_UNKNOWN, *reason tells why.
 */
enum connect_result connect_to(int type, const char *host, const char *port, long milliseconds, int *socket,
                               const char **reason);

bool send_all(int socket, const void *bytes, size_t length);

#endif
