/* netexec: says over HTTP, UDP and TCP who it is and who asks. */
#define _GNU_SOURCE
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "dial.h"
#include "flags.h"
#include "http.h"
#include "net.h"
#include "proxy.h"
#include "wait.h"

static bool proxy_protocol;

static void add_hostname(struct text *text) {
  char name[HOST_NAME_MAX + 1] = "";
  gethostname(name, sizeof name - 1);
  text_format(text, "%s", name);
}

static void run_shell(const struct request *request, struct response *response) {
  char *command = parameter(request, "shellCommand");
  if (command == NULL) command = parameter(request, "cmd");
  struct text output = {0}, line = {0};
  /* In one group, so that what the command prints as an error comes as well. */
  text_format(&line, "{ %s\n} 2>&1", command != NULL ? command : "");
  FILE *pipe = popen(line.bytes, "r");
  char chunk[4096];
  size_t length;
  while (pipe != NULL && (length = fread(chunk, 1, sizeof chunk, pipe)) > 0) text_add(&output, chunk, length);
  int status = pipe != NULL ? pclose(pipe) : -1;
  text_add(&response->body, "{", 1);
  if (status != 0) text_format(&response->body, "\"error\":\"exit status %d\"", WEXITSTATUS(status));
  if (status != 0 && output.length > 0) text_add(&response->body, ",", 1);
  if (output.length > 0) {
    text_add(&response->body, "\"output\":", 9);
    text_json(&response->body, output.bytes, output.length);
  }
  text_add(&response->body, "}", 1);
  text_free(&output);
  text_free(&line);
  free(command);
}

static void echo(const struct request *request, struct response *response) {
  char *message = parameter(request, "msg"), *code = parameter(request, "code");
  if (code != NULL) response->status = atoi(code);
  if (message != NULL) text_add(&response->body, message, strlen(message));
  free(message);
  free(code);
}

static void redirect(const struct request *request, struct response *response) {
  char *location = parameter(request, "location"), *code = parameter(request, "code");
  response->status = code != NULL ? atoi(code) : 302;
  /* A location with a line break would be a header of the caller's own. */
  if (location != NULL && strpbrk(location, "\r\n") == NULL) text_format(&response->location, "%s", location);
  free(location);
  free(code);
}

static void end_program(const struct request *request) {
  char *code = parameter(request, "code"), *wait = parameter(request, "wait");
  long milliseconds = 0;
  if (wait != NULL && parse_duration(wait, &milliseconds)) poll(NULL, 0, (int)milliseconds);
  exit(code != NULL ? atoi(code) : 0);
}

static void show_header(const struct request *request, struct response *response) {
  char *key = parameter(request, "key"), *value = key != NULL ? header(request, key) : NULL;
  if (value != NULL) text_add(&response->body, value, strlen(value));
  free(key);
  free(value);
}

static void answer_request(const struct request *request, struct response *response) {
  const char *path = request->path;
  report("%s %s%s%s from %s", request->method, path, *request->query ? "?" : "", request->query, request->client);
  if (strcmp(path, "/") == 0) text_format(&response->body, "NOW: %ld", (long)time(NULL));
  else if (strcasecmp(path, "/hostname") == 0) add_hostname(&response->body);
  else if (strcmp(path, "/clientip") == 0) text_format(&response->body, "%s", request->client);
  else if (strcmp(path, "/echo") == 0) echo(request, response);
  else if (strcmp(path, "/dial") == 0) dial(request, response);
  else if (strcmp(path, "/header") == 0) show_header(request, response);
  else if (strcmp(path, "/redirect") == 0) redirect(request, response);
  else if (strcmp(path, "/shell") == 0) run_shell(request, response);
  else if (strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0) return;
  else if (strcmp(path, "/exit") == 0 || strcmp(path, "/shutdown") == 0) end_program(request);
  else {
    response->status = 404;
    text_format(&response->body, "404 page not found\n");
  }
}

/* The commands of UDP and TCP. Nothing is added for one that is not known. */
static void answer_command(char *command, const char *client, struct text *answer) {
  command[strcspn(command, "\r\n")] = '\0';
  report("%s from %s", command, client);
  if (strcasecmp(command, "hostname") == 0) add_hostname(answer);
  else if (strncasecmp(command, "echo ", 5) == 0) text_add(answer, command + 5, strlen(command + 5));
  else if (strcasecmp(command, "clientip") == 0) text_format(answer, "%s", client);
}

/* Writes down who a connection comes from. Returns false when it does not begin with the header that it must have. */
static bool identify(int socket, const struct sockaddr_in *peer, char client[ENDPOINT_TEXT]) {
  endpoint_text(peer, client);
  if (!proxy_protocol) return true;
  struct sockaddr_in origin = *peer;
  char proxy[ENDPOINT_TEXT];
  strcpy(proxy, client);
  if (!read_proxy_header(socket, &origin)) {
    report("connection from %s without a PROXY protocol header", proxy);
    return false;
  }
  endpoint_text(&origin, client);
  report("PROXY protocol: client %s, proxy %s", client, proxy);
  return true;
}

static void serve_http_connection(int socket, const struct sockaddr_in *peer) {
  char client[ENDPOINT_TEXT];
  if (identify(socket, peer, client)) serve_http(socket, client, answer_request);
}

static void serve_tcp_connection(int socket, const struct sockaddr_in *peer) {
  char client[ENDPOINT_TEXT], *line = NULL;
  size_t capacity = 0;
  if (!identify(socket, peer, client)) return;
  FILE *input = fdopen(dup(socket), "r");
  while (input != NULL && getline(&line, &capacity, input) > 0) {
    struct text answer = {0};
    answer_command(line, client, &answer);
    text_add(&answer, "\n", 1);
    bool sent = send_all(socket, answer.bytes, answer.length);
    text_free(&answer);
    if (!sent) break;
  }
  free(line);
  if (input != NULL) fclose(input);
}

static void serve_udp(int socket) {
  for (;;) {
    char command[65536], client[ENDPOINT_TEXT];
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    ssize_t received = recvfrom(socket, command, sizeof command - 1, 0, (struct sockaddr *)&peer, &length);
    if (received < 0) continue;
    command[received] = '\0';
    endpoint_text(&peer, client);
    struct text answer = {0};
    answer_command(command, client, &answer);
    if (answer.length > 0) sendto(socket, answer.bytes, answer.length, 0, (struct sockaddr *)&peer, length);
    text_free(&answer);
  }
}

int command_netexec(int count, char **arguments) {
  int http_port = 8080, udp_port = 8081, tcp_port = -1, delay_shutdown = 0;
  const struct flag flags[] = {
    {"http-port", NUMBER, {.number = &http_port}},
    {"udp-port", NUMBER, {.number = &udp_port}},
    {"tcp-port", NUMBER, {.number = &tcp_port}},
    {"delay-shutdown", NUMBER, {.number = &delay_shutdown}},
    {"proxy-protocol", SWITCH, {.on = &proxy_protocol}},
    {0},
  };
  parse_flags(count, arguments, flags, NULL, 0);
  /* UDP first: who finds HTTP answering may ask by UDP. */
  if (udp_port >= 0) in_thread(serve_udp, listen_on(SOCK_DGRAM, udp_port));
  if (tcp_port >= 0) serve_connections(listen_on(SOCK_STREAM, tcp_port), serve_tcp_connection);
  if (http_port >= 0) serve_connections(listen_on(SOCK_STREAM, http_port), serve_http_connection);
  report("serving HTTP on port %d, UDP on %d, TCP on %d%s", http_port, udp_port, tcp_port,
         proxy_protocol ? ", with the PROXY protocol" : "");
  return wait_for_end((unsigned)delay_shutdown);
}
