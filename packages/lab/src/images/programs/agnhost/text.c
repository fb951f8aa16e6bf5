#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void reserve(struct text *text, size_t more) {
  size_t needed = text->length + more + 1;
  if (needed <= text->capacity) return;
  text->capacity = needed * 2;
  text->bytes = realloc(text->bytes, text->capacity);
  if (text->bytes == NULL) {
    fputs("out of memory\n", stderr);
    exit(1);
  }
}

void text_add(struct text *text, const char *bytes, size_t length) {
  reserve(text, length);
  if (length > 0) memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
  text->bytes[text->length] = '\0';
}

void text_format(struct text *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  reserve(text, (size_t)length);
  va_start(arguments, format);
  vsnprintf(text->bytes + text->length, (size_t)length + 1, format, arguments);
  va_end(arguments);
  text->length += (size_t)length;
}

void text_json(struct text *text, const char *bytes, size_t length) {
  text_add(text, "\"", 1);
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)bytes[i];
    if (byte == '"' || byte == '\\') text_format(text, "\\%c", byte);
    else if (byte == '\n') text_add(text, "\\n", 2);
    else if (byte < 0x20) text_format(text, "\\u%04x", byte);
    else text_add(text, bytes + i, 1);
  }
  text_add(text, "\"", 1);
}

void text_free(struct text *text) {
  free(text->bytes);
  *text = (struct text){0};
}

void url_decode(char *text) {
  char *to = text;
  for (const char *from = text; *from != '\0'; from++) {
    unsigned byte;
    if (*from == '+') {
      *to++ = ' ';
    } else if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1 && byte != 0) {
      *to++ = (char)byte;
      from += 2;
    } else {
      *to++ = *from;
    }
  }
  *to = '\0';
}

bool parse_duration(const char *text, long *milliseconds) {
  static const struct { const char *name; double milliseconds; } units[] = {
    {"ms", 1}, {"us", 0.001}, {"ns", 0.000001}, {"h", 3600000}, {"m", 60000}, {"s", 1000},
  };
  double total = 0;
  if (strcmp(text, "0") == 0) {
    *milliseconds = 0;
    return true;
  }
  if (*text == '\0') return false;
  while (*text != '\0') {
    char *end;
    double value = strtod(text, &end);
    size_t unit = 0, count = sizeof units / sizeof *units;
    if (end == text || value < 0) return false;
    while (unit < count && strncmp(end, units[unit].name, strlen(units[unit].name)) != 0) unit++;
    if (unit == count) return false;
    total += value * units[unit].milliseconds;
    text = end + strlen(units[unit].name);
  }
  *milliseconds = (long)total;
  return true;
}

void report(const char *format, ...) {
  char line[1024], stamp[32];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  time_t now = time(NULL);
  struct tm broken_down;
  strftime(stamp, sizeof stamp, "%Y/%m/%d %H:%M:%S", gmtime_r(&now, &broken_down));
  fprintf(stderr, "%s %s\n", stamp, line);
}
