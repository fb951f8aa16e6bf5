/* Command lines as Kubernetes' programs take them: --name value, --name=value, and --name for a switch. */
#ifndef FLAGS_H
#define FLAGS_H

#include <stdbool.h>

struct flag {
  const char *name;
  enum { NUMBER, SWITCH, TEXT, DURATION } kind;
  union {
    int *number;
    bool *on;
    const char **text;
    long *milliseconds;
  } value;
};

/*
 * Reads the arguments after a subcommand. What is no flag is put into positional, up to `most` of them.
 * Returns how many those are. Prints what is wrong and ends the program when something is.
 */
int parse_flags(int count, char **arguments, const struct flag *flags, const char **positional, int most);

#endif
