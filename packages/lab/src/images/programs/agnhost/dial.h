/* Asking another server, as /dial of netexec does. */
#ifndef DIAL_H
#define DIAL_H

#include "http.h"

/* Asks host:port of the query `tries` times and answers {"responses":[...],"errors":[...]}. */
void dial(const struct request *request, struct response *response);

#endif
