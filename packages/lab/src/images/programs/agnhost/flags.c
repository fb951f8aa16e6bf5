#include "flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static void refuse(const char *what, const char *argument) {
  fprintf(stderr, "agnhost: %s: %s\n", what, argument);
  exit(2);
}

static const struct flag *find(const struct flag *flags, const char *name, size_t length) {
  for (; flags->name != NULL; flags++)
    if (strlen(flags->name) == length && strncmp(flags->name, name, length) == 0) return flags;
  return NULL;
}

static bool assign(const struct flag *flag, const char *value) {
  char *end;
  switch (flag->kind) {
    case NUMBER:
      *flag->value.number = (int)strtol(value, &end, 10);
      return end != value && *end == '\0';
    case SWITCH:
      *flag->value.on = strcmp(value, "true") == 0;
      return *flag->value.on || strcmp(value, "false") == 0;
    case TEXT:
      *flag->value.text = value;
      return true;
    case DURATION:
      return parse_duration(value, flag->value.milliseconds);
  }
  return false;
}

int parse_flags(int count, char **arguments, const struct flag *flags, const char **positional, int most) {
  int found = 0;
  for (int i = 0; i < count; i++) {
    const char *argument = arguments[i];
    if (argument[0] != '-') {
      if (found == most) refuse("unexpected argument", argument);
      positional[found++] = argument;
      continue;
    }
    const char *name = argument + strspn(argument, "-");
    const char *equals = strchr(name, '=');
    const struct flag *flag = find(flags, name, equals != NULL ? (size_t)(equals - name) : strlen(name));
    if (flag == NULL) refuse("unknown flag", argument);
    const char *value = equals != NULL ? equals + 1 : flag->kind == SWITCH ? "true" : NULL;
    if (value == NULL && ++i < count) value = arguments[i];
    if (value == NULL) refuse("flag needs a value", argument);
    if (!assign(flag, value)) refuse("invalid value for a flag", argument);
  }
  return found;
}
