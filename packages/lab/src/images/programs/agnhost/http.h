/* As much of an HTTP/1.1 server as tests of a network need: GET with a query, kept-alive connections. */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>

#include "text.h"

struct request {
  const char *client; /* "address:port" of who asks */
  char *method;
  char *path;
  char *query;   /* after the question mark, or "" */
  char *headers; /* lines, each ended by "\r\n" */
};

struct response {
  int status;
  struct text body;
  struct text location; /* for redirects */
};

typedef void request_handler(const struct request *request, struct response *response);

/* Answers the requests of one connection until the client ends it. */
void serve_http(int socket, const char *client, request_handler *handler);

/* A decoded parameter of the query, to be freed; NULL when it is not there. */
char *parameter(const struct request *request, const char *name);

/* A header's value, to be freed; NULL when it is not there. */
char *header(const struct request *request, const char *name);

#endif
