#include "dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

#define ANSWER_TIMEOUT 5000 /* milliseconds */

/* Sends a request and reads the answer to its end: one datagram, or all that comes until the peer closes. */
static const char *ask(int type, const char *host, const char *port, const struct text *question,
                       struct text *answer) {
  int fd;
  const char *reason;
  if (connect_to(type, host, port, ANSWER_TIMEOUT, &fd, &reason) != CONNECTED) return reason;
  reason = NULL;
  if (!send_all(fd, question->bytes, question->length)) reason = strerror(errno);
  while (reason == NULL) {
    char chunk[4096];
    ssize_t received = recv(fd, chunk, sizeof chunk, 0);
    if (received < 0) reason = errno == EAGAIN ? "no answer in time" : strerror(errno);
    if (received <= 0) break;
    text_add(answer, chunk, (size_t)received);
    if (type == SOCK_DGRAM) break;
  }
  close(fd);
  return reason;
}

static const char *ask_http(const char *host, const char *port, const char *path, struct text *body) {
  struct text question = {0}, answer = {0};
  text_format(&question, "GET /%s HTTP/1.0\r\nHost: %s:%s\r\n\r\n", path, host, port);
  const char *reason = ask(SOCK_STREAM, host, port, &question, &answer);
  const char *end_of_head = reason == NULL && answer.length > 0 ? strstr(answer.bytes, "\r\n\r\n") : NULL;
  if (end_of_head != NULL)
    text_add(body, end_of_head + 4, answer.length - (size_t)(end_of_head + 4 - answer.bytes));
  else if (reason == NULL)
    reason = "the answer is not HTTP";
  text_free(&question);
  text_free(&answer);
  return reason;
}

static const char *ask_udp(const char *host, const char *port, const char *data, struct text *answer) {
  struct text question = {0};
  text_add(&question, data, strlen(data));
  const char *reason = ask(SOCK_DGRAM, host, port, &question, answer);
  text_free(&question);
  return reason;
}

static void add_to_list(struct text *list, const char *bytes, size_t length) {
  if (list->length > 0) text_add(list, ",", 1);
  text_json(list, bytes, length);
}

void dial(const struct request *request, struct response *response) {
  char *host = parameter(request, "host"), *port = parameter(request, "port");
  char *question = parameter(request, "request"), *protocol = parameter(request, "protocol");
  char *tries_text = parameter(request, "tries");
  int tries = tries_text != NULL ? atoi(tries_text) : 1;
  bool udp = protocol != NULL && strcasecmp(protocol, "udp") == 0;
  bool http = protocol == NULL || *protocol == '\0' || strcasecmp(protocol, "http") == 0;
  if (host == NULL || port == NULL || question == NULL || (!udp && !http)) {
    response->status = 400;
    text_format(&response->body, "host, port and request are needed, and protocol may be http or udp\n");
  } else {
    struct text responses = {0}, errors = {0};
    for (int i = 0; i < tries; i++) {
      struct text answer = {0};
      const char *reason = (udp ? ask_udp : ask_http)(host, port, question, &answer);
      if (reason == NULL) add_to_list(&responses, answer.bytes, answer.length);
      else add_to_list(&errors, reason, strlen(reason));
      text_free(&answer);
    }
    text_add(&response->body, "{", 1);
    if (errors.length > 0) text_format(&response->body, "\"errors\":[%s]", errors.bytes);
    if (errors.length > 0 && responses.length > 0) text_add(&response->body, ",", 1);
    if (responses.length > 0) text_format(&response->body, "\"responses\":[%s]", responses.bytes);
    text_add(&response->body, "}", 1);
    text_free(&responses);
    text_free(&errors);
  }
  free(host);
  free(port);
  free(question);
  free(protocol);
  free(tries_text);
}
