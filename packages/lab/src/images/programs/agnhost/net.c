#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "text.h"

void endpoint_text(const struct sockaddr_in *endpoint, char text[ENDPOINT_TEXT]) {
  char address[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &endpoint->sin_addr, address, sizeof address);
  snprintf(text, ENDPOINT_TEXT, "%s:%u", address, ntohs(endpoint->sin_port));
}

int listen_on(int type, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
  int on = 1, listener = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
      (type == SOCK_STREAM && listen(listener, 1024) != 0)) {
    report("cannot listen on %s port %d: %s", type == SOCK_STREAM ? "TCP" : "UDP", port, strerror(errno));
    exit(1);
  }
  return listener;
}

struct call {
  void (*function)(int);
  int argument;
};

static void *run_call(void *data) {
  struct call call = *(struct call *)data;
  free(data);
  call.function(call.argument);
  return NULL;
}

static bool start_thread(void *(*function)(void *), void *data) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, function, data) != 0) return false;
  pthread_detach(thread);
  return true;
}

void in_thread(void (*function)(int), int argument) {
  struct call *call = malloc(sizeof *call);
  if (call == NULL) exit(1);
  *call = (struct call){function, argument};
  if (!start_thread(run_call, call)) exit(1);
}

struct connection {
  connection_handler *handler;
  int socket;
  struct sockaddr_in peer;
};

static void *run_connection(void *data) {
  struct connection *connection = data;
  connection->handler(connection->socket, &connection->peer);
  close(connection->socket);
  free(connection);
  return NULL;
}

struct server {
  connection_handler *handler;
  int listener;
};

static void *accept_connections(void *data) {
  struct server server = *(struct server *)data;
  free(data);
  for (;;) {
    struct connection *connection = malloc(sizeof *connection);
    if (connection == NULL) exit(1);
    socklen_t length = sizeof connection->peer;
    connection->handler = server.handler;
    connection->socket = accept4(server.listener, (struct sockaddr *)&connection->peer, &length, SOCK_CLOEXEC);
    if (connection->socket >= 0 && start_thread(run_connection, connection)) continue;
    if (connection->socket >= 0) {
      close(connection->socket);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      report("cannot accept a connection: %s", strerror(errno));
      poll(NULL, 0, 100); /* Out of descriptors or memory: some will be free again. */
    }
    free(connection);
  }
}

void serve_connections(int listener, connection_handler *handler) {
  struct server *server = malloc(sizeof *server);
  if (server == NULL) exit(1);
  *server = (struct server){handler, listener};
  if (!start_thread(accept_connections, server)) exit(1);
}

bool split_endpoint(char *endpoint, char **host, char **port) {
  char *colon = strrchr(endpoint, ':');
  if (colon == NULL || colon == endpoint || colon[1] == '\0') return false;
  *colon = '\0';
  *host = endpoint;
  *port = colon + 1;
  if (endpoint[0] == '[' && colon[-1] == ']') {
    colon[-1] = '\0';
    *host = endpoint + 1;
  }
  return true;
}

/* A connect(2) that gives up: the kernel alone would try for two minutes. */
static int connect_within(int fd, const struct addrinfo *to, long milliseconds) {
  struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
  if (milliseconds > 0) {
    /* SO_SNDTIMEO limits connect(2) as well (socket(7)). */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  return connect(fd, to->ai_addr, to->ai_addrlen);
}

enum connect_result connect_to(int type, const char *host, const char *port, long milliseconds, int *fd,
                               const char **reason) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = type}, *found;
  int failure = getaddrinfo(host, port, &hints, &found);
  if (failure != 0) {
    *reason = gai_strerror(failure);
    return NAME_UNKNOWN;
  }
  *fd = socket(found->ai_family, type | SOCK_CLOEXEC, 0);
  int result = connect_within(*fd, found, milliseconds);
  int error = errno;
  freeaddrinfo(found);
  if (result == 0) return CONNECTED;
  close(*fd);
  errno = error;
  *reason = strerror(error);
  if (error == EINPROGRESS || error == ETIMEDOUT || error == EAGAIN) return TIMED_OUT;
  return error == ECONNREFUSED ? CONNECTION_REFUSED : OTHER_FAILURE;
}

bool send_all(int fd, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    length -= (size_t)sent;
  }
  return true;
}
