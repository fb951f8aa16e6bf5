/*
 * connect: tries to reach host:port and says by one word on stderr why it cannot: TIMEOUT, REFUSED, DNS, OTHER or
 * UNKNOWN. By UDP it is reached when it answers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "flags.h"
#include "net.h"
#include "text.h"

static int fail(const char *word, const char *reason) {
  fprintf(stderr, "%s: %s\n", word, reason);
  return 1;
}

static const char *word_of(int error) {
  if (error == EAGAIN || error == ETIMEDOUT) return "TIMEOUT";
  return error == ECONNREFUSED ? "REFUSED" : "OTHER";
}

/* Asks and waits for an answer. Returns the exit status. */
static int exchange(int fd, const char *data) {
  char answer[2048];
  struct text question = {0};
  text_format(&question, "%s\n", data);
  bool sent = send_all(fd, question.bytes, question.length);
  text_free(&question);
  if (!sent || recv(fd, answer, sizeof answer, 0) < 0) return fail(word_of(errno), strerror(errno));
  return 0;
}

int command_connect(int count, char **arguments) {
  long timeout = 0;
  const char *protocol = "tcp", *udp_data = "hostname", *destination, *reason;
  const struct flag flags[] = {
    {"timeout", DURATION, {.milliseconds = &timeout}},
    {"protocol", TEXT, {.text = &protocol}},
    {"udp-data", TEXT, {.text = &udp_data}},
    {0},
  };
  if (parse_flags(count, arguments, flags, &destination, 1) != 1) return fail("UNKNOWN", "which host:port?");
  bool udp = strcmp(protocol, "udp") == 0;
  if (!udp && strcmp(protocol, "tcp") != 0) return fail("UNKNOWN", "protocol may be tcp or udp");
  char endpoint[512], *host, *port;
  snprintf(endpoint, sizeof endpoint, "%s", destination);
  if (!split_endpoint(endpoint, &host, &port)) return fail("UNKNOWN", "that is not host:port");
  int fd;
  switch (connect_to(udp ? SOCK_DGRAM : SOCK_STREAM, host, port, timeout, &fd, &reason)) {
    case CONNECTED: {
      int status = udp ? exchange(fd, udp_data) : 0;
      close(fd);
      return status;
    }
    case NAME_UNKNOWN: return fail("DNS", reason);
    case TIMED_OUT: return fail("TIMEOUT", "no answer in time");
    case CONNECTION_REFUSED: return fail("REFUSED", reason);
    case OTHER_FAILURE: break;
  }
  return fail("OTHER", reason);
}
