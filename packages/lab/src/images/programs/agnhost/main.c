/*
 * agnhost: the server and client that tests of a cluster's network put into pods. It speaks as the program of the same
 * name that Kubernetes' own tests use, in as much as such tests need, and takes a megabyte of memory.
 */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "flags.h"
#include "wait.h"

int command_pause(int count, char **arguments) {
  parse_flags(count, arguments, (const struct flag[]){{0}}, NULL, 0);
  puts("Paused");
  fflush(stdout);
  return wait_for_end(0);
}

int main(int count, char **arguments) {
  static const struct { const char *name; int (*run)(int, char **); } commands[] = {
    {"connect", command_connect},
    {"netexec", command_netexec},
    {"pause", command_pause},
    {"serve-hostname", command_serve_hostname},
  };
  for (size_t i = 0; count > 1 && i < sizeof commands / sizeof *commands; i++)
    if (strcmp(arguments[1], commands[i].name) == 0) return commands[i].run(count - 2, arguments + 2);
  fputs("usage: agnhost connect | netexec | pause | serve-hostname\n", stderr);
  return 2;
}
