#include "proxy.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_LENGTH 12
#define V1_LONGEST 107

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21, TCP_OVER_IPV4 = 0x11, UDP_OVER_IPV4 = 0x12 };

struct v2_header {
  uint8_t signature[SIGNATURE_LENGTH];
  uint8_t command;
  uint8_t family;
  uint16_t length;
} __attribute__((packed));

struct v2_ipv4 {
  struct in_addr source, destination;
  in_port_t source_port, destination_port;
} __attribute__((packed));

static bool receive_exactly(int fd, void *bytes, size_t length) {
  return length == 0 || recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static bool read_v2(int fd, struct sockaddr_in *client) {
  struct v2_header header;
  if (!receive_exactly(fd, &header, sizeof header) || (header.command & 0xf0) != 0x20) return false;
  size_t length = ntohs(header.length);
  char *rest = malloc(length + 1);
  if (rest == NULL) return false;
  bool whole = receive_exactly(fd, rest, length);
  struct v2_ipv4 addresses;
  if (whole && header.command == V2_PROXY && length >= sizeof addresses &&
      (header.family == TCP_OVER_IPV4 || header.family == UDP_OVER_IPV4)) {
    memcpy(&addresses, rest, sizeof addresses);
    client->sin_addr = addresses.source;
    client->sin_port = addresses.source_port;
  }
  free(rest);
  return whole;
}

static bool read_v1(int fd, struct sockaddr_in *client) {
  char line[V1_LONGEST + 1], source[INET_ADDRSTRLEN];
  size_t length = 0;
  do {
    if (length == V1_LONGEST || recv(fd, line + length, 1, 0) != 1) return false;
  } while (line[length++] != '\n');
  line[length] = '\0';
  unsigned port;
  if (sscanf(line, "PROXY TCP4 %15s %*s %u", source, &port) == 2) {
    if (inet_pton(AF_INET, source, &client->sin_addr) != 1 || port > UINT16_MAX) return false;
    client->sin_port = htons((in_port_t)port);
    return true;
  }
  return strncmp(line, "PROXY UNKNOWN", strlen("PROXY UNKNOWN")) == 0;
}

bool read_proxy_header(int fd, struct sockaddr_in *client) {
  char start[SIGNATURE_LENGTH];
  /* Looked at and left there: what follows a version 1 line is not ours. */
  if (recv(fd, start, sizeof start, MSG_PEEK | MSG_WAITALL) != sizeof start) return false;
  if (memcmp(start, SIGNATURE, SIGNATURE_LENGTH) == 0) return read_v2(fd, client);
  if (memcmp(start, "PROXY ", strlen("PROXY ")) == 0) return read_v1(fd, client);
  return false;
}
