#define _GNU_SOURCE
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "net.h"

#define LONGEST_HEAD (64u << 10)

static const char *reason_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 302: return "Found";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 412: return "Precondition Failed";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Status";
  }
}

char *parameter(const struct request *request, const char *name) {
  size_t length = strlen(name);
  for (const char *at = request->query; *at != '\0'; at += *at == '&') {
    size_t pair = strcspn(at, "&");
    if (pair > length && at[length] == '=' && strncmp(at, name, length) == 0) {
      char *value = strndup(at + length + 1, pair - length - 1);
      if (value != NULL) url_decode(value);
      return value;
    }
    at += pair;
  }
  return NULL;
}

char *header(const struct request *request, const char *name) {
  size_t length = strlen(name);
  for (const char *line = request->headers; *line != '\0';) {
    const char *end = strstr(line, "\r\n");
    if (end == NULL) return NULL;
    if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
      const char *value = line + length + 1;
      value += strspn(value, " \t");
      return strndup(value, (size_t)(end - value));
    }
    line = end + 2;
  }
  return NULL;
}

/* Reads up to the end of a request's head. Returns its length with the empty line, or 0 when the client is gone. */
static size_t read_head(int fd, struct text *input) {
  for (;;) {
    char *end = input->length > 0 ? memmem(input->bytes, input->length, "\r\n\r\n", 4) : NULL;
    if (end != NULL) return (size_t)(end - input->bytes) + 4;
    if (input->length > LONGEST_HEAD) return 0;
    char chunk[4096];
    ssize_t received = recv(fd, chunk, sizeof chunk, 0);
    if (received <= 0) return 0;
    text_add(input, chunk, (size_t)received);
  }
}

/* Takes a request's head and the body behind it, which nobody looks at, off the input. */
static bool discard(int fd, struct text *input, size_t length) {
  char chunk[4096];
  size_t there = length < input->length ? length : input->length;
  memmove(input->bytes, input->bytes + there, input->length - there + 1);
  input->length -= there;
  for (length -= there; length > 0;) {
    ssize_t received = recv(fd, chunk, length < sizeof chunk ? length : sizeof chunk, 0);
    if (received <= 0) return false;
    length -= (size_t)received;
  }
  return true;
}

static bool parse_head(char *head, struct request *request, bool *keep_alive) {
  char *line_end = strstr(head, "\r\n");
  request->headers = line_end + 2;
  *line_end = '\0';
  char *rest = head;
  request->method = strsep(&rest, " ");
  request->path = strsep(&rest, " ");
  if (rest == NULL || strncmp(rest, "HTTP/1.", 7) != 0) return false;
  *keep_alive = rest[7] != '0';
  request->query = request->path;
  strsep(&request->query, "?");
  if (request->query == NULL) request->query = request->path + strlen(request->path);
  url_decode(request->path);
  return true;
}

static bool respond(int fd, const struct request *request, const struct response *response, bool keep_alive) {
  struct text output = {0};
  text_format(&output, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n",
              response->status, reason_of(response->status), response->body.length);
  if (response->location.length > 0) text_format(&output, "Location: %s\r\n", response->location.bytes);
  if (!keep_alive) text_format(&output, "Connection: close\r\n");
  text_add(&output, "\r\n", 2);
  if (strcmp(request->method, "HEAD") != 0) text_add(&output, response->body.bytes, response->body.length);
  bool sent = send_all(fd, output.bytes, output.length);
  text_free(&output);
  return sent;
}

void serve_http(int fd, const char *client, request_handler *handler) {
  struct text input = {0};
  bool keep_alive = true;
  while (keep_alive) {
    size_t head_length = read_head(fd, &input);
    if (head_length == 0) break;
    char *head = strndup(input.bytes, head_length);
    struct request request = {.client = client};
    if (head == NULL || !parse_head(head, &request, &keep_alive)) {
      free(head);
      break;
    }
    char *connection = header(&request, "connection");
    if (connection != NULL) keep_alive = strcasecmp(connection, "close") != 0 && keep_alive;
    free(connection);
    char *length = header(&request, "content-length");
    size_t body_length = length != NULL ? strtoul(length, NULL, 10) : 0;
    free(length);
    struct response response = {.status = 200};
    keep_alive = discard(fd, &input, head_length + body_length) && keep_alive;
    handler(&request, &response);
    keep_alive = respond(fd, &request, &response, keep_alive) && keep_alive;
    text_free(&response.body);
    text_free(&response.location);
    free(head);
  }
  text_free(&input);
}
