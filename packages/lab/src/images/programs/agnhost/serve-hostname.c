/* serve-hostname: answers every request with the host's name. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "flags.h"
#include "http.h"
#include "net.h"
#include "wait.h"

static char name[HOST_NAME_MAX + 1];

static void answer_request(const struct request *request, struct response *response) {
  report("HTTP request from %s", request->client);
  text_add(&response->body, name, strlen(name));
}

static void serve_http_connection(int socket, const struct sockaddr_in *peer) {
  char client[ENDPOINT_TEXT];
  endpoint_text(peer, client);
  serve_http(socket, client, answer_request);
}

static void serve_tcp_connection(int socket, const struct sockaddr_in *peer) {
  char client[ENDPOINT_TEXT];
  endpoint_text(peer, client);
  report("TCP request from %s", client);
  send_all(socket, name, strlen(name));
}

static void serve_udp(int socket) {
  for (;;) {
    char ignored[16], client[ENDPOINT_TEXT];
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (recvfrom(socket, ignored, sizeof ignored, 0, (struct sockaddr *)&peer, &length) < 0) continue;
    endpoint_text(&peer, client);
    report("UDP request from %s", client);
    sendto(socket, name, strlen(name), 0, (struct sockaddr *)&peer, length);
  }
}

int command_serve_hostname(int count, char **arguments) {
  bool tcp = false, udp = false, http = true, ignored_close;
  int port = 9376;
  const struct flag flags[] = {
    {"tcp", SWITCH, {.on = &tcp}},
    {"udp", SWITCH, {.on = &udp}},
    {"http", SWITCH, {.on = &http}},
    {"close", SWITCH, {.on = &ignored_close}},
    {"port", NUMBER, {.number = &port}},
    {0},
  };
  parse_flags(count, arguments, flags, NULL, 0);
  gethostname(name, sizeof name - 1);
  if (udp) in_thread(serve_udp, listen_on(SOCK_DGRAM, port));
  if (tcp) serve_connections(listen_on(SOCK_STREAM, port), serve_tcp_connection);
  else if (http && !udp) serve_connections(listen_on(SOCK_STREAM, port), serve_http_connection);
  report("serving on port %d", port);
  return wait_for_end(0);
}
