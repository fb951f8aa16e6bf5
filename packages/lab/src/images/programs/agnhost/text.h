/* Text that grows, and what is read out of text. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
  char *bytes; /* NUL-terminated once something was added, else NULL */
  size_t length;
  size_t capacity;
};

void text_add(struct text *text, const char *bytes, size_t length);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds a JSON string, quotes included. */
void text_json(struct text *text, const char *bytes, size_t length);
void text_free(struct text *text);

/* Decodes %XX and + in place. */
void url_decode(char *text);

/* Reads a duration as Go writes it ("1s", "500ms", "1m30s", "0") into milliseconds. */
bool parse_duration(const char *text, long *milliseconds);

/* One line on stderr, with the time. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
