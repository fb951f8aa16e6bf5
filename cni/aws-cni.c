/*
 * aws-cni: the CNI executable of Enid.
 *
 * A container runtime starts it for every CNI operation. It does no work of its own: it hands the call to the
 * agent of the node over a unix socket and prints what comes back, so that an operation costs the start of a
 * small static program and not that of a language runtime.
 *
 *   to the agent:    every CNI_* variable of the environment as "KEY=VALUE\0", one more "\0", then stdin to EOF
 *   from the agent:  one byte, '0' or '1', which becomes the exit status, then what goes to stdout and a newline
 *
 * Two things it answers by itself: VERSION, which needs no agent, and the error of an agent that is not there.
 *
 * scripts/build-cni compiles it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define NEWEST_VERSION "1.1.0"
#define SUPPORTED_VERSIONS "[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]"
#define DEFAULT_SOCKET "/var/run/aws-node/enid.sock"
/* Longer than the agent ever waits for an address; the runtime's own limit is usually shorter. */
#define ANSWER_TIMEOUT_SECONDS 120
#define MAX_BYTES (16u << 20)

/* Error codes of the CNI specification. */
enum { IO_FAILURE = 5, TRY_AGAIN_LATER = 11, NOT_AVAILABLE = 50 };

extern char **environ;

struct buffer {
  char *data; /* NUL-terminated */
  size_t length;
};

/* The version that the answer must carry: that of the network configuration, if it can be seen. */
static char version[16] = NEWEST_VERSION;

/* Takes "cniVersion" out of the configuration. The agent parses it properly; this is for the two own answers. */
static void find_version(const char *config) {
  const char *at = strstr(config, "\"cniVersion\"");
  if (at == NULL) return;
  at += strlen("\"cniVersion\"");
  at += strspn(at, " \t\r\n");
  if (*at++ != ':') return;
  at += strspn(at, " \t\r\n");
  if (*at++ != '"') return;
  size_t length = strspn(at, "0123456789.");
  if (length == 0 || length >= sizeof version || at[length] != '"') return;
  memcpy(version, at, length);
  version[length] = '\0';
}

/* Prints text inside a JSON string. */
static void print_escaped(const char *text) {
  for (; *text != '\0'; text++) {
    unsigned char byte = (unsigned char)*text;
    if (byte == '"' || byte == '\\') printf("\\%c", byte);
    else if (byte < 0x20) printf("\\u%04x", byte);
    else putchar(byte);
  }
}

/* Prints a CNI error that names the cause and the way out, and ends the program. */
static void fail(int code, const char *socket_path, const char *cause, const char *way_out) {
  printf("{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"", version, code);
  print_escaped(cause);
  printf("\",\"details\":\"");
  print_escaped(way_out);
  if (socket_path != NULL) {
    printf(" Socket: ");
    print_escaped(socket_path);
  }
  printf("\"}\n");
  exit(1);
}

/*
 * Reads fd to its end, to the limit, or until what has been read ends with `last` (a byte; -1 for none).
 * Returns 0, or the errno of the failure: EFBIG past the limit, EAGAIN when a socket's timeout passed.
 */
static int read_all(int fd, struct buffer *into, int last) {
  size_t capacity = 0;
  for (;;) {
    if (into->length + 1 >= capacity) {
      capacity = capacity == 0 ? 16384 : capacity * 2;
      into->data = realloc(into->data, capacity);
      if (into->data == NULL) return ENOMEM;
    }
    ssize_t got = read(fd, into->data + into->length, capacity - into->length - 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    into->length += (size_t)got;
    into->data[into->length] = '\0';
    if (got == 0 || into->data[into->length - 1] == last) return 0;
    if (into->length > MAX_BYTES) return EFBIG;
  }
}

/* Sends everything. Returns 0 or the errno. MSG_NOSIGNAL: an agent that went away is an error, not a signal. */
static int send_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno;
    data += sent;
    length -= (size_t)sent;
  }
  return 0;
}

/* Appends to a buffer that is large enough. */
static void append(struct buffer *to, const char *data, size_t length) {
  memcpy(to->data + to->length, data, length);
  to->length += length;
}

/* The whole call as one message, so that the agent is woken once. */
static struct buffer make_request(const struct buffer *config) {
  size_t size = 1 + config->length;
  for (char **variable = environ; *variable != NULL; variable++) size += strlen(*variable) + 1;
  struct buffer request = {.data = malloc(size)};
  if (request.data == NULL) fail(IO_FAILURE, NULL, "out of memory", strerror(errno));
  for (char **variable = environ; *variable != NULL; variable++) {
    if (strncmp(*variable, "CNI_", 4) == 0) append(&request, *variable, strlen(*variable) + 1);
  }
  append(&request, "", 1);
  append(&request, config->data, config->length);
  return request;
}

int main(void) {
  const char *command = getenv("CNI_COMMAND");
  const char *path = getenv("ENID_CNI_SOCKET");
  if (path == NULL || *path == '\0') path = DEFAULT_SOCKET;

  struct buffer config = {0};
  int error = read_all(STDIN_FILENO, &config, -1);
  if (error != 0) {
    fail(IO_FAILURE, NULL, "cannot read the network configuration from standard input", strerror(error));
  }
  find_version(config.data);

  if (command != NULL && strcmp(command, "VERSION") == 0) {
    printf("{\"cniVersion\":\"%s\",\"supportedVersions\":" SUPPORTED_VERSIONS "}\n", version);
    return 0;
  }

  /* STATUS has a code of its own for "no pod can be added now". */
  int down = command != NULL && strcmp(command, "STATUS") == 0 ? NOT_AVAILABLE : TRY_AGAIN_LATER;

  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    fail(down, path, "the path of the agent's socket is too long for a unix socket",
         "Set ENID_CNI_SOCKET to a path of at most 107 bytes, for the agent and for the container runtime.");
  }
  strcpy(address.sun_path, path);

  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    switch (errno) {
      case ENOENT:
        fail(down, path, "the enid agent of this node is not running: its socket does not exist",
             "It comes when the agent has started; see the log of the aws-node pod on this node.");
        break;
      case ECONNREFUSED:
        fail(down, path, "the enid agent of this node is not running: nothing listens on its socket",
             "The agent has stopped or is being restarted; see the log of the aws-node pod on this node.");
        break;
      case EACCES:
        fail(down, path, "the enid agent's socket may only be used by root",
             "Run the container runtime as root.");
        break;
      default:
        fail(down, path, "cannot connect to the enid agent of this node", strerror(errno));
    }
  }
  struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_SECONDS};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);

  /* An agent that refuses early may answer before it has read everything, so its answer is read in any case. */
  struct buffer answer = {0};
  struct buffer request = make_request(&config);
  int send_error = send_all(fd, request.data, request.length);
  shutdown(fd, SHUT_WR);
  error = read_all(fd, &answer, '\n');
  if (error == EAGAIN || send_error == EAGAIN) {
    fail(down, path, "the enid agent of this node does not answer",
         "It is stopped or overloaded; see the log of the aws-node pod on this node.");
  }
  /* An answer without a newline at its end was cut off when the agent was killed. */
  if (answer.length < 2 || (answer.data[0] != '0' && answer.data[0] != '1') ||
      answer.data[answer.length - 1] != '\n') {
    fail(down, path, "the enid agent of this node ended before it had answered",
         "It is being restarted; the runtime tries again. See the log of the aws-node pod on this node.");
  }
  size_t body = answer.length - 1;
  if (answer.data[1] == '\n') body = 0; /* success without a result: nothing is printed */
  if (fwrite(answer.data + 1, 1, body, stdout) != body || fflush(stdout) != 0) return 1;
  return answer.data[0] - '0';
}
